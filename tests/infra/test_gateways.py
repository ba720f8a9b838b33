"""The site's Gateway and the models' one: who is heard on which, from where, and under which names."""

import itertools
from collections.abc import Iterator
from typing import Any

import helm_python
import pytest

from infra_checks.objects import CHART, GATEWAY, PLATFORM, values_files
from infra_checks.reach import admitted
from rendering import Manifest, lint_chart, merged_values, pick, render_chart

REPOSITORY = {"repoURL": "https://git.example.org/chexpert.git"}
BARE = {"service": "NodeAddresses", "addresses": ["192.168.1.11"]}
TRAEFIK = {"app.kubernetes.io/name": "traefik"}
MODELS = "models"
"""Traefik's entry point of KServe's routes."""


def platform(*values: Any) -> dict[str, Manifest]:
    """Values that each Application gives, by its name."""
    objects = render_chart(PLATFORM, [REPOSITORY, *values], name="chexpert-platform", namespace="argocd")
    applications = {m["metadata"]["name"]: m["spec"]["source"] for m in objects if m["kind"] == "Application"}
    return {name: source["helm"]["valuesObject"] for name, source in applications.items() if "helm" in source}


def gateway(**told: Any) -> list[Manifest]:
    """What the part brings with these values of the platform's `gateway`."""
    return render_chart(GATEWAY, platform({"gateway": told})["gateway"], name="gateway", namespace="kserve")


def services(objects: list[Manifest]) -> dict[str, dict[str, Any]]:
    return {m["metadata"]["name"]: m["spec"] for m in objects if m["kind"] == "Service"}


def listeners(objects: list[Manifest], name: str) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in pick(objects, "Gateway", name, "kserve")["spec"]["listeners"]}


def combinations() -> Iterator[dict[str, Any]]:
    """Values of `gateway`, each with each."""
    ways: list[dict[str, Any]] = [{"service": "LoadBalancer"}, BARE]
    for way, certificate, site in itertools.product(ways, ["", "chexpert-tls"], ["", "kserve/kserve-ingress-gateway"]):
        yield {**way, "certificate": certificate, "site": site}


@pytest.mark.parametrize("told", list(combinations()), ids=str)
def test_the_part_is_without_complaint(told: dict[str, Any]) -> None:
    """Strictly linted, as the platform fills it in."""
    assert lint_chart(GATEWAY, platform({"gateway": told})["gateway"]) == []


@pytest.mark.parametrize("told", list(combinations()), ids=str)
def test_bare_nodes_wait_for_no_load_balancer(told: dict[str, Any]) -> None:
    """A LoadBalancer that nobody serves is Progressing for ever: with addresses there is none, whatever else."""
    found = services(gateway(**told))
    outside = {name for name, spec in found.items() if spec["type"] != "ClusterIP" or spec.get("externalIPs")}
    assert outside == {"chexpert-site"}
    assert [name for name, spec in found.items() if spec["type"] == "LoadBalancer"] == (
        [] if told["service"] == "NodeAddresses" else ["chexpert-site"]
    )
    assert found["chexpert-site"].get("externalIPs", []) == told.get("addresses", [])


@pytest.mark.parametrize("told", list(combinations()), ids=str)
def test_models_are_asked_from_inside_alone(told: dict[str, Any]) -> None:
    """Every Service that leads to the models' entry point has a cluster address and nothing else."""
    found = services(gateway(**told))
    inside = {name: spec for name, spec in found.items() if any(p["targetPort"] == MODELS for p in spec["ports"])}
    assert "kserve-ingress-gateway" in inside
    assert "chexpert-site" not in inside
    assert all(spec["type"] == "ClusterIP" and "externalIPs" not in spec for spec in inside.values())


