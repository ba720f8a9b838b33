"""Helm in the tests: charts linted and rendered by the library that Helm itself is, without program or cluster."""

import json
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import helm_python
from ruamel.yaml import YAML

__all__ = ["Manifest", "Values", "lint_chart", "merged_values", "pick", "render_chart", "render_texts"]

Manifest = dict[str, Any]
Values = Mapping[str, Any] | Sequence[Path | Mapping[str, Any]]
"""Values as one mapping, or as files and mappings of which a later one wins, like Helm's repeated --values."""

# The library is written in Go, whose runtime takes SIGPIPE over and handles it on the alternate signal stack. Beside
# what tests/optimise loads that stack is not usable, and a send to a closed socket, in any later test of the same
# process, ended it with SIGSEGV. Ignored, as Python has it, a send raises BrokenPipeError.
signal.signal(signal.SIGPIPE, signal.SIG_IGN)

_WARNING = 2
"""Severity from which `helm lint --strict` fails."""


def render_chart(
    folder: Path, values: Values = (), *, name: str = "chexpert", namespace: str = "chexpert"
) -> list[Manifest]:
    """Every object of a chart, in the order of its files; `lookup` finds nothing, as without a cluster.

    Raises:
        helm_python.HelmError: the schema refuses the values, or a template fails.
    """
    texts = render_texts(folder, values, name=name, namespace=namespace)
    return [
        json.loads(json.dumps(document))  # anchors become copies, ruamel's types plain ones
        for path, text in sorted(texts.items())
        if path.endswith((".yaml", ".yml"))
        for document in YAML(typ="safe").load_all(text)
        if document
    ]


def render_texts(
    folder: Path, values: Values = (), *, name: str = "chexpert", namespace: str = "chexpert"
) -> dict[str, str]:
    """What each template gives, NOTES.txt among them, by its path; raises as `render_chart`."""
    stated = merged_values(values)
    with helm_python.Chart.load(folder) as chart:
        chart.validate_schema(stated)
        return chart.render(stated, name=name, namespace=namespace)


def lint_chart(folder: Path, values: Values = ()) -> list[str]:
    """Complaints of `helm lint --strict`; empty, there are none."""
    report = helm_python.lint(folder, merged_values(values), strict=True)
    complaints = [f"{m['path']}: {m['error']}" for m in report["messages"] if m["severity"] >= _WARNING]
    return [*complaints, *report["errors"]]


def merged_values(values: Values) -> dict[str, Any]:
    """One mapping of several, merged as Helm merges values files: mappings key by key, everything else replaced."""
    layers = [values] if isinstance(values, Mapping) else list(values)
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _over(merged, layer if isinstance(layer, Mapping) else YAML(typ="safe").load(layer) or {})
    return merged


def pick(manifests: Sequence[Manifest], kind: str, name: str, namespace: str = "chexpert") -> Manifest:
    """The one object of this name; LookupError where there is none, or more than one."""
    found = [
        manifest
        for manifest in manifests
        if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name)
        and manifest["metadata"].get("namespace", namespace) == namespace
    ]
    if len(found) != 1:
        message = f"{len(found)} objects {kind} {namespace}/{name}"
        raise LookupError(message)
    return found[0]


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = _over(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result
