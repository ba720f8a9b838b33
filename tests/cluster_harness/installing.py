"""Installs the platform as docs/cluster.md says, into namespaces of our own, and takes it away again."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import yaml

from cluster_harness.git_host import NAME as GIT_HOST
from cluster_harness.git_host import GitHost, git_host_objects
from cluster_harness.kube import CommandFailed, Kube, until
from cluster_harness.settings import ClusterSettings
from cluster_harness.table import Facts
from cluster_harness.world import ROOT, World

__all__ = [
    "FAULTY_RUNTIME",
    "FAULTY_VERSION",
    "KINDS",
    "SITE_PASSWORD",
    "SITE_USER",
    "chart_values",
    "gateway_cidrs",
    "installed",
]

SITE_USER, SITE_PASSWORD = "technician", "a phrase for a test"
FAULTY_RUNTIME = "chexpert-faulty"
"""A ServingRuntime whose server fails half of its requests, for a candidate that must return."""
FAULTY_VERSION = "v90"
KINDS = {
    "kserve": "inferenceservices.serving.kserve.io",
    "argo": "workflows.argoproj.io",
    "argocd": "applications.argoproj.io",
}


def chart_values(settings: ClusterSettings, world: World, user: str, **changed: Any) -> dict[str, Any]:
    """Values of the chart for these tests, beside values/small.yaml."""
    gateway_namespace, gateway = settings.gateway.split("/")
    return {
        "images": {
            "registry": settings.registry,
            "tag": settings.tag,
            "postgresql": settings.postgresql,
            "s3": settings.s3,
        },
        "environments": {
            "domain": settings.domain,
            "staging": {"namespace": world.namespaces["staging"]},
            "production": {"namespace": world.namespaces["production"]},
        },
        "gateway": {"name": gateway, "namespace": gateway_namespace},
        "gitops": {"url": world.git.inside},
        "network": {
            "git": {"ports": [22, 443, 3000], "namespaces": [settings.prefix]},
            "dns": {"cidrs": _outside_pods(world.kube)},
            "gateway": {"cidrs": gateway_cidrs(world)},
        },
        "site": {"url": f"http://{world.site_host}", "users": [user], **changed},
    }


def gateway_cidrs(world: World) -> list[str]:
    """Where the gateway answers, for policies: its proxies need not be pods."""
    host = world.gateway.partition(":")[0]
    return [f"{host}/32"] if _is_address(host) else []


def _outside_pods(kube: Kube) -> list[str]:
    """Addresses of the cluster's DNS that are no pods', as where it is a process on the node."""
    slices = kube.get("endpointslices", namespace="kube-system", selector="kubernetes.io/service-name=kube-dns")
    ends = [end for found in slices["items"] for end in found["endpoints"] or [] if "targetRef" not in end]
    return sorted({f"{address}/32" for end in ends for address in end["addresses"]})


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@contextmanager
def installed(kube: Kube, settings: ClusterSettings, folder: Path, facts: Facts) -> Iterator[World]:
    """Namespaces, Git host, chart and, where the cluster has Argo CD, the Applications; all gone afterwards."""
    address = settings.address or kube.gateway_address(*settings.gateway.split("/"))
    git = GitHost(settings.prefix, f"{settings.prefix}-git", address, folder / "clone")
    world = World(kube, settings, folder, address, git)
    if settings.reuse:
        git.join()
        _values(world)
    else:
        _remove(world)
    try:
        if not settings.reuse:
            _git_host(world)
            _chart(world, facts)
            kube.apply(*_objects_route(world), namespace=settings.prefix)
            if kube.has(KINDS["argocd"]):
                _applications(world, facts)
        os.environ.update({k: v for k, v in world.variables.items() if k.startswith("AWS_")})
        yield world
    finally:
        if not settings.keep:
            _remove(world)


def _git_host(world: World) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": world.settings.prefix}}
    world.kube.apply(namespace)
    gateway_namespace, gateway = world.settings.gateway.split("/")
    folder = f"{world.settings.prefix}-git"
    objects = git_host_objects(world.settings.image("tools"), folder, (gateway_namespace, gateway))
    world.kube.apply(*objects, namespace=world.settings.prefix)
    world.kube.kubectl("rollout", "status", f"deployment/{GIT_HOST}", "-n", world.settings.prefix, "--timeout=120s")
    until("the Git host", 30, lambda: _answers(f"{world.git.outside}/info/refs?service=git-upload-pack"))
    world.git.seed({"kserve": ROOT / "kserve", "argo": ROOT / "argo", "charts": ROOT / "charts"} | _faulty())


def _faulty() -> dict[str, str | Path]:
    """The production environment with one more ServingRuntime: the product's server around a session that fails."""
    base = ROOT / "kserve/base"
    runtime = yaml.safe_load(next(base.glob("servingruntime-*.yaml")).read_text())
    runtime["metadata"]["name"] = FAULTY_RUNTIME
    container = runtime["spec"]["containers"][0]
    planted = [
        "python",
        "-m",
        "chexpert.testing.faults",
        "errors",
        "--switch=/dev/null",
        f"--version={FAULTY_VERSION}",
        "--",
    ]
    container["command"] = planted
    kustomization = yaml.safe_load((ROOT / "kserve/production/kustomization.yaml").read_text())
    kustomization["resources"].append("faulty.yaml")
    return {
        "kserve/production/faulty.yaml": yaml.safe_dump(runtime, sort_keys=False),
        "kserve/production/kustomization.yaml": yaml.safe_dump(kustomization, sort_keys=False),
    }


