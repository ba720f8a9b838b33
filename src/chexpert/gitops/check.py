"""Which edits of an environment's file may be merged: those that change versions, and never stop the answering."""

from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from chexpert.domain.digests import of_value
from chexpert.domain.verdicts import Verdict
from chexpert.serving.isvc import BadServedFile, ServedFile, ServedVersion, parse

__all__ = ["check_diff", "is_return"]

_MOVING: Final = ("models:/", "mlflow:", "runs:/")
"""Addresses that mean something else tomorrow: git would not say what is served."""


def check_diff(before: str, after: str, *, subject: str = "inferenceservice.yaml") -> Verdict:
    """Judge a promotion by the file before and after it.

    Refused: a change outside spec.predictor and spec.canary; a file that the server would not read; a version that gets
    traffic now and is missing after; a storageUri that is an alias or does not end in the bundle's digest; another
    bundle under a name already served.
    """
    failures = [*_outside(before, after)]
    try:
        old, new = parse(before, where="before"), parse(after, where="after")
    except BadServedFile as error:
        failures.append(str(error))
    else:
        failures += [*_dropped(old, new), *_addresses(new), *_reused(old, new)]
    return Verdict.judge(
        "promotion-diff",
        subject,
        failures,
        otherwise="only versions and weights change, and every version with traffic stays",
        inputs_digest=of_value({"before": before, "after": after}),
    )


def is_return(before: str, after: str) -> bool:
    """Whether the edit takes traffic from canaries and gives none to any other: the way back, which no check may bar.

    The stable stays, and an old version may stand at 0 % again, as a revert brings it back. False where a text is not
    readable.
    """
    try:
        if _outside(before, after):
            return False
        old, new = parse(before, where="before"), parse(after, where="after")
    except BadServedFile:
        return False
    now, then = ({v.name: v.digest for v in served.canaries if v.traffic > 0} for served in (new, old))
    if old.stable is None or new.stable is None or not now.items() < then.items():
        return False
    return (old.stable.name, old.stable.digest) == (new.stable.name, new.stable.digest)


def _outside(before: str, after: str) -> list[str]:
    try:
        old, new = _without_versions(before), _without_versions(after)
    except YAMLError as error:
        return [f"the file is no YAML: {error}"]
    changed = sorted(_paths(old, new, ""))
    return [f"{path} changes: a promotion may change only spec.predictor and spec.canary" for path in changed]


def _without_versions(text: str) -> Any:
    root = YAML(typ="safe", pure=True).load(text)
    if isinstance(root, dict) and isinstance(root.get("spec"), dict):
        root["spec"] = {k: v for k, v in root["spec"].items() if k not in {"predictor", "canary"}}
    return root


def _paths(old: Any, new: Any, at: str) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = old.keys() | new.keys()
        return [path for key in keys for path in _paths(old.get(key), new.get(key), f"{at}.{key}" if at else str(key))]
    return [] if old == new else [at or "the whole file"]


def _dropped(old: ServedFile, new: ServedFile) -> list[str]:
    left = {version.name for version in new.versions}
    return [
        f"{version.name} gets {version.traffic} % of the traffic and would be dropped: "
        "swap the names and keep it at 0 %, drop it later"
        for version in old.versions
        if version.traffic > 0 and version.name not in left
    ]


def _addresses(new: ServedFile) -> list[str]:
    failures = []
    for version in new.versions:
        if version.storage_uri.startswith(_MOVING):
            failures.append(f"{version.name}: {version.storage_uri} may move: resolve it to its bundle first")
        elif not version.storage_uri.rstrip("/").endswith(f"sha256-{version.digest}"):
            failures.append(
                f"{version.name}: {version.storage_uri} does not end in sha256-{version.digest[:12]}…, "
                "the digest its pods expect"
            )
    return failures


def _reused(old: ServedFile, new: ServedFile) -> list[str]:
    known: dict[str, ServedVersion] = {version.name: version for version in old.versions}
    return [
        f"{version.name} is served with another bundle: a version's name is never used twice"
        for version in new.versions
        if version.name in known and known[version.name].digest != version.digest
    ]
