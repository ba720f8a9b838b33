"""What the local runner reads of Argo's schema, what it may leave to a cluster, and the refusal of the rest.

A key that is neither read nor without meaning on one machine is refused: running a manifest in part would be a lie.
Left to a cluster are where, as whom and with what a pod runs, what is kept of it (podGC, ttlStrategy, artifactGC), and
two things that are a person's here: how long a whole run may take, and that no other one runs (synchronization).
A `resource` template is read, so that it can be checked, and never run. `HOME` in `env` stays this machine's own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from chexpert.pipeline.workflow.document import Document, Keys, Problem

__all__ = ["problems"]


@dataclass(frozen=True, slots=True)
class _Part:
    """The keys of one kind of map."""

    read: Mapping[str, "_Part | None"]
    """Understood by the runner; None: a value, or a map of values."""
    cluster: frozenset[str] = field(default_factory=frozenset)
    """Of use to a cluster only: where and as whom a pod runs, what it may take, what is kept of it."""
    each: bool = False
    """The map stands in a list."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SCHEDULING: Final = _names("affinity nodeSelector tolerations securityContext serviceAccountName volumes metadata")
_PARAMETERS: Final = _Part({"name": None, "value": None, "default": None}, _names("description"), each=True)
_GLOBAL_PARAMETERS: Final = _Part(
    {
        "name": None,
        "value": None,
        "valueFrom": _Part({"configMapKeyRef": _Part({"name": None, "key": None}), "default": None}),
    },
    _names("description"),
    each=True,
)
_OUTPUT_PARAMETERS: Final = _Part(
    {"name": None, "valueFrom": _Part({"path": None, "default": None})}, _names("description"), each=True
)
_ARTIFACTS: Final = _Part({"name": None, "path": None, "optional": None}, _names("archive mode"), each=True)
_ARGUMENT_ARTIFACTS: Final = _Part({"name": None, "from": None, "optional": None}, each=True)
_ARGUMENTS: Final = _Part({"parameters": _PARAMETERS, "artifacts": _ARGUMENT_ARTIFACTS})
_CONTAINER: Final = _Part(
    {
        "command": None,
        "args": None,
        "env": _Part({"name": None, "value": None}, each=True),
        "envFrom": _Part({"configMapRef": _Part({"name": None})}, _names("secretRef"), each=True),
    },
    _names("image imagePullPolicy name resources securityContext volumeMounts terminationMessagePolicy"),
)
_RETRY: Final = _Part(
    {
        "limit": None,
        "expression": None,
        "backoff": _Part({"duration": None, "factor": None, "cap": None, "maxDuration": None}),
    },
)
_TASK: Final = _Part(
    dict.fromkeys(_names("name template dependencies depends when withParam")) | {"arguments": _ARGUMENTS}, each=True
)
_TEMPLATE: Final = _Part(
    {
        "name": None,
        "inputs": _Part({"parameters": _PARAMETERS, "artifacts": _ARTIFACTS}),
        "outputs": _Part({"parameters": _OUTPUT_PARAMETERS, "artifacts": _ARTIFACTS}),
        "container": _CONTAINER,
        "dag": _Part({"tasks": _TASK}),
        "resource": _Part(
            dict.fromkeys(_names("action manifest successCondition failureCondition")),
            _names("flags mergeStrategy setOwnerReference"),
        ),
        "retryStrategy": _RETRY,
        "activeDeadlineSeconds": None,
    },
    _SCHEDULING,
    each=True,
)
_SPEC: Final = _Part(
    {
        "entrypoint": None,
        "arguments": _Part({"parameters": _GLOBAL_PARAMETERS}),
        "workflowTemplateRef": _Part({"name": None}),
        "templateDefaults": _Part({"container": _CONTAINER, "activeDeadlineSeconds": None}, _SCHEDULING),
        "templates": _TEMPLATE,
        "onExit": None,
        "parallelism": None,
    },
    _SCHEDULING
    | _names(
        "podGC podMetadata ttlStrategy workflowMetadata artifactRepositoryRef artifactGC archiveLogs synchronization "
        "activeDeadlineSeconds automountServiceAccountToken executor"
    ),
)
_TOP: Final = _names("apiVersion kind metadata")
_CRON: Final = _Part(
    {"workflowSpec": _SPEC},
    _names(
        "schedule schedules timezone concurrencyPolicy startingDeadlineSeconds suspend workflowMetadata "
        "successfulJobsHistoryLimit failedJobsHistoryLimit"
    ),
)


def problems(document: Document) -> list[Problem]:
    """Every key that the local runner would have to heed and cannot; empty when it can run the file."""
    spec = _CRON if document.get(("kind",)) == "CronWorkflow" else _SPEC
    return list(_walk(document, document.root, _Part({"spec": spec}, _TOP), ()))


def _walk(document: Document, node: Any, part: _Part, keys: Keys) -> Iterator[Problem]:
    """A node of another shape than its part says is left to the schema, which is looked at next."""
    if part.each and isinstance(node, list):
        for index, item in enumerate(node):
            yield from _one(document, item, part, (*keys, index))
    elif not part.each:
        yield from _one(document, node, part, keys)


def _one(document: Document, node: Any, part: _Part, keys: Keys) -> Iterator[Problem]:
    if not isinstance(node, Mapping):
        return
    for key, value in node.items():
        here = (*keys, key)
        if key in part.read:
            inner = part.read[key]
            if inner is not None:
                yield from _walk(document, value, inner, here)
        elif key not in part.cluster:
            where = ".".join(str(k) for k in keys) or "the manifest"
            supported = ", ".join(sorted(part.read))
            yield Problem(
                document.line(here), f"{key!r} in {where} is not supported by the local runner, which reads {supported}"
            )
