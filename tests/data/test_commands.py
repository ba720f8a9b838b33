from pathlib import Path

import pytest
from typer.testing import CliRunner

from chexpert.cli.data import app
from chexpert.data.errors import UnreadableData
from chexpert.data.shards import Shards


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_from_nothing_to_shards(tmp_path: Path) -> None:
    """Synth, manifest, etl, show: each reads what the one before wrote."""
    folder, manifest, shards = tmp_path / "phantoms", tmp_path / "manifest.parquet", tmp_path / "shards"
    assert "truth.csv" in run("synth", folder, "--train-patients", 6, "--valid-patients", 2)
    written = run("manifest", folder, manifest)
    assert "valid" in written
    assert "0 refused" in run("etl", manifest, shards, "--size", 32, "--workers", 1)
    assert Shards.open(str(shards)).size == 32
    assert written.split()[-1] == run("show", manifest).split()[-1]


def test_a_folder_goes_to_a_store_and_is_read_there(tmp_path: Path) -> None:
    """Upload, then manifest of the URI: the digest is that of the folder."""
    folder, uri = tmp_path / "phantoms", "memory://test-commands/phantoms"
    run("synth", folder, "--train-patients", 6, "--valid-patients", 2)
    files = sum(path.is_file() for path in folder.rglob("*"))
    assert f"{files} files verified, {files} of them sent now" in run("upload", folder, uri)
    assert f"{files} files verified, 0 of them sent now" in run("upload", folder, uri)
    local, remote = (run("manifest", source, tmp_path / "m.parquet").split()[-1] for source in (folder, uri))
    assert remote == local


def test_a_refused_file_is_one_line_and_no_failure(tmp_path: Path) -> None:
    """The run goes on; the line names file and reason."""
    folder, manifest = tmp_path / "phantoms", tmp_path / "manifest.parquet"
    run("synth", folder, "--train-patients", 6, "--valid-patients", 2)
    victim = next((folder / "train").rglob("*.jpg"))
    victim.write_bytes(victim.read_bytes()[:200])
    run("manifest", folder, manifest)
    output = run("etl", manifest, tmp_path / "shards", "--workers", 1)
    assert "1 refused" in output
    assert str(victim) in output.replace("\n", "")


def test_a_folder_of_nothing_is_refused(tmp_path: Path) -> None:
    """The error goes up to where it becomes one line and an exit code."""
    with pytest.raises(UnreadableData, match=r"neither train.csv nor valid.csv"):
        run("manifest", tmp_path, tmp_path / "m.parquet")
