"""One template of a manifest: its values read and checked one by one."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from chexpert.domain.errors import InputError
from chexpert.pipeline.workflow.commands import INPUTS, OUTPUTS
from chexpert.pipeline.workflow.conditions import Condition
from chexpert.pipeline.workflow.document import Document, Keys, Problem
from chexpert.pipeline.workflow.model import Artifact, Container, OutputParameter, Resource, Retry, Task, Template

__all__ = ["CONFIG_MAP", "RETRY_EXPRESSIONS", "TemplateReader"]

CONFIG_MAP: Final = "chexpert"
"""The one ConfigMap of a manifest; the local runner fills in its own places for it."""
RETRY_EXPRESSIONS: Final = (
    "asInt(lastRetry.exitCode) == 75",
    "asInt(lastRetry.exitCode) == 75 || lastRetry.message == 'pod deleted'",
)
"""The rules of trying again; the same here, where there are no pods. Of a deleted pod Argo knows no exit code."""

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


class TemplateReader:
    """Reads the templates of one document and collects their problems in `problems`."""

    def __init__(self, source: Document, defaults: Mapping[str, Any], problems: list[Problem]) -> None:
        self._source = source
        self._defaults = defaults
        self._problems = problems

    def read(self, keys: Keys) -> Template:
        """The template at `keys`, over `templateDefaults`."""
        node: Mapping[str, Any] = self._source.get(keys)
        inputs, outputs = node.get("inputs") or {}, node.get("outputs") or {}
        if sum(kind in node for kind in ("container", "dag", "resource")) != 1:
            self._refuse(keys, f"template {node['name']!r} needs one of container, dag and resource")
        if "dag" in node and "retryStrategy" in node:
            self._refuse((*keys, "retryStrategy"), "retryStrategy of a dag is not supported: give it to its containers")
        merged = self._over_defaults(node) if "container" in node else node
        deadline = merged.get("activeDeadlineSeconds")
        tasks = (node.get("dag") or {}).get("tasks") or ()
        return Template(
            name=node["name"],
            line=self._source.line(keys),
            parameters={p["name"]: p.get("value", p.get("default")) for p in inputs.get("parameters") or ()},
            inputs=self._artifacts(inputs, (*keys, "inputs"), INPUTS),
            outputs=self._artifacts(outputs, (*keys, "outputs"), OUTPUTS),
            output_parameters=self._output_parameters(outputs, (*keys, "outputs", "parameters")),
            container=self._container(merged["container"], (*keys, "container")) if "container" in node else None,
            resource=self._resource(node["resource"], (*keys, "resource")) if "resource" in node else None,
            tasks=tuple(self._task(task, (*keys, "dag", "tasks", index)) for index, task in enumerate(tasks)),
            retry=self._retry(node["retryStrategy"], (*keys, "retryStrategy")) if "retryStrategy" in node else None,
            deadline=None if deadline is None else self._duration(deadline, (*keys, "activeDeadlineSeconds")),
        )

    def _refuse(self, keys: Keys, message: str) -> None:
        self._problems.append(Problem(self._source.line(keys), message))

    def _over_defaults(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """The template wins, as in a strategic merge: `env` is merged by name, `envFrom` is replaced as a whole."""
        defaults, own = self._defaults.get("container") or {}, node["container"]
        variables = {item["name"]: item for part in (defaults, own) for item in part.get("env") or ()}
        return {**self._defaults, **node, "container": {**defaults, **own, "env": list(variables.values())}}

    def _artifacts(self, node: Mapping[str, Any], keys: Keys, root: str) -> tuple[Artifact, ...]:
        found = []
        for index, item in enumerate(node.get("artifacts") or ()):
            here = (*keys, "artifacts", index)
            expected = f"{root}/{item['name']}"
            if item.get("path") != expected:
                self._refuse(here, f"artifact {item['name']!r} lies at {item.get('path')!r}, not at {expected}")
            optional = bool(item.get("optional"))
            found.append(Artifact(item["name"], expected, optional=optional, line=self._source.line(here)))
        return tuple(found)

    def _output_parameters(self, node: Mapping[str, Any], keys: Keys) -> tuple[OutputParameter, ...]:
        found = []
        for index, item in enumerate(node.get("parameters") or ()):
            source = item.get("valueFrom") or {}
            expected = f"{OUTPUTS}/{item['name']}"
            if source.get("path") != expected:
                self._refuse(
                    (*keys, index), f"parameter {item['name']!r} is not read from {expected} by valueFrom.path"
                )
            line = self._source.line((*keys, index))
            found.append(OutputParameter(item["name"], expected, default=source.get("default"), line=line))
        return tuple(found)

    def _container(self, node: Mapping[str, Any], keys: Keys) -> Container:
        if not node.get("command"):
            self._refuse(keys, "a container needs its command: the image's own is not known here")
        maps = [m["configMapRef"]["name"] for m in node.get("envFrom") or () if "configMapRef" in m]
        for name in maps:
            if name != CONFIG_MAP:
                self._refuse((*keys, "envFrom"), f"ConfigMap {name!r}: the local runner fills in {CONFIG_MAP!r} only")
        return Container(
            command=tuple(node.get("command") or ()),
            args=tuple(node.get("args") or ()),
            environment={e["name"]: e.get("value", "") for e in node.get("env") or ()},
            config_maps=tuple(maps),
            line=self._source.line(keys),
        )

    def _resource(self, node: Mapping[str, Any], keys: Keys) -> Resource:
        if not node.get("manifest"):
            self._refuse(keys, "a resource needs its manifest")
        conditions = (node.get("successCondition", ""), node.get("failureCondition", ""))
        return Resource(node.get("action", ""), node.get("manifest", ""), conditions, self._source.line(keys))

    def _retry(self, node: Mapping[str, Any], keys: Keys) -> Retry:
        if node.get("expression") not in RETRY_EXPRESSIONS:
            rules = " or ".join(map(repr, RETRY_EXPRESSIONS))
            self._refuse((*keys, "expression"), f"expression is not {rules}, which are supported")
        limit = node.get("limit", "")
        if not limit.isdecimal():
            self._refuse((*keys, "limit"), f"limit is {limit!r}: say how often to try again, such as '3'")
        backoff = node.get("backoff") or {}
        factor = backoff.get("factor", "1")
        if not re.fullmatch(r"\d+", factor):
            self._refuse((*keys, "backoff", "factor"), f"factor is {factor!r}, not a whole number such as '2'")

        def duration(key: str) -> timedelta | None:
            return self._duration(backoff[key], (*keys, "backoff", key)) if key in backoff else None

        return Retry(
            limit=int(limit) if limit.isdecimal() else 0,
            wait=duration("duration") or timedelta(),
            factor=float(factor) if factor.isdecimal() else 1.0,
            cap=duration("cap"),
            max_duration=duration("maxDuration"),
        )

    def _duration(self, text: str, keys: Keys) -> timedelta:
        match = _DURATION.fullmatch(text)
        if match is None:
            self._refuse(keys, f"{text!r} is no duration: write seconds, or 500ms, 30s, 5m, 1h")
            return timedelta()
        number, unit = match.groups()
        return timedelta(seconds=float(number) * _SECONDS[unit])

    def _task(self, node: Mapping[str, Any], keys: Keys) -> Task:
        arguments = node.get("arguments") or {}
        artifacts: Sequence[Mapping[str, Any]] = arguments.get("artifacts") or ()
        return Task(
            name=node["name"],
            template=node.get("template", ""),
            dependencies=self._dependencies(node, keys),
            parameters={p["name"]: p.get("value", "") for p in arguments.get("parameters") or ()},
            artifacts={a["name"]: a.get("from", "") for a in artifacts},
            optional_artifacts=frozenset(a["name"] for a in artifacts if a.get("optional")),
            when=self._condition(node["when"], (*keys, "when")) if "when" in node else None,
            with_param=node.get("withParam", ""),
            line=self._source.line(keys),
        )

    def _dependencies(self, node: Mapping[str, Any], keys: Keys) -> tuple[str, ...]:
        if "depends" not in node:
            return tuple(node.get("dependencies") or ())
        if "dependencies" in node:
            self._refuse((*keys, "depends"), "depends and dependencies cannot be used together")
        names = tuple(name.strip() for name in node["depends"].split("&&"))
        for name in names:
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                self._refuse((*keys, "depends"), f"depends: {name!r} is not a plain task name; join names by && only")
        return names

    def _condition(self, text: str, keys: Keys) -> Condition | None:
        try:
            return Condition.parse(text)
        except InputError as error:
            self._refuse(keys, str(error))
            return None
