"""One InferenceService file as the server sees it: its stable version, its canaries, their shares of the traffic.

The file is KServe's own (Standard mode, `spec.canary[]`, master of August 2026 and later). Only a subset is served;
what is outside is refused by its name and line, so that a file never means one thing here and another on a cluster. A
`spec.predictor` without name and storageUri is an environment without a model yet.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from chexpert.domain.errors import InputError
from chexpert.serving.client import MODEL
from chexpert.serving.yaml_reader import BadServedFile, Fields

__all__ = ["BadServedFile", "ServedFile", "ServedVersion", "UnreadableServedFile", "parse", "read"]

VERSION_VARIABLE: Final = "CHEXPERT_VERSION"
DIGEST_VARIABLE: Final = "CHEXPERT_BUNDLE_DIGEST"

_ANNOTATIONS: Final = MappingProxyType(
    {"serving.kserve.io/deploymentMode": "Standard", "serving.kserve.io/autoscalerClass": "none"},
)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"v[0-9]+")
_WHOLE: Final = 100


class UnreadableServedFile(InputError):
    """The file is not there, or not text."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}: give the path of an InferenceService file")
        self.where = where
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """One version of the model as the file names it."""

    name: str
    """`predictor.name`, such as v12; equal to CHEXPERT_VERSION."""
    storage_uri: str
    digest: str
    """CHEXPERT_BUNDLE_DIGEST: sha256 of the bundle's card, 64 hexadecimal digits."""
    traffic: int
    """Percent of the requests, 0 to 100; the stable's is what the canaries leave."""


@dataclass(frozen=True, slots=True)
class ServedFile:
    """What one InferenceService file asks for."""

    name: str
    stable: ServedVersion | None
    """None: no model yet."""
    canaries: tuple[ServedVersion, ...] = ()

    @property
    def versions(self) -> tuple[ServedVersion, ...]:
        """All versions, the stable first."""
        return (self.stable, *self.canaries) if self.stable else ()

    @property
    def weights(self) -> dict[str, int]:
        """Percent of traffic by version name, the stable first."""
        return {version.name: version.traffic for version in self.versions}


def read(path: Path) -> ServedFile:
    """Read one file; see `parse`. UnreadableServedFile if it cannot be read at all."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableServedFile(str(path), str(error)) from error
    return parse(text, where=str(path))


def parse(text: str, *, where: str) -> ServedFile:
    """The served file, or BadServedFile with the name and line of the first thing that is not served."""
    try:
        document = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadServedFile(where, line, "", str(error.problem or error)) from error
    root = Fields.of(document, where, "")
    root.literal("apiVersion", "serving.kserve.io/v1beta1")
    root.literal("kind", "InferenceService")
    metadata = root.mapping("metadata")
    metadata.literal("name", MODEL)
    metadata.optional_text("namespace")
    annotations = metadata.mapping("annotations")
    for annotation, value in _ANNOTATIONS.items():
        annotations.literal(annotation, value)
    annotations.optional_text("serving.kserve.io/enable-prometheus-scraping")
    annotations.done()
    metadata.optional_plain("labels")
    metadata.done()
    spec = root.mapping("spec")
    root.done()
    predictor = spec.mapping("predictor")
    canaries = [(_percent(entry), entry) for entry in spec.items("canary")]
    spec.done()
    if not predictor.has("name") and not (predictor.has("model") and predictor.mapping("model").has("storageUri")):
        _require_empty(predictor)
        if canaries:
            canaries[0][1].refuse("predictor", "a canary needs a named stable beside it")
        return ServedFile(MODEL, None)
    left = _WHOLE - sum(percent for percent, _ in canaries)
    if left < 0:
        spec.refuse("canary", f"the canaries ask for {_WHOLE - left} % of the traffic")
    stable = _version(predictor, left)
    served = ServedFile(MODEL, stable, tuple(_canary(entry, percent) for percent, entry in canaries))
    names = [version.name for version in served.versions]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        spec.refuse("canary", f"{', '.join(twice)} is named twice")
    return served


def _percent(entry: Fields) -> int:
    percent = entry.integer("trafficPercent")
    if not 0 <= percent <= _WHOLE:
        entry.refuse("trafficPercent", f"{percent} is not in 0..{_WHOLE}")
    return percent


def _canary(entry: Fields, percent: int) -> ServedVersion:
    version = _version(entry.mapping("predictor"), percent)
    entry.done()
    return version


def _version(predictor: Fields, percent: int) -> ServedVersion:
    name = predictor.text("name")
    if not _NAME.fullmatch(name):
        predictor.refuse("name", f"{name!r} is not a version name such as v12")
    _replicas(predictor)
    model = predictor.mapping("model")
    predictor.done()
    _runtime(model)
    storage_uri = model.text("storageUri")
    environment = _environment(model)
    model.done()
    version, digest = (environment.get(variable, "") for variable in (VERSION_VARIABLE, DIGEST_VARIABLE))
    if version != name:
        model.refuse("env", f"{VERSION_VARIABLE} is {version!r}, predictor.name is {name!r}")
    if not _DIGEST.fullmatch(digest):
        model.refuse("env", f"{DIGEST_VARIABLE} is {digest!r}, not 64 hexadecimal digits")
    return ServedVersion(name, storage_uri, digest, percent)


def _require_empty(predictor: Fields) -> None:
    """Everything but the version may stand there already, for the first promotion to fill in."""
    _replicas(predictor)
    if predictor.has("model"):
        model = predictor.mapping("model")
        _runtime(model)
        model.done()
    predictor.done()


def _replicas(predictor: Fields) -> None:
    """Read by KServe alone: one process here has neither replicas nor a pod."""
    predictor.optional_integer("minReplicas")
    predictor.optional_integer("terminationGracePeriodSeconds")
    predictor.optional_text("serviceAccountName")
    predictor.optional_plain("annotations")
    predictor.optional_plain("labels")


def _runtime(model: Fields) -> None:
    model_format = model.mapping("modelFormat")
    model_format.literal("name", MODEL)
    model_format.optional_text("version")
    model_format.done()
    model.text("runtime")
    model.literal("protocolVersion", "v2")
    model.optional_plain("resources")


def _environment(model: Fields) -> Mapping[str, Any]:
    values: dict[str, str] = {}
    for entry in model.items("env"):
        name = entry.text("name")
        if name not in {VERSION_VARIABLE, DIGEST_VARIABLE}:
            entry.refuse("name", f"{name} is not read by the server: settings belong to the ServingRuntime")
        values[name] = entry.text("value")
        entry.done()
    return values
