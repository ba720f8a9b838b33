"""`chexpert site` and `chexpert worker`."""

import logging
import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from chexpert.domain.places import Places

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)


@app.command("site")
def site(
    host: Annotated[str, typer.Option(help="Loopback only: the site has no authentication.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 8800,
    run_file: Annotated[Path | None, typer.Option(help="Is told pid and port as JSON, once the site listens.")] = None,
) -> None:
    """Serve the triage site: upload, worklist, study and rollout pages."""
    from chexpert.triage.server import serve
    from chexpert.triage.settings import SiteSettings

    places = Places.from_environment(os.environ)
    serve(SiteSettings(places.need("objects"), places.need("database")), host, port, run_file, typer.echo)


@app.command("worker")
def worker(
    *,
    once: Annotated[bool, typer.Option("--once", help="Score and export what is due, then end.")] = False,
) -> None:
    """Score uploaded images at the production predictor, and export readers' answers as label events."""
    from chexpert.triage.database import Database
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
    scorer.run()
