"""`chexpert serve`: the model server."""

import typer

from chexpert.serving.command import declare
from chexpert.serving.settings import ServeSettings

__all__ = ["app"]

app = typer.Typer()


def _start(settings: ServeSettings) -> None:
    from chexpert.serving.app import serve

    serve(settings)


declare(app, _start)
