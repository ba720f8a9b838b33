"""onnxruntime-web as npm's registry publishes it: fetched once, held to its digest, put where the site serves it from.

Run: python -m chexpert.triage.on_device_runtime [FOLDER]
"""

import base64
import hashlib
import os
import sys
import tarfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

import httpx

from chexpert.domain.errors import ChexpertError

__all__ = ["FOLDER", "PAGE_FILES", "REGISTRY_VARIABLE", "VERSION", "RuntimeNotFetched", "fetch"]

VERSION: Final = "1.30.0"
INTEGRITY: Final = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""SHA-512 of the package, base64, as npm's registry states it."""
PAGE_FILES: Final = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
"""What the page loads: 14 MB. No other file of the package is served."""
FOLDER: Final = Path("var/onnxruntime-web") / VERSION
"""With the version, so that another one is fetched anew."""
REGISTRY_VARIABLE: Final = "NPM_CONFIG_REGISTRY"
"""npm's own setting; npm itself is not needed."""
_REGISTRY: Final = "https://registry.npmjs.org"
_TIMEOUT_S: Final = 60.0
"""Without a byte."""


class RuntimeNotFetched(ChexpertError):
    """The registry did not answer, or gave another package."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"onnxruntime-web {VERSION} was not fetched: {reason}")
        self.reason = reason


def fetch(
    folder: Path = FOLDER, files: Sequence[str] = PAGE_FILES, environment: Mapping[str, str] = os.environ
) -> None:
    """Put those of the package's files that are missing into `folder`: a download of 33 MB, or none.

    Raises:
        RuntimeNotFetched: The registry gives no such package, one of another digest, or one without a file.
    """
    missing = [name for name in files if not (folder / name).is_file()]
    if not missing:
        return
    registry = environment.get(REGISTRY_VARIABLE) or _REGISTRY
    package = _downloaded(f"{registry.rstrip('/')}/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz")
    found = base64.b64encode(hashlib.sha512(package).digest()).decode()
    if found != INTEGRITY:
        reason = f"the package has the SHA-512 {found}"
        raise RuntimeNotFetched(reason)
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=BytesIO(package)) as archive:
        for name in missing:
            try:
                source = archive.extractfile(f"package/dist/{name}")
            except KeyError:
                source = None
            if source is None:
                reason = f"the package has no dist/{name}"
                raise RuntimeNotFetched(reason)
            partial = folder / f"{name}.{os.getpid()}.tmp"
            partial.write_bytes(source.read())
            partial.replace(folder / name)


def _downloaded(url: str) -> bytes:
    try:
        response = httpx.get(url, follow_redirects=True, timeout=_TIMEOUT_S).raise_for_status()
    except httpx.HTTPError as error:
        reason = f"{httpx.URL(url).host}: {error}"
        raise RuntimeNotFetched(reason) from error
    return response.content


if __name__ == "__main__":
    fetch(Path(sys.argv[1]) if sys.argv[1:] else FOLDER)
