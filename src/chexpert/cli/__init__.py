"""The command line: one module for each command group, each translating flags into one call.

No logic here. Heavy imports happen inside the commands, so that `chexpert --help` answers at once.
"""

__all__ = [
    "data",
    "doctor",
    "gitops",
    "local",
    "main",
    "optimise",
    "pipeline",
    "registry",
    "rollout",
    "serve",
    "simulate",
    "site",
    "step",
    "users",
]
