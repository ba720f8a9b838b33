"""A workflow's run as its status tells it: which step stands where, how it ended, and why. Pure."""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from chexpert.cluster.api import Json
from chexpert.cluster.errors import NodesElsewhere

__all__ = ["DONE", "FAILED", "REFUSED", "Run", "Step", "parse"]

DONE: Final = 0
FAILED: Final = 1
REFUSED: Final = 3
"""Exit code of a step whose gate refused, and of a run that ended by it."""

_ENDED: Final = frozenset({"Succeeded", "Failed", "Error"})
_BAD: Final = frozenset({"Failed", "Error"})


@dataclass(frozen=True, slots=True)
class Step:
    """One task of the run, with its newest try."""

    name: str
    """As the DAG calls it, such as train-cnn; with its number for an item of a fan-out."""
    template: str
    """Such as train; our templates are called by the step that they run."""
    phase: str
    """Argo's word: Pending, Running, Succeeded, Failed, Error, Skipped, Omitted."""
    node: str
    """Id of the newest try's node; empty: it has no pod."""
    pod: str
    """Name of that try's pod."""
    started: datetime | None
    ended: datetime | None
    tries: int
    message: str
    exit_code: int | None
    """Of the main container; None: not ended, or never started."""

    @property
    def refused(self) -> bool:
        """Whether a gate ended it."""
        return self.phase in _BAD and self.exit_code == REFUSED

    @property
    def failed(self) -> bool:
        """Whether it ended badly for another reason than a gate."""
        return self.phase in _BAD and self.exit_code != REFUSED

    def took(self, now: datetime) -> timedelta | None:
        """From its first start to its end, or to `now` while it runs; None before it started."""
        return (self.ended or now) - self.started if self.started else None


@dataclass(frozen=True, slots=True)
class Run:
    """One Workflow."""

    name: str
    phase: str
    """Empty: the controller has not seen it yet."""
    message: str
    steps: tuple[Step, ...]
    """In the order they began; those that never did stand last."""
    progress: str
    """Argo's count of pods, such as 3/9."""

    @property
    def ended(self) -> bool:
        """Whether nothing happens any more."""
        return self.phase in _ENDED

    @property
    def exit_code(self) -> int:
        """0 succeeded (or still runs), 3 refused by a gate, 1 failed; a fault outweighs a refusal."""
        if self.phase not in _BAD:
            return DONE
        only_refused = any(step.refused for step in self.steps) and not any(step.failed for step in self.steps)
        return REFUSED if only_refused else FAILED

    @property
    def outcome(self) -> str:
        """The same in a word, as `pipeline run` says it."""
        if not self.ended:
            return self.phase.lower() or "pending"
        return {DONE: "succeeded", REFUSED: "refused", FAILED: "failed"}[self.exit_code]


def parse(workflow: Json) -> Run:
    """The run that a Workflow object describes.

    Raises:
        NodesElsewhere: Its steps lie in Argo's database.
    """
    name = str(workflow["metadata"]["name"])
    status = workflow.get("status") or {}
    nodes = _nodes(name, status)
    of_retries = {child for node in nodes.values() if node["type"] == "Retry" for child in node.get("children") or []}
    steps = [
        _step(name, node, nodes)
        for key, node in nodes.items()
        if node["type"] in {"Retry", "Pod", "Skipped", "Suspend"} and key not in of_retries
    ]
    steps.sort(key=lambda step: (step.started is None, step.started.timestamp() if step.started else 0.0, step.name))
    return Run(
        name,
        str(status.get("phase", "")),
        str(status.get("message", "")),
        tuple(steps),
        str(status.get("progress", "")),
    )


def _nodes(run: str, status: Json) -> Mapping[str, Any]:
    if packed := status.get("compressedNodes"):
        unpacked: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(packed)))
        return unpacked
    if status.get("offloadNodeStatusVersion") and not status.get("nodes"):
        raise NodesElsewhere(run)
    return status.get("nodes") or {}


def _step(run: str, node: Json, nodes: Mapping[str, Any]) -> Step:
    tries = _tries(node, nodes)
    last = tries[-1] if tries else {}
    code = (last.get("outputs") or {}).get("exitCode")
    begun = bool(tries) or node["type"] == "Suspend"
    return Step(
        name=str(node.get("displayName") or node["name"]),
        template=str(node.get("templateName") or (node.get("templateRef") or {}).get("template") or ""),
        phase=str(node.get("phase", "")),
        node=str(last.get("id", "")),
        pod=_pod(run, last) if last else "",
        started=_time(node.get("startedAt")) if begun else None,
        ended=_time(node.get("finishedAt")) if begun else None,
        tries=len(tries),
        message=" ".join(str(last.get("message") or node.get("message") or "").split()),
        exit_code=int(code) if code is not None else None,
    )


def _tries(node: Json, nodes: Mapping[str, Any]) -> Sequence[Json]:
    """Pod nodes of a step, the first try first."""
    if node["type"] == "Pod":
        return [node]
    children = [nodes[child] for child in node.get("children") or [] if child in nodes]
    return [child for child in children if child["type"] == "Pod"]


def _pod(run: str, node: Json) -> str:
    """Name of a node's pod, as workflow/util/pod_name.go of Argo Workflows makes it since 3.4."""
    if node["name"] == run:
        return run
    template = node.get("templateName") or (node.get("templateRef") or {}).get("template") or ""
    return f"{f'{run}-{template}' if template else run}"[:242] + f"-{str(node['id']).rpartition('-')[2]}"


def _time(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None
