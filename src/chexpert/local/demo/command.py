"""`chexpert demo`: decides what to run, runs it, prints and writes the summary, leaves the site running if asked."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from chexpert.domain.errors import InputError
from chexpert.local.demo.display import Display
from chexpert.local.demo.faults import FAULTS, HEALTHY, fault
from chexpert.local.demo.page import write_page
from chexpert.local.demo.plan import Plan, Sizes
from chexpert.local.demo.progress import Progress
from chexpert.local.demo.record import Record
from chexpert.local.demo.scene import Scene
from chexpert.local.demo.story import Story
from chexpert.local.demo.summary import print_summary
from chexpert.local.home import Home
from chexpert.local.platform import Platform, PlatformSettings
from chexpert.local.processes import end_in_order, wait_for_signal
from chexpert.pipeline.runner.preloaded import Preloaded

__all__ = ["DemoRequest", "run_demo"]

REAL_EPOCHS = 14
"""On a few hundred real images: as many as the training's budget allows."""
STEPS = ("ingest", "train", "evaluate", "optimise", "register", "stage", "load-test", "propose", "advance")


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """What was asked for on the command line."""

    data: Path | None
    traffic: Path | None
    fault: str
    once: bool
    home: Path | None


def run_demo(request: DemoRequest) -> int:
    """Run it; 0 if the story ended where it should, 1 otherwise."""
    if request.fault == "list":
        for each in FAULTS.values():
            Display(Console()).say(f"{each.name:<15} {each.planted}; expected: {each.expected}")
        return 0
    end_in_order()
    plan = _plan(request)
    display = Display(Console())
    home = Home(plan.home)
    home.create()
    progress = Progress(home.path / "demo" / "progress.json")
    record = _record(plan, progress.turn)
    began = time.monotonic()
    with Preloaded(steps=STEPS) as preloaded:
        story = Story(Scene(plan, home, display, record, progress.turn), preloaded)
        story.prepare()
        with ExitStack() as running:
            settings = PlatformSettings(kserve=plan.kserve, serve=story.serve_commands())
            with record.timed("servers start"):
                platform = running.enter_context(Platform(home, settings))
            story.tell(platform.places)
            record.took("imports, once, beside the drawing", sum(preloaded.imported.values()), budget_s=60)
            record.took("the whole", time.monotonic() - began, budget_s=180)
            page = home.path / "demo" / "index.html"
            write_page(record, page, title=_title(plan), site=platform.places.site)
            print_summary(record, display.console)
            display.say(f"Every report: {page}")
            progress.complete()
            if not plan.once:
                display.say(f"The site runs at {platform.places.site}. Ctrl-C ends it.")
                preloaded.close()
                wait_for_signal()
    return 0 if record.as_expected else 1


def _record(plan: Plan, turn: int) -> Record:
    if plan.fault:
        return Record(expected=plan.fault.expected)
    if plan.draws and turn == 0:
        return Record(expected=HEALTHY)
    # On a few hundred real images, or against an incumbent of many turns, a refusal may be the right end.
    return Record(expected=f"{HEALTHY}, or a refusal with its reasons", accepted=(HEALTHY, "refused at"))


def _plan(request: DemoRequest) -> Plan:
    chosen = fault(request.fault)
    for path in (request.data, request.traffic):
        if path is not None and not path.is_dir():
            msg = f"{path} is no folder: DATA is one in CheXpert's CSV layout, TRAFFIC one of images"
            raise InputError(msg)
    home = (request.home or _home(request)).resolve()
    return Plan(
        home=home,
        data=request.data.resolve() if request.data else home / "phantoms",
        draws=request.data is None,
        traffic=request.traffic,
        profile="phantom" if request.data is None else "small-real",
        fault=chosen,
        kserve=Path("kserve"),
        workflows=Path("argo", "workflows"),
        once=request.once,
        sizes=Sizes() if request.data is None else Sizes(epochs=REAL_EPOCHS),
    )


def _home(request: DemoRequest) -> Path:
    """`var` for the plain demo; a folder of its own for each other kind, so that none stands in another's way."""
    parts = [request.data.resolve().name] if request.data else []
    parts += [f"fault-{request.fault}"] if request.fault else []
    return Path("var", "-".join(parts)) if parts else Path("var")


def _title(plan: Plan) -> str:
    what = f"fault {plan.fault.name}" if plan.fault else "the main job"
    return f"chexpert demo: {what}, {'phantoms' if plan.draws else plan.data.name}"
