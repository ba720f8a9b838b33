from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from chexpert.data import chexpert_csv, folder, sources
from chexpert.data.errors import UnreadableData
from chexpert.data.splits import split_of
from chexpert.domain.observations import Observation

Write = Callable[..., Path]
Row = Callable[..., list[str]]

SHARED = Path(__file__).resolve().parents[3] / "shared"


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"no folder ../shared/{name} beside the checkout: the real images are not read here")
    return path


@pytest.mark.parametrize(
    "prefix", ["CheXpert-v1.0/train/", "CheXpert-v1.0-small/train/", "train/", "", "other/mirror/"]
)
def test_every_prefix_names_the_same_image(chexpert_folder: Write, csv_row: Row, prefix: str) -> None:
    """Only patient, study and view count; the file is found, hashed and keyed alike."""
    tail = "patient00007/study2/view1_frontal.jpg"
    manifest = chexpert_csv.read(chexpert_folder({"train": [csv_row(prefix + tail, Edema="1.0")]}))
    assert manifest.column("image_path")[0].endswith(f"CheXpert-v1.0-small/train/{tail}")
    assert len(manifest.column("sha256")[0]) == 64
    assert manifest.column("patient")[0] == "patient00007"
    assert manifest.column("study")[0] == "patient00007/study2"
    assert manifest.column("split")[0] == split_of("patient00007")


def test_four_states_and_both_tables(chexpert_folder: Write, csv_row: Row) -> None:
    """1, 0, -1 and blank come through; rows of valid.csv are valid whatever their hash."""
    train = [csv_row("a/train/patient00001/study1/view1_frontal.jpg", Edema="1.0", Fracture="0.0", Pneumonia="-1.0")]
    valid = [csv_row(f"a/valid/patient{n}/study1/view1_frontal.jpg") for n in range(64541, 64561)]
    manifest = chexpert_csv.read(chexpert_folder({"train": train, "valid": valid}), licence="none", source="x")
    labels = dict(zip(Observation, manifest.labels()[0], strict=True))
    assert labels[Observation.EDEMA] == 1
    assert labels[Observation.FRACTURE] == 0
    assert labels[Observation.PNEUMONIA] == -1
    assert np.isnan(labels[Observation.NO_FINDING])
    assert len(manifest.rows("valid")) == 20
    assert set(manifest.column("source")) == {"x"}
    assert set(manifest.column("licence")) == {"none"}


def test_odd_rows_are_kept_and_marked(chexpert_folder: Write, csv_row: Row) -> None:
    """Age 0, sex Unknown and odd projections stay in the data, with the remark; others have none."""
    odd = [
        csv_row("train/patient00001/study1/view1_frontal.jpg", age="0"),
        csv_row("train/patient00002/study1/view1_frontal.jpg", sex="Unknown"),
        csv_row("train/patient00003/study1/view1_frontal.jpg", projection="LL"),
        csv_row("train/patient00004/study1/view2_lateral.jpg", view="Lateral", projection=""),
        csv_row("train/patient00005/study1/view1_frontal.jpg", age=""),
    ]
    manifest = chexpert_csv.read(chexpert_folder({"train": odd}))
    remarks = ["age 0", "sex Unknown", "projection LL of a frontal view", "", "age blank"]
    assert list(manifest.column("odd")) == remarks
    assert list(manifest.column("view")) == ["frontal", "frontal", "frontal", "lateral", "frontal"]
    np.testing.assert_array_equal(manifest.column("age"), [0, 60, 60, 60, np.nan])


def test_a_missing_file_is_a_row_without_checksum(chexpert_folder: Write, csv_row: Row) -> None:
    """The ETL refuses it by name; reading the table does not fail."""
    row = csv_row("train/patient00001/study1/view1_frontal.jpg")
    assert list(chexpert_csv.read(chexpert_folder({"train": [row]}, images=False)).column("sha256")) == [""]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Edema": "2.0"}, r"train.csv: line 3: Edema 2.0 is not 1, 0, -1 or blank"),
        ({"Edema": "maybe"}, r"train.csv: .*maybe"),
        ({"age": "old"}, r"train.csv: line 3: Age 'old' is no age in years"),
        ({"path": "train/somebody/view1.jpg"}, r"line 3: Path 'train/somebody/view1.jpg' has no patient/study/view"),
    ],
)
def test_a_wrong_cell_is_named(chexpert_folder: Write, csv_row: Row, change: dict[str, str], reason: str) -> None:
    """File, line, column and value: enough to repair it."""
    good = "train/patient00001/study1/view1_frontal.jpg"
    rows = [csv_row(good), csv_row(change.pop("path", good), **change)]
    with pytest.raises(UnreadableData, match=reason):
        chexpert_csv.read(chexpert_folder({"train": rows}, images=False))


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    """Neither table there; or a table without CheXpert's columns."""
    with pytest.raises(UnreadableData, match=r"neither train.csv nor valid.csv"):
        sources.read(tmp_path)
    (tmp_path / "train.csv").write_text("Path,Sex\nx,Male\n")
    with pytest.raises(UnreadableData, match="columns Age, Frontal/Lateral"):
        sources.read(tmp_path)


def yes_no(folder_path: Path, lines: Sequence[str]) -> Path:
    (folder_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder_path


def test_yes_no_answers_no_finding_only(tmp_path: Path) -> None:
    """Abnormal 1 is No Finding 0 and the other way round; nothing else is claimed."""
    root = yes_no(
        tmp_path, ["file,abnormal,view,patient,age", "a.png,1,AP Supine,p1,44.0", "b.png,0,PA,,", "c.png,,L,p3,1"]
    )
    manifest = folder.read(root)
    labels = manifest.labels()
    np.testing.assert_array_equal(labels[:, 0], [0, 1, np.nan])
    assert np.isnan(labels[:, 1:]).all()
    assert list(manifest.column("projection")) == ["AP", "PA", ""]
    assert list(manifest.column("view")) == ["frontal", "frontal", "lateral"]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["file,view", "a.png,AP"], "columns abnormal are missing"),
        (["file,abnormal", "a.png,0", "b.png,2"], "line 3: abnormal '2' is not 1, 0 or blank"),
        (["file,abnormal", ",1"], "line 2: file is blank"),
        (["file,abnormal,age", "a.png,1,grown"], "line 2: age 'grown'"),
    ],
)
def test_a_wrong_yes_no_table_is_refused(tmp_path: Path, lines: list[str], reason: str) -> None:
    """Line and value are named."""
    with pytest.raises(UnreadableData, match=reason):
        folder.read(yes_no(tmp_path, lines))


def test_real_nih_images_in_chexpert_layout() -> None:
    """693 images of the real folder are read, their checksums known, their splits apart."""
    manifest, refusals = sources.read(shared("nih1000"))
    assert len(manifest) + len(refusals) == 693
    assert len(manifest.rows("valid")) == 81
    assert "" not in manifest.column("sha256")


def test_real_online_images_with_yes_no_truth() -> None:
    """197 images of the real folder: 96 normal, 101 abnormal, licences kept."""
    manifest = folder.read(shared("cxr"))
    values, counts = np.unique(manifest.labels()[:, 0], return_counts=True)
    assert dict(zip(values, counts, strict=True)) == {0.0: 101, 1.0: 96}
    assert "unknown" not in manifest.column("licence")
