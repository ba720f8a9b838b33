"""The demo: the main job from images to a rolled-out, retrained model, told as a table and a page.

It only starts and joins what the other packages offer. Faults are planted from outside; nothing below knows them.
"""

__all__ = [
    "chapters",
    "command",
    "display",
    "faults",
    "page",
    "plan",
    "progress",
    "record",
    "scene",
    "story",
    "studies",
    "summary",
    "traffic",
    "workflows",
]
