"""The driver's commit messages: words for people, trailers from which the timeline is written."""

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["Trailers", "compose", "read"]

_TRAILER: Final = re.compile(r"^Chexpert-(Reason|Verdict|Report): (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Trailers:
    """What a commit says of its grounds."""

    reasons: tuple[str, ...] = ()
    verdict_uri: str = ""
    report_uri: str = ""


def compose(subject: str, trailers: Trailers, *, reverted: tuple[str, ...] = ()) -> str:
    """A commit message; `reverted` are the commits it undoes."""
    lines = [f"Chexpert-Reason: {' '.join(reason.split())}" for reason in trailers.reasons]
    lines += [f"Chexpert-Verdict: {trailers.verdict_uri}"] if trailers.verdict_uri else []
    lines += [f"Chexpert-Report: {trailers.report_uri}"] if trailers.report_uri else []
    undone = [f"This reverts commit {sha}." for sha in reverted]
    return "\n".join([subject, "", *undone, *([""] if undone else []), *lines])


def read(body: str) -> Trailers:
    """Inverse of `compose`, of a commit's body; a person's commit has none."""
    found = _TRAILER.findall(body)
    return Trailers(
        reasons=tuple(value for key, value in found if key == "Reason"),
        verdict_uri=next((value for key, value in found if key == "Verdict"), ""),
        report_uri=next((value for key, value in found if key == "Report"), ""),
    )
