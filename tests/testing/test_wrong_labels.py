import csv
from collections import Counter
from pathlib import Path

import pytest

from chexpert.data import sources
from chexpert.data.phantom_folder import PhantomSettings, generate
from chexpert.testing.wrong_labels import FIRST_LABEL, permute_labels


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    generate(folder, PhantomSettings(train_patients=30, valid_patients=4, size=16), workers=1)
    return folder


def rows(folder: Path) -> list[list[str]]:
    with (folder / "train.csv").open(newline="") as stream:
        return list(csv.reader(stream))


def test_label_rows_change_places_and_stay_the_same(phantoms: Path, tmp_path: Path) -> None:
    """As often as before each row of labels is there, at another image; what is said of the image stays."""
    permute_labels(phantoms, tmp_path / "wrong")
    before, after = rows(phantoms), rows(tmp_path / "wrong")
    assert after[0] == before[0]
    assert [row[:FIRST_LABEL] for row in after] == [row[:FIRST_LABEL] for row in before]
    labels = [[tuple(row[FIRST_LABEL:]) for row in table] for table in (before, after)]
    assert Counter(labels[0]) == Counter(labels[1])
    moved = sum(one != other for one, other in zip(*labels, strict=True))
    assert moved > len(before) / 2
    assert all(len(row) == len(before[0]) for row in after)


def test_what_is_judged_on_is_untouched(phantoms: Path, tmp_path: Path) -> None:
    """valid.csv and every image are the same bytes: only an evaluation can see the fault."""
    target = tmp_path / "wrong"
    original = (phantoms / "train.csv").read_bytes()
    permute_labels(phantoms, target)
    assert (target / "valid.csv").read_bytes() == (phantoms / "valid.csv").read_bytes()
    assert (phantoms / "train.csv").read_bytes() == original
    sound, wrong = sources.read(phantoms)[0], sources.read(target)[0]
    assert list(sound.column("sha256")) == list(wrong.column("sha256"))
    assert list(sound.column("split")) == list(wrong.column("split"))
    assert sound.digest != wrong.digest


def test_the_seed_decides(phantoms: Path, tmp_path: Path) -> None:
    """The same seed permutes alike, into the same folder again too; another seed otherwise."""
    permute_labels(phantoms, tmp_path / "first")
    first = rows(tmp_path / "first")
    permute_labels(phantoms, tmp_path / "first")
    permute_labels(phantoms, tmp_path / "second")
    permute_labels(phantoms, tmp_path / "other", seed=1)
    assert rows(tmp_path / "first") == rows(tmp_path / "second") == first
    assert rows(tmp_path / "other") != first


def test_a_folder_without_a_table_is_an_error(tmp_path: Path) -> None:
    """Nothing is made up where there is nothing to permute."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"train\.csv"):
        permute_labels(tmp_path / "empty", tmp_path / "wrong")
