"""Runs the two workflow files on this machine, from the preloaded process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chexpert.domain.places import Places
from chexpert.domain.timeline import TimelineEvent
from chexpert.local.demo.display import Display
from chexpert.local.home import Home
from chexpert.pipeline.runner.preloaded import Preloaded
from chexpert.pipeline.runner.results import RunResult
from chexpert.pipeline.runner.running import run
from chexpert.pipeline.workflow.reading import read

__all__ = ["Workflows"]


@dataclass(frozen=True, slots=True)
class Workflows:
    """The workflow files, and what running them needs."""

    folder: Path
    """argo/workflows of the checkout."""
    home: Home
    places: Places
    preloaded: Preloaded
    display: Display

    def continuous_x(
        self,
        name: str,
        parameters: Mapping[str, str],
        commands: Mapping[str, Sequence[str]],
    ) -> RunResult:
        """Train, judge, register, stage, load, propose."""
        with self.display.steps() as watch:
            return run(
                read(self.folder / "continuous-x.yaml"),
                parameters,
                self.places,
                self.home.runs / name,
                progress=watch,
                commands=commands,
                preloaded=self.preloaded,
            )

    def advance(self, name: str) -> tuple[RunResult, TimelineEvent | None]:
        """One step of the rollout, and what it did."""
        result = run(
            read(self.folder / "rollout.yaml"),
            {"environment": "production", "merge": "auto", "profile": "demo", "baseline": "traffic"},
            self.places,
            self.home.runs / name,
            preloaded=self.preloaded,
        )
        event = result.step("advance").folder / "out" / "event"
        return result, TimelineEvent.from_json(event.read_text()) if event.exists() else None
