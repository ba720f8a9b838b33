"""Reads an Argo manifest into a frozen model, and refuses by name and line what the local runner does not support.

Knows the file, Argo's schema and the declared steps; runs nothing. Whatever it accepts, Argo accepts with the same
meaning: a key is either read, or one that only a cluster uses (image, resources, volumes), or refused.
"""

__all__ = [
    "checking",
    "commands",
    "conditions",
    "document",
    "model",
    "reading",
    "references",
    "schema",
    "subset",
    "templates",
    "variables",
]
