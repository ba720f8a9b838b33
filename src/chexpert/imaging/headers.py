"""What an encoded file says of itself in its first bytes: format, size, and whether it moves.

Read by hand, so that a header of a billion pixels is refused before a decoder sees it.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from chexpert.imaging.image import UnreadableImage

__all__ = ["Format", "Header", "read_header", "sniff"]


class Format(StrEnum):
    """What `decode` reads."""

    PNG = "PNG"
    JPEG = "JPEG"
    DICOM = "DICOM"


@dataclass(frozen=True, slots=True)
class Header:
    """Size of a PNG or JPEG."""

    width: int
    height: int


_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
_PREAMBLE: Final = 128
"""Bytes before DICM."""
_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
"""JPEG start of frame: baseline, extended, progressive. Lossless and arithmetic ones are not decoded."""
_BARE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
"""JPEG markers without a length."""
_OTHER_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - _FRAMES - {0xC4, 0xC8, 0xCC}


def sniff(data: bytes) -> Format:
    """Tell the format by its signature, or raise UnreadableImage."""
    if not data:
        raise UnreadableImage(reason="empty: 0 bytes")
    if data.startswith(_PNG):
        return Format.PNG
    if data.startswith(_JPEG):
        return Format.JPEG
    if data[_PREAMBLE : _PREAMBLE + 4] == b"DICM":
        return Format.DICOM
    raise UnreadableImage(reason=f"neither PNG, JPEG nor DICOM: {len(data)} bytes starting with {data[:8]!r}")


def read_header(data: bytes, form: Format) -> Header:
    """Size from the header of a PNG or JPEG; UnreadableImage if it ends early or is animated."""
    return _png(data) if form is Format.PNG else _jpeg(data)


def _png(data: bytes) -> Header:
    if len(data) < 33 or data[12:16] != b"IHDR":  # noqa: PLR2004 - signature 8, then length, name, 13 bytes, checksum
        raise UnreadableImage(reason=f"PNG ends after {len(data)} bytes, before its header does")
    if b"acTL" in data[33:256]:
        raise UnreadableImage(reason="animated PNG")
    return Header(int.from_bytes(data[16:20]), int.from_bytes(data[20:24]))


def _jpeg(data: bytes) -> Header:
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:  # noqa: PLR2004 - every marker starts with it
            raise UnreadableImage(reason=f"JPEG without a marker at byte {position}")
        marker = data[position + 1]
        if marker == 0xFF or marker in _BARE:  # noqa: PLR2004 - fill byte
            position += 1 if marker == 0xFF else 2  # noqa: PLR2004 - as above
            continue
        if marker in _OTHER_FRAMES:
            raise UnreadableImage(reason=f"JPEG of a kind that is not read (frame marker {marker:#x})")
        if marker in _FRAMES:
            frame = data[position + 5 : position + 9]
            if len(frame) == 4:  # noqa: PLR2004 - height and width, two bytes each
                return Header(width=int.from_bytes(frame[2:]), height=int.from_bytes(frame[:2]))
            break
        position += 2 + int.from_bytes(data[position + 2 : position + 4])
    raise UnreadableImage(reason=f"JPEG ends after {len(data)} bytes, before its frame header does")
