from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from chexpert.domain.studies import View
from chexpert.imaging.decode import UnreadableImage, decode


def dicom(values: NDArray[np.uint16], **tags: Any) -> bytes:
    """A DX file; tags given as None are left out."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    meta.TransferSyntaxUID = tags.pop("syntax", ExplicitVRLittleEndian)
    dataset = Dataset()
    dataset.file_meta = meta
    stated = {
        "SOPClassUID": DigitalXRayImageStorageForPresentation,
        "SOPInstanceUID": "1.2.3.4",
        "Modality": "DX",
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": values.shape[0],
        "Columns": values.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": values.tobytes(),
        **tags,
    }
    for name, value in stated.items():
        if value is not None:
            setattr(dataset, name, value)
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.fixture
def ramp() -> NDArray[np.uint16]:
    """(40, 50) stored values from 0 to 4095."""
    return np.linspace(0, 4095, 2000).reshape(40, 50).astype(np.uint16)


@pytest.mark.parametrize(
    ("position", "view"),
    [("AP", View.FRONTAL), ("PA", View.FRONTAL), ("LL", View.LATERAL), ("RL", View.LATERAL), (None, View.UNKNOWN)],
)
def test_view_comes_from_the_file(ramp: NDArray[np.uint16], position: str | None, view: View) -> None:
    """ViewPosition says frontal or lateral; nothing said is unknown."""
    image = decode(dicom(ramp, ViewPosition=position))
    assert image.view is view
    assert (image.width, image.height) == (50, 40)
    assert image.pixels[0, 0] == 0
    assert image.pixels[-1, -1] == 255


@pytest.mark.parametrize(
    "window", [{}, {"WindowCenter": 1500, "WindowWidth": 1000}, {"RescaleSlope": 2, "RescaleIntercept": -100}]
)
def test_inverted_twin_gives_the_same_image(ramp: NDArray[np.uint16], window: dict[str, float]) -> None:
    """MONOCHROME1 is inverted last, after LUT and window: the model sees one polarity."""
    inverted = dict(window)
    if "WindowCenter" in window:
        inverted["WindowCenter"] = 4095 - window["WindowCenter"] + 1
    plain = decode(dicom(ramp, **window)).pixels.astype(int)
    twin = decode(dicom(4095 - ramp, PhotometricInterpretation="MONOCHROME1", **inverted)).pixels.astype(int)
    assert np.abs(plain - twin).max() <= 1


def test_window_saturates(ramp: NDArray[np.uint16]) -> None:
    """What the file's window leaves outside becomes black or white."""
    pixels = decode(dicom(ramp, WindowCenter=2048, WindowWidth=400)).pixels
    assert (pixels == 0).mean() > 0.4
    assert (pixels == 255).mean() > 0.4


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"Modality": "CT"}, "modality CT: CR or DX"),
        ({"Modality": None}, "modality missing"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "for processing"),
        ({"NumberOfFrames": 3}, "3 frames"),
        ({"PhotometricInterpretation": "RGB"}, "pixels of RGB"),
        ({"Rows": None}, "without Rows"),
        ({"Rows": 60_000, "Columns": 60_000}, "header says 60000x60000"),
        ({"Rows": 400}, "DICOM of"),
        ({"PixelData": None}, "DICOM of"),
        ({"syntax": DeflatedExplicitVRLittleEndian}, "deflated"),
    ],
)
def test_other_dicom_is_refused(ramp: NDArray[np.uint16], tags: dict[str, Any], reason: str) -> None:
    """Anything but one monochrome CR or DX frame for presentation is refused by name."""
    with pytest.raises(UnreadableImage) as caught:
        decode(dicom(ramp, **tags))
    assert reason in caught.value.reason


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_truncated_dicom_is_refused(ramp: NDArray[np.uint16], share: float) -> None:
    """Missing pixels are not filled in."""
    data = dicom(ramp)
    with pytest.raises(UnreadableImage):
        decode(data[: int(len(data) * share)])
