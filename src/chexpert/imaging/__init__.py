"""Bytes in, one grey image out, and the one preprocessing of the house.

Pure functions of bytes and arrays: opens no file, knows no label, no model and no network. Everything outside the
policy of `decode` is refused as `UnreadableImage`, with the reason; nothing is guessed.
"""

__all__ = ["decode", "dicom", "headers", "image", "preprocess", "raster", "statistics"]
