"""What may be wrong between us and a cluster."""

from collections.abc import Sequence

from chexpert.domain.errors import InputError, RetryableError

__all__ = [
    "ClusterRefused",
    "ClusterUnavailable",
    "KServeTooOld",
    "NoCluster",
    "NodesElsewhere",
    "NotAWorkflow",
    "NothingToSubmit",
    "UnknownRun",
    "UnknownStep",
]


class NoCluster(InputError):
    """Nothing says which cluster is meant."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"no cluster: {reason}; set KUBECONFIG, or ARGO_SERVER for workflows alone")
        self.reason = reason


class ClusterUnavailable(RetryableError):
    """The cluster did not answer, or answered 5xx or 429."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"{address} does not answer: {reason}")
        self.address = address
        self.reason = reason


class ClusterRefused(InputError):
    """The cluster answered 4xx: this request will not go through as it is, or as this account."""

    def __init__(self, request: str, status: int, message: str) -> None:
        super().__init__(f"{request}: {status}: {message}")
        self.request = request
        self.status = status
        self.message = message


class KServeTooOld(InputError):
    """This KServe does not split traffic by HTTPRoute weights."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"KServe is too old for a rollout by weights: {reason}. Needed is one after 0.20.0 whose InferenceServices "
            "have spec.canary and whose HTTPRoutes carry its weights"
        )
        self.reason = reason


class NotAWorkflow(InputError):
    """A file that no workflow can be made of."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason


class NothingToSubmit(InputError):
    """No template of this name is in the namespace."""

    def __init__(self, name: str, namespace: str, known: Sequence[str]) -> None:
        there = ", ".join(known) or "none"
        super().__init__(
            f"namespace {namespace} has no WorkflowTemplate or CronWorkflow {name!r}; it has: {there}. "
            "Apply argo/workflows, name another with --namespace, or give a file"
        )
        self.name = name
        self.namespace = namespace


class UnknownRun(InputError):
    """No workflow of this name is in the namespace."""

    def __init__(self, name: str, namespace: str) -> None:
        super().__init__(f"namespace {namespace} has no workflow {name!r}: it never was, or its time is over")
        self.name = name
        self.namespace = namespace


class UnknownStep(InputError):
    """A run has no such step, or it has not begun."""

    def __init__(self, run: str, step: str, known: Sequence[str]) -> None:
        super().__init__(f"{run} has no step {step!r} that has begun; it has: {', '.join(known) or 'none'}")
        self.run = run
        self.step = step


class NodesElsewhere(InputError):
    """The steps of a large run lie in Argo's database, which only its server reads."""

    def __init__(self, run: str) -> None:
        super().__init__(f"the steps of {run} are offloaded to Argo's database: set ARGO_SERVER to read them")
        self.run = run