def _objects_route(world: World) -> list[dict[str, Any]]:
    """The bucket at the gateway, for this machine: the chart itself shows S3 to nobody outside."""
    namespace, name = world.settings.gateway.split("/")
    proxies = [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
        *({"ipBlock": {"cidr": cidr}} for cidr in gateway_cidrs(world)),
    ]
    match = {"path": {"type": "PathPrefix", "value": "/chexpert"}}
    rule = {"matches": [match], "backendRefs": [{"name": "chexpert-s3", "port": 7070}]}
    policy = {
        "podSelector": {"matchLabels": {"app.kubernetes.io/component": "s3"}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": proxies, "ports": [{"port": 7070}]}],
    }
    return [
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "objects-for-tests"},
            "spec": {"parentRefs": [{"namespace": namespace, "name": name}], "rules": [rule]},
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "objects-for-tests"},
            "spec": policy,
        },
    ]


def _values(world: World) -> Path:
    values = world.folder / "values.yaml"
    values.write_text(yaml.safe_dump(chart_values(world.settings, world, _user())))
    return values


def _chart(world: World, facts: Facts) -> None:
    began = time.monotonic()
    values = _values(world)
    small = ROOT / "charts/chexpert/values/small.yaml"
    world.kube.run(
        "helm", "install", "chexpert", str(ROOT / "charts/chexpert"), "--namespace", world.settings.prefix,
        "--values", str(small), "--values", str(values), "--wait", "--timeout", "5m", seconds=360,
    )  # fmt: skip
    facts.saw(1, "helm install, everything bundled", f"ready after {time.monotonic() - began:.0f} s")


def _user() -> str:
    """The line of one user, as `chexpert users add` prints it."""
    done = subprocess.run(
        ["chexpert", "users", "add", SITE_USER, "--role", "admin"],
        input=f"{SITE_PASSWORD}\n{SITE_PASSWORD}\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return next(line for line in done.stdout.splitlines() if line.startswith(f"{SITE_USER}:"))


def _applications(world: World, facts: Facts) -> None:
    """The root Application, told to leave the cluster's controllers and the chart alone."""
    root = yaml.safe_load((ROOT / "argo/cd/root.yaml").read_text())
    names = world.namespaces
    root["metadata"]["name"] = f"{world.settings.prefix}-platform"
    root["spec"]["source"]["repoURL"] = world.git.inside
    root["spec"]["source"]["helm"]["valueFiles"].append("../values/existing-controllers.yaml")
    root["spec"]["source"]["helm"]["valuesObject"] = {
        "namespaces": {"chexpert": names["platform"], "staging": names["staging"], "production": names["production"]},
        "parts": {"chexpert": False},
        "serving": {"images": [f"chexpert/serve={world.settings.image('serve')}"]},
        "links": {"site": f"http://{world.site_host}"},
    }
    began = time.monotonic()
    world.kube.apply(root)
    until(
        "Argo CD's Applications",
        240,
        lambda: all(_synced(world, part) for part in ("workflows", "staging", "production")),
    )
    facts.saw(5, "root Application to everything Synced and Healthy", f"{time.monotonic() - began:.0f} s")


def _synced(world: World, part: str) -> bool:
    status = world.application(part).get("status", {})
    return status.get("sync", {}).get("status") == "Synced" and status.get("health", {}).get("status") == "Healthy"


def _answers(url: str) -> bool:
    return httpx.get(url, timeout=5, trust_env=False).status_code == httpx.codes.OK


def _remove(world: World) -> None:
    kube = world.kube
    if kube.has(KINDS["argocd"]):
        mine = [
            f"{world.settings.prefix}-platform",
            *(world.application_name(part) for part in ("workflows", "staging", "production", "health")),
        ]
        kube.delete("applications.argoproj.io", *mine, namespace="argocd")
        kube.delete("appprojects.argoproj.io", "chexpert", "chexpert-controllers", namespace="argocd")
    if kube.has(KINDS["argo"]) and kube.find("namespace", world.settings.prefix):
        # Before their namespace, and without collecting their artifacts: the store that holds them goes too.
        kube.delete("cronworkflows.argoproj.io", "--all", namespace=world.settings.prefix)
        kube.delete("workflows.argoproj.io", "--all", namespace=world.settings.prefix, wait=False)
        for workflow in kube.get("workflows.argoproj.io", namespace=world.settings.prefix)["items"]:
            kept = [*("-n", world.settings.prefix), "--type=merge", '-p={"metadata":{"finalizers":null}}']
            with suppress(CommandFailed):  # gone meanwhile
                kube.kubectl("patch", "workflow", workflow["metadata"]["name"], *kept)
    for namespace in world.namespaces.values():
        kube.delete("namespace", namespace, wait=False)
    for namespace in world.namespaces.values():
        kube.delete("namespace", namespace)
