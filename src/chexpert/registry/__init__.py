"""All use of MLflow: runs with their parameters and curves, and versions of the model with their aliases.

Nothing else imports MLflow. No pickle, no model flavours: a version is the URI and digest of a bundle. Aliases mirror
what git serves; they decide nothing.
"""

__all__ = ["clients", "errors", "models", "tracking"]
