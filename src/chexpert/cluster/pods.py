"""What keeps a pod from being ready, in words that stay the same while its cause does. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from chexpert.cluster.api import Json

__all__ = ["Trouble", "trouble", "worst"]

_CRASH: Final = "CrashLoopBackOff"
_SAME: Final = {"ErrImagePull": "ImagePullBackOff", "RunContainerError": _CRASH}
"""The kubelet alternates between these pairs: one word for each cause."""
_STARTING: Final = frozenset({"ContainerCreating", "PodInitializing", ""})


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why one pod is not ready."""

    pod: str
    reason: str
    """As kubectl shows it, such as Init:CrashLoopBackOff; without counts, which change while the cause does not."""
    failing: bool
    """Whether waiting alone is unlikely to mend it."""
    container: str = ""
    """The one it is about."""
    restarts: int = 0
    message: str = ""
    """The container's last words, or what Kubernetes adds; it may change."""
    previous: bool = False
    """Whether the container's last words are in the log of its run before this one."""

    def __str__(self) -> str:
        return f"pod {self.pod} {self.reason}"


def worst(pods: Sequence[Json]) -> Trouble | None:
    """The trouble that says most of several pods: a failing one first, then by name; None where all are ready."""
    found = [one for pod in pods if (one := trouble(pod)) is not None]
    return min(found, key=lambda one: (not one.failing, one.pod), default=None)


def trouble(pod: Json) -> Trouble | None:
    """What keeps a pod from being ready; None where nothing does, or it is being deleted."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return None
    name = str(metadata["name"])
    conditions = {condition["type"]: condition for condition in status.get("conditions") or []}
    if conditions.get("Ready", {}).get("status") == "True":
        return None
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        reason = str(scheduled.get("reason", "Unschedulable"))
        return Trouble(name, reason, failing=True, message=str(scheduled.get("message", "")))
    if status.get("phase") == "Failed":
        reason = str(status.get("reason") or "Failed")
        return Trouble(name, reason, failing=True, message=str(status.get("message", "")))
    for kind, prefix in (("initContainerStatuses", "Init:"), ("containerStatuses", "")):
        for container in status.get(kind) or []:
            if (found := _of_container(name, prefix, container)) is not None:
                return found
    running = [c for c in status.get("containerStatuses") or [] if "running" in (c.get("state") or {})]
    unready = next((str(c["name"]) for c in running if not c.get("ready")), "")
    return Trouble(name, "runs and is not ready" if unready else "starts", failing=False, container=unready)


def _of_container(pod: str, prefix: str, status: Json) -> Trouble | None:
    state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated") or {}
    restarts = int(status.get("restartCount", 0))
    waiting: dict[str, Any] = state.get("waiting") or {}
    ended: dict[str, Any] = state.get("terminated") or {}
    reason = str(waiting.get("reason", ""))
    message = _last_line(ended.get("message") or last.get("message") or waiting.get("message"))
    again = restarts > 0 and not status.get("ready") and bool(last.get("exitCode") or ended.get("exitCode"))
    if reason and reason not in _STARTING and reason != _CRASH:
        reason = _SAME.get(reason, reason)
    elif reason == _CRASH or again:
        # Between two crashes it runs, or has just ended: the cause is the same one.
        reason = _CRASH
    else:
        return None
    container = str(status["name"])
    return Trouble(
        pod,
        prefix + reason,
        failing=True,
        container=container,
        restarts=restarts,
        message=message,
        previous=restarts > 0 and not ended,
    )


def _last_line(text: object) -> str:
    """Of a message that may be the end of a whole log: its last line is the error."""
    lines = [line.strip() for line in str(text or "").splitlines() if line.strip()]
    return lines[-1] if lines else ""
