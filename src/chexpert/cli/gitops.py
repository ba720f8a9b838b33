"""`chexpert pr`: promotions that wait for a person."""

import os
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Promotions as pull requests: list, read, merge or close them.")

EnvironmentOption = Annotated[str, typer.Option(help="Only of this environment; empty: of all.")]
IdentityArgument = Annotated[str, typer.Argument(help="Branch of the pull request, or its number on GitHub.")]


@app.command("list")
def list_open(environment: EnvironmentOption = "") -> None:
    """Open pull requests, oldest first."""
    from rich.console import Console
    from rich.table import Table

    from chexpert.domain.places import Places
    from chexpert.gitops.promotion_request import GitOpsSettings, connect

    places = Places.from_environment(os.environ)
    with connect(places, GitOpsSettings.from_environment(places.need("gitops"), os.environ)) as (_, requests):
        table = Table("pull request", "environment", "version", "title")
        for request in requests.open_ones(environment):
            table.add_row(request.identity, request.environment, request.version, request.title)
    Console().print(table)


@app.command()
def show(identity: IdentityArgument) -> None:
    """Why a version is proposed: metrics, verdicts, digest."""
    from rich.console import Console
    from rich.markdown import Markdown

    from chexpert.domain.places import Places
    from chexpert.gitops.promotion_request import GitOpsSettings, connect

    places = Places.from_environment(os.environ)
    with connect(places, GitOpsSettings.from_environment(places.need("gitops"), os.environ)) as (_, requests):
        request = requests.get(identity)
    Console().print(Markdown(f"# {request.title}\n\n{request.url}\n\n{request.body}"))


@app.command()
def merge(identity: IdentityArgument) -> None:
    """Merge: this is the promotion. The rollout driver takes over from here."""
    from chexpert.domain.places import Places
    from chexpert.gitops.merging import merge_checked
    from chexpert.gitops.promotion_request import GitOpsSettings

    places = Places.from_environment(os.environ)
    settings = GitOpsSettings.from_environment(places.need("gitops"), os.environ)
    request, sha = merge_checked(identity, places, settings)
    typer.echo(f"merged {request.identity} as {sha}")


@app.command()
def close(identity: IdentityArgument) -> None:
    """Close without a merge."""
    from chexpert.domain.places import Places
    from chexpert.gitops.promotion_request import GitOpsSettings, connect

    places = Places.from_environment(os.environ)
    with connect(places, GitOpsSettings.from_environment(places.need("gitops"), os.environ)) as (_, requests):
        request = requests.get(identity)
        requests.close(request)
    typer.echo(f"closed {request.identity}")


@app.command()
def check(
    before: Annotated[str, typer.Argument(help="Revision that is served now, such as origin/main.")] = "",
    after: Annotated[str, typer.Argument(help="Revision that would be.")] = "HEAD",
    *,
    repository: Annotated[Path, typer.Option(help="Clone or bare repository.")] = Path(),
    hook: Annotated[bool, typer.Option(help="Read git's pre-receive lines from standard input instead.")] = False,
    branch: Annotated[str, typer.Option(help="With --hook: the branch that environments follow.")] = "main",
) -> None:
    """Judge what a push or merge changes of the environments' files; exit 3 where one may not be merged."""
    import sys

    from chexpert.domain.errors import InputError
    from chexpert.gitops.pushes import check_push, pushed_to

    if not hook and not before:
        msg = "say which revision is served now: chexpert pr check origin/main HEAD"
        raise InputError(msg)
    pairs = list(pushed_to(sys.stdin, branch)) if hook else [(before, after)]
    verdicts = [verdict for old, new in pairs for verdict in check_push(repository, old, new)]
    for verdict in verdicts:
        typer.echo(f"{verdict.subject}: {'; '.join(verdict.reasons)}")
    if any(not verdict.passed for verdict in verdicts):
        raise typer.Exit(3)
