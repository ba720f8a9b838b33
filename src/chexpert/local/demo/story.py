"""The main job, told once: first model, readers, retraining on their answers, rollout of the retrained one."""

import itertools
import sys
import time
from collections.abc import Mapping

from chexpert.domain.places import Places
from chexpert.domain.timeline import Stage, TimelineEvent
from chexpert.local.demo.chapters import candidate_data, draw_data, report_run, serve_command
from chexpert.local.demo.faults import HEALTHY
from chexpert.local.demo.scene import Scene
from chexpert.local.demo.studies import Studies
from chexpert.local.demo.traffic import BackgroundLoad, load_images
from chexpert.local.demo.workflows import Workflows
from chexpert.pipeline import incumbent
from chexpert.pipeline.runner.preloaded import Preloaded
from chexpert.pipeline.runner.results import RunResult, RunStatus

__all__ = ["Story"]

ENDS = {Stage.FIRST, Stage.SWAPPED, Stage.RETURNED}


class Story:
    """One demo run: `prepare` before the servers start, `tell` while they run."""

    def __init__(self, scene: Scene, preloaded: Preloaded) -> None:
        self._scene = scene
        self._plan, self._home, self._display, self._record = scene.plan, scene.home, scene.display, scene.record
        self._turn = scene.turn
        self._preloaded = preloaded
        self._share = 0

    def prepare(self) -> None:
        """Draw the phantoms, once for each home."""
        if self._plan.draws:
            with self._record.timed("drawing phantoms"):
                drawn = draw_data(self._plan, self._display)
            self._record.say("Data", "phantoms", f"{drawn} images, label-exact, CheXpert's CSV layout")
        else:
            self._record.say("Data", "training", f"{self._plan.data.name}, CheXpert's CSV layout")

    def serve_commands(self) -> Mapping[str, list[str]]:
        """Another program in the place of the production server, where the fault wants one."""
        return serve_command(self._plan, self._home)

    def tell(self, places: Places) -> None:
        """Everything from the first training to the last verdict."""
        flows = Workflows(self._plan.workflows, self._home, places, self._preloaded, self._display)
        if incumbent.find("production", places) is None:
            self._display.heading("First model")
            with self._record.timed("first pipeline"):
                result = self._train(flows, f"first-{self._turn}", seed=self._turn, source=str(self._plan.data))
            if result.status is RunStatus.SUCCEEDED:
                self._roll_out(flows, "first rollout")
        first = incumbent.find("production", places)
        images = load_images(self._plan, self._turn)
        load = BackgroundLoad(places.production, images, per_s=self._plan.sizes.idle_per_s)
        if first is not None:
            load.start()
        try:
            self._display.heading("Studies arrive, readers answer")
            with self._record.timed("studies and readers"):
                studies = Studies(self._scene, places)
                studies.arrive_and_are_read(predicted=first is not None)
            self._display.heading("Retraining on the answers")
            with self._record.timed("second pipeline"):
                result = self._train(
                    flows,
                    f"candidate-{self._turn}",
                    seed=1000 + self._turn,
                    source=str(candidate_data(self._plan, self._home)),
                    commands=self._candidate_commands(),
                )
            if result.status is not RunStatus.SUCCEEDED:
                return
            self._display.heading("Rollout")
            if first is None:
                self._roll_out(flows, "rollout")
                return
            load.replace(images, per_s=self._plan.sizes.requests_per_s)
            self._switch_fault_on()
            self._roll_out(flows, "rollout", load)
        finally:
            load.stop()
            self._account(load, first.served.name if first else "")

    def _train(
        self,
        flows: Workflows,
        name: str,
        *,
        seed: int,
        source: str,
        commands: Mapping[str, list[str]] | None = None,
    ) -> RunResult:
        parameters = {
            "source": source,
            "profile": self._plan.profile,
            "seed": str(seed),
            "epochs": str(self._plan.sizes.epochs),
        }
        result = flows.continuous_x(name, parameters, commands or {})
        ended = report_run(result, flows.places, self._record, self._display)
        if ended:
            self._record.seen = ended
        return result

    def _candidate_commands(self) -> dict[str, list[str]]:
        if self._plan.fault and self._plan.fault.name == "nan":
            arguments = ["--in=/step/in", "--out=/step/out", "--run={{workflow.name}}"]
            return {"optimise": [sys.executable, "-m", "chexpert.testing.nan_bundle", *arguments]}
        return {}

    def _switch_fault_on(self) -> None:
        if self._plan.fault and self._plan.fault.name in {"slow", "errors"}:
            (self._home.run / "fault").touch()

    def _roll_out(self, flows: Workflows, name: str, load: BackgroundLoad | None = None) -> None:
        """Call `advance` until the rollout ends, alarms, or takes longer than the plan gives it."""
        began = time.monotonic()
        seen: TimelineEvent | None = None
        for number in itertools.count():
            result, event = flows.advance(f"advance-{self._turn}-{name.split(maxsplit=1)[0]}-{number:04d}")
            if event is not None and event != seen:
                seen = event
                self._note(event, time.monotonic() - began)
                self._plant_shift(event, load)
                if event.stage in ENDS:
                    break
                if event.stage is Stage.DRIFT:
                    self._hold_still(flows, name)
                    break
            if result.status is RunStatus.FAILED:
                step = result.culprits[0]
                self._record.seen = f"advance failed: {'; '.join(step.reasons)}"
                break
            if time.monotonic() - began > self._plan.sizes.rollout_s:
                self._record.seen = f"no end after {self._plan.sizes.rollout_s:g} s"
                break
            time.sleep(0.3)
        self._record.took(name, time.monotonic() - began, budget_s=45.0 if load else None)

    def _note(self, event: TimelineEvent, elapsed_s: float) -> None:
        weights = ", ".join(f"{version} {weight} %" for version, weight in event.weights.items())
        line = f"{elapsed_s:5.1f} s  {event.stage.value}  {weights}  {'; '.join(event.reasons)}"
        self._display.say(line)
        self._record.say("Rollout", f"{event.stage.value} {weights}", "; ".join(event.reasons) or event.commit[:10])
        if event.stage is Stage.SWAPPED:
            self._record.seen = HEALTHY
        elif event.stage is Stage.FIRST:
            self._record.seen = "the first version is stable in production"
        elif event.stage is Stage.RETURNED:
            self._record.seen = f"returned at {self._share} %"
        elif event.stage is Stage.CANARY:
            self._share = event.weights.get(event.canary, 0)
        if event.report_uri:
            self._record.say("Rollout", "drift report", "Evidently", event.report_uri)

    def _plant_shift(self, event: TimelineEvent, load: BackgroundLoad | None) -> None:
        planted = self._plan.fault and self._plan.fault.name == "shifted-images"
        if planted and load is not None and event.stage is Stage.CANARY:
            load.replace(load_images(self._plan, self._turn, shifted=True), per_s=self._plan.sizes.requests_per_s)

    def _hold_still(self, flows: Workflows, name: str) -> None:
        """After an alarm nothing may move: look a few more times."""
        for number in range(3):
            time.sleep(1.0)
            _, event = flows.advance(f"advance-{self._turn}-{name.split(maxsplit=1)[0]}-held-{number}")
            if event is not None and event.stage in {*ENDS, Stage.CANARY}:
                self._note(event, 0.0)
                return
        self._record.seen = f"drift alarm, the rollout waits at {self._share} %"

    def _account(self, load: BackgroundLoad, stable: str) -> None:
        report = load.report
        if not report.requests:
            return
        by_stable = [row for row in report.rows if row.version == stable]
        failed = [row for row in report.rows if row.outcome != "ok"]
        from_stable = sum(row.outcome != "ok" for row in by_stable)
        self._record.say(
            "V2 traffic",
            "requests on production",
            f"{report.requests}, by version {report.versions}, not answered well: {len(failed)}",
        )
        self._record.say(
            "V2 traffic", f"incumbent {stable}", f"{len(by_stable)} answers, {from_stable} of them not well"
        )
