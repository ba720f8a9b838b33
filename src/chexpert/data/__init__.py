"""From folders and answers to training rows: manifest, splits, pixel shards, label increments, phantoms.

NumPy and Parquet; no torch, no model, no server. A patient never crosses splits, an image of an evaluation split is
never a training row, and whatever is left out is named with its reason.
"""

__all__ = [
    "checksum_record",
    "checksums",
    "chexpert_csv",
    "columns",
    "drawing",
    "errors",
    "folder",
    "increments",
    "label_events",
    "manifest",
    "objects",
    "phantom_folder",
    "phantoms",
    "pixels",
    "s3",
    "shard_build",
    "shard_files",
    "shard_plan",
    "shards",
    "source_folder",
    "sources",
    "splits",
    "stored",
    "summary",
    "upload",
]
