"""What an installation needs and lacks: each check says what it found, and how to get what is missing.

A check asks a cluster through the port `cluster.api.Api`, or this machine, and judges at once. It changes nothing: its
only write is a dry run that must be refused. Drawing the table is apart, in `rendering`.
"""

__all__ = [
    "argo",
    "checks",
    "contract",
    "findings",
    "foundation",
    "gateway",
    "kserve",
    "local",
    "rendering",
    "versions",
]
