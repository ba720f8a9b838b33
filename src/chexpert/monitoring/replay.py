"""Shadow replay: candidate and stable on the same stored images, asked directly and logged as shadow."""

from collections.abc import Sequence
from dataclasses import dataclass

from fsspec.core import url_to_fs

from chexpert.domain.errors import RetryableError
from chexpert.serving.client import Answer, PredictorRefused, V2Client

__all__ = ["Replay", "ReplaySettings", "replay"]


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """How many images are replayed, and where each version answers directly."""

    images: int = 40
    """Newest distinct stored images; 0 switches replays off."""
    tries: int = 400
    """How many images are looked for at most: a V2 client of its own sends images that no site stores."""
    version_url: str = ""
    """Base URL of one version, {version} filled in: on a cluster http://chexpert-{version}-predictor.

    Empty: the production server is asked for /versions/{version}, which ours answers and KServe's router does not.
    """
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Replay:
    """What the two said of the same images."""

    images: int = 0
    """Answered by both."""
    flags_differ: int = 0
    """Images that one of them flags and the other does not: what changes a place on the worklist. Which finding is
    furthest above its point differs far more often between equally good models (seen on phantoms: 38 %, against 11)."""
    mean_difference: float = 0.0
    """Mean absolute difference of the 14 scores."""
    candidate_failed: int = 0
    """Images that only the stable answered."""
    stable_failed: int = 0
    """Images the stable did not answer: nothing is concluded from them."""
    missing: int = 0
    """Images looked for whose bytes are not in the objects."""


def replay(
    objects: str, production: str, images: Sequence[str], *, candidate: str, stable: str, settings: ReplaySettings
) -> Replay:
    """Ask both versions about stored images.

    Args:
        objects: Root of the objects; bytes lie at images/<sha256>.
        production: Base URL of the production server.
        images: Sha256, the newest first; the first `settings.images` that are stored are taken.
        candidate: Version name.
        stable: Version name.
        settings: Where and how many.
    """
    differ = both = candidate_failed = stable_failed = missing = 0
    differences = 0.0
    with _client(production, candidate, settings) as ours, _client(production, stable, settings) as theirs:
        for sha256 in list(dict.fromkeys(images))[: settings.tries]:
            if both + candidate_failed + stable_failed == settings.images:
                break
            data = _bytes(objects, sha256)
            if data is None:
                missing += 1
                continue
            reference = _ask(theirs, data, stable, settings)
            if reference is None:
                stable_failed += 1
                continue
            answer = _ask(ours, data, candidate, settings)
            if answer is None:
                candidate_failed += 1
                continue
            both += 1
            differ += bool(answer.flag) != bool(reference.flag)
            pairs = zip(answer.scores, reference.scores, strict=True)
            differences += sum(abs(a - b) for a, b in pairs) / len(answer.scores)
    mean = differences / both if both else 0.0
    return Replay(both, differ, mean, candidate_failed, stable_failed, missing)


def _client(production: str, version: str, settings: ReplaySettings) -> V2Client:
    url = settings.version_url.format(version=version) if settings.version_url else production
    return V2Client(url, timeout_s=settings.timeout_s)


def _ask(client: V2Client, data: bytes, version: str, settings: ReplaySettings) -> Answer | None:
    asked = "" if settings.version_url else version
    try:
        answer = client.score_images([data], shadow=True, version=asked)[0]
    except (RetryableError, PredictorRefused):
        return None
    return answer if answer.version == version else None


def _bytes(objects: str, sha256: str) -> bytes | None:
    filesystem, root = url_to_fs(objects)
    try:
        data: bytes = filesystem.cat_file(f"{root}/images/{sha256}")
    except FileNotFoundError:
        return None
    return data
