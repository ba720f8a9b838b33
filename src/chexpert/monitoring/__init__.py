"""Judges served versions by what they answered: windows of the inference log, drift, shadow replays, readers' answers.

It changes nothing: no git, no traffic but shadow replays. A canary is only ever compared with the stable of the same
window; a shift seen in both belongs to the input and blames nobody. Evidently is imported only while drift is computed.
"""

__all__ = [
    "answers",
    "drift",
    "drift_report",
    "errors",
    "evidence",
    "reference",
    "replay",
    "sequential",
    "stage",
    "thresholds",
    "window",
]
