"""`chexpert registry`: what is registered, and which runs there were."""

import os
from collections.abc import Sequence

import typer
from rich.console import Console
from rich.table import Table

from chexpert.domain.places import Places

__all__ = ["app"]

app = typer.Typer(help="Registered versions and recorded runs.", no_args_is_help=True)

_TRACKING = typer.Option("", "--tracking", help="MLflow URI; empty: CHEXPERT_TRACKING.")


@app.command()
def models(tracking: str = _TRACKING) -> None:
    """List the registered models, with their latest version and aliases."""
    from chexpert.registry import models as registry

    uri = _uri(tracking)
    rows = []
    for name in registry.names(uri):
        present = registry.versions(uri, name=name)
        aliases = [f"{alias} = {each.version}" for each in present for alias in each.aliases]
        rows.append((name, str(len(present)), present[0].version if present else "", ", ".join(aliases)))
    _show("Models", ("name", "versions", "latest", "aliases"), rows)


@app.command()
def versions(name: str = typer.Option("chexpert", help="Registered model."), tracking: str = _TRACKING) -> None:
    """List the versions of a model, newest first."""
    from chexpert.registry import models as registry

    rows = [
        (each.version, f"{each.created:%Y-%m-%d %H:%M}", ", ".join(each.aliases), each.digest[:12], each.bundle_uri)
        for each in registry.versions(_uri(tracking), name=name)
    ]
    _show(f"Versions of {name}", ("version", "created (UTC)", "aliases", "digest", "bundle"), rows)


@app.command()
def runs(
    experiment: str = typer.Option("", help="Only of this experiment."),
    limit: int = typer.Option(20, min=1, help="At most so many, latest first."),
    tracking: str = _TRACKING,
) -> None:
    """List recorded runs, latest first."""
    from chexpert.registry import tracking as recorded

    rows = [
        (
            each.run_id[:8],
            f"{each.started:%Y-%m-%d %H:%M}",
            each.experiment,
            each.name,
            each.status.lower(),
            f"{each.metrics['auroc/mean']:.3f}" if "auroc/mean" in each.metrics else "",
        )
        for each in recorded.runs(_uri(tracking), experiment=experiment, limit=limit)
    ]
    _show("Runs", ("run", "started (UTC)", "experiment", "name", "status", "mean AUROC"), rows)


def _uri(tracking: str) -> str:
    return tracking or Places.from_environment(os.environ).need("tracking")


def _show(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    table = Table(*columns, title=title, title_justify="left", highlight=False)
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.print(table if rows else f"{title}: none")
