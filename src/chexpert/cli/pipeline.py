"""`chexpert pipeline`: run, draw and check the workflows under argo/workflows on this machine."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Run, draw and check an Argo workflow on this machine.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Such as argo/workflows/continuous-x.yaml.")]


@app.command()
def run(
    file: FileArgument,
    parameter: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Of the workflow; repeatable.")
    ] = None,
    run_folder: Annotated[Path | None, typer.Option(help="An earlier one goes on; default: a new one.")] = None,
    max_parallel: Annotated[int, typer.Option(min=1, help="How many steps may run at once.")] = 2,
    preload: Annotated[bool, typer.Option(help="Import slow modules once, for all steps.")] = True,
) -> None:
    """Run a workflow: exit 0 succeeded, 3 refused by a gate, 1 failed. Addresses come from CHEXPERT_… variables."""
    import os

    from rich.console import Console

    from chexpert.domain.places import Places
    from chexpert.pipeline.runner.display import Display, log_tails
    from chexpert.pipeline.runner.folder import fresh
    from chexpert.pipeline.runner.preloaded import Preloaded
    from chexpert.pipeline.runner.results import StepStatus
    from chexpert.pipeline.runner.running import run as run_workflow
    from chexpert.pipeline.workflow.checking import steps_of
    from chexpert.pipeline.workflow.reading import read

    workflow = read(file)
    console = Console(highlight=False, soft_wrap=True)
    with Preloaded(steps_of(workflow) if preload else ()) as preloaded, Display(console, workflow) as display:
        result = run_workflow(
            workflow,
            _pairs(parameter or []),
            Places.from_environment(os.environ),
            run_folder or fresh(Path("var/runs"), workflow.name),
            progress=display,
            max_parallel=max_parallel,
            preloaded=preloaded,
        )
    failed = [step for step in result.steps if step.status is StepStatus.FAILED]
    if failed:
        console.print(log_tails(failed), markup=False)
    reasons = "".join(f"; {step.name}: {reason}" for step in result.culprits for reason in step.reasons)
    console.print(f"{workflow.name}: {result.status}{reasons} ({result.folder})", markup=False)
    raise typer.Exit(result.exit_code)


@app.command()
def graph(
    file: FileArgument,
    run: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Show the states and times of this run.")] = None,
) -> None:
    """Print the DAG of a workflow."""
    from datetime import UTC, datetime

    from rich.console import Console

    from chexpert.domain.errors import InputError
    from chexpert.pipeline.graph import drawing, recorded
    from chexpert.pipeline.workflow.reading import read

    workflow = read(file)
    if run is not None and not (run / "run.json").exists():
        msg = f"{run} is no run folder: it has no run.json"
        raise InputError(msg)
    steps = recorded(workflow, run) if run is not None else ()
    Console(highlight=False).print(drawing(workflow, steps, datetime.now(UTC)))


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Workflows to check.")],
) -> None:
    """Check workflows against Argo's schema, what this machine can run, and the declared steps; exit 1 on a problem."""
    from rich.console import Console

    from chexpert.pipeline.catalogue import STEPS
    from chexpert.pipeline.workflow.checking import check as check_steps
    from chexpert.pipeline.workflow.document import WorkflowRefused
    from chexpert.pipeline.workflow.reading import read

    console = Console(highlight=False, soft_wrap=True, markup=False)
    bad = False
    for file in files:
        try:
            workflow = read(file)
            problems = check_steps(workflow, STEPS)
        except WorkflowRefused as refused:
            problems = refused.problems
        bad = bad or bool(problems)
        for problem in problems:
            console.print(f"{file}:{problem.line}: {problem.message}")
        if not problems:
            console.print(f"{file}: {len(workflow.tasks())} steps, no problems")
    raise typer.Exit(1 if bad else 0)


def _pairs(texts: list[str]) -> dict[str, str]:
    """KEY=VALUE texts as a mapping."""
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--parameter")  # noqa: EM102, TRY003 - click's own way of saying so
        pairs[key] = value
    return pairs
