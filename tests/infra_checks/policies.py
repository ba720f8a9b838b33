"""Rules for whatever runs on the cluster. Each takes one workload and says what is against it."""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from infra_checks.objects import Workload

__all__ = ["POLICIES", "Policy", "quantity"]

Policy = Callable[[Workload], Iterator[str]]

LONG_RUNNING: Final = {"Deployment", "StatefulSet", "DaemonSet", "ServingRuntime"}
IDLE_CPU: Final = Decimal("0.2")
"""Cores that a container may ask for that waits for work: a canary must fit beside the platform on two."""
IDLE_MEMORY: Final = 512 * 1024**2
"""Bytes, for the same reason."""

_UNITS: Final = {"m": Decimal("0.001"), "": Decimal(1)} | {
    unit: Decimal(base**power)
    for base, suffix in ((1000, ""), (1024, "i"))
    for power, unit in ((1, f"{'k' if base == 1000 else 'K'}{suffix}"), (2, f"M{suffix}"), (3, f"G{suffix}"))
}
_QUANTITY: Final = re.compile(r"([0-9.]+)([a-zA-Z]*)")
_PARAMETER: Final = re.compile(r"\{\{\s*workflow\.parameters\.([\w-]+)\s*\}\}")
_PINNED: Final = re.compile(r"[^@\s]+(:(?!latest$)[\w][\w.-]*|@sha256:[0-9a-f]{64})")


def quantity(text: object) -> Decimal:
    """A resource quantity such as 200m or 512Mi as a plain number of cores or bytes; ValueError if it is none."""
    found = _QUANTITY.fullmatch(str(text))
    if found is None or found[2] not in _UNITS:
        message = f"{text!r} is no quantity"
        raise ValueError(message)
    return Decimal(found[1]) * _UNITS[found[2]]


def _security(workload: Workload, container: Mapping[str, Any], name: str) -> Any:
    """A container's setting, or its pod's."""
    pod = workload.pod.get("securityContext") or {}
    return (container.get("securityContext") or {}).get(name, pod.get(name))


def non_root(workload: Workload) -> Iterator[str]:
    """A user that is not root, by number: a name is looked up in the image, and runAsNonRoot alone trusts it."""
    for container in workload.all_containers:
        user = _security(workload, container, "runAsUser")
        if _security(workload, container, "runAsNonRoot") is not True:
            yield f"{container['name']}: runAsNonRoot is not true"
        if not isinstance(user, int) or user <= 0:
            yield f"{container['name']}: runAsUser is {user!r}, not the number of a user"


def read_only(workload: Workload) -> Iterator[str]:
    """What is written lies in a volume."""
    for container in workload.all_containers:
        if (container.get("securityContext") or {}).get("readOnlyRootFilesystem") is not True:
            yield f"{container['name']}: its root file system can be written"


def no_capabilities(workload: Workload) -> Iterator[str]:
    """Nothing that root could."""
    for container in workload.all_containers:
        security = container.get("securityContext") or {}
        capabilities = security.get("capabilities") or {}
        if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
            yield f"{container['name']}: capabilities are {dict(capabilities)}, not drop: [ALL]"
        if security.get("allowPrivilegeEscalation") is not False:
            yield f"{container['name']}: allowPrivilegeEscalation is not false"
        if security.get("privileged"):
            yield f"{container['name']}: is privileged"


def seccomp(workload: Workload) -> Iterator[str]:
    """The runtime's filter of system calls."""
    for container in workload.all_containers:
        profile = _security(workload, container, "seccompProfile") or {}
        if profile.get("type") not in {"RuntimeDefault", "Localhost"}:
            yield f"{container['name']}: seccompProfile is {profile.get('type')}"


def no_host(workload: Workload) -> Iterator[str]:
    """Nothing of the node."""
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if workload.pod.get(key):
            yield key
    for volume in workload.pod.get("volumes") or []:
        if "hostPath" in volume:
            yield f"volume {volume['name']} is a path of the node"
    for container in workload.all_containers:
        yield from (f"{container['name']}: hostPort" for port in container.get("ports") or [] if "hostPort" in port)


def probes(workload: Workload) -> Iterator[str]:
    """What runs for long says when it may be asked, and when it hangs."""
    if workload.kind in LONG_RUNNING:
        for container in workload.containers:
            for probe in ("readinessProbe", "livenessProbe"):
                if probe not in container:
                    yield f"{container['name']}: no {probe}"


def limits(workload: Workload) -> Iterator[str]:
    """The scheduler knows what it needs, and a leak ends at a limit."""
    for container in workload.all_containers:
        resources = container.get("resources") or {}
        for part, name in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
            if name not in (resources.get(part) or {}):
                yield f"{container['name']}: no {name} in {part}"


def small_when_idle(workload: Workload) -> Iterator[str]:
    """What waits for work asks for little; steps of a workflow are the work."""
    if workload.kind in LONG_RUNNING:
        for container in workload.containers:
            requests = (container.get("resources") or {}).get("requests") or {}
            if quantity(requests.get("cpu", 0)) > IDLE_CPU or quantity(requests.get("memory", 0)) > IDLE_MEMORY:
                yield f"{container['name']}: requests {requests.get('cpu')} and {requests.get('memory')}"


def pinned_images(workload: Workload) -> Iterator[str]:
    """What runs today runs tomorrow: a tag that is not latest, or a digest."""
    for container in workload.all_containers:
        image = _PARAMETER.sub(lambda found: workload.parameters.get(found[1], ""), str(container.get("image", "")))
        if not _PINNED.fullmatch(image):
            yield f"{container['name']}: image {image or 'none'}"


POLICIES: Final[Mapping[str, Policy]] = {
    policy.__name__: policy
    for policy in (
        non_root, read_only, no_capabilities, seccomp, no_host, probes, limits, small_when_idle, pinned_images,
    )
}  # fmt: skip
