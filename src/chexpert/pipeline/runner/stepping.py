"""One step of a run: its folder, its command, its attempts, and what became of them."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from chexpert.bundle.cpus import THREADS_VARIABLE
from chexpert.domain import digests
from chexpert.domain.errors import ChexpertError, InputError
from chexpert.domain.places import Places
from chexpert.domain.verdicts import Verdict
from chexpert.pipeline.invocation import DONE, PROGRESS_VARIABLE, REFUSED, RETRY
from chexpert.pipeline.runner.artifacts import digest, place
from chexpert.pipeline.runner.preloaded import Child, Preloaded
from chexpert.pipeline.runner.results import ENDED, StepResult, StepStatus
from chexpert.pipeline.runner.state import StepState
from chexpert.pipeline.step import VERDICT
from chexpert.pipeline.workflow.commands import relocate
from chexpert.pipeline.workflow.model import Template
from chexpert.pipeline.workflow.variables import substitute

__all__ = ["Order", "StepRun"]

_TAIL_LINES = 20


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be run: a template with all its values."""

    name: str
    template: Template
    command: tuple[str, ...]
    """Replaces command and arguments of the template; empty: the template's own."""
    values: Mapping[str, str]
    """Of the variables in command, arguments and environment."""
    artifacts: Mapping[str, Path]
    """Input artifacts that exist."""
    places: Places


