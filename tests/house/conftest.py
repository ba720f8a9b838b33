"""The checkout as the tests of the house see it."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def tracked() -> list[Path]:
    """Files of the checkout that git tracks or would, without those deleted by hand; relative to the top."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if listing.returncode != 0:
        pytest.skip(f"not a git checkout, so what is committed is unknown: {listing.stderr.strip()}")
    return [path for line in listing.stdout.splitlines() if (ROOT / (path := Path(line))).is_file()]
