"""Devices as size and quality profiles: what a scanner, a cassette or a phone makes of the same chest."""

import io
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from chexpert.domain.errors import InputError

__all__ = ["DEVICES", "DeviceProfile", "Shift", "UnknownDevice", "acquire", "device", "encode", "plain", "shifted"]

Pixels = NDArray[np.uint8]


class UnknownDevice(InputError):
    """No profile of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no device profile {name!r}: choose from {', '.join(profile.name for profile in DEVICES)}")
        self.name = name


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """One device type."""

    name: str
    longest_px: int
    """Longer side of its images; a chest is enlarged or reduced to it."""
    blur: float
    """Standard deviation of the blur, in thousandths of the longer side; 0 switches it off."""
    noise: float
    """Standard deviation of the noise in grey levels of 255; 0 switches it off."""
    gamma: float = 1.0
    """Exponent on grey levels in [0, 1]; above 1 darkens; 1 switches it off."""
    contrast: float = 1.0
    """Spread of the grey levels about mid-grey; 1 switches it off."""
    tilt_degrees: float = 0.0
    """Standard deviation of the rotation; 0 switches it off."""
    shading: float = 0.0
    """Share of light lost towards one side (uneven light box, anode heel); 0 switches it off."""
    jpeg_quality: int | None = None
    """JPEG quality 1 to 95; None: PNG, without loss."""


@dataclass(frozen=True, slots=True)
class Shift:
    """A change of the input that no model is to blame for: what `shifted-images` plants from outside."""

    gamma: float = 2.2
    """A changed look-up table at the modality."""
    noise: float = 12.0
    """Added to the profile's own, in grey levels."""
    contrast: float = 0.6
    """Times the profile's own."""


DEVICES: tuple[DeviceProfile, ...] = (
    DeviceProfile("fixed-dx", longest_px=640, blur=0.5, noise=1.5),
    DeviceProfile("cr-plate", longest_px=512, blur=1.5, noise=4.0, contrast=0.9, shading=0.05, jpeg_quality=90),
    DeviceProfile("portable-ap", longest_px=448, blur=2.5, noise=5.0, gamma=1.1, tilt_degrees=2.0, shading=0.1),
    DeviceProfile(
        "phone-photo",
        longest_px=480,
        blur=3.0,
        noise=6.0,
        gamma=1.2,
        contrast=0.8,
        tilt_degrees=3.0,
        shading=0.25,
        jpeg_quality=60,
    ),
)
"""Ordered by quality. Sizes are a fifth of the real ones, so that two cores send hundreds a minute."""


def device(name: str) -> DeviceProfile:
    """The profile of that name, or UnknownDevice."""
    for profile in DEVICES:
        if profile.name == name:
            return profile
    raise UnknownDevice(name)


def plain(pixels: Pixels, *, noise: float = 0.0, jpeg_quality: int | None = None) -> DeviceProfile:
    """A device without a name that takes (H, W) pixels as they are, but for a little noise if asked."""
    return DeviceProfile("", longest_px=max(pixels.shape), blur=0.0, noise=noise, jpeg_quality=jpeg_quality)


def shifted(profile: DeviceProfile, shift: Shift) -> DeviceProfile:
    """The same device after the shift; its name stays, as a sender would not know."""
    return replace(
        profile,
        gamma=profile.gamma * shift.gamma,
        noise=profile.noise + shift.noise,
        contrast=profile.contrast * shift.contrast,
    )


def acquire(pixels: Pixels, profile: DeviceProfile, rng: np.random.Generator) -> bytes:
    """Encode (H, W) uint8 as the device would: the same generator state gives the same bytes."""
    height, width = pixels.shape
    scale = profile.longest_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
    if profile.tilt_degrees > 0.0:
        image = image.rotate(rng.normal(0.0, profile.tilt_degrees), Image.Resampling.BILINEAR)
    if profile.blur > 0.0:
        image = image.filter(ImageFilter.GaussianBlur(profile.blur * profile.longest_px / 1000.0))
    return encode(_grey_levels(np.asarray(image), profile, rng), jpeg_quality=profile.jpeg_quality)


def encode(pixels: Pixels, *, jpeg_quality: int | None = None) -> bytes:
    """PNG bytes of (H, W) uint8, or JPEG of the given quality."""
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    if jpeg_quality is None:
        image.save(
            buffer, "PNG", compress_level=1
        )  # Level 1: noise does not compress, and level 6 takes 4 times longer.
    else:
        image.save(buffer, "JPEG", quality=jpeg_quality)
    return buffer.getvalue()


def _grey_levels(pixels: Pixels, profile: DeviceProfile, rng: np.random.Generator) -> Pixels:
    grey = (pixels.astype(np.float32) / 255.0) ** np.float32(profile.gamma)
    grey = (grey - 0.5) * profile.contrast + 0.5
    if profile.shading > 0.0:
        angle = rng.uniform(0.0, 2.0 * np.pi)
        rows, columns = np.linspace(-0.5, 0.5, grey.shape[0]), np.linspace(-0.5, 0.5, grey.shape[1])
        ramp = np.cos(angle) * rows[:, None] + np.sin(angle) * columns[None, :]
        grey = grey * (1.0 - profile.shading * (0.5 + ramp))
    if profile.noise > 0.0:
        grey = grey + rng.normal(0.0, profile.noise / 255.0, grey.shape)
    levels: Pixels = np.clip(np.rint(grey * 255.0), 0, 255).astype(np.uint8)
    return levels
