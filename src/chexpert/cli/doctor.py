"""`chexpert doctor`: what this machine or a cluster needs and lacks."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer()


@app.command()
def doctor(
    cluster: Annotated[bool, typer.Option("--cluster", help="Look at the cluster of KUBECONFIG.")] = False,
    namespace: Annotated[
        str, typer.Option(help="Where the platform is or shall be; default: the one of the kubeconfig's context.")
    ] = "",
    home: Annotated[Path, typer.Option(help="Folder of the platform on this machine.")] = Path("var"),
) -> None:
    """Check what the platform needs, and say how to get what is missing: exit 0 all there, 1 not."""
    from rich.console import Console

    from chexpert.cluster.doctor import checks, local
    from chexpert.cluster.doctor.rendering import exit_code, summary, table

    if cluster:
        from chexpert.cluster.connection import KubernetesApi

        api = KubernetesApi.connect()
        findings = list(checks.examine(api, namespace or api.namespace))
    else:
        findings = list(local.examine(home, (8800, 8801, 8802)))
    console = Console(highlight=False)
    console.print(table(findings))
    console.print(summary(findings), markup=False)
    raise typer.Exit(exit_code(findings))
