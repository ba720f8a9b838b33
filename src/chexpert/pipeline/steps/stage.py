"""Stage: promote the version in staging by a pull request of its own, and wait until staging serves it."""

import json
import os
import time
from dataclasses import dataclass
from typing import Self

from chexpert.domain.errors import RetryableError
from chexpert.domain.places import Places
from chexpert.gitops.body import BodyParts
from chexpert.gitops.errors import AlreadyServed
from chexpert.gitops.promotion_request import GitOpsSettings, connect, open_promotion
from chexpert.pipeline.step import StepContext
from chexpert.registry import models
from chexpert.serving.client import PredictorFault, PredictorRefused, PredictorUnavailable, V2Client

__all__ = ["StageSettings", "StagingDidNotServe", "run"]

ENVIRONMENT = "staging"


@dataclass(frozen=True, slots=True)
class StageSettings:
    """How long staging may take from the merge to serving."""

    wait_s: float = 120.0
    """On one machine the server follows git within seconds and then fetches the bundle."""
    settle_s: float = 0.0
    """The version must answer for so long without a break before it is called served."""
    poll_s: float = 0.2

    @classmethod
    def of(cls, places: Places) -> Self:
        """The defaults; on a cluster more.

        Argo CD looks at git every two to three minutes by default, then a pod starts and a route changes. Meanwhile
        the gateway says 404 or 500: the old version's pods go before its route does.
        """
        return cls(wait_s=600.0, settle_s=5.0, poll_s=0.5) if places.inference_service else cls()


class StagingDidNotServe(RetryableError):
    """The version was merged and is not served."""

    def __init__(self, url: str, version: str, seen: str, wait_s: float) -> None:
        super().__init__(f"{url} does not serve {version} {wait_s:g} s after the merge: {seen}")
        self.url = url
        self.version = version


def run(context: StepContext) -> None:
    """Open, merge, wait; write where staging answers."""
    version = json.loads(context.input("version").read_text())
    commit = _merge(context, version)
    url = context.places.need("staging")
    seen = _wait(url, version["version"], StageSettings.of(context.places))
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


def _wait(url: str, version: str, settings: StageSettings) -> str:
    deadline = time.monotonic() + settings.wait_s
    seen, since = "it did not answer", None
    with V2Client(url) as client:
        while (now := time.monotonic()) < deadline:
            seen, serves = _look(client, version)
            since = (now if since is None else since) if serves else None
            if since is not None and now - since >= settings.settle_s:
                return seen
            time.sleep(settings.poll_s)
    raise StagingDidNotServe(url, version, seen, settings.wait_s)


def _look(client: V2Client, version: str) -> tuple[str, bool]:
    """What staging says of itself, and whether it serves the version."""
    try:
        metadata = client.metadata()
    except (PredictorUnavailable, PredictorFault, PredictorRefused) as error:
        return str(error), False
    seen = metadata.problem or ", ".join(metadata.versions)
    return seen, version in metadata.versions and client.readiness().ready
