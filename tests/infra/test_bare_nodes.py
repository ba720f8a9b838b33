"""What Ansible brings to nodes, held against the charts that run on them: volumes, runtimes and the root's values."""

import tomllib
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

from infra_checks.objects import CHART, GATEWAY, PLATFORM, ROOT
from infra_checks.policies import quantity
from rendering import Manifest, render_chart

ROLES = ROOT / "ansible" / "roles"
REPOSITORY = {"repoURL": "https://git.example.org/chexpert.git"}


def of_role(role: str, part: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROLES / role / part / "main.yml").read_text()))


def filled(template: str, **settings: Any) -> str:
    """A template of a role as Ansible fills it in; a list that goes through `to_json` must be empty."""
    text = (ROLES / template).read_text().replace("| to_json", "")
    whole = jinja2.Template(text, trim_blocks=True, undefined=jinja2.StrictUndefined)
    return str(whole.render(ansible_managed="by Ansible", **settings))


def claims(manifests: list[Manifest]) -> dict[str, str]:
    """Sizes by namespace/name of the claims that StatefulSets make, one for each pod."""
    return {
        f"{m['metadata'].get('namespace', 'chexpert')}/{t['metadata']['name']}-{m['metadata']['name']}-{pod}": t[
            "spec"
        ]["resources"]["requests"]["storage"]
        for m in manifests
        if m["kind"] == "StatefulSet"
        for t in m["spec"].get("volumeClaimTemplates", [])
        for pod in range(m["spec"].get("replicas", 1))
    }


def test_a_volume_is_reserved_for_each_claim_of_the_chart() -> None:
    """By the claim's very name, or it waits for ever; and as large as what the chart asks for."""
    reserved = {v["claim"]: v["size"] for v in of_role("storage_class", "vars")["storage_class_bundled"]}
    asked = claims(render_chart(CHART, {}))
    assert reserved.keys() == asked.keys()
    assert all(quantity(reserved[claim]) >= quantity(size) for claim, size in asked.items())


@pytest.mark.parametrize("values", sorted((CHART / "values").glob("*.yaml")), ids=lambda path: path.stem)
def test_no_values_file_asks_for_more(values: Path) -> None:
    """Claims of every values file find their volume, those that it still has."""
    reserved = {v["claim"]: v["size"] for v in of_role("storage_class", "vars")["storage_class_bundled"]}
    for claim, size in claims(render_chart(CHART, [values])).items():
        assert quantity(reserved[claim]) >= quantity(size)


def containerd(*groups: str) -> dict[str, Any]:
    settings = of_role("container_runtime", "defaults")
    text = filled("container_runtime/templates/config.toml.j2", group_names=list(groups), **settings)
    return dict(tomllib.loads(text)["plugins"]["io.containerd.grpc.v1.cri"]["containerd"])


def test_a_gpu_node_runs_pods_by_nvidias_runtime() -> None:
    """The default, so that no pod has to name a class; containerd's own stays beside it."""
    found = containerd("cluster", "gpu")
    assert found["default_runtime_name"] == "nvidia"
    assert found["runtimes"]["nvidia"]["options"]["BinaryName"] == "/usr/bin/nvidia-container-runtime"
    assert found["runtimes"].keys() == {"runc", "nvidia"}


def test_another_node_knows_nothing_of_it() -> None:
    """Its runtime is runc, containerd's default."""
    found = containerd("cluster", "workers")
    assert "default_runtime_name" not in found
    assert found["runtimes"].keys() == {"runc"}


@pytest.mark.parametrize(("group", "labelled"), [("gpu", True), ("workers", False)])
def test_a_gpu_node_joins_with_the_label_that_the_device_plugin_looks_for(group: str, *, labelled: bool) -> None:
    """NVIDIA's chart runs where something says that there is a GPU."""
    text = filled(
        "cluster/templates/join.yaml.j2",
        group_names=[group],
        inventory_hostname="gpu1",
        private_address="192.168.1.31",
        cluster_address="192.168.1.11",
        cluster_token_words=["x"] * 7,
        cluster_ignored_preflight_errors=[],
    )
    told = yaml.safe_load(text)["nodeRegistration"]["kubeletExtraArgs"]
    label = {"name": "node-labels", "value": "nvidia.com/gpu.present=true"}
    assert (label in told) is labelled
    assert {"name": "node-ip", "value": "192.168.1.31"} in told


def applications(values: dict[str, Any]) -> dict[str, Manifest]:
    objects = render_chart(PLATFORM, [REPOSITORY, values], name="chexpert-platform", namespace="argocd")
    return {m["metadata"]["name"]: m for m in objects if m["kind"] == "Application"}


def test_the_device_plugin_comes_where_it_is_asked_for() -> None:
    """A pinned chart, and a project that lets its DaemonSet through; else neither."""
    for on in (True, False):
        values = {"parts": {"devicePlugin": on}}
        found = applications(values)
        assert ("nvidia-device-plugin" in found) is on
        objects = render_chart(PLATFORM, [REPOSITORY, values], name="chexpert-platform", namespace="argocd")
        (held,) = [m["spec"] for m in objects if m["metadata"]["name"] == "chexpert-controllers"]
        assert ({"group": "apps", "kind": "DaemonSet"} in held["namespaceResourceWhitelist"]) is on
        assert ("nvidia-device-plugin" in {d["namespace"] for d in held["destinations"]}) is on
    source = applications({"parts": {"devicePlugin": True}})["nvidia-device-plugin"]["spec"]["source"]
    assert source["chart"] == "nvidia-device-plugin"
    assert source["targetRevision"] == "0.18.0"


def native(expression: str, **settings: Any) -> Any:
    """What an expression of Ansible's is, not its text."""
    return NativeEnvironment().from_string(expression).render(**settings)


def told(values: dict[str, Any], addresses: list[str]) -> dict[str, Any]:
    """What the role argocd_bootstrap tells the root of these settings."""
    expression = of_role("argocd_bootstrap", "vars")["argocd_bootstrap_bare"]
    found = native(expression, argocd_bootstrap_values=values, argocd_bootstrap_addresses=addresses)
    return dict(found)


def test_nodes_of_ours_take_the_sites_traffic_themselves() -> None:
    """By the control plane's private address, unless told otherwise."""
    default = of_role("argocd_bootstrap", "defaults")["argocd_bootstrap_addresses"]
    hosts = {"control": {"private_address": "192.168.1.11"}}
    addresses = native(default, groups={"control_plane": ["control"]}, hostvars=hosts)
    values = told({}, addresses)
    assert values == {"gateway": {"service": "NodeAddresses", "addresses": ["192.168.1.11"]}}
    gateway = applications(values)["gateway"]["spec"]["source"]["helm"]["valuesObject"]
    types = {m["spec"]["type"] for m in render_chart(GATEWAY, gateway) if m["kind"] == "Service"}
    assert types == {"ClusterIP"}


@pytest.mark.parametrize(
    ("values", "addresses"),
    [({"gateway": {"service": "LoadBalancer"}}, ["192.168.1.11"]), ({}, [])],
    ids=["stated", "no addresses"],
)
def test_a_cluster_with_a_load_balancer_is_told_so(values: dict[str, Any], addresses: list[str]) -> None:
    """Either way nothing of ours is laid over it, and the schema takes what is left."""
    assert told(values, addresses) == {}
    gateway = applications(values)["gateway"]["spec"]["source"]["helm"]["valuesObject"]
    assert gateway["service"] == "LoadBalancer"
