"""`chexpert site` and `chexpert worker`."""

import logging
import os
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chexpert.domain.places import Places

if TYPE_CHECKING:
    from chexpert.triage.settings import LoginSettings

__all__ = ["app"]

SESSION_KEY = "CHEXPERT_SESSION_KEY"

app = typer.Typer(no_args_is_help=True)


@app.command("site")
def site(
    host: Annotated[str, typer.Option(help="Beyond loopback only with --users and --public-url.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 8800,
    run_file: Annotated[Path | None, typer.Option(help="Is told pid and port as JSON, once the site listens.")] = None,
    users: Annotated[
        Path | None,
        typer.Option(help=f"Lines of `chexpert users add`: who may log in. {SESSION_KEY} signs their sessions."),
    ] = None,
    public_url: Annotated[str, typer.Option(help="How browsers reach it: https://triage.example.org.")] = "",
) -> None:
    """Serve the triage site: upload, worklist, study and rollout pages."""
    from chexpert.triage.server import serve
    from chexpert.triage.settings import SiteSettings

    places = Places.from_environment(os.environ)
    settings = SiteSettings(
        places.need("objects"),
        places.need("database"),
        public_url=public_url.rstrip("/"),
        predictor=places.production,
        login=_login(users) if users else None,
    )
    serve(settings, host, port, run_file, typer.echo)


@app.command("worker")
def worker(
    *,
    once: Annotated[bool, typer.Option("--once", help="Score and export what is due, then end.")] = False,
    health_port: Annotated[
        int, typer.Option(help="Answers /live and /metrics there; 0: nowhere.", min=0, max=65535)
    ] = 0,
    health_host: Annotated[str, typer.Option(help="What it answers holds nothing of a patient.")] = "127.0.0.1",
) -> None:
    """Score uploaded images at the production predictor, and export readers' answers as label events."""
    from chexpert.triage.database import Database
    from chexpert.triage.health_server import serving_health
    from chexpert.triage.settings import WorkerSettings
    from chexpert.triage.worker import Worker

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    places = Places.from_environment(os.environ)
    database = Database(places.need("database"))
    settings = WorkerSettings(predictor=places.production)
    scorer = Worker(database, places.need("objects"), settings)
    if not settings.predictor:
        logging.getLogger(__name__).warning("CHEXPERT_PRODUCTION is not set: studies stay in order of arrival")
    if once:
        done = scorer.turn()
        scorer.close()
        typer.echo(f"{done} images answered and events exported")
        return
    signal.signal(signal.SIGTERM, lambda *_: scorer.stop())
    signal.signal(signal.SIGINT, lambda *_: scorer.stop())
    with ExitStack() as stack:
        if health_port:
            stack.enter_context(serving_health(health_host, health_port, database, scorer.pulse))
        scorer.run()


def _login(users: Path) -> "LoginSettings":
    from chexpert.triage.settings import LoginSettings

    return LoginSettings(users, os.environ.get(SESSION_KEY, ""))
