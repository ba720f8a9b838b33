"""Parts of the rollout driver: its settings, its timeline, what git's history says happened, and one stage's judgement.

`pipeline.rollout` joins them to one idempotent step. Git is the truth: the timeline follows it, never leads.
"""

__all__ = ["evidence", "history", "message", "settings", "timeline"]
