"""A folder from which the role `cluster` installs Kubernetes without a way out, made of programs built elsewhere.

The images are docker archives of one layer, tagged as `kubeadm config images list` prints: what they hold is what was
built, also where the tag names another version (etcd, CoreDNS).
"""

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

__all__ = ["missing", "prepare"]

CACHE = Path(os.environ.get("CHEXPERT_CLUSTER_CACHE", "~/.cache/chexpert-cluster")).expanduser()
"""Where `bin/` has Kubernetes' programs."""

_PROGRAMS = ("kubelet", "kubeadm", "kubectl")
_IN_IMAGES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "etcd", "coredns", "pause")
_XTABLES = Path("/usr/lib/x86_64-linux-gnu/xtables")
_IPTABLES = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")


def missing() -> str:
    """What is not here, as a reason to skip; empty when all is here."""
    absent = [name for name in (*_PROGRAMS, *_IN_IMAGES) if not os.access(CACHE / "bin" / name, os.X_OK)]
    if absent:
        return f"no {', '.join(absent)} under {CACHE}/bin: CHEXPERT_CLUSTER_CACHE names the folder with Kubernetes"
    return "" if _XTABLES.exists() else f"no {_XTABLES} for kube-proxy's image: apt-get install iptables"


def prepare(folder: Path) -> str:
    """Fill the folder, about 15 s and 450 MB; the version that it holds, without a v."""
    (folder / "programs").mkdir(parents=True)
    (folder / "images").mkdir()
    built = CACHE / "bin"
    for name in _PROGRAMS:
        (folder / "programs" / name).symlink_to(built / name)
    version = _printed(str(built / "kubeadm"), "version", "-o", "short").removeprefix("v")
    listed = _printed(str(built / "kubeadm"), "config", "images", "list", "--kubernetes-version", f"v{version}")
    images: list[dict[str, Any]] = []
    for tag in [*listed.split(), "localhost/busybox:1"]:
        name = re.split(r"[/:]", tag)[-2]
        files, config = _contents(name, built, folder)
        _archive(folder / "images" / f"{name}.tar", tag, files, config)
        on_control_plane = name in {"kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"}
        images.append({"name": tag, "archive": f"images/{name}.tar", "control_plane_only": on_control_plane})
    paths = [path for part in ("programs", "images") for path in sorted((folder / part).iterdir())]
    sha256 = {str(path.relative_to(folder)): _sha256(path) for path in paths}
    (folder / "index.yml").write_text(yaml.safe_dump({"version": version, "sha256": sha256, "images": images}))
    return version


def _contents(name: str, built: Path, folder: Path) -> tuple[dict[str, Path | str], dict[str, Any]]:
    """Files of an image by their place in it (a string is a link), and its configuration."""
    if name == "busybox":
        program = _busybox(folder)
        return {"bin/busybox": program, "bin/sh": "busybox"}, {}
    if name in {"coredns", "pause"}:
        return {name: built / name}, {"Entrypoint": [f"/{name}"]}
    files: dict[str, Path | str] = {f"usr/local/bin/{name}": built / name}
    if name == "kube-proxy":
        multi = Path(shutil.which("xtables-nft-multi") or "/usr/sbin/xtables-nft-multi")
        # The extensions' own libraries too: without libm (statistic) no rule at all is written.
        needed = [multi, *_XTABLES.glob("*.so")]
        files |= {str(path).lstrip("/"): path for path in (*needed, *_libraries(needed))}
        files |= {f"usr/sbin/{link}": multi.name for link in _IPTABLES}
    return files, {"Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}


def _libraries(programs: Iterable[Path]) -> set[Path]:
    printed = _printed("ldd", *map(str, programs))
    return {Path(found) for found in re.findall(r"(/lib\S+\.so\S*) \(0x", printed)}


def _busybox(folder: Path) -> Path:
    work = folder / "busybox"
    work.mkdir()
    _printed("apt-get", "download", "-qq", "busybox-static", cwd=work)
    (package,) = work.glob("*.deb")
    _printed("dpkg-deb", "-x", str(package), str(work / "root"))
    return work / "root/bin/busybox"


def _archive(path: Path, tag: str, files: Mapping[str, Path | str], config: dict[str, Any]) -> None:
    layer = path.with_suffix(".layer")
    with tarfile.open(layer, "w") as tar:
        for place, source in sorted(files.items()):
            if isinstance(source, str):
                entry = tarfile.TarInfo(place)
                entry.type, entry.linkname = tarfile.SYMTYPE, source
                tar.addfile(entry)
            else:
                tar.add(source.resolve(), place)
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{_sha256(layer)}"]}
    image = json.dumps({"architecture": "amd64", "os": "linux", "config": config, "rootfs": rootfs}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as tar:
        tar.add(layer, "layer.tar")
        for name, content in (("config.json", image), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    layer.unlink()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _printed(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        message = f"{' '.join(command)}: {done.stderr}"
        raise RuntimeError(message)
    return done.stdout.strip()
