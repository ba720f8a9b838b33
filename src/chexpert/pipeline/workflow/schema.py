"""Holds a manifest against the models of the argo-workflows client: types, required keys, and keys unknown to Argo.

The client's models accept unknown keys silently, so those are found by walking `openapi_types`.
"""

from collections.abc import Iterator
from copy import deepcopy
from importlib import import_module
from inspect import Parameter, signature
from typing import Any, Final

from argo_workflows import exceptions, model_utils
from argo_workflows.configuration import Configuration

from chexpert.pipeline.workflow.document import Document, Keys, Problem

__all__ = ["API_VERSION", "KINDS", "misfits", "unknown"]

API_VERSION: Final = "argoproj.io/v1alpha1"

KINDS: Final = ("Workflow", "WorkflowTemplate", "CronWorkflow")


def unknown(document: Document) -> list[Problem]:
    """Another kind of object, keys that Argo does not know, and required ones that are missing."""
    kind, version = document.get(("kind",)), document.get(("apiVersion",))
    if kind not in KINDS:
        return [Problem(document.line(("kind",)), f"kind is {kind!r}; supported: {', '.join(KINDS)}")]
    if version != API_VERSION:
        return [Problem(document.line(("apiVersion",)), f"apiVersion is {version!r}, not {API_VERSION!r}")]
    return list(_unknown(document, document.root, _model(kind), ()))


def misfits(document: Document) -> list[Problem]:
    """The first value that the client's models refuse for its type; empty when all fit."""
    model = _model(document.get(("kind",)))
    try:
        model_utils.validate_and_convert_types(
            deepcopy(document.root),  # converted in place
            (model,),
            ["manifest"],
            spec_property_naming=True,
            _check_type=True,
            configuration=Configuration(),
        )
    except (exceptions.ApiTypeError, exceptions.ApiValueError, exceptions.ApiAttributeError) as error:
        path = (getattr(error, "path_to_item", None) or ["manifest"])[1:]
        keys = tuple(key if isinstance(key, int) else _camel(str(key)) for key in path)
        where = ".".join(str(key) for key in keys)
        return [Problem(document.line(keys), f"{where} does not fit Argo's schema: {str(error).split(' at [')[0]}")]
    return []


def _model(kind: str) -> Any:
    snake = {"Workflow": "workflow", "WorkflowTemplate": "workflow_template", "CronWorkflow": "cron_workflow"}[kind]
    module = import_module(f"argo_workflows.model.io_argoproj_workflow_v1alpha1_{snake}")
    return getattr(module, f"IoArgoprojWorkflowV1alpha1{kind}")


def _unknown(document: Document, node: Any, declared: Any, keys: Keys) -> Iterator[Problem]:
    """Walk the node along its declared type: a model, [item type], {str: (value type,)}, or a scalar."""
    if isinstance(declared, list) and isinstance(node, list):
        for index, item in enumerate(node):
            yield from _unknown(document, item, declared[0], (*keys, index))
    elif isinstance(declared, dict) and isinstance(node, dict):
        (values,) = declared.values()
        for key, value in node.items():
            yield from _unknown(document, value, values[0], (*keys, key))
    elif hasattr(declared, "openapi_types") and isinstance(node, dict):
        where = ".".join(str(part) for part in keys) or "the manifest"
        attributes = {name: attribute for attribute, name in declared.attribute_map.items()}
        for attribute in _required(declared):
            if declared.attribute_map[attribute] not in node:
                yield Problem(document.line(keys), f"{where} needs the key {declared.attribute_map[attribute]!r}")
        for key, value in node.items():
            if key not in attributes:
                yield Problem(document.line((*keys, key)), f"{key!r} in {where} is unknown to Argo")
            else:
                types = declared.openapi_types[attributes[key]]
                yield from _unknown(document, value, types[0], (*keys, key)) if len(types) == 1 else ()


def _required(model: Any) -> list[str]:
    """Attributes that the client's constructor takes by position: those without which it cannot be made."""
    parameters = signature(model._from_openapi_data).parameters.values()  # noqa: SLF001 - the client's only way in
    positional = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.kind in positional and p.default is Parameter.empty and p.name != "cls"]


def _camel(attribute: str) -> str:
    """The client names the attribute in its errors: retry_strategy for retryStrategy."""
    first, *rest = attribute.strip("_").split("_")
    return first + "".join(word.capitalize() for word in rest)
