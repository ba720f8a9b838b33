"""Objects held against the schemas of their kinds: core kinds by Kubernetes' own, others by their CRDs as files.

CRDs are looked for in $CHEXPERT_CRDS, in the cluster harness beside the checkout, where a test cluster that was built
here keeps what it installs ($CHEXPERT_CLUSTER_CACHE), and in Go's module cache, where the harness's build leaves those
of the Gateway API and Argo CD.
"""

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from infra_checks.builds import HARNESS
from rendering import Manifest

__all__ = ["NoSchema", "complaints", "sources"]

KUBERNETES = "1.35"
ROOT = Path(__file__).parents[2]

_GROUP = re.compile(r"^  group: (\S+)$", re.MULTILINE)
_KIND = re.compile(r"^    kind: (\S+)$", re.MULTILINE)
_DEFINITION = re.compile(r"^kind: CustomResourceDefinition$", re.MULTILINE)
_BETWEEN = re.compile(r"^---.*$", re.MULTILINE)


class NoSchema(Exception):
    """No file describes this kind here."""

    def __init__(self, version: str, kind: str) -> None:
        self.kind = f"{version} {kind}"
        super().__init__(f"no schema of {self.kind} here: give its CRD in $CHEXPERT_CRDS")


def sources() -> Iterator[Path]:
    """Folders with CRDs, the caller's first."""
    if stated := os.environ.get("CHEXPERT_CRDS"):
        yield Path(stated)
    yield ROOT.parent / "shared" / "cluster" / "crds"
    yield from (HARNESS.parent / "manifests" / name for name in ("argocd", "gateway-api"))
    modules = Path(os.environ.get("GOMODCACHE", Path.home() / "go" / "pkg" / "mod"))
    yield from sorted(modules.glob("sigs.k8s.io/gateway-api@*/config/crd/standard"), reverse=True)
    yield from sorted(modules.glob("github.com/argoproj/argo-cd/v3@*/manifests/crds"), reverse=True)


def complaints(manifest: Manifest) -> list[str]:
    """What the schema of its kind has against an object, unknown fields included.

    Raises:
        NoSchema: Nothing here describes the kind.
    """
    try:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{_name(manifest)}: {'.'.join(map(str, error.path))}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError:
        validator = _validator(manifest["apiVersion"], manifest["kind"])
        return [
            f"{_name(manifest)}: {'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"
            for error in validator.iter_errors(manifest)
        ]
    return []


def _name(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata'].get('name', '')}"


@cache
def _definitions() -> dict[tuple[str, str], str]:
    """CRDs by group and kind; found by their text, since some take seconds to parse and stand among other objects."""
    found: dict[tuple[str, str], str] = {}
    for folder in sources():
        for path in sorted(folder.rglob("*.yaml")) if folder.is_dir() else ():
            for text in _BETWEEN.split(path.read_text(encoding="utf-8")):
                group, kind = _GROUP.search(text), _KIND.search(text)
                if _DEFINITION.search(text) and group and kind:
                    found.setdefault((group[1], kind[1]), text)
    return found


@cache
def _validator(version: str, kind: str) -> jsonschema.Draft202012Validator:
    group, _, name = version.partition("/")
    text = _definitions().get((group, kind))
    if text is None:
        raise NoSchema(version, kind)
    for entry in yaml.load(text, Loader=yaml.CSafeLoader)["spec"]["versions"]:
        if entry["name"] == name:
            return jsonschema.Draft202012Validator(_strict(entry["schema"]["openAPIV3Schema"], root=True))
    raise NoSchema(version, kind)


def _strict(schema: dict[str, Any], *, root: bool = False) -> dict[str, Any]:
    """A structural schema as JSON Schema in which an unknown field is an error, as the API server's strict mode has it.

    Conditions (anyOf and so on) say nothing of which fields there are: they stay as they stand.
    """
    result = {key: schema[key] for key in _KEPT & schema.keys()}
    fields = {name: _strict(field) for name, field in schema.get("properties", {}).items()}
    if root or schema.get("x-kubernetes-embedded-resource"):
        fields |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    if fields:
        result["properties"] = fields
    if isinstance(extra := schema.get("additionalProperties"), dict):
        result["additionalProperties"] = _strict(extra)
    elif fields and extra is None and not schema.get("x-kubernetes-preserve-unknown-fields"):
        result["additionalProperties"] = False
    if "items" in schema:
        result["items"] = _strict(schema["items"])
    if schema.get("x-kubernetes-int-or-string"):
        result.pop("type", None)
        result.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    if schema.get("nullable") and "type" in result:
        result["type"] = [result["type"], "null"]
    return result


_KEPT = frozenset(
    {
        "type", "required", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
        "minProperties", "maxProperties", "anyOf", "allOf", "oneOf", "not",
    },
)  # fmt: skip
