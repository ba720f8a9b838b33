"""`chexpert pipeline`: run and check the workflows under argo/workflows here, submit and watch them on a cluster."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from chexpert.cluster.workflows import Workflows

__all__ = ["app"]

app = typer.Typer(
    help="Argo workflows: run, graph and check on this machine; submit, watch and logs on a cluster.",
    no_args_is_help=True,
)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Such as argo/workflows/continuous-x.yaml.")]
ParameterOption = Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Of the workflow; repeatable.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Name of a workflow on the cluster.")]
NamespaceOption = Annotated[
    str, typer.Option(envvar="ARGO_NAMESPACE", help="Of the workflows; default: the one of the kubeconfig's context.")
]


@app.command()
def run(
    file: FileArgument,
    parameter: ParameterOption = None,
    run_folder: Annotated[Path | None, typer.Option(help="An earlier one goes on; default: a new one.")] = None,
    max_parallel: Annotated[int, typer.Option(min=1, help="How many steps may run at once.")] = 2,
    preload: Annotated[bool, typer.Option(help="Import slow modules once, for all steps.")] = True,
) -> None:
    """Run a workflow: exit 0 succeeded, 3 refused by a gate, 1 failed. Addresses come from CHEXPERT_… variables."""
    import os

    from rich.console import Console

    from chexpert.domain.places import Places
    from chexpert.pipeline.runner.display import display, log_tails
    from chexpert.pipeline.runner.folder import fresh
    from chexpert.pipeline.runner.preloaded import Preloaded
    from chexpert.pipeline.runner.results import StepStatus
    from chexpert.pipeline.runner.running import run as run_workflow
    from chexpert.pipeline.workflow.checking import steps_of
    from chexpert.pipeline.workflow.reading import read

    workflow = read(file)
    console = Console(highlight=False, soft_wrap=True)
    with Preloaded(steps_of(workflow) if preload else ()) as preloaded, display(console, workflow) as shown:
        result = run_workflow(
            workflow,
            _pairs(parameter or []),
            Places.from_environment(os.environ),
            run_folder or fresh(Path("var/runs"), workflow.name),
            progress=shown,
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
            where = ", runs on a cluster only" if workflow.needs_cluster else ""
            console.print(f"{file}: {len(workflow.tasks())} steps, no problems{where}")
    raise typer.Exit(1 if bad else 0)


@app.command()
def submit(
    source: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A template in the cluster, or a file here.")],
    parameter: ParameterOption = None,
    namespace: NamespaceOption = "",
    watch: Annotated[bool, typer.Option("--watch", help="Then watch it to its end.")] = False,
) -> None:
    """Run a workflow on a cluster and print the run's name: through ARGO_SERVER where it is set, else KUBECONFIG."""
    from chexpert.cluster.manifests import of_file
    from chexpert.cluster.workflows import submit as submit_source
    from chexpert.cluster.workflows import submit_named

    workflows, values = _workflows(namespace), _pairs(parameter or [])
    if Path(source).is_file() or source.endswith((".yaml", ".yml")):
        name = submit_source(workflows, of_file(Path(source)), values)
    else:
        name = submit_named(workflows, source, values)
    typer.echo(name)
    if watch:
        _watch(workflows, name)


@app.command()
def watch(run: RunArgument, namespace: NamespaceOption = "") -> None:
    """Show a run's steps until it has ended: exit 0 succeeded, 3 refused by a gate, 1 failed."""
    _watch(_workflows(namespace), run)


@app.command()
def logs(
    run: RunArgument,
    step: Annotated[str, typer.Option(help="Of one step; default: all.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    namespace: NamespaceOption = "",
) -> None:
    """Print what the steps of a run print."""
    from chexpert.cluster import logs as cluster_logs

    def sink(name: str, line: str) -> None:
        typer.echo(line if step else f"{name}: {line}")

    read = cluster_logs.follow if follow else cluster_logs.show
    read(_workflows(namespace), run, step, sink)


def _workflows(namespace: str) -> "Workflows":
    import os

    if os.environ.get("ARGO_SERVER"):
        from chexpert.cluster.argo_server import ArgoServer

        return ArgoServer.connect(os.environ, namespace or "default")
    from chexpert.cluster.connection import KubernetesApi
    from chexpert.cluster.workflows import KubernetesWorkflows

    api = KubernetesApi.connect()
    return KubernetesWorkflows(api, namespace or api.namespace)


def _watch(workflows: "Workflows", name: str) -> None:
    import os

    from rich.console import Console

    from chexpert.cluster.display import display, ending
    from chexpert.cluster.logs import reasons, tail
    from chexpert.cluster.workflows import watch as watch_run
    from chexpert.domain.places import Places

    console = Console(highlight=False, soft_wrap=True)
    with display(console) as shown:
        run = watch_run(workflows, name, shown)
    if said := tail(workflows, run):
        console.print(said, markup=False)
    for step, lines in reasons(workflows, run, Places.from_environment(os.environ)).items():
        for line in lines:
            console.print(f"{step} refused: {line}", markup=False)
    console.print(ending(run), markup=False)
    raise typer.Exit(run.exit_code)


def _pairs(texts: list[str]) -> dict[str, str]:
    """KEY=VALUE texts as a mapping."""
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--parameter")  # noqa: EM102, TRY003 - click's own way of saying so
        pairs[key] = value
    return pairs
