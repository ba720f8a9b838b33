"""`chexpert step NAME`: one step of a workflow, as a container or a person starts it."""

import os

import typer

__all__ = ["app"]

app = typer.Typer()

# Every argument goes to `pipeline.invocation`, `--help` too: the runner's forked children use the same parser.
_FORWARD = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=_FORWARD)
def step(context: typer.Context) -> None:
    """Run one step of a workflow: exit 0 done, 3 refused by a gate, 75 try again, 1 a fault."""
    from chexpert.pipeline import invocation
    from chexpert.pipeline.catalogue import STEPS

    raise typer.Exit(invocation.main(context.args, os.environ, STEPS))
