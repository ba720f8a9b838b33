"""Revisions, oldest first. One that was released is never edited."""

__all__ = ["r0001_tables", "r0002_moves"]
