"""The rehearsal's stores are real ones."""

from real_stores import own_postgres, own_s3

__all__ = ["own_postgres", "own_s3"]
