"""Fakes and small real things for tests: shipped and public, used by other people's tests as by ours.

No product package imports this one.
"""

__all__ = ["bundles", "faults", "github", "logs", "nan_bundle", "predictor", "rollouts", "sites", "wrong_labels"]
