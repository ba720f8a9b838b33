"""What a pod of nobody reaches, where the cluster's network keeps NetworkPolicies."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from cluster_harness.installing import gateway_cidrs
from cluster_harness.kube import until
from cluster_harness.table import Facts
from cluster_harness.world import World

pytestmark = pytest.mark.timeout(300)

STRANGER = "stranger"
PORTS = {"chexpert-site": 80, "chexpert-mlflow": 5000, "chexpert-postgresql": 5432, "chexpert-s3": 7070}
OPEN_PORT = 8080
MODEL_PORTS = (8080, 8081)
# Says of each host:port of its arguments whether a connection is taken.
PROBE = """
import json, socket, sys
def reaches(at):
    host, _, port = at.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 3).close()
    except OSError:
        return False
    return True
print(json.dumps({at: reaches(at) for at in sys.argv[1:]}))
"""


def test_the_platform_fits_beside_the_model(world: World, facts: Facts) -> None:
    """Memory of all pods, with the models that serve at the moment; the goal is 8 GiB on one node."""
    used = world.footprint()
    ours = {
        name: mib
        for name, mib in used.items()
        if mib and (name in world.namespaces.values() or "argo" in name or name == "kserve")
    }
    facts.saw(1, "memory of pods, MiB", ", ".join(f"{name} {mib:.0f}" for name, mib in sorted(ours.items())))
    assert sum(ours.values()) < 8 * 1024


@pytest.mark.usefixtures("first")
def test_a_stranger_reaches_nothing(world: World, facts: Facts) -> None:
    """From another namespace, and from a pod without our labels beside the platform's, to every port that answers.

    A pod without a policy proves first and last that the stranger has a network, and a policy of the test's own that
    the network keeps policies; else nothing would be shown.
    """
    outside, inside = f"{world.settings.prefix}-{STRANGER}", world.namespaces["platform"]
    kube = world.kube
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": outside}})
    try:
        kube.apply(*(_pod(name, world) for name in (STRANGER, "open", "closed")), namespace=outside)
        kube.apply(_pod(STRANGER, world), namespace=inside)
        for namespace, labels in ((outside, "app"), (inside, f"app={STRANGER}")):
            kube.kubectl("wait", "--for=condition=Ready", "pod", "-l", labels, "-n", namespace, "--timeout=90s")
        control = f"{_address(world, outside, 'open')}:{OPEN_PORT}"
        closed = f"{_address(world, outside, 'closed')}:{OPEN_PORT}"
        kube.apply(_deny("closed"), namespace=outside)
        until("the pod without a policy", 30, lambda: _probe(world, outside, control)[control])
        if not _kept(world, outside, closed):
            facts.saw(7, "a stranger pod", "not seen: this cluster's network does not enforce NetworkPolicies")
            pytest.skip("this cluster's network does not enforce NetworkPolicies: not seen")
        targets = _targets(world)
        for namespace in (outside, inside):
            # A namespace's own pods are no exception: the platform's default is to deny.
            seen = _probe(world, namespace, *targets)
            reached = sorted(targets[at] for at, taken in seen.items() if taken)
            where = "another namespace" if namespace == outside else "the platform's own namespace"
            facts.saw(7, f"a stranger pod in {where} reaches", reached or f"none of {len(targets)} addresses")
            assert not reached
        assert _probe(world, outside, control)[control]
        facts.saw(7, "of which", ", ".join(sorted(set(targets.values()))))
        node = f"{gateway_cidrs(world)[0].partition('/')[0]}:80" if gateway_cidrs(world) else ""
        kept = node and not _probe(world, inside, node)[node]
        words = "kept from it too" if kept else "reaches it: what is the node's own is not held back here"
        facts.saw(7, "a stranger pod of the platform's namespace, to the gateway on the node", words)
    finally:
        kube.delete("pod", STRANGER, namespace=inside, wait=False)
        kube.delete("namespace", outside, wait=False)


def _targets(world: World) -> Mapping[str, str]:
    """host:port to what it is: Services, and pods past their Services."""
    platform = world.namespaces["platform"]
    found = {
        # By address: a stranger who may not even ask for a name would show nothing of the service.
        f"{world.kube.get('service', service, namespace=platform)['spec']['clusterIP']}:{port}": service
        for service, port in PORTS.items()
    }
    for pod in world.kube.pods(platform, "app.kubernetes.io/part-of=chexpert,app.kubernetes.io/instance"):
        for container in pod["spec"]["containers"]:
            for port in container.get("ports", []):
                found[f"{pod['status']['podIP']}:{port['containerPort']}"] = f"{container['name']}'s pod"
    for environment in ("staging", "production"):
        pods = world.kube.pods(world.namespaces[environment], "serving.kserve.io/inferenceservice")
        assert pods or environment == "staging"
        for pod in pods:
            found |= {f"{pod['status']['podIP']}:{port}": f"{environment}'s model server" for port in MODEL_PORTS}
    return found


def _kept(world: World, namespace: str, closed: str) -> bool:
    """Whether a policy of our own is kept, within the time that a network takes to learn of it."""
    try:
        until("a policy to be kept", 20, lambda: not _probe(world, namespace, closed)[closed], every=1)
    except AssertionError:
        return False
    return True


def _probe(world: World, namespace: str, *targets: str) -> dict[str, bool]:
    answer: dict[str, bool] = json.loads(world.kube.execute(namespace, STRANGER, "python", "-c", PROBE, *targets))
    return answer


def _address(world: World, namespace: str, pod: str) -> str:
    return str(world.kube.get("pod", pod, namespace=namespace)["status"]["podIP"])


def _deny(app: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny"},
        "spec": {"podSelector": {"matchLabels": {"app": app}}, "policyTypes": ["Ingress"]},
    }


def _pod(name: str, world: World) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "main",
                    "image": world.settings.image("web"),
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python", "-m", "http.server", str(OPEN_PORT), "--directory", "/opt"],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }
