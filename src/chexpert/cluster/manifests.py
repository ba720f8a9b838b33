"""What is submitted: a Workflow made of a template in the cluster, or of a file under argo/workflows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from chexpert.cluster.api import ARGO, Api, Json, items, path
from chexpert.cluster.errors import NotAWorkflow, NothingToSubmit

__all__ = ["Source", "of_file", "of_template", "workflow"]


class Source:
    """A workflow's definition: its name, the kind it was found as, and the spec a run gets."""

    def __init__(self, document: Json, where: str) -> None:
        """Raises NotAWorkflow for another kind of object, or one without a name or spec."""
        self.where = where
        self.kind = str(document.get("kind", ""))
        metadata, spec = document.get("metadata") or {}, document.get("spec") or {}
        self.name = str(metadata.get("name") or str(metadata.get("generateName", "")).rstrip("-"))
        if self.kind == "CronWorkflow":
            spec = spec.get("workflowSpec") or {}
        elif self.kind not in {"Workflow", "WorkflowTemplate"}:
            raise NotAWorkflow(where, f"kind {self.kind!r} is no Workflow, WorkflowTemplate or CronWorkflow")
        if not self.name or not spec:
            raise NotAWorkflow(where, "it has no metadata.name or no spec")
        self.spec: dict[str, Any] = dict(spec)

    @property
    def parameters(self) -> Sequence[Mapping[str, Any]]:
        """Of the whole workflow, as the definition writes them."""
        return (self.spec.get("arguments") or {}).get("parameters") or []

    def given(self, values: Mapping[str, str]) -> list[dict[str, Any]]:
        """The parameters with these values in place of their own.

        Raises:
            NotAWorkflow: One is unknown, or one without a value of its own is missing.
        """
        names = [str(parameter["name"]) for parameter in self.parameters]
        if unknown := sorted(set(values) - set(names)):
            raise NotAWorkflow(self.where, f"no parameter {', '.join(unknown)}; it has: {', '.join(names) or 'none'}")
        merged = [
            {"name": parameter["name"], "value": values[parameter["name"]]}
            if parameter["name"] in values
            else dict(parameter)
            for parameter in self.parameters
        ]
        missing = [str(parameter["name"]) for parameter in merged if not {"value", "valueFrom"} & parameter.keys()]
        if missing:
            raise NotAWorkflow(self.where, f"no value for {', '.join(missing)}: give --parameter {missing[0]}=…")
        return merged


def of_file(file: Path) -> Source:
    """The definition in a YAML file.

    Raises:
        NotAWorkflow: It cannot be read, or defines none.
    """
    try:
        document = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise NotAWorkflow(str(file), str(error)) from error
    if not isinstance(document, dict):
        raise NotAWorkflow(str(file), "it is no mapping")
    return Source(document, str(file))


def of_template(api: Api, namespace: str, name: str) -> Source:
    """The WorkflowTemplate of this name, or the CronWorkflow if there is no such template.

    Raises:
        NothingToSubmit: There is neither; the message names those there are.
    """
    kinds = {"workflowtemplates": "WorkflowTemplate", "cronworkflows": "CronWorkflow"}
    for resource, kind in kinds.items():
        if found := api.get(path(ARGO, resource, name, namespace=namespace)):
            return Source({**found, "kind": kind}, f"{kind} {namespace}/{name}")
    known = [
        str(entry["metadata"]["name"])
        for resource in kinds
        for entry in items(api.get(path(ARGO, resource, namespace=namespace)))
    ]
    raise NothingToSubmit(name, namespace, sorted(known))


def workflow(source: Source, values: Mapping[str, str], *, in_cluster: bool) -> dict[str, Any]:
    """The Workflow object to create; the cluster completes its name.

    Args:
        source: What is run.
        values: Parameter values, over the definition's.
        in_cluster: The definition lies in the cluster: a template is referred to, so that its spec is not copied.

    Raises:
        NotAWorkflow: A parameter is unknown or missing.
    """
    given = source.given(values)
    spec = dict(source.spec)
    labels = {}
    if in_cluster and source.kind == "WorkflowTemplate":
        spec = {"workflowTemplateRef": {"name": source.name}}
        given = [{"name": name, "value": value} for name, value in values.items()]
        labels = {"workflows.argoproj.io/workflow-template": source.name}
    if given:
        spec["arguments"] = {**(spec.get("arguments") or {}), "parameters": given}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"generateName": f"{source.name}-", "labels": labels},
        "spec": spec,
    }
