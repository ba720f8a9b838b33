"""KServe's objects in the rollout's words: versions of an InferenceService, weights on an HTTPRoute. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from chexpert.cluster.api import Json

__all__ = ["Route", "applied", "read_route"]

_WHOLE: Final = 100


@dataclass(frozen=True, slots=True)
class Route:
    """One HTTPRoute."""

    name: str
    weights: Mapping[str, int]
    """Percent by version name, of those it names."""
    written: datetime | None
    """When its spec was last written; None: not known."""
    problem: str = ""
    """Why its gateway does not follow it; empty: it does."""

    def gives(self, wanted: Mapping[str, int]) -> bool:
        """Whether each version gets what is wanted; one that is not named gets nothing."""
        names = wanted.keys() | self.weights.keys()
        return not self.problem and all(self.weights.get(name, 0) == wanted.get(name, 0) for name in names)


def applied(inference_service: Json) -> dict[str, int]:
    """Percent by version name as the InferenceService in the cluster asks for it, the stable first."""
    spec = inference_service.get("spec") or {}
    canaries = {
        str((canary.get("predictor") or {}).get("name", "")): int(canary.get("trafficPercent", 0))
        for canary in spec.get("canary") or []
    }
    stable = str((spec.get("predictor") or {}).get("name", ""))
    return {stable: _WHOLE - sum(canaries.values()), **canaries} if stable else canaries


def read_route(name: str, route: Json | None, inference_service: str, versions: Sequence[str]) -> Route:
    """An HTTPRoute in the words of versions.

    Args:
        name: Of the route.
        route: The object; None: there is none.
        inference_service: Name of the InferenceService it belongs to.
        versions: Names of the versions that may serve.
    """
    if route is None:
        return Route(name, {}, None, f"there is no HTTPRoute {name}")
    services = {f"{inference_service}-{version}-predictor": version for version in versions}
    rules = [_rule(rule, services) for rule in (route.get("spec") or {}).get("rules") or []]
    weights = rules[0] if rules else {}
    problem = "" if all(rule == weights for rule in rules) else f"the rules of HTTPRoute {name} give different weights"
    return Route(name, weights, _written(route), problem or _refused(name, route))


def _rule(rule: Json, services: Mapping[str, str]) -> Mapping[str, int]:
    backends = rule.get("backendRefs") or []
    shares = {str(backend["name"]): int(backend.get("weight", 1)) for backend in backends}
    whole = sum(shares.values())
    return {services.get(name, name): round(_WHOLE * share / whole) if whole else 0 for name, share in shares.items()}


def _refused(name: str, route: Json) -> str:
    parents = (route.get("status") or {}).get("parents") or []
    if not parents:
        return f"no gateway has accepted HTTPRoute {name} yet"
    for parent in parents:
        conditions = {condition["type"]: condition for condition in parent.get("conditions") or []}
        for wanted in ("Accepted", "ResolvedRefs"):
            condition = conditions.get(wanted, {})
            if condition.get("status") != "True":
                said = " ".join(str(condition.get(key, "")) for key in ("reason", "message")).strip()
                return f"HTTPRoute {name} is not {wanted} by its gateway: {said or 'not told why'}"
    return ""


def _written(route: Json) -> datetime | None:
    """Of the API server's record of who wrote what; a status is written without changing the route."""
    times = [
        datetime.fromisoformat(str(entry["time"]))
        for entry in (route.get("metadata") or {}).get("managedFields") or []
        if entry.get("subresource") != "status" and entry.get("time")
    ]
    return max(times, default=None)
