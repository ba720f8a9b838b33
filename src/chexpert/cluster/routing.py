"""What really serves: the weights on the HTTPRoutes, against those that git asks for, and what keeps them apart.

The InferenceService's Ready is False while the stable scales back, and its observedGeneration is a Deployment's:
neither is looked at. A weight counts when both routes give it and their gateway has accepted them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from chexpert.cluster.api import APPS, CORE, GATEWAY, KSERVE, Api, Json, items, path
from chexpert.cluster.errors import ClusterRefused, KServeTooOld
from chexpert.cluster.pods import Trouble, worst
from chexpert.cluster.routes import Route, applied, read_route
from chexpert.domain.places import Places
from chexpert.serving.isvc import ServedFile

__all__ = ["KServeRouting", "Routed", "Routing", "connect"]

_UNWEIGHTED: Final = timedelta(minutes=1)
"""A canary ready for so long without a share of the route will get none: weights follow readiness within a second."""
_LOG_LINES: Final = 3
_SHOWN: Final = 300


@dataclass(frozen=True, slots=True)
class Routed:
    """What the gateway gives, held against what git asks for."""

    weights: Mapping[str, int]
    """Percent by version name, of the route that lags most behind."""
    since: datetime | None = None
    """When the routes got their present form; None: not known."""
    reasons: tuple[str, ...] = ()
    """Why this is not what git asks for; empty: it is. The first stays the same while its cause does."""
    failing: bool = False
    """Whether waiting alone is unlikely to mend it."""

    @property
    def follows(self) -> bool:
        """Whether the gateway gives what git asks for."""
        return not self.reasons


class Routing(Protocol):
    """Tells what really serves in an environment."""

    def read(self, environment: str, served: ServedFile) -> Routed:
        """Compare the gateway with what git asks for.

        Args:
            environment: Such as production.
            served: The file in git; its stable must be there.

        Raises:
            KServeTooOld: Weights are never going to be followed.
            RetryableError: The cluster did not answer.
        """
        ...


class KServeRouting:
    """Reads KServe's objects through the Kubernetes API; see `Routing`."""

    def __init__(
        self, api: Api, inference_service: str, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Nothing is read yet. `inference_service` is namespace/name, with {environment} in it."""
        self._api = api
        self._inference_service = inference_service
        self._clock = clock

    def read(self, environment: str, served: ServedFile) -> Routed:
        """Compare the gateway with what git asks for."""
        namespace, _, name = self._inference_service.format(environment=environment).partition("/")
        found = self._api.get(path(KSERVE, "inferenceservices", name, namespace=namespace))
        if found is None:
            return Routed({}, reasons=(f"the cluster has no InferenceService {namespace}/{name} yet",))
        told = applied(found)
        # In order: a swap changes which of two versions is the stable, and no weight.
        if list(told.items()) != list(served.weights.items()):
            self._must_know_canaries(found, served)
            return Routed(
                told, reasons=(f"git gives {_words(served.weights)}, the cluster is told {_words(told)} yet",)
            )
        versions = tuple(served.weights)
        routes = [self._route(namespace, route, name, versions) for route in (name, f"{name}-predictor")]
        behind = [route for route in routes if not route.gives(served.weights)]
        if behind:
            self._must_carry_weights(found, served, behind[0])
            return self._explained(namespace, name, served, behind[0])
        written = [route.written for route in routes if route.written is not None]
        return Routed(routes[0].weights, max(written, default=None))

    def _route(self, namespace: str, route: str, name: str, versions: Sequence[str]) -> Route:
        return read_route(route, self._api.get(path(GATEWAY, "httproutes", route, namespace=namespace)), name, versions)

    def _explained(self, namespace: str, name: str, served: ServedFile, route: Route) -> Routed:
        """With what the pods of the first version that lacks its weight say."""
        if route.problem:
            return Routed(route.weights, route.written, (route.problem,))
        lacking = min(
            (version for version in served.versions if version.traffic != route.weights.get(version.name, 0)),
            key=lambda version: (route.weights.get(version.name, 0) - version.traffic, version.name),
        ).name
        asked = f"git gives {lacking} {served.weights[lacking]} %, the route {route.weights.get(lacking, 0)} %"
        component = f"{name}-{lacking}-predictor"
        selector = {"labelSelector": f"app=isvc.{component}"}
        found = worst(items(self._api.get(path(CORE, "pods", namespace=namespace), selector)))
        if found is None:
            why = self._deployment(namespace, component)
            return Routed(route.weights, route.written, (f"{asked}: {why}" if why else asked,), failing=bool(why))
        restarts = (f"restarts of {found.container}: {found.restarts}",) if found.restarts else ()
        said = (found.message,) if found.message else self._last_words(namespace, found)
        words = tuple(text[:_SHOWN] for text in said)
        return Routed(route.weights, route.written, (f"{asked}: {found}", *restarts, *words), found.failing)

    def _last_words(self, namespace: str, trouble: Trouble) -> Sequence[str]:
        """The end of the container's log, where this account may read it."""
        if not trouble.container:
            return ()
        query = {"container": trouble.container, "tailLines": str(_LOG_LINES)}
        if trouble.previous:
            query["previous"] = "true"
        log = path(CORE, "pods", trouble.pod, namespace=namespace, subresource="log")
        try:
            return [line for line in self._api.lines(log, query) if line.strip()]
        except ClusterRefused:
            return ()

    def _deployment(self, namespace: str, name: str) -> str:
        """Why a Deployment has no pods, such as a quota; empty: not told, or not this account's to read."""
        try:
            found = self._api.get(path(APPS, "deployments", name, namespace=namespace)) or {}
        except ClusterRefused:
            return ""
        conditions = (found.get("status") or {}).get("conditions") or []
        failed = [c for c in conditions if (c["type"], c["status"]) == ("ReplicaFailure", "True")]
        return str(failed[0].get("message", "")) if failed else ""

    def _must_know_canaries(self, found: Json, served: ServedFile) -> None:
        """Where git has a canary and the cluster none: is the field known at all? Read of the API's own description."""
        if not served.canaries or (found.get("spec") or {}).get("canary"):
            return
        described = self._api.get(f"/openapi/v3{KSERVE}") or {}
        schemas = (described.get("components") or {}).get("schemas") or {}
        specs = [
            ((schema.get("properties") or {}).get("spec") or {}).get("properties") or {}
            for name, schema in schemas.items()
            if name.endswith(".InferenceService")
        ]
        # KServe's minimal CRDs describe no field at all: they say nothing about this one.
        if any("predictor" in spec for spec in specs) and not any("canary" in spec for spec in specs):
            reason = "its InferenceService has no spec.canary"
            raise KServeTooOld(reason)

    def _must_carry_weights(self, found: Json, served: ServedFile, route: Route) -> None:
        status = found.get("status") or {}
        ready = {str(one.get("name")) for one in status.get("canaryStatuses") or [] if one.get("ready")}
        conditions = {one["type"]: one for one in status.get("conditions") or []}
        condition = conditions.get("CanaryPredictorReady", {})
        if condition.get("status") != "True" or not condition.get("lastTransitionTime"):
            return
        since = datetime.fromisoformat(str(condition["lastTransitionTime"]))
        unrouted = [
            v.name for v in served.canaries if v.traffic > 0 and v.name in ready and v.name not in route.weights
        ]
        if unrouted and not route.problem and self._clock() - since > _UNWEIGHTED:
            reason = f"{unrouted[0]} is ready since {since:%H:%M:%S}, and HTTPRoute {route.name} gives it nothing"
            raise KServeTooOld(reason)


def connect(places: Places) -> Routing | None:
    """The routing of CHEXPERT_INFERENCE_SERVICE; None on one machine, where nothing lies between git and the server.

    Raises:
        NoCluster: It is set, and no cluster can be reached from here.
    """
    if not places.inference_service:
        return None
    from chexpert.cluster.connection import KubernetesApi  # noqa: PLC0415 - one machine never loads that client

    return KServeRouting(KubernetesApi.connect(), places.inference_service)


def _words(weights: Mapping[str, int]) -> str:
    """The stable first, as both keep it."""
    return ", ".join(f"{name} {percent} %" for name, percent in weights.items()) or "no version"
