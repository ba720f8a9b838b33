"""Runs: parameters, curves, environment and small files of a training or an evaluation."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from chexpert.registry.clients import Connection, sqlite_file

__all__ = ["Run", "RunSummary", "Tracker", "runs"]

_BATCH: Final = 100
"""Parameters that MLflow takes at once; metrics 1,000."""
_LONGEST: Final = 5000
"""Characters of a parameter or tag; longer ones are cut, the whole belongs into an artifact."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run in progress."""

    run_id: str
    connection: Connection = field(repr=False)

    def params(self, values: Mapping[str, Any]) -> None:
        """Record settings, as text. The same name cannot change its value within a run."""
        from mlflow.entities import Param  # noqa: PLC0415 - see clients.preload

        pairs = [Param(name, _cut(value)) for name, value in values.items()]
        for start in range(0, len(pairs), _BATCH):
            self.connection.do("log_batch", self.run_id, params=pairs[start : start + _BATCH])

    def metrics(self, values: Mapping[str, float | None], step: int | None = None) -> None:
        """Record figures at a step; None is left out. Names may hold letters, digits, spaces and _-./: only."""
        from mlflow.entities import Metric  # noqa: PLC0415 - see clients.preload

        now_ms = int(time.time() * 1000)
        figures = [Metric(k, float(v), now_ms, step or 0) for k, v in values.items() if v is not None]
        if figures:
            self.connection.do("log_batch", self.run_id, metrics=figures)

    def tags(self, values: Mapping[str, Any]) -> None:
        """Record or replace tags, as text."""
        from mlflow.entities import RunTag  # noqa: PLC0415 - see clients.preload

        pairs = [RunTag(name, _cut(value)) for name, value in values.items()]
        for start in range(0, len(pairs), _BATCH):
            self.connection.do("log_batch", self.run_id, tags=pairs[start : start + _BATCH])

    def artifact(self, content: Path | str, name: str = "") -> None:
        """Keep a file (a Path; `name` renames it), or a text under `name`.

        Raises:
            ValueError: A text without a name.
        """
        if isinstance(content, Path) and not name:
            self.connection.do("log_artifact", self.run_id, str(content))
            return
        if not name:
            msg = "a text needs the name of the file it becomes"
            raise ValueError(msg)
        target = Path(name)
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / target.name
            copy.write_bytes(content.read_bytes() if isinstance(content, Path) else content.encode())
            parent = None if target.parent == Path() else str(target.parent)
            self.connection.do("log_artifact", self.run_id, str(copy), parent)


@dataclass(frozen=True, slots=True)
class Tracker:
    """Where runs are recorded."""

    uri: str
    """MLflow server, or sqlite:///…"""
    artifacts: str = ""
    """Folder or URI for files of runs; empty: beside a SQLite file, or wherever the server keeps them."""

    @contextmanager
    def run(self, *, experiment: str, name: str, tags: Mapping[str, Any] | None = None) -> Iterator[Run]:
        """A run that ends FINISHED, or FAILED with the error's text as tag `error` if the block raises.

        Raises:
            RegistryUnavailable: The tracking server or database does not answer.
        """
        connection = Connection.open(self.uri)
        started = connection.do("create_run", self._experiment(connection, experiment), run_name=name)
        run = Run(started.info.run_id, connection)
        run.tags(tags or {})
        try:
            yield run
        except BaseException as error:
            run.tags({"error": f"{type(error).__name__}: {error}"})
            connection.do("set_terminated", run.run_id, "FAILED")
            raise
        connection.do("set_terminated", run.run_id, "FINISHED")

    def _experiment(self, connection: Connection, experiment: str) -> str:
        """Its id; created if it is new, also when another process creates it at the same time."""
        from chexpert.registry.errors import RegistryRejected  # noqa: PLC0415

        found = connection.do("get_experiment_by_name", experiment)
        if found is None:
            try:
                return str(connection.do("create_experiment", experiment, self._location(experiment)))
            except RegistryRejected:
                found = connection.do("get_experiment_by_name", experiment)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _location(self, experiment: str) -> str | None:
        if self.artifacts:
            return f"{self.artifacts.rstrip('/')}/{experiment}"
        database = sqlite_file(self.uri)
        return None if database is None else str(database.resolve().parent / "artifacts" / experiment)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run in a list."""

    run_id: str
    name: str
    experiment: str
    status: str
    started: datetime
    metrics: Mapping[str, float]
    params: Mapping[str, str]


def runs(uri: str, *, experiment: str = "", limit: int = 50) -> tuple[RunSummary, ...]:
    """Latest runs first, of one experiment or of all."""
    connection = Connection.open(uri)
    names = {
        each.experiment_id: each.name
        for each in connection.do("search_experiments")
        if not experiment or each.name == experiment
    }
    if not names:
        return ()
    order = ["attributes.start_time DESC"]
    found = connection.do("search_runs", list(names), max_results=limit, order_by=order)
    return tuple(
        RunSummary(
            run_id=run.info.run_id,
            name=run.info.run_name or "",
            experiment=names[run.info.experiment_id],
            status=run.info.status,
            started=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
            metrics=dict(run.data.metrics),
            params=dict(run.data.params),
        )
        for run in found
    )


def _cut(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
