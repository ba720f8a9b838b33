"""A server whose decoding can be stopped: no image is decoded while the file that STUCK_DECODE names is there.

`STUCK_DECODE=<file> python stuck_server.py <arguments of chexpert serve>`.
"""

import os
import time
from pathlib import Path
from typing import Any

import typer

from chexpert.serving import scoring
from chexpert.serving.app import serve
from chexpert.serving.command import declare

decode = scoring.decode


def stuck(data: bytes, *, target: int) -> Any:
    """As `decode`, once the file is gone."""
    while Path(os.environ["STUCK_DECODE"]).exists():
        time.sleep(0.02)
    return decode(data, target=target)


if __name__ == "__main__":
    scoring.decode = stuck
    app = typer.Typer()
    declare(app, serve)
    app()
