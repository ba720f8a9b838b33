"""The command `chexpert`: joins the groups, and turns errors raised on purpose into one line and an exit code."""

import os
import sys

import typer
from rich.console import Console

from chexpert.cli import (
    data,
    doctor,
    gitops,
    local,
    optimise,
    pipeline,
    registry,
    rollout,
    serve,
    simulate,
    site,
    step,
    users,
)
from chexpert.domain.errors import ChexpertError, RefusedError, RetryableError

__all__ = ["app", "run"]

EXIT_REFUSED = 3
EXIT_RETRY = 75

app = typer.Typer(
    name="chexpert",
    help="Chest X-ray triage. Research use, not for diagnosis.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
for group in (local, doctor, serve, site, step):
    app.add_typer(group.app)
app.add_typer(data.app, name="data")
app.add_typer(pipeline.app, name="pipeline")
app.add_typer(registry.app, name="registry")
app.add_typer(gitops.app, name="pr")
app.add_typer(optimise.app, name="optimise")
app.add_typer(rollout.app, name="rollout")
app.add_typer(simulate.app, name="simulate")
app.add_typer(users.app, name="users")


def run() -> None:
    """Entry point of the installed command."""
    # Read when it is imported, here or in a process started from here: ONNX Runtime reports its use to its maker.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        app()
    except RefusedError as error:
        _say("refused", error)
        sys.exit(EXIT_REFUSED)
    except RetryableError as error:
        _say("try again", error)
        sys.exit(EXIT_RETRY)
    except ChexpertError as error:
        _say("error", error)
        sys.exit(1)


def _say(kind: str, error: ChexpertError) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]{kind}:[/] ", end="")
    Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print(str(error))
