import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from chexpert.domain.digests import of_bytes
from chexpert.domain.labels import ABSENT, PRESENT
from chexpert.domain.observations import OBSERVATIONS, Observation
from chexpert.imaging.decode import decode
from chexpert.simulator.devices import DEVICES, Shift, device
from chexpert.simulator.load import images_of, standard_mix
from chexpert.simulator.samples import NO_TRUTH, is_abnormal
from chexpert.simulator.sources import FolderSource, NoImages, PhantomSource
from chexpert.simulator.tiles import TileSource

CXR = Path(__file__).resolve().parents[3] / "shared" / "cxr"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six images, half of them abnormal, two of one patient."""
    with (tmp_path / "labels.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["file", "abnormal", "view", "patient", "sex", "age"])
        for number in range(6):
            (tmp_path / f"{number}.png").write_bytes(TileSource().sample(number).data)
            patient = "anna" if number < 2 else ""
            table.writerow([f"{number}.png", number % 2, "PA", patient, "F", 60 + number])
    return tmp_path


def test_a_folder_gives_each_image_once_a_round_as_it_is(folder: Path) -> None:
    """The first round sends the files' own bytes with their yes/no truth; the order is shuffled by the seed."""
    samples = [FolderSource(folder, seed=1).sample(number) for number in range(6)]
    assert sorted(sample.name for sample in samples) == [f"{number}.png" for number in range(6)]
    for sample in samples:
        number = int(sample.name[0])
        assert sample.data == (folder / sample.name).read_bytes()
        assert is_abnormal(sample.truth) is bool(number % 2)
        assert [label for label in sample.truth if label is not None] == [ABSENT if number % 2 else PRESENT]
        assert (sample.age, sample.patient) == (60 + number, "anna" if number < 2 else "")
    other = [FolderSource(folder, seed=2).sample(number).name for number in range(6)]
    assert other != [sample.name for sample in samples]


def test_later_rounds_send_new_bytes_of_the_same_images(folder: Path) -> None:
    """An image sent again as it is would be found again, so it gets a little noise, and looks as before."""
    source = FolderSource(folder)
    samples = [source.sample(number) for number in range(18)]
    assert Counter(sample.name for sample in samples) == {f"{number}.png": 3 for number in range(6)}
    assert len({of_bytes(sample.data) for sample in samples}) == 18
    by_name = {sample.name: sample for sample in samples[:6]}
    for sample in samples[6:]:
        before, after = decode(by_name[sample.name].data), decode(sample.data)
        assert (after.width, after.height) == (before.width, before.height)
        assert np.abs(after.pixels.astype(int) - before.pixels).mean() < 4.0


def test_the_same_number_gives_the_same_sample(folder: Path) -> None:
    """So a run can be taken up again, at any place, by another process."""
    for number in (0, 7, 40):
        assert FolderSource(folder).sample(number) == FolderSource(folder).sample(number)
        assert PhantomSource(seed=3).sample(number) == PhantomSource(seed=3).sample(number)
    assert PhantomSource(seed=3).sample(0).data != PhantomSource(seed=4).sample(0).data


def test_a_shift_reaches_every_image_and_keeps_the_truth(folder: Path) -> None:
    """Traffic changes, what is true of it does not."""
    plain = FolderSource(folder, devices=(device("fixed-dx"),))
    moved = FolderSource(folder, devices=(device("fixed-dx"),), shift=Shift())
    for number in range(6):
        before, after = plain.sample(number), moved.sample(number)
        assert (after.name, after.truth, after.device) == (before.name, before.truth, before.device)
        assert decode(after.data).pixels.mean() < decode(before.data).pixels.mean()


def test_a_plain_folder_gives_images_without_truth(folder: Path) -> None:
    """Nobody says anything about them, so no reader answers them."""
    (folder / "labels.csv").unlink()
    (folder / "notes.txt").write_text("not an image")
    samples = [FolderSource(folder).sample(number) for number in range(6)]
    assert {sample.truth for sample in samples} == {NO_TRUTH}
    assert len({sample.name for sample in samples}) == 6


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    """The message names the folder and what it looked for."""
    with pytest.raises(NoImages, match=r"labels\.csv"):
        FolderSource(tmp_path).sample(0)


def test_phantoms_have_a_whole_truth_and_come_from_every_device() -> None:
    """14 known labels, and all devices within a few dozen."""
    samples = [PhantomSource().sample(number) for number in range(40)]
    assert {label for sample in samples for label in sample.truth} == {PRESENT, ABSENT}
    assert {sample.device for sample in samples} == {profile.name for profile in DEVICES}
    assert {is_abnormal(sample.truth) for sample in samples} == {True, False}
    assert len({sample.patient for sample in samples}) == 40


def test_phantoms_without_a_device_are_sent_as_drawn() -> None:
    """As training data looks; a shift still reaches them."""
    plain, moved = PhantomSource(devices=()).sample(5), PhantomSource(devices=(), shift=Shift()).sample(5)
    image = decode(plain.data)
    assert (plain.device, max(image.width, image.height)) == ("", 128)
    assert plain.truth == moved.truth
    assert decode(plain.data).pixels.mean() - decode(moved.data).pixels.mean() > 5.0


def test_the_standard_mix_holds_every_device_and_corner_case_and_only_readable_images() -> None:
    """What a load test has seen, it has seen for all kinds; the same seed gives the same bytes."""
    mix = standard_mix(7)
    kinds = {image.kind for image in mix}
    assert kinds >= {profile.name for profile in DEVICES} | {"blank", "huge", "tiny", "odd-aspect", "lateral"}
    for image in mix:
        assert decode(image.data).pixels.size > 0
    assert standard_mix(7) == mix


def test_a_load_can_use_the_images_of_a_source(folder: Path) -> None:
    """Their kind is the device, or the source where no device is known."""
    assert {image.kind for image in images_of(FolderSource(folder), 6)} == {folder.name}
    from_devices = images_of(FolderSource(folder, devices=DEVICES), 24)
    assert {image.kind for image in from_devices} == {profile.name for profile in DEVICES}


def test_real_images_of_another_source_are_read_with_their_truth() -> None:
    """The folder of the issue: every image decodes, yes and no both occur, nothing else is answered."""
    if not CXR.is_dir():
        pytest.skip(f"no real images at {CXR}")
    source = FolderSource(CXR)
    samples = [source.sample(number) for number in range(len(source))]
    answered = [{o for o, label in zip(OBSERVATIONS, s.truth, strict=True) if label is not None} for s in samples]
    assert set(map(frozenset, answered)) == {frozenset({Observation.NO_FINDING})}
    assert {is_abnormal(sample.truth) for sample in samples} == {True, False}
    assert np.median([decode(sample.data).pixels.std() for sample in samples[:10]]) > 20.0
