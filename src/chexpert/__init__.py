"""chexpert: chest X-ray triage that learns from its readers. Research use, not for diagnosis.

The packages form layers; each one's charter says what it is and what it must not do.
"""

__all__: list[str] = []
