"""Rules for everything that runs, each seen to refuse."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from infra_checks.objects import CHART, KUSTOMIZATIONS, Workload, everything, workloads
from infra_checks.policies import POLICIES, quantity
from infra_checks.reach import isolated, powers, tokens
from rendering import Manifest

GATEWAY = {"kserve-ingress-gateway"}
"""The only role of ours that holds in every namespace: a Gateway API controller reads routes and TLS Secrets of all."""


def judged(manifests: list[Manifest], policy: str) -> list[str]:
    return [f"{w.name}: {complaint}" for w in workloads(manifests) for complaint in POLICIES[policy](w)]


def worlds() -> Iterator[tuple[str, list[Manifest]]]:
    """The chart with each of its values files, beside what the kustomizations and the Gateways add."""
    beside = [manifest for name in (*KUSTOMIZATIONS, "argo/cd/gateway") for manifest in everything()[name]]
    for name, manifests in everything().items():
        if name.startswith(f"charts/{CHART.name}"):
            yield name, [*manifests, *beside]


def good() -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "planted", "namespace": "chexpert"},
        "spec": {
            "template": {
                "metadata": {"labels": {"app": "planted"}},
                "spec": {
                    "serviceAccountName": "planted",
                    "automountServiceAccountToken": False,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 10001,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "volumes": [{"name": "tmp", "emptyDir": {}}],
                    "initContainers": [container("before")],
                    "containers": [container("main") | {"readinessProbe": {}, "livenessProbe": {}}],
                },
            },
        },
    }


def container(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "image": "chexpert/web:0.1.0",
        "ports": [{"containerPort": 8000}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def with_change(path: str, value: Any) -> Manifest:
    """The good Deployment with one field of its pod set, or removed where the value is `None`."""
    manifest: Any = copy.deepcopy(good())
    at = manifest["spec"]["template"]["spec"]
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        at = at[part]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return manifest


PLANTED = [
    ("non_root", "securityContext.runAsNonRoot", False),
    ("non_root", "securityContext.runAsUser", None),
    ("non_root", "securityContext.runAsUser", 0),
    ("non_root", "containers.0.securityContext.runAsUser", 0),
    ("non_root", "securityContext.runAsUser", "chexpert"),
    ("read_only", "containers.0.securityContext.readOnlyRootFilesystem", None),
    ("read_only", "initContainers.0.securityContext", None),
    ("no_capabilities", "containers.0.securityContext.capabilities.drop", ["NET_RAW"]),
    ("no_capabilities", "containers.0.securityContext.capabilities.add", ["SYS_ADMIN"]),
    ("no_capabilities", "containers.0.securityContext.allowPrivilegeEscalation", None),
    ("no_capabilities", "containers.0.securityContext.privileged", True),
    ("seccomp", "securityContext.seccompProfile", None),
    ("seccomp", "securityContext.seccompProfile.type", "Unconfined"),
    ("no_host", "hostNetwork", True),
    ("no_host", "hostPID", True),
    ("no_host", "volumes.0", {"name": "tmp", "hostPath": {"path": "/"}}),
    ("no_host", "containers.0.ports.0.hostPort", 80),
    ("probes", "containers.0.readinessProbe", None),
    ("probes", "containers.0.livenessProbe", None),
    ("limits", "containers.0.resources.limits", None),
    ("limits", "containers.0.resources.requests.cpu", None),
    ("limits", "initContainers.0.resources", None),
    ("small_when_idle", "containers.0.resources.requests.cpu", "1"),
    ("small_when_idle", "containers.0.resources.requests.memory", "1Gi"),
    ("pinned_images", "containers.0.image", "chexpert/web:latest"),
    ("pinned_images", "containers.0.image", "chexpert/web"),
    ("pinned_images", "containers.0.image", "registry.example.org:5000/chexpert/web"),
    ("pinned_images", "initContainers.0.image", "{{workflow.parameters.image}}"),
]


@pytest.mark.parametrize("policy", POLICIES)
def test_everything_keeps_the_policy(policy: str) -> None:
    """Charts with all values, kustomizations, and the pods that workflows make."""
    assert [found for manifests in everything().values() for found in judged(manifests, policy)] == []


@pytest.mark.parametrize(("policy", "path", "value"), PLANTED, ids=[f"{p}-{at}-{v}" for p, at, v in PLANTED])
def test_a_planted_violation_is_caught(policy: str, path: str, value: Any) -> None:
    """The policy has nothing against the good Deployment, and names what is wrong with the changed one."""
    assert judged([good()], policy) == []
    assert judged([with_change(path, value)], policy)


def test_every_policy_was_seen_to_refuse() -> None:
    """A guard nobody has seen refuse is a guard nobody knows works."""
    assert {policy for policy, _, _ in PLANTED} == set(POLICIES)


def test_the_pods_of_workflows_and_runtimes_are_found() -> None:
    """A policy that looks past a kind passes it: each kind that leads to pods is among what is judged."""
    kinds = {w.kind for manifests in everything().values() for w in workloads(manifests)}
    assert {"Deployment", "StatefulSet", "ServingRuntime", "WorkflowTemplate", "CronWorkflow"} <= kinds


def test_a_step_takes_what_all_steps_share_and_a_made_job_is_seen() -> None:
    """`templateDefaults` reach the step; the Job that a `resource` template makes is a workload of its own."""
    job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\n"
    job += "spec: {parallelism: {{workflow.parameters.pods}}, template: {spec: {containers: [{name: c}]}}}"
    template = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "WorkflowTemplate",
        "metadata": {"name": "w", "namespace": "n"},
        "spec": {
            "templateDefaults": {"container": {"securityContext": {"readOnlyRootFilesystem": True}}},
            "arguments": {"parameters": [{"name": "image", "value": "a:1"}, {"name": "pods", "value": "2"}]},
            "templates": [
                {"name": "s", "container": {"image": "{{workflow.parameters.image}}"}},
                {"name": "t", "resource": {"action": "create", "manifest": job}},
            ],
        },
    }
    step, made = workloads([template])
    assert list(POLICIES["read_only"](step)) == list(POLICIES["pinned_images"](step)) == []
    assert made.kind == "Job"
    assert list(POLICIES["read_only"](made))


@pytest.mark.parametrize(
    ("text", "plain"), [("200m", "0.2"), ("1.5", "1.5"), ("512Mi", "536870912"), ("1G", "1000000000")]
)
def test_quantities_are_read(text: str, plain: str) -> None:
    """Cores and bytes, with both families of units."""
    assert str(quantity(text)).rstrip("0").rstrip(".") == plain.rstrip("0").rstrip(".")


def test_no_quantity_is_refused() -> None:
    """A typing error in a resource is not taken for nothing."""
    with pytest.raises(ValueError, match="'512MB' is no quantity"):
        quantity("512MB")


def test_a_token_is_mounted_only_where_a_role_is_bound() -> None:
    """With every values file: who never asks the API server has no key to it."""
    found = [
        f"{where}: {w.name}: {c}" for where, all_of in worlds() for w in workloads(all_of) for c in tokens(w, all_of)
    ]
    assert found == []


def test_a_needless_token_is_caught() -> None:
    """Mounted by the pod, or by an account that says nothing; a bound role makes it needed."""
    wants = with_change("automountServiceAccountToken", True)
    unsaid = with_change("automountServiceAccountToken", None)
    who = {"namespace": "chexpert", "name": "planted"}
    account = {"kind": "ServiceAccount", "metadata": who}
    silent = account | {"automountServiceAccountToken": False}
    subject = {"kind": "ServiceAccount", "name": "planted"}
    binding = {"kind": "RoleBinding", "metadata": who, "subjects": [subject]}
    assert complain([wants, silent])
    assert complain([unsaid, account])
    assert not complain([unsaid, silent])
    assert not complain([wants, silent, binding])


def complain(manifests: list[Manifest]) -> list[str]:
    return [complaint for w in workloads(manifests) for complaint in tokens(w, manifests)]


def held(workload: Workload, manifests: list[Manifest]) -> list[str]:
    return [f"{workload.namespace} {workload.name}: {complaint}" for complaint in isolated(workload, manifests)]


def test_every_workload_is_held_by_a_network_policy() -> None:
    """For what comes and for what goes, in its own namespace, with every values file."""
    assert [found for _, all_of in worlds() for w in workloads(all_of) for found in held(w, all_of)] == []


def test_a_workload_without_network_policy_is_caught() -> None:
    """None, one for another, one of another namespace, one for a single direction; then one that holds."""
    (workload,) = workloads([good()])
    policy = {"kind": "NetworkPolicy", "metadata": {"name": "p", "namespace": "chexpert"}}
    both = {"podSelector": {"matchLabels": {"app": "planted"}}, "policyTypes": ["Ingress", "Egress"]}
    assert held(workload, [])
    assert held(workload, [policy | {"spec": both | {"podSelector": {"matchLabels": {"app": "other"}}}}])
    assert held(workload, [policy | {"metadata": {"name": "p", "namespace": "other"}, "spec": both}])
    assert held(workload, [policy | {"spec": both | {"policyTypes": ["Ingress"]}}])
    assert not held(workload, [policy | {"spec": both}])
    assert not held(workload, [policy | {"spec": both | {"podSelector": {}}}])


def test_roles_hold_in_one_namespace_and_name_what_they_may() -> None:
    """No wildcard, no Secrets, no way into pods; the gateway's is the only cluster role."""
    roles = [manifest for manifests in everything().values() for manifest in manifests]
    found = {m["metadata"]["name"]: list(powers(m)) for m in roles if list(powers(m))}
    assert found.keys() == GATEWAY
    assert found["kserve-ingress-gateway"] == ["holds in every namespace", "reads every Secret"]


@pytest.mark.parametrize(
    "rule",
    [
        {"apiGroups": ["*"], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["*"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]},
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["bind"]},
    ],
)
def test_a_role_that_may_too_much_is_caught(rule: dict[str, list[str]]) -> None:
    """In a namespace already; a harmless rule is let pass there and named when it holds everywhere."""
    harmless = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    assert list(powers({"kind": "Role", "rules": [harmless, rule]}))
    assert not list(powers({"kind": "Role", "rules": [harmless]}))
    assert list(powers({"kind": "ClusterRole", "rules": [harmless]}))
