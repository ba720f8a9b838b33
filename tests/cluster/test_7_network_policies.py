"""What a pod of nobody reaches, where the cluster's network keeps NetworkPolicies."""

from typing import Any

import pytest

from cluster_harness.kube import CommandFailed
from cluster_harness.table import Facts
from cluster_harness.world import World

pytestmark = pytest.mark.timeout(240)

STRANGER = "stranger"
PORTS = {"chexpert-site": 80, "chexpert-mlflow": 5000, "chexpert-postgresql": 5432, "chexpert-s3": 7070}


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


def test_a_stranger_reaches_nothing(world: World, facts: Facts) -> None:
    """From another namespace to each Service; a port without a policy first proves that the pod has a network."""
    namespace = f"{world.settings.prefix}-{STRANGER}"
    kube = world.kube
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    try:
        kube.apply(_pod(STRANGER, world), _pod("open", world), namespace=namespace)
        kube.kubectl("wait", "--for=condition=Ready", "pod", "--all", "-n", namespace, "--timeout=90s")
        address = kube.get("pod", "open", namespace=namespace)["status"]["podIP"]
        assert _reaches(world, namespace, address, 8080), (
            "a pod without policies must be reachable, or this shows nothing"
        )
        deny = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "deny"},
            "spec": {"podSelector": {"matchLabels": {"app": "open"}}, "policyTypes": ["Ingress"]},
        }
        kube.apply(deny, namespace=namespace)
        if any(_reaches(world, namespace, address, 8080) for _ in range(3)):
            facts.saw(7, "a stranger pod", "not seen: this cluster's network does not enforce NetworkPolicies")
            pytest.skip("this cluster's network does not enforce NetworkPolicies: not seen")
        reached = [
            service
            for service, port in PORTS.items()
            if _reaches(world, namespace, f"{service}.{world.namespaces['platform']}.svc", port)
        ]
        facts.saw(7, "a stranger pod reaches", reached or f"none of {', '.join(PORTS)}")
        assert not reached
    finally:
        kube.delete("namespace", namespace, wait=False)


def _reaches(world: World, namespace: str, host: str, port: int) -> bool:
    probe = f"import socket; socket.create_connection(({host!r}, {port}), 3)"
    try:
        world.kube.execute(namespace, STRANGER, "python", "-c", probe)
    except CommandFailed:
        return False
    return True


def _pod(name: str, world: World) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "open" if name == "open" else STRANGER}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "main",
                    "image": world.settings.image("web"),
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python", "-m", "http.server", "8080", "--directory", "/opt"],
                }
            ],
        },
    }
