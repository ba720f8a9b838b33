"""What a workload may reach: the API server by its account, others by the network."""

from collections.abc import Iterator, Mapping
from typing import Any

from infra_checks.objects import Workload
from rendering import Manifest

__all__ = ["account", "admitted", "isolated", "powers", "tokens"]


def account(workload: Workload) -> str:
    """Name of the account it runs as."""
    return str(workload.pod.get("serviceAccountName") or "default")


def tokens(workload: Workload, manifests: list[Manifest]) -> Iterator[str]:
    """A token is mounted only for an account that a role is bound to, among `manifests`."""
    name = account(workload)
    accounts = {_key(m): m for m in manifests if m["kind"] == "ServiceAccount"}
    ours = accounts.get((workload.namespace, name), {})
    mounted = workload.pod.get("automountServiceAccountToken")
    if mounted is None:
        mounted = ours.get("automountServiceAccountToken", True)
    if mounted and (workload.namespace, name) not in _bound(manifests):
        yield f"mounts the token of {name}, which no role is bound to"


def isolated(workload: Workload, manifests: list[Manifest]) -> Iterator[str]:
    """A NetworkPolicy of its namespace selects it, for what comes and for what goes."""
    types: set[str] = set()
    for manifest in manifests:
        same = manifest["metadata"].get("namespace") == workload.namespace
        if manifest["kind"] == "NetworkPolicy" and same and _selects(manifest["spec"]["podSelector"], workload.labels):
            types |= set(manifest["spec"].get("policyTypes", ["Ingress"]))
    yield from (f"no NetworkPolicy holds its {kind}" for kind in ("Ingress", "Egress") if kind not in types)


def admitted(policy: Manifest, namespace: str, labels: Mapping[str, str], port: str) -> bool:
    """Whether a NetworkPolicy lets a pod of another namespace ask one of its own at a port, as the policy names it."""
    return any(
        ("ports" not in rule or any(entry.get("port") == port for entry in rule["ports"]))
        and ("from" not in rule or any(_is_peer(peer, namespace, labels) for peer in rule["from"]))
        for rule in policy["spec"].get("ingress") or []
    )


def powers(manifest: Manifest) -> Iterator[str]:
    """What a role may do that none of ours needs."""
    if manifest["kind"] not in {"Role", "ClusterRole"}:
        return
    if manifest["kind"] == "ClusterRole":
        yield "holds in every namespace"
    for rule in manifest.get("rules") or []:
        for part in ("apiGroups", "resources", "verbs"):
            if "*" in rule.get(part, []):
                yield f"any of {part}"
        if {"escalate", "bind", "impersonate"} & set(rule["verbs"]):
            yield f"may {', '.join(rule['verbs'])}"
        if "secrets" in rule.get("resources", []) and not rule.get("resourceNames"):
            yield "reads every Secret"
        if {"pods/exec", "pods/attach"} & set(rule.get("resources", [])):
            yield "enters pods"


def _key(manifest: Manifest) -> tuple[str, str]:
    return manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"]


def _bound(manifests: list[Manifest]) -> set[tuple[str, str]]:
    return {
        (subject.get("namespace", manifest["metadata"].get("namespace", "")), subject["name"])
        for manifest in manifests
        if manifest["kind"] in {"RoleBinding", "ClusterRoleBinding"}
        for subject in manifest.get("subjects") or []
        if subject["kind"] == "ServiceAccount"
    }


def _is_peer(peer: Mapping[str, Any], namespace: str, labels: Mapping[str, str]) -> bool:
    """Peers by address are nobody's pods."""
    if "namespaceSelector" not in peer:
        return False
    named = _selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": namespace})
    return named and _selects(peer.get("podSelector", {}), labels)


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(rule, labels) for rule in selector.get("matchExpressions") or [])


def _holds(rule: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    match rule["operator"]:
        case "In":
            return labels.get(rule["key"]) in rule["values"]
        case "NotIn":
            return labels.get(rule["key"]) not in rule["values"]
        case "Exists":
            return rule["key"] in labels
        case _:
            return rule["key"] not in labels
