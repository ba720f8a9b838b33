"""The port to a cluster's workflows, and its form through the Kubernetes API, where no Argo Server is needed."""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Final, Protocol

from chexpert.cluster.api import ARGO, CORE, Api, Json, items, path
from chexpert.cluster.errors import ClusterRefused, UnknownRun
from chexpert.cluster.manifests import Source, of_template, workflow
from chexpert.cluster.runs import Run, Step, parse
from chexpert.domain.errors import RetryableError

__all__ = ["PATIENCE", "POLL", "KubernetesWorkflows", "Watcher", "Workflows", "submit", "submit_named", "watch"]

Watcher = Callable[[Run], None]
"""Told of the run each time it was looked at."""

POLL: Final = timedelta(seconds=2)
"""Between two looks at a run: a step takes seconds at least, and one object is read."""
PATIENCE: Final = timedelta(minutes=2)
"""How long a cluster may be silent while a run is watched, such as through an upgrade of its API server."""

_NO_LOG: Final = frozenset({400, 404})
"""Kubernetes' answers for a container that has not started, and for a pod that is gone."""


class Workflows(Protocol):
    """The workflows of one namespace."""

    @property
    def namespace(self) -> str:
        """Where they are."""
        ...

    def template(self, name: str) -> Source:
        """A WorkflowTemplate or CronWorkflow, or NothingToSubmit."""
        ...

    def create(self, manifest: Json) -> str:
        """Create a Workflow; returns the name it was given."""
        ...

    def read(self, name: str) -> Json:
        """A Workflow object, or UnknownRun."""
        ...

    def log(self, run: str, step: Step, *, follow: bool) -> Iterator[str]:
        """Lines of a step's main container from the first, followed until it ends; none where its pod is gone."""
        ...


class KubernetesWorkflows:
    """Workflow objects and pods, read through the Kubernetes API; see `Workflows`."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self.namespace = namespace

    def template(self, name: str) -> Source:
        """A WorkflowTemplate or CronWorkflow."""
        return of_template(self._api, self.namespace, name)

    def create(self, manifest: Json) -> str:
        """Create a Workflow; a field that Argo does not know is refused."""
        made = self._api.create(
            path(ARGO, "workflows", namespace=self.namespace), manifest, {"fieldValidation": "Strict"}
        )
        return str(made["metadata"]["name"])

    def read(self, name: str) -> Json:
        """A Workflow object."""
        found = self._api.get(path(ARGO, "workflows", name, namespace=self.namespace))
        if found is None:
            raise UnknownRun(name, self.namespace)
        return found

    def log(self, run: str, step: Step, *, follow: bool) -> Iterator[str]:
        """Lines of a step's main container; none where the pod is gone or has not started it."""
        selector = {"labelSelector": f"workflows.argoproj.io/workflow={run}"}
        pods = items(self._api.get(path(CORE, "pods", namespace=self.namespace), selector))
        names = [
            str(pod["metadata"]["name"])
            for pod in pods
            if (pod["metadata"].get("annotations") or {}).get("workflows.argoproj.io/node-id") == step.node
        ]
        query = {"container": "main", **({"follow": "true"} if follow else {})}
        for name in names:
            try:
                yield from self._api.lines(path(CORE, "pods", name, namespace=self.namespace, subresource="log"), query)
            except ClusterRefused as refused:
                if refused.status not in _NO_LOG:
                    raise


def submit_named(workflows: Workflows, name: str, values: Mapping[str, str]) -> str:
    """Run a template of the cluster; returns the run's name.

    Raises:
        NothingToSubmit: There is no such template.
        NotAWorkflow: A parameter is unknown or missing.
    """
    return workflows.create(workflow(workflows.template(name), values, in_cluster=True))


def submit(workflows: Workflows, source: Source, values: Mapping[str, str]) -> str:
    """Run a definition that lies in a file; returns the run's name. Raises NotAWorkflow as `submit_named` does."""
    return workflows.create(workflow(source, values, in_cluster=False))


def watch(
    workflows: Workflows,
    name: str,
    watcher: Watcher,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Run:
    """Look at a run every two seconds until it has ended; returns how.

    Args:
        workflows: Where it runs.
        name: Of the run.
        watcher: Told of each look.
        sleep: Waits some seconds.
        clock: Seconds, rising.

    Raises:
        UnknownRun: It is not there.
        RetryableError: The cluster was silent for two minutes.
    """
    heard = clock()
    while True:
        try:
            run = parse(workflows.read(name))
        except RetryableError:
            if clock() - heard > PATIENCE.total_seconds():
                raise
        else:
            heard = clock()
            watcher(run)
            if run.ended:
                return run
        sleep(POLL.total_seconds())