@pytest.mark.parametrize("certificate", ["", "chexpert-tls"])
def test_a_listener_has_the_port_of_an_entry_point(certificate: str) -> None:
    """Traefik takes no route up otherwise; the two Gateways share no port."""
    objects = gateway(certificate=certificate)
    (container,) = pick(objects, "Deployment", "kserve-ingress-gateway", "kserve")["spec"]["template"]["spec"][
        "containers"
    ]
    ports = {p["containerPort"]: p["name"] for p in container["ports"]}
    for port, name in ports.items():
        assert f"--entrypoints.{'traefik' if name == 'ping' else name}.address=:{port}" in container["args"]
    site = {ports[entry["port"]] for entry in listeners(objects, "chexpert-site").values()}
    models = {ports[entry["port"]] for entry in listeners(objects, "kserve-ingress-gateway").values()}
    assert site == ({"web", "websecure"} if certificate else {"web"})
    assert models == {MODELS}


def test_a_gateway_takes_only_the_routes_that_are_its_own() -> None:
    """The platform's on the one, the environments' on the other, by their namespaces."""
    objects = gateway(certificate="chexpert-tls")
    for entry in listeners(objects, "chexpert-site").values():
        allowed = entry["allowedRoutes"]["namespaces"]
        assert allowed == {"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": "chexpert"}}}
    (entry,) = listeners(objects, "kserve-ingress-gateway").values()
    (rule,) = entry["allowedRoutes"]["namespaces"]["selector"]["matchExpressions"]
    assert rule["values"] == ["chexpert-staging", "chexpert-production"]


@pytest.mark.parametrize(
    ("namespace", "labels", "port", "let_in"),
    [
        ("anywhere", {}, "web", True),
        ("anywhere", {}, "websecure", True),
        ("anywhere", {}, MODELS, False),
        ("kserve", {}, MODELS, False),
        ("chexpert", {"app.kubernetes.io/component": "worker"}, MODELS, True),
        ("chexpert", {"app.kubernetes.io/component": "site"}, MODELS, True),
        ("chexpert", {"app.kubernetes.io/component": "mlflow"}, MODELS, False),
        ("chexpert", {"workflows.argoproj.io/workflow": "rollout-1"}, MODELS, True),
        ("anywhere", {"workflows.argoproj.io/workflow": "rollout-1"}, MODELS, False),
        ("chexpert-staging", {}, MODELS, True),
        ("chexpert-production", {}, MODELS, True),
        ("monitoring", {}, MODELS, True),
    ],
)
def test_who_may_ask_the_models(namespace: str, labels: dict[str, str], port: str, let_in: bool) -> None:
    """The platform's own pods, its workflows, the environments and monitoring; the site's ports are anybody's."""
    policy = pick(gateway(), "NetworkPolicy", "kserve-ingress-gateway", "kserve")
    assert policy["spec"]["podSelector"]["matchLabels"] == TRAEFIK
    assert admitted(policy, namespace, labels, port) is let_in


def test_another_world_has_other_namespaces() -> None:
    """Told once in the platform: listeners, policy and names follow."""
    names = {"chexpert": "chx", "staging": "chx-staging", "production": "chx-production"}
    told = platform({"namespaces": names, "gateway": {"monitoring": []}})
    objects = render_chart(GATEWAY, told["gateway"], name="gateway", namespace="kserve")
    policy = pick(objects, "NetworkPolicy", "kserve-ingress-gateway", "kserve")
    assert admitted(policy, "chx", {"app.kubernetes.io/component": "worker"}, MODELS)
    assert not admitted(policy, "chexpert-staging", {}, MODELS)
    assert not admitted(policy, "monitoring", {}, MODELS)
    assert "chexpert-chx-staging" in services(objects)


def hosts(values: dict[str, Any]) -> set[str]:
    """Hosts at which the chart's pods ask the models."""
    data = pick(render_chart(CHART, values), "ConfigMap", "chexpert")["data"]
    return {data[f"CHEXPERT_{name}"].removeprefix("http://") for name in ("STAGING", "PRODUCTION")}


