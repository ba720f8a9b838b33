"""What every cluster brings: its API server, rights, storage, isolation."""

from collections.abc import Iterator
from typing import Final

from chexpert.cluster.api import APPS, CORE, Api, items, path
from chexpert.cluster.doctor.findings import Finding, Scope, State
from chexpert.cluster.doctor.versions import version

__all__ = ["isolation", "pod_security", "rights", "server", "storage"]

_OLDEST: Final = (1, 30, 0)
"""Kubernetes: what the Gateway API's and KServe's CRDs use is in every server since."""
_SHOWN: Final = 6

_RIGHTS: Final = (
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("", "services"),
    ("", "configmaps"),
    ("", "secrets"),
    ("", "serviceaccounts"),
    ("", "persistentvolumeclaims"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("networking.k8s.io", "networkpolicies"),
    ("policy", "poddisruptionbudgets"),
    ("gateway.networking.k8s.io", "httproutes"),
    ("argoproj.io", "workflowtemplates"),
    ("argoproj.io", "cronworkflows"),
)
_ENVIRONMENT_RIGHTS: Final = (
    ("", "configmaps"),
    ("", "secrets"),
    ("", "serviceaccounts"),
    ("networking.k8s.io", "networkpolicies"),
    ("serving.kserve.io", "inferenceservices"),
    ("serving.kserve.io", "servingruntimes"),
)

_ENFORCING: Final = ("calico", "cilium", "antrea", "weave", "kube-router", "canal", "ovn", "romana", "kindnet")
_IGNORING: Final = ("flannel", "bridge")


def server(api: Api) -> Iterator[Finding]:
    """The API server answers, and is new enough."""
    found = str((api.get("/version") or {}).get("gitVersion", ""))
    number = version(found)
    state = State.TOO_OLD if number is not None and number < _OLDEST else State.OK
    oldest = ".".join(str(part) for part in _OLDEST[:2])
    yield Finding("Kubernetes", state, f"{found} at {api.address}", f"upgrade it to {oldest} or later" * state.bad)


def rights(api: Api, scope: Scope) -> Iterator[Finding]:
    """This account may create what helm install and kubectl apply -k create."""
    wanted = [(scope.namespace, *right) for right in _RIGHTS]
    wanted += [(namespace, *right) for namespace in scope.environments.values() for right in _ENVIRONMENT_RIGHTS]
    refused = [
        f"{resource} in {namespace}"
        for namespace, group, resource in wanted
        if not _may(api, namespace, group, resource)
    ]
    shown = ", ".join(refused[:_SHOWN]) + (f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else "")
    if refused:
        remedy = "ask an administrator for the ClusterRole admin in these namespaces, or to install it"
        yield Finding("Rights to install", State.MISSING, f"may not create {shown}", remedy)
    else:
        yield Finding("Rights to install", State.OK, f"may create all {len(wanted)} kinds of objects looked at")


def storage(api: Api) -> Iterator[Finding]:
    """A default StorageClass, for the bundled PostgreSQL and S3."""
    classes = items(api.get(path("/apis/storage.k8s.io/v1", "storageclasses")))
    key = "storageclass.kubernetes.io/is-default-class"
    default = [one for one in classes if (one["metadata"].get("annotations") or {}).get(key) == "true"]
    if default:
        found = ", ".join(f"{one['metadata']['name']} ({one['provisioner']})" for one in default)
        yield Finding("Default StorageClass", State.OK, found)
        return
    names = ", ".join(str(one["metadata"]["name"]) for one in classes)
    remedy = f"annotate one with {key}=true, or give external PostgreSQL and S3 in the chart's values"
    yield Finding("Default StorageClass", State.MISSING, f"none is the default of: {names or 'none'}", remedy)


def isolation(api: Api) -> Iterator[Finding]:
    """Whether NetworkPolicies are likely enforced: the API server takes them in any case."""
    workloads = items(api.get(path(APPS, "daemonsets")))
    nodes = items(api.get(path(CORE, "nodes")))
    names = [str(one["metadata"]["name"]) for one in workloads]
    enforcing = sorted({name for name in names for known in _ENFORCING if known in name})
    if any("k3s" in str(node["status"]["nodeInfo"]["kubeletVersion"]) for node in nodes):
        enforcing.append("k3s's own kube-router")
    if enforcing:
        yield Finding("NetworkPolicy", State.OK, f"likely enforced, by {', '.join(enforcing)}")
        return
    ignoring = sorted({name for name in names for known in _IGNORING if known in name})
    found = (
        f"not enforced by {', '.join(ignoring)} alone" if ignoring else "no network plugin known to enforce it is seen"
    )
    remedy = "where it matters, use one that does, such as Calico or Cilium, and try it with a stranger pod"
    yield Finding("NetworkPolicy", State.UNKNOWN, found, remedy)


def pod_security(api: Api, scope: Scope) -> Iterator[Finding]:
    """The namespaces exist and name a Pod Security level."""
    key = "pod-security.kubernetes.io/enforce"
    for namespace in scope.namespaces:
        found = api.get(path(CORE, "namespaces", namespace))
        check = f"Namespace {namespace}"
        if found is None:
            yield Finding(check, State.MISSING, "it does not exist", f"kubectl create namespace {namespace}")
            continue
        level = (found["metadata"].get("labels") or {}).get(key, "")
        if level in {"restricted", "baseline"}:
            yield Finding(check, State.OK, f"Pod Security {level}")
        else:
            remedy = f"kubectl label namespace {namespace} {key}=restricted"
            yield Finding(check, State.UNKNOWN, f"Pod Security {level or 'not enforced'}", remedy)


def _may(api: Api, namespace: str, group: str, resource: str) -> bool:
    attributes = {"namespace": namespace, "verb": "create", "group": group, "resource": resource}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = api.create(path("/apis/authorization.k8s.io/v1", "selfsubjectaccessreviews"), review)
    return bool((answer.get("status") or {}).get("allowed"))
