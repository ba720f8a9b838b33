"""Runs a workflow on this machine as Argo would: the same order, retries, conditions, artifacts and exit codes.

It ignores images and resources, replaces the prefixes /step/in and /step/out by its run folder, and fills in the
ConfigMap `chexpert` from its places. Steps are forked from one process that has imported the slow modules already. It
knows no step by name and no other way to order them than the file.
"""

__all__ = [
    "artifacts",
    "display",
    "folder",
    "preloaded",
    "results",
    "running",
    "scheduling",
    "server",
    "state",
    "stepping",
]
