#!/usr/bin/env python3
"""Waits until a pod's stores answer, and makes the bucket of CHEXPERT_OBJECTS if it is not there.

Runs before site, worker and MLflow; doing it twice, or twice at once, changes nothing. Exit 1: what is still missing.
"""

import argparse
import os
import socket
import sys
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

POSTGRESQL_PORT = 5432


def main(arguments: list[str] | None = None) -> int:
    """Wait for bucket and database, in this order."""
    parser = argparse.ArgumentParser(description="waits for a pod's stores")
    parser.add_argument("--seconds", type=float, required=True, help="how long to wait for both together")
    parser.add_argument("--create-bucket", action="store_true", help="make the bucket if it is not there")
    parser.add_argument("--database", default="", help="variable that holds the database's URL")
    settings = parser.parse_args(arguments)
    until = time.monotonic() + settings.seconds
    name = urlsplit(os.environ["CHEXPERT_OBJECTS"]).netloc
    missing = _wait(lambda: bucket(name, create=settings.create_bucket), until)
    if not missing and settings.database:
        url = os.environ[settings.database]
        missing = _wait(lambda: database(url), until)
    if missing:
        _say(f"gave up after {settings.seconds:g} s")
    return 1 if missing else 0


def bucket(name: str, *, create: bool) -> str:
    """What is wrong with the bucket; empty, nothing."""
    config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 1})
    client = Session().create_client("s3", config=config)
    try:
        try:
            client.head_bucket(Bucket=name)
        except ClientError as error:
            if not create or error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:  # noqa: PLR2004
                raise
            region = client.meta.region_name
            place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            client.create_bucket(Bucket=name, **place)
    except (BotoCoreError, ClientError, ValueError) as error:
        return f"bucket {name} at {client.meta.endpoint_url}: {error}"
    return ""


def database(url: str) -> str:
    """Whether something listens where the URL points; a URL without a host is none to wait for."""
    place = urlsplit(url)
    if not place.hostname:
        return ""
    address = (place.hostname, place.port or POSTGRESQL_PORT)
    try:
        socket.create_connection(address, timeout=5).close()
    except OSError as error:
        return f"database at {address[0]}:{address[1]}: {error}"
    return ""


def _wait(check: Callable[[], str], until: float) -> str:
    said = ""
    while missing := check():
        if missing != said:
            _say(missing)
            said = missing
        if time.monotonic() >= until:
            break
        time.sleep(1)
    return missing


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