class StepRun:
    """Runs one order to its end, over several attempts."""

    def __init__(self, order: Order, folder: Path) -> None:
        self._order = order
        self.folder = folder
        self._child: Child | None = None
        self._state = StepState(name=order.name, template=order.template.name)
        self._wait_until: datetime | None = None
        self._overdue = False

    @property
    def state(self) -> StepState:
        """As written to state.json."""
        return self._state

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self._state.status in ENDED

    @property
    def running(self) -> bool:
        """Whether its command runs."""
        return self._child is not None

    @property
    def child(self) -> Child | None:
        """The running command."""
        return self._child

    def result(self) -> StepResult:
        """With the progress that the step has told."""
        done = total = 0
        try:
            parts = (self.folder / "progress").read_text(encoding="utf-8").split("/")
            done, total = int(parts[0]), int(parts[1])
        except (OSError, ValueError, IndexError):
            pass
        return self._state.result(self.folder, done=done, total=total)

    def prepare(self, *, reuse: bool) -> None:
        """Take over an earlier run's outputs if nothing has changed since; otherwise wait for a start."""
        wanted = self._digest()
        earlier = StepState.read(self.folder)
        if reuse and earlier is not None and earlier.reusable(self.folder, wanted):
            self._save(replace(earlier, reused=True))
        else:
            self._save(replace(self._state, digest=wanted))

    def startable(self, now: datetime) -> bool:
        """Whether an attempt may start now."""
        return not self.ended and not self.running and (self._wait_until is None or now >= self._wait_until)

    def start(self, preloaded: Preloaded, now: datetime, *, threads: int) -> None:
        """Begin an attempt in an empty folder; the log goes on."""
        for name in ("in", "out"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir(parents=True)
        if not self._state.attempts:
            (self.folder / "log").unlink(missing_ok=True)
        (self.folder / "progress").unlink(missing_ok=True)
        for name, source in self._order.artifacts.items():
            place(source, self.folder / "in" / name)
        self._save(self._state.begun(now))
        self._child = preloaded.submit(
            [relocate(part, self.folder.absolute()) for part in self._command()],
            environment=self._environment(threads),
            log=self.folder / "log",
            folder=Path.cwd(),
        )

    def poll(self, preloaded: Preloaded, now: datetime) -> None:
        """Take note if the command has ended; end it if it is overdue."""
        if self._child is None:
            return
        deadline = self._order.template.deadline
        if deadline is not None and not self._overdue and now - self._state.attempts[-1].started > deadline:
            self._overdue = True
            preloaded.kill(self._child)
        if not self._child.ended.done():
            return
        child, self._child = self._child, None
        try:
            code = child.ended.result()
        except ChexpertError as error:
            self.fail(str(error))
            return
        self._finish(self._state.ended(now, code), code, now)

    def end(self, preloaded: Preloaded) -> None:
        """Kill the running command: the run is being interrupted. The state stays `running`."""
        if self._child is not None:
            preloaded.kill(self._child)

    def omit(self) -> None:
        """End without having begun, if it has not."""
        if not self.ended and not self._state.attempts:
            self._save(replace(self._state, status=StepStatus.OMITTED))

    def fail(self, reason: str) -> None:
        """End as failed, without a further attempt."""
        self._save(replace(self._state, status=StepStatus.FAILED, reasons=(reason,)))

    def _finish(self, state: StepState, code: int, now: datetime) -> None:
        retry = self._order.template.retry
        if self._overdue:
            limit = self._order.template.deadline or timedelta()
            reason = f"ended after its limit of {limit.total_seconds():g} s (activeDeadlineSeconds)"
            self._save(replace(state, status=StepStatus.FAILED, reasons=(reason,)))
        elif code == DONE:
            self._collect(state)
        elif code == RETRY and retry is not None and len(state.attempts) <= retry.limit and self._in_time(state, now):
            wait = retry.wait * retry.factor ** (len(state.attempts) - 1)
            self._wait_until = now + (min(wait, retry.cap) if retry.cap is not None else wait)
            self._save(replace(state, status=StepStatus.WAITING))
        elif code == REFUSED:
            self._save(replace(state, status=StepStatus.REFUSED, reasons=self._refusal()))
        else:
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            tail = self._tail()
            self._save(
                replace(state, status=StepStatus.FAILED, reasons=(f"{how}: {tail[-1] if tail else 'no output'}",))
            )

    def _in_time(self, state: StepState, now: datetime) -> bool:
        retry = self._order.template.retry
        bound = retry.max_duration if retry is not None else None
        return bound is None or now - state.attempts[0].started <= bound

    def _collect(self, state: StepState) -> None:
        """Note the outputs; one that is missing and not optional is a fault, as in Argo."""
        template, outputs = self._order.template, self.folder / "out"
        missing = [a.name for a in template.outputs if not a.optional and not (outputs / a.name).exists()]
        parameters = {}
        for parameter in template.output_parameters:
            path = outputs / parameter.name
            if path.exists():
                parameters[parameter.name] = path.read_text(encoding="utf-8").rstrip("\n")
            elif parameter.default is not None:
                parameters[parameter.name] = parameter.default
            else:
                missing.append(parameter.name)
        if missing:
            reason = f"exit code 0, but it did not write {', '.join(missing)}, which is not optional"
            self._save(replace(state, status=StepStatus.FAILED, reasons=(reason,)))
            return
        found = {a.name: digest(outputs / a.name) for a in template.outputs if (outputs / a.name).exists()}
        self._save(replace(state, status=StepStatus.SUCCEEDED, outputs=found, parameters=parameters))

    def _refusal(self) -> tuple[str, ...]:
        try:
            verdict = Verdict.from_json((self.folder / "out" / VERDICT).read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError, KeyError):
            return tuple(self._tail()[-1:]) or ("a gate refused and wrote no verdict",)
        return verdict.reasons

    def _tail(self) -> list[str]:
        try:
            lines = (self.folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        return [line for line in lines if line.strip()][-_TAIL_LINES:]

    def _save(self, state: StepState) -> None:
        self._state = state
        state.write(self.folder)

    def _command(self) -> tuple[str, ...]:
        container = self._order.template.container
        own = (*container.command, *container.args) if container is not None else ()
        return tuple(substitute(part, self._order.values) for part in self._order.command or own)

    def _environment(self, threads: int) -> dict[str, str]:
        """This process's own, with the places of the ConfigMap, or without any where the manifest names none."""
        container = self._order.template.container
        known = set(Places(**dict.fromkeys(Places.__dataclass_fields__, "x")).to_environment())
        environment = {name: value for name, value in os.environ.items() if name not in known}
        # `chexpert` and `python` mean this installation's, as they do in the image.
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
        environment.setdefault(THREADS_VARIABLE, str(threads))
        environment[PROGRESS_VARIABLE] = str((self.folder / "progress").absolute())
        if container is not None:
            if container.config_maps:
                environment.update(self._order.places.to_environment())
            for name, text in container.environment.items():
                if name == "HOME":  # a container has none; this machine's holds its user's git settings
                    continue
                environment[name] = relocate(substitute(text, self._order.values), self.folder.absolute())
        return environment

    def _digest(self) -> str:
        container = self._order.template.container
        if container is None:
            msg = f"template {self._order.template.name} has no container"
            raise InputError(msg)
        texts = {name: substitute(text, self._order.values) for name, text in container.environment.items()}
        given = {
            "command": list(self._command()),
            "environment": texts,
            "config_maps": list(container.config_maps),
            "outputs": [[a.name, a.optional] for a in self._order.template.outputs],
            "parameters": [[p.name, p.default] for p in self._order.template.output_parameters],
            "artifacts": {name: digest(path) for name, path in self._order.artifacts.items()},
            "package": version("chexpert"),
        }
        return digests.of_value(json.loads(json.dumps(given)))
