"""Lets a CUDA build of torch run on processors without CUDA's libraries, which are 3 GB.

`cuda_stubs.py ROOT` writes one library under ROOT for each that torch is linked against, at the place where the loader
looks first: beside torch's own. Every function in it returns 100, CUDA's "no device", so that torch reports none and
keeps to the processor. Needed only where PyTorch's index, which has builds without CUDA, cannot be reached.
"""
# ruff: noqa: INP001, S603, S607

import re
import subprocess
import sys
import sysconfig
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

CUDA = re.compile(
    r"lib(cublas|cublasLt|cudart|cudnn|cufft|cufile|cupti|cusolver|cusparse|cusparseLt|nccl|nvrtc|nvshmem_host)\.so\.\d+"
)
NO_DEVICE = 100


def readelf(option: str, library: Path) -> str:
    """Returns what binutils' `readelf` prints; raises CalledProcessError where it cannot read the file."""
    done = subprocess.run(["readelf", "-W", option, str(library)], check=True, capture_output=True, text=True)
    return done.stdout


def version_nodes(needs: str) -> dict[str, str]:
    """Returns the version under which a library's functions are asked for, from `readelf -V`, by library."""
    nodes, library = {}, ""
    for line in needs.splitlines():
        if file := re.search(r"File: (\S+)", line):
            library = file[1]
        elif CUDA.fullmatch(library) and (name := re.search(r"Name: (\S+) +Flags", line)):
            nodes[library] = name[1]
    return nodes


def functions(symbols: str, nodes: dict[str, str], missing: dict[str, str]) -> Iterable[tuple[str, str]]:
    """Yields library and name of each function asked for, from `readelf --dyn-syms`.

    A name without a version (NCCL's, cuFile's) is told by how it begins; `missing` maps each library to that.
    """
    owners = {node: library for library, node in nodes.items()}
    for columns in map(str.split, symbols.splitlines()):
        if len(columns) < 8 or columns[6] != "UND":  # noqa: PLR2004
            continue
        name, _, version = columns[7].partition("@")
        if version in owners:
            yield owners[version], name
        elif not version:
            yield from ((lib, name) for lib, prefix in missing.items() if name.lower().startswith(prefix.lower()))


def write(path: Path, node: str, names: Iterable[str]) -> None:
    """Compiles a library of these functions, all under one version; raises CalledProcessError where gcc refuses."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        source, versions = Path(folder, "stub.c"), Path(folder, "versions")
        source.write_text("".join(f"int {name}(void) {{ return {NO_DEVICE}; }}\n" for name in sorted(names)))
        versions.write_text(f"{node} {{ global: *; }};\n")
        options = [f"-Wl,-soname,{path.name}", f"-Wl,--version-script={versions}", "-o", str(path)]
        subprocess.run(["gcc", "-shared", "-nostdlib", "-fno-builtin", "-w", *options, str(source)], check=True)


def main(root: Path) -> None:
    """Writes the libraries that the installed torch asks for."""
    place = Path(sysconfig.get_path("purelib"), "torch", "lib")
    libraries = sorted(place.glob("*.so*"))
    missing = {found[0]: found[1] for library in libraries for found in CUDA.finditer(readelf("-d", library))}
    nodes: dict[str, str] = {}
    for library in libraries:
        nodes |= version_nodes(readelf("-V", library))
    names: dict[str, set[str]] = defaultdict(set)
    for library in libraries:
        for owner, name in functions(readelf("--dyn-syms", library), nodes, missing):
            names[owner].add(name)
    for library_name in missing:
        write(root / place.relative_to("/") / library_name, nodes.get(library_name, ""), names[library_name])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
