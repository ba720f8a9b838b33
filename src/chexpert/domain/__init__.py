"""The words of the house: observations, labels, scores, the triage rule, verdicts, and the schemas applications meet over.

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
