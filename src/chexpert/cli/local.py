"""`chexpert up` and `chexpert demo`: the whole platform on this machine."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer()

HomeOption = Annotated[Path, typer.Option(help="Folder that holds everything the platform keeps.")]
KserveOption = Annotated[Path, typer.Option(help="kserve/ folder that an empty gitops repository starts from.")]


@app.command()
def up(home: HomeOption = Path("var"), kserve: KserveOption = Path("kserve")) -> None:
    """Run site, worker, staging and production servers on loopback until Ctrl-C."""
    from rich.console import Console

    from chexpert.local.home import Home
    from chexpert.local.platform import Platform, PlatformSettings
    from chexpert.local.processes import end_in_order, wait_for_signal

    console = Console()
    end_in_order()
    with Platform(Home(home.resolve()), PlatformSettings(kserve=kserve)) as platform:
        places = platform.places
        console.print(f"site {places.site}, production {places.production}, staging {places.staging}. Ctrl-C ends it.")
        wait_for_signal()


@app.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="Training data in CheXpert's layout; default: phantoms.")] = None,
    traffic: Annotated[Path | None, typer.Option(help="Images to send as online traffic; default: phantoms.")] = None,
    fault: Annotated[str, typer.Option(help="Fault to plant from outside; `list` names them; empty: none.")] = "",
    once: Annotated[bool, typer.Option(help="Exit at the end instead of leaving the site running.")] = False,
    home: Annotated[Path | None, typer.Option(help="Folder to work in; default: var, or one under it.")] = None,
) -> None:
    """Run the main job: train, judge, promote, roll out, read, retrain, roll out again."""
    from chexpert.local.demo.command import DemoRequest, run_demo

    raise typer.Exit(run_demo(DemoRequest(data=data, traffic=traffic, fault=fault, once=once, home=home)))
