"""A promotion is a change in git: edits one InferenceService file, opens, merges, closes and reverts.

It judges no model: it only refuses a diff that could stop the answering. It never touches the project's own checkout:
work happens in clones that it made itself. No torch.
"""

__all__ = [
    "body",
    "check",
    "document",
    "errors",
    "git",
    "github",
    "local_requests",
    "merging",
    "promotion",
    "promotion_request",
    "pull_requests",
    "pushes",
    "repository",
]
