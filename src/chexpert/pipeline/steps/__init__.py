"""The work of each step: one module each with `run(context)`, imported only when it runs.

A step joins packages below (data, training, evaluation, …) and holds no rule of its own. What each takes and gives is
declared in `pipeline.catalogue`.
"""

__all__ = [
    "advance",
    "etl",
    "evaluate",
    "ingest",
    "load_test",
    "optimise",
    "propose",
    "register",
    "report",
    "stage",
    "tables",
    "train",
]
