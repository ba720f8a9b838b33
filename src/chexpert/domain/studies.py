"""A study is one visit's images; its tier is what the order asked for."""

from enum import IntEnum, StrEnum

__all__ = ["StudyState", "Tier", "View"]


class Tier(IntEnum):
    """Urgency of an order, most urgent first."""

    STAT = 0
    URGENT = 1
    ROUTINE = 2


class StudyState(StrEnum):
    """Where a study stands with its readers. Only SIGNED and REJECTED, both done by a person, leave the worklist."""

    UNREAD = "unread"
    OPEN = "open"
    SIGNED = "signed"
    REJECTED = "rejected"


class View(StrEnum):
    """What the image shows, as far as anyone has said."""

    FRONTAL = "frontal"
    LATERAL = "lateral"
    UNKNOWN = "unknown"
