"""`chexpert rollout`: where a rollout stands, and its next step."""

import os
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Rollouts: what happened so far, and the next step.")

EnvironmentOption = Annotated[str, typer.Option(help="Such as production.")]


@app.command()
def status(
    environment: EnvironmentOption = "production",
    limit: Annotated[int, typer.Option(help="Newest events shown.", min=1)] = 20,
) -> None:
    """The timeline, oldest first."""
    from rich.console import Console
    from rich.table import Table

    from chexpert.domain.places import Places
    from chexpert.pipeline.driver.timeline import Timeline

    places = Places.from_environment(os.environ)
    table = Table("time", "stage", "stable", "canary", "traffic", "reasons")
    for event in Timeline(places.need("objects"), environment).read()[-limit:]:
        traffic = ", ".join(f"{version} {percent} %" for version, percent in event.weights.items())
        time = f"{event.time:%Y-%m-%d %H:%M:%S}"
        table.add_row(time, event.stage, event.stable, event.canary, traffic, "\n".join(event.reasons))
    Console().print(table)


@app.command()
def advance(
    environment: EnvironmentOption = "production",
    profile: Annotated[str, typer.Option(help="Thresholds: demo or production.")] = "production",
    merge: Annotated[str, typer.Option(help="Who merges: auto (the driver) or wait (a person).")] = "wait",
) -> None:
    """Do at most one thing, and say what. Call it again, by a timer or by hand, until it has nothing to do."""
    from datetime import UTC, datetime

    from chexpert.cluster.routing import connect
    from chexpert.domain.places import Places
    from chexpert.pipeline.rollout import Merge, Profile, RolloutSettings
    from chexpert.pipeline.rollout import advance as step

    places = Places.from_environment(os.environ)
    settings = RolloutSettings.of(Profile.named(profile), merge=Merge.named(merge)).connected(places, os.environ)
    event = step(environment, settings, places, now=datetime.now(UTC), routing=connect(places))
    if event is None:
        typer.echo("nothing to do now")
        return
    typer.echo(f"{event.stage}: {'; '.join(event.reasons) or event.weights}")
