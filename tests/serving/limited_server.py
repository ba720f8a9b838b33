"""A server whose limits are small enough to reach in a test, and one whose decoding can be stopped.

`python limited_server.py body_s=2 upload_bytes=100000 -- <arguments of chexpert serve>`. With STUCK_DECODE naming a
file, an image is not decoded while that file is there.
"""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from chexpert.serving import scoring
from chexpert.serving.app import serve
from chexpert.serving.command import declare
from chexpert.serving.settings import ServeSettings

decode = scoring.decode


def stuck(data: bytes, *, target: int) -> Any:
    """As `decode`, once the file is gone."""
    while Path(os.environ["STUCK_DECODE"]).exists():
        time.sleep(0.02)
    return decode(data, target=target)


def main() -> None:
    """Serve with the limits given."""
    at = sys.argv.index("--")
    limits = {name: float(value) for name, value in (word.split("=") for word in sys.argv[1:at])}
    if "STUCK_DECODE" in os.environ:
        scoring.decode = stuck
    app = typer.Typer()

    def start(settings: ServeSettings) -> None:
        kinds = {name: type(getattr(settings, name)) for name in limits}
        serve(replace(settings, **{name: kinds[name](value) for name, value in limits.items()}))

    declare(app, start)
    app(args=sys.argv[at + 1 :])


if __name__ == "__main__":
    main()
