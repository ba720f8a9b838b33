import numpy as np
import pytest

from chexpert.imaging.decode import decode
from chexpert.simulator.corners import CORNERS, corner
from chexpert.simulator.devices import DEVICES, DeviceProfile, Shift, UnknownDevice, acquire, device, shifted


def chest(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(40, 200, (8, 8))
    return np.kron(coarse, np.ones((32, 24))).astype(np.uint8)


@pytest.mark.parametrize("profile", DEVICES, ids=lambda profile: profile.name)
def test_a_device_gives_an_image_of_its_size_that_the_house_reads(profile: DeviceProfile) -> None:
    """The longer side is the profile's, the aspect is kept, and the content is still there."""
    image = decode(acquire(chest(), profile, np.random.default_rng(0)))
    assert (image.height, image.width) == (profile.longest_px, round(profile.longest_px * 0.75))
    assert image.pixels.std() > 10.0


def test_the_same_generator_state_gives_the_same_bytes() -> None:
    """Bytes are the identity of an image, so a resumed run must not make new ones."""
    for profile in DEVICES:
        one, two, other = (acquire(chest(), profile, np.random.default_rng(seed)) for seed in (0, 0, 1))
        assert one == two
        assert one != other


def test_a_shift_moves_the_grey_levels_further_than_the_devices_differ() -> None:
    """What drift tests look at changes on every device by more than one image's noise does."""
    for profile in DEVICES:
        seen = [decode(acquire(chest(seed), profile, np.random.default_rng(seed))).pixels for seed in range(6)]
        moved = [
            decode(acquire(chest(seed), shifted(profile, Shift()), np.random.default_rng(seed))).pixels
            for seed in range(6)
        ]
        means = np.asarray([pixels.mean() for pixels in seen])
        assert np.all(means - [pixels.mean() for pixels in moved] > 5.0)
        assert np.mean([p.std() for p in moved]) < np.mean([p.std() for p in seen])


def test_no_shift_changes_nothing() -> None:
    """The healthy twin sends the same bytes."""
    none = Shift(gamma=1.0, noise=0.0, contrast=1.0)
    for profile in DEVICES:
        assert shifted(profile, none) == profile


def test_a_device_is_found_by_name_and_a_wrong_name_is_told_the_right_ones() -> None:
    """Both, so that a typing error does not become another device."""
    assert device("cr-plate").name == "cr-plate"
    with pytest.raises(UnknownDevice, match="phone-photo"):
        device("cr_plate")


@pytest.mark.parametrize("kind", CORNERS)
def test_a_corner_case_is_still_an_image(kind: str) -> None:
    """The house decodes it: a server has to answer it, not to refuse it."""
    image = decode(corner(kind, chest(), np.random.default_rng(0)))
    assert image.pixels.size > 0


def test_corner_cases_are_what_they_are_called() -> None:
    """Sizes and grey levels lie where an ordinary image's do not."""
    made = {kind: decode(corner(kind, chest(), np.random.default_rng(0))) for kind in CORNERS}
    assert min(made["tiny"].width, made["tiny"].height) < 16
    assert max(made["huge"].width, made["huge"].height) > 2000
    assert made["odd-aspect"].width / made["odd-aspect"].height > 5
    assert made["blank"].pixels.std() == 0.0
    assert made["very-bright"].pixels.mean() > 220
    assert made["very-dark"].pixels.max() < 16
