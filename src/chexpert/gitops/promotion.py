"""Pure edits of one InferenceService text: text in, text out.

Every field stands in both roles, so that a pod's template is the same before and after a swap: nothing restarts (seen
on a cluster). Only what KServe reads of the role itself, the replicas, stays with the role.
"""

from typing import Any, Final

from ruamel.yaml.comments import CommentedMap

from chexpert.gitops.document import Document, block
from chexpert.gitops.errors import AlreadyRollingOut, AlreadyServed, NoCanary, NoStable
from chexpert.serving.client import MODEL

__all__ = ["drop_slot", "first", "replace", "set_weight", "start_canary", "swap", "withdraw"]

_STABLE_ONLY: Final = ("minReplicas", "maxReplicas", "scaleTarget", "scaleMetric", "autoScaling", "workerSpec")
"""Of the role, not of the version. KServe refuses all but minReplicas in a canary, whose replicas follow its weight."""

_RUNTIME: Final = "chexpert"
_MIN_REPLICAS: Final = 2
"""One spare: a ready canary takes its replicas off the stable's, even at 0 %."""
_WHOLE: Final = 100


def first(
    text: str, version: str, uri: str, digest: str, *, runtime: str = _RUNTIME, replicas: int = _MIN_REPLICAS
) -> str:
    """Write the stable of an empty environment.

    Args:
        text: Its `spec.predictor` is empty, or has everything but the version.
        version: Name such as v1.
        uri: Immutable address of the bundle.
        digest: Sha256 of its card, 64 hexadecimal digits.
        runtime: ServingRuntime, where the file names none.
        replicas: Pods, where the file has none: an empty environment has 0 of them.

    Raises:
        AlreadyServed: The environment has a stable.
        BrokenInferenceService: The text is none.
    """
    document = Document(text)
    if document.predictor.get("name"):
        raise AlreadyServed(str(document.predictor["name"]))
    if not document.predictor:
        document.put_predictor({"minReplicas": replicas})
    predictor = document.predictor
    if not predictor.get("minReplicas"):
        predictor["minReplicas"] = replicas
    predictor.insert(0, "name", version)
    model = predictor.setdefault("model", block({}))
    for key, value in {"modelFormat": {"name": MODEL}, "runtime": runtime, "protocolVersion": "v2"}.items():
        model.setdefault(key, block(value))
    _name(predictor, version, uri, digest)
    return document.text


def start_canary(text: str, version: str, uri: str, digest: str, percent: int) -> str:
    """Add the candidate beside the stable; an old version kept at 0 % makes room for it.

    Raises:
        NoStable: The environment is empty.
        AlreadyServed: The file names the version.
        AlreadyRollingOut: Another canary gets traffic.
    """
    document = Document(text)
    stable = _stable(document)
    if version in _names(document):
        raise AlreadyServed(version)
    routed = [str(entry["predictor"]["name"]) for entry in document.canaries if entry["trafficPercent"] > 0]
    if routed:
        raise AlreadyRollingOut(tuple(routed))
    candidate = block({key: value for key, value in stable.items() if key not in _STABLE_ONLY})
    _name(candidate, version, uri, digest)
    document.put_canaries([_entry(percent, candidate)])
    return document.text


def set_weight(text: str, version: str, percent: int) -> str:
    """Give a canary another share, 0 to 100 percent."""
    document = Document(text)
    entry = _canary(document, version)
    entry["trafficPercent"] = percent
    if percent > 0:  # derived from the weight; a fixed 1 would be one pod for all the traffic
        entry["predictor"].pop("minReplicas", None)
    return document.text


def swap(text: str, version: str) -> str:
    """Exchange the roles: the canary becomes the stable, the old stable stays at 0 % with one replica, as the way back.

    Done at 100 %. Dropping the old one in the same commit would cost dozens to hundreds of HTTP 500 (measured).
    """
    document = Document(text)
    stable, entry = _stable(document), _canary(document, version)
    candidate = entry["predictor"]
    for key in [*dict.fromkeys([*stable, *candidate])]:
        if key in _STABLE_ONLY:
            continue
        ours, theirs = stable.get(key), candidate.get(key)
        _put(stable, key, theirs)
        _put(candidate, key, ours)
    _keep(entry)
    document.put_canaries([entry])
    return document.text


def replace(text: str, version: str, uri: str, digest: str) -> str:
    """Make a version the stable at once and keep the old one at 0 %: for an environment nobody depends on (staging)."""
    return swap(set_weight(start_canary(text, version, uri, digest, 0), version, _WHOLE), version)


def drop_slot(text: str) -> str:
    """Let go of the versions kept at 0 %."""
    document = Document(text)
    document.put_canaries([entry for entry in document.canaries if entry["trafficPercent"] > 0])
    return document.text


def withdraw(text: str, version: str) -> str:
    """Take the candidate's canary away; the stable gets its traffic back."""
    document = Document(text)
    gone = _canary(document, version)
    document.put_canaries([entry for entry in document.canaries if entry is not gone])
    return document.text


def _stable(document: Document) -> CommentedMap:
    if not document.predictor.get("name"):
        raise NoStable
    return document.predictor


def _canary(document: Document, version: str) -> CommentedMap:
    for entry in document.canaries:
        if entry["predictor"]["name"] == version:
            return entry
    raise NoCanary(version)


def _names(document: Document) -> set[str]:
    return {str(_stable(document)["name"]), *(str(entry["predictor"]["name"]) for entry in document.canaries)}


def _entry(percent: int, predictor: CommentedMap) -> CommentedMap:
    entry: CommentedMap = block({"trafficPercent": percent})
    entry["predictor"] = predictor
    return entry


def _keep(entry: CommentedMap) -> None:
    entry["trafficPercent"] = 0
    predictor = entry["predictor"]
    # Without minReplicas a canary at 0 % has no pod and is never ready, so it would be no way back.
    predictor["minReplicas"] = 1
    if "name" in predictor:
        predictor.move_to_end("minReplicas", last=False)
        predictor.move_to_end("name", last=False)


def _put(mapping: CommentedMap, key: str, value: Any) -> None:
    if value is None:
        mapping.pop(key, None)
    else:
        mapping[key] = value


def _name(predictor: CommentedMap, version: str, uri: str, digest: str) -> None:
    predictor["name"] = version
    model = predictor["model"]
    model["storageUri"] = uri
    ours = {"CHEXPERT_VERSION": version, "CHEXPERT_BUNDLE_DIGEST": digest}
    others = [entry for entry in model.get("env") or [] if entry.get("name") not in ours]
    model["env"] = block([*({"name": name, "value": value} for name, value in ours.items()), *others])
