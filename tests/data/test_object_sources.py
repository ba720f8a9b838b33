"""Sources in an object store, by fsspec's memory."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from chexpert.data import chexpert_csv, sources
from chexpert.data.chexpert_csv import COLUMNS
from chexpert.data.errors import UnreadableData
from chexpert.data.shards import build
from chexpert.data.stored import Store
from chexpert.data.upload import NotUploaded, Uploaded, upload
from chexpert.imaging.preprocess import PreprocessSpec

from .conftest import addresses, same_elsewhere, write_image

Row = Callable[..., list[str]]


@pytest.fixture
def memory() -> Iterator[str]:
    """A prefix in this process's memory."""
    prefix = uuid4().hex
    yield f"memory://{prefix}/uploads"
    fsspec.filesystem("memory").rm(f"/{prefix}", recursive=True)


def test_chexpert_reads_alike_from_memory(two_tables: Path, memory: str) -> None:
    """Same digest as from disk; image_path is the URI."""
    uri = f"{memory}/{two_tables.name}"
    upload(two_tables, uri)
    same_elsewhere(two_tables, uri)


def test_the_folder_around_it_is_good_enough(two_tables: Path, memory: str) -> None:
    """A prefix that holds the CheXpert folder, as on disk."""
    upload(two_tables, f"{memory}/{two_tables.name}")
    assert addresses(sources.read(f"{memory}/")[0])[0].startswith(f"{memory}/{two_tables.name}/train/patient00000")


def test_a_mirror_without_folders_is_found(two_tables: Path, memory: str) -> None:
    """Images beside train.csv instead of below train/."""
    (two_tables / "valid.csv").unlink()
    for patient in (two_tables / "train").iterdir():
        patient.rename(two_tables / patient.name)
    uri = f"{memory}/{two_tables.name}"
    upload(two_tables, uri)
    assert "" not in same_elsewhere(two_tables, uri).column("sha256")


def test_labels_csv_reads_alike_from_memory(tmp_path: Path, memory: str) -> None:
    """Yes/no truth in a store: same digest; a path with ./ names the same object."""
    write_image(tmp_path / "cxr/a.png", 1)
    write_image(tmp_path / "cxr/sub/b.png", 2)
    (tmp_path / "cxr/labels.csv").write_text("file,abnormal,view\na.png,1,AP\n./sub/b.png,0,PA\n")
    uri = f"{memory}/cxr"
    upload(tmp_path / "cxr", uri)
    same_elsewhere(tmp_path / "cxr", uri)


def test_a_file_uri_is_the_folder(two_tables: Path) -> None:
    """file:// gives paths in the manifest, as the folder does."""
    assert addresses(sources.read(f"file://{two_tables}")[0]) == addresses(sources.read(two_tables)[0])


def test_a_missing_object_is_a_row_without_checksum(two_tables: Path, memory: str) -> None:
    """The ETL refuses it by its URI; the others are built."""
    next((two_tables / "train/patient00003").rglob("*.jpg")).unlink()
    upload(two_tables, memory)
    manifest = sources.read(memory)[0]
    assert list(manifest.column("sha256")).count("") == 1
    kept, _, refusals = build(manifest, f"{memory}-shards", PreprocessSpec(size=16), workers=1)
    assert len(kept) == 7
    assert [str(one) for one in refusals] == [
        f"refused {memory}/train/patient00003/study1/view1_frontal.jpg: no such file",
    ]


def test_an_empty_object_has_the_checksum_of_nothing(two_tables: Path, memory: str) -> None:
    """No bytes are asked for that are not there."""
    next((two_tables / "train/patient00003").rglob("*.jpg")).write_bytes(b"")
    upload(two_tables, memory)
    assert sources.read(memory)[0].column("sha256")[3].startswith("e3b0c44298fc1c14")


def test_a_large_object_is_hashed_in_blocks(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of a block, the checksum is that of the bytes."""
    fsspec.filesystem("memory").pipe_file(f"{memory}/one", bytes(range(256)))
    monkeypatch.setattr("chexpert.data.stored._BLOCK", 100)
    assert Store(memory).sha256("one", 256) == "40aff2e9d2d8922e47afd4648e6967497158785fbd1da870e7110266bf944880"


def test_a_wrong_cell_is_named_by_uri(memory: str, csv_row: Row) -> None:
    """URI, line, column and value: enough to repair it."""
    row = csv_row("train/patient00001/study1/view1_frontal.jpg", Edema="2.0")
    fsspec.filesystem("memory").pipe_file(f"{memory}/train.csv", "\n".join([",".join(COLUMNS), ",".join(row)]).encode())
    with pytest.raises(UnreadableData, match=rf"^{memory}/train.csv: line 2: Edema 2.0 is not 1, 0, -1 or blank"):
        chexpert_csv.read(memory)


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("memory://nothing/here", r"^memory://nothing/here: neither train.csv nor valid.csv"),
        ("nosuch://bucket/prefix", r"^nosuch://bucket/prefix: no store known by this address: .*nosuch"),
    ],
)
def test_a_uri_of_nothing_is_refused(uri: str, reason: str) -> None:
    """An empty prefix, or a protocol that nobody speaks."""
    with pytest.raises(UnreadableData, match=reason):
        sources.read(uri)


def test_an_upload_goes_on_where_it_stopped(two_tables: Path, memory: str) -> None:
    """A second run sends what changed or is missing, and nothing else."""
    assert upload(two_tables, memory).sent == 10
    missing = next((two_tables / "train/patient00001").rglob("*.jpg")).relative_to(two_tables)
    fsspec.filesystem("memory").rm_file(f"{memory}/{missing}")
    changed = next((two_tables / "train/patient00002").rglob("*.jpg"))
    changed.write_bytes(changed.read_bytes()[::-1])
    size = sum(path.stat().st_size for path in (changed, two_tables / missing))
    assert upload(two_tables, memory) == Uploaded(10, 2, size)


def test_tables_come_after_every_image(two_tables: Path, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that finds a table finds its images."""
    order: list[str] = []
    put = Store.put
    monkeypatch.setattr(Store, "put", lambda store, name, file: (order.append(name), put(store, name, file)))
    upload(two_tables, memory)
    assert sorted(order[8:]) == ["train.csv", "valid.csv"]


def test_an_object_that_differs_afterwards_is_named(
    two_tables: Path, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Success is never reported of bytes that are not there; no table was written."""
    monkeypatch.setattr(Store, "put", lambda store, name, _: store._fs.pipe_file(f"{store.uri}/{name}", b"other"))
    with pytest.raises(NotUploaded, match=rf"^8 objects differ from their files, the first is {memory}/train/patient"):
        upload(two_tables, memory)
    assert not [name for name in Store(memory).listing() if name.endswith(".csv")]


@pytest.mark.parametrize("target", ["{}/there", "file://{}/there"])
def test_an_upload_to_this_machine_is_refused(two_tables: Path, tmp_path: Path, target: str) -> None:
    """The reader would take the copy for a local folder, without record."""
    with pytest.raises(UnreadableData, match=r"lies on this machine: name an object store"):
        upload(two_tables, target.format(tmp_path))
