"""Runs a model's way: the steps as plain functions, the workflow that orders them, and the rollout driver.

The YAML under argo/workflows is the one definition. `workflow` reads and checks it, `runner` runs it on this machine as
Argo would on a cluster, refusing by name and line what it does not support. A step starts no server and knows no
cluster: it reads artifacts and parameters, reaches the world through `domain.places`, and ends with an exit code.
"""

__all__ = [
    "catalogue",
    "driver",
    "graph",
    "images",
    "incumbent",
    "ingestion",
    "invocation",
    "provenance",
    "rollout",
    "runner",
    "step",
    "steps",
    "variants",
    "workflow",
]
