"""Alembic revisions of the site's tables, applied at start. They must not import the tables they lead to."""

__all__ = ["upgrade", "versions"]
