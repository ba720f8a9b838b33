"""The words of the house: observations, labels, scores, the triage rule, verdicts, and shared schemas.

Pure vocabulary. Standard library only; no files, no network, no clock, no randomness.
"""

__all__ = [
    "digests",
    "errors",
    "events",
    "labels",
    "observations",
    "places",
    "predictions",
    "records",
    "studies",
    "timeline",
    "triage",
    "verdicts",
]
