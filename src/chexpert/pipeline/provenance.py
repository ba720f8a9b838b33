"""Where a result came from: commit of the code, versions of what computed it."""

import os
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["git_commit", "versions"]

PACKAGES = ("chexpert", "torch", "lightning", "timm", "numpy", "onnx", "onnxruntime")


def git_commit() -> str:
    """Commit of the running code, `+changes` if the checkout differs; CHEXPERT_COMMIT in an image; else `unknown`."""
    if given := os.environ.get("CHEXPERT_COMMIT"):
        return given
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(  # noqa: S603  git with our own arguments
            ["git", *arguments],  # noqa: S607  git comes from PATH
            cwd=here,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def versions() -> dict[str, str]:
    """Version of each package that can change a result, of those that are installed: an image holds only its own."""
    found = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[f"version {name}"] = version(name)
    return found