def test_the_hosts_of_models_are_names_of_services() -> None:
    """As KServe has them, within the gateway's namespace: pods resolve them without a word to CoreDNS."""
    told = platform()
    found = services(render_chart(GATEWAY, told["gateway"], name="gateway", namespace="kserve"))
    for host in hosts(told["chexpert"]):
        name, namespace, *rest = host.split(".")
        assert (namespace, rest) == ("kserve", ["svc", "cluster", "local"])
        assert [p["targetPort"] for p in found[name]["ports"]] == [MODELS]
    assert told["kserve"]["kserve"]["controller"]["gateway"]["domain"] == "kserve.svc.cluster.local"


def test_another_domain_makes_no_services() -> None:
    """Where the hosts are somebody else's to resolve, their names would lead nowhere."""
    told = platform({"kserve": {"domain": "models.example.org"}})
    found = services(render_chart(GATEWAY, told["gateway"], name="gateway", namespace="kserve"))
    assert found.keys() == {"chexpert-site", "kserve-ingress-gateway"}


def test_each_named_listener_is_there() -> None:
    """Values files of the chart name listeners; the part has them, with a certificate where it must be https."""
    for path in values_files():
        named = merged_values([path]).get("gateway", {}).get("listener", "http")
        assert named in listeners(gateway(certificate="chexpert-tls"), "chexpert-site")
        stated = {"chexpert": {"values": {"gateway": {"listener": named}}}}
        assert platform({"gateway": {"certificate": "chexpert-tls"}}, stated)


@pytest.mark.parametrize("named", ["https", "htps"])
def test_a_listener_that_is_not_there_is_refused(named: str) -> None:
    """No certificate, no https: the site's route would wait for ever."""
    stated = {"chexpert": {"values": {"gateway": {"listener": named}}}}
    with pytest.raises(helm_python.HelmError, match=f"no listener {named}"):
        platform(stated)
    assert platform({"parts": {"gateway": False}}, stated)


@pytest.mark.parametrize("told", [told for told in combinations() if not told["site"]], ids=str)
def test_the_sites_route_hangs_on_a_listener_that_hears_it(told: dict[str, Any]) -> None:
    """The chart's HTTPRoute names a Gateway and a listener of the part."""
    values = platform({"gateway": told})["chexpert"]
    (parent,) = pick(render_chart(CHART, values), "HTTPRoute", "chexpert-site")["spec"]["parentRefs"]
    assert parent["name"] == "chexpert-site"
    assert parent["sectionName"] == ("https" if told["certificate"] else "http")
    assert parent["sectionName"] in listeners(gateway(**told), "chexpert-site")


def test_a_cluster_of_one_gateway_has_the_site_on_it() -> None:
    """Without the part, the site's route hangs where KServe's do."""
    values = platform({"parts": {"gateway": False}, "kserve": {"gateway": "edge/main"}})["chexpert"]
    assert values["gateway"] == {"namespace": "edge", "name": "main"}


def test_two_gateways_in_two_namespaces_are_both_let_through() -> None:
    """The chart's policies know the site's Gateway; the models' one is told beside it."""
    told = {"parts": {"gateway": False}, "kserve": {"gateway": "edge/models"}, "gateway": {"site": "front/site"}}
    values = platform(told)["chexpert"]
    assert values["gateway"] == {"namespace": "front", "name": "site"}
    assert values["network"] == {"gateway": {"namespaces": ["edge"]}}


def test_http_leads_to_https_where_there_is_a_certificate() -> None:
    """A password is not typed into a page without one."""
    argument = "--entrypoints.web.http.redirections.entrypoint.scheme=https"
    for certificate in ("", "chexpert-tls"):
        deployment = pick(gateway(certificate=certificate), "Deployment", "kserve-ingress-gateway", "kserve")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert (argument in container["args"]) is bool(certificate)
