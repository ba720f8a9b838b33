"""The step from a body to what it asks."""

import subprocess
import sys
from pathlib import Path

CHECKS = Path(__file__).parent / "apart" / "reading_checks.py"


def test_bodies_are_read_or_refused() -> None:
    """Each property of `apart/reading_checks.py` holds."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CHECKS)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout
