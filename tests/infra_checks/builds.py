"""Kustomizations built by the real program, and read without one where there is none."""

import os
import shutil
import subprocess
from pathlib import Path

import yaml

from rendering import Manifest

__all__ = ["CLUSTER_WIDE", "HARNESS", "NoKustomize", "build", "documents", "program", "read"]

HARNESS = Path(os.environ.get("CHEXPERT_CLUSTER_CACHE", Path.home() / ".cache" / "chexpert-cluster")) / "bin"
"""Where the cluster harness keeps what it built."""


CLUSTER_WIDE = frozenset({"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "GatewayClass", "Namespace"})
"""Kinds without a namespace among ours."""


class NoKustomize(Exception):
    """No program builds kustomizations here."""

    def __init__(self) -> None:
        super().__init__(f"neither kustomize nor kubectl is on PATH or in {HARNESS}: kustomizations are only read")


def program() -> list[str]:
    """The command that builds a folder, or NoKustomize."""
    path = f"{os.environ.get('PATH', '')}{os.pathsep}{HARNESS}"
    for name, command in (("kustomize", "build"), ("kubectl", "kustomize")):
        if found := shutil.which(name, path=path):
            return [found, command]
    raise NoKustomize


def build(folder: Path) -> list[Manifest]:
    """Every object of a kustomization.

    Raises:
        NoKustomize: see `program`.
        AssertionError: It does not build; the program's words.
    """
    done = subprocess.run([*program(), str(folder)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{folder}: {done.stderr}"
    return documents(done.stdout)


def read(folder: Path) -> list[Manifest]:
    """The objects of a kustomization in its namespace, without what it generates and transforms."""
    kustomization = yaml.load((folder / "kustomization.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    found: list[Manifest] = []
    for resource in kustomization.get("resources", []):
        at = folder / resource
        found += read(at) if at.is_dir() else documents(at.read_text(encoding="utf-8"))
    for manifest in found:
        if "namespace" in kustomization and manifest["kind"] not in CLUSTER_WIDE:
            manifest["metadata"]["namespace"] = kustomization["namespace"]
    return found


def documents(text: str) -> list[Manifest]:
    """Every object of a YAML text."""
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]
