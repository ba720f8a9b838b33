"""Stage: promote the version in staging by a pull request of its own, and wait until staging serves it."""

import json
import os
import time

from chexpert.domain.errors import RetryableError
from chexpert.gitops.body import BodyParts
from chexpert.gitops.errors import AlreadyServed
from chexpert.gitops.promotion_request import GitOpsSettings, connect, open_promotion
from chexpert.pipeline.step import StepContext
from chexpert.registry import models
from chexpert.serving.client import PredictorUnavailable, V2Client

__all__ = ["StagingDidNotServe", "run"]

ENVIRONMENT = "staging"
WAIT_S = 120.0
"""How long staging may take from the merge to serving: on a cluster pods start and bundles are fetched."""


class StagingDidNotServe(RetryableError):
    """The version was merged and is not served."""

    def __init__(self, url: str, version: str, seen: str) -> None:
        super().__init__(f"{url} does not serve {version} {WAIT_S:g} s after the merge: {seen}")
        self.url = url
        self.version = version


def run(context: StepContext) -> None:
    """Open, merge, wait; write where staging answers."""
    version = json.loads(context.input("version").read_text())
    commit = _merge(context, version)
    url = context.places.need("staging")
    seen = _wait(url, version["version"])
    models.set_alias(context.places.need("tracking"), ENVIRONMENT, version["version"])
    context.progress(1, 1, f"{url} serves {seen}")
    facts = {"url": url, "version": version["version"], "commit": commit}
    context.output("staged").write_text(json.dumps(facts, indent=2), encoding="utf-8")


def _merge(context: StepContext, version: dict[str, str]) -> str:
    settings = GitOpsSettings.from_environment(context.places.need("gitops"), os.environ)
    name, uri, digest = version["version"], version["uri"], version["digest"]
    try:
        request = open_promotion(
            ENVIRONMENT, name, uri, digest, BodyParts(), context.places, settings=settings, direct=True
        )
    except AlreadyServed:
        return ""
    with connect(context.places, settings) as (_, requests):
        return requests.merge(requests.get(request.identity))


def _wait(url: str, version: str) -> str:
    deadline = time.monotonic() + WAIT_S
    seen = "it did not answer"
    with V2Client(url) as client:
        while time.monotonic() < deadline:
            try:
                metadata = client.metadata()
            except PredictorUnavailable as error:
                seen = str(error)
            else:
                seen = metadata.problem or ", ".join(metadata.versions)
                if version in metadata.versions and client.readiness().ready:
                    return seen
            time.sleep(0.2)
    raise StagingDidNotServe(url, version, seen)
