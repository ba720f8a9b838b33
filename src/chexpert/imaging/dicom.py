"""DICOM to grey levels, by pydicom.

Order of the standard: stored values, modality LUT, VOI LUT or window, and the inversion of MONOCHROME1 last, so that
a file and its inverted twin give the same image. Single-frame CR and DX for presentation only.
"""

from io import BytesIO
from typing import Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from chexpert.domain.studies import View
from chexpert.imaging.image import Image, UnreadableImage, check_size, to_grey_levels
from chexpert.imaging.raster import DEEP_PERCENTILES

__all__ = ["MODALITIES", "decode_dicom"]

MODALITIES: Final = ("CR", "DX")
"""Computed and digital radiography."""

_DEFLATED: Final = b"1.2.840.10008.1.2.1.99"
"""Transfer syntax that may hide 512 MB in 0.5 MB; pydicom inflates it before it reads a tag."""
_VIEWS: Final = {
    "AP": View.FRONTAL,
    "PA": View.FRONTAL,
    "LL": View.LATERAL,
    "RL": View.LATERAL,
    "LATERAL": View.LATERAL,
}
_FAULTS: Final = (
    InvalidDicomError,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    Warning,
)
"""What pydicom raises for broken files."""


def decode_dicom(data: bytes) -> Image:
    """Decode one DICOM file; the view comes from ViewPosition.

    Raises:
        UnreadableImage: for anything but a monochrome single-frame CR or DX for presentation, or a broken file.
    """
    if _DEFLATED in data:
        raise UnreadableImage(
            reason="DICOM with the deflated transfer syntax, whose size cannot be known before inflating"
        )
    try:
        dataset = pydicom.dcmread(BytesIO(data))
        _check(dataset)
        pixels = _grey(dataset)
        position = str(dataset.get("ViewPosition", "")).upper()
    except _FAULTS as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnreadableImage(reason=f"DICOM of {len(data)} bytes: {said}") from error
    height, width = pixels.shape
    return Image(pixels, width, height, _VIEWS.get(position, View.UNKNOWN))


def _check(dataset: pydicom.Dataset) -> None:
    modality = str(dataset.get("Modality", ""))
    if modality not in MODALITIES:
        raise UnreadableImage(reason=f"DICOM modality {modality or 'missing'}: {' or '.join(MODALITIES)} is expected")
    if str(dataset.get("PresentationIntentType", "FOR PRESENTATION")) == "FOR PROCESSING":
        raise UnreadableImage(reason="DICOM for processing: the image for presentation is expected")
    if int(dataset.get("NumberOfFrames", 1) or 1) != 1:
        raise UnreadableImage(reason=f"DICOM with {dataset.NumberOfFrames} frames: one is expected")
    photometric = str(dataset.get("PhotometricInterpretation", ""))
    if photometric not in {"MONOCHROME1", "MONOCHROME2"}:
        raise UnreadableImage(reason=f"DICOM with pixels of {photometric or 'no stated kind'}: monochrome is expected")
    rows, columns = dataset.get("Rows"), dataset.get("Columns")
    if not isinstance(rows, int) or not isinstance(columns, int):
        raise UnreadableImage(reason="DICOM without Rows and Columns")
    check_size(columns, rows)


def _grey(dataset: pydicom.Dataset) -> NDArray[np.uint8]:
    stored = dataset.pixel_array
    values = np.asarray(apply_modality_lut(stored, dataset))
    windowed = "VOILUTSequence" in dataset or "WindowCenter" in dataset
    if windowed:
        values = np.asarray(apply_voi_lut(values, dataset))
    values = values.astype(np.float32)
    low, high = (values.min(), values.max()) if windowed else np.percentile(values, DEEP_PERCENTILES)
    grey = to_grey_levels(values, float(low), float(high))
    return 255 - grey if _is_inverted(dataset) else grey


def _is_inverted(dataset: pydicom.Dataset) -> bool:
    shape = str(dataset.get("PresentationLUTShape", ""))
    if shape in {"IDENTITY", "INVERSE"}:
        return shape == "INVERSE"
    return str(dataset.PhotometricInterpretation) == "MONOCHROME1"
