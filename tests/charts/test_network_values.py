"""What the values of the network make of the policies: ports that follow addresses, and who is named by labels."""

from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from rendering import pick, render_chart

ROOT: Final = Path(__file__).resolve().parents[2]
DATABASE = "postgresql+psycopg://u:p@db.example.org:6432/x"
GIT_STEPS: Final = {"evaluate", "stage", "propose", "advance"}
"""evaluate reads which version is the incumbent."""


def test_ports_of_external_stores_follow_their_addresses(chart: Path) -> None:
    """S3's from the endpoint; PostgreSQL's, whose URL may be in a Secret only, from the values."""
    values = {
        "objects": {
            "endpoint": "http://10.244.0.1:7070",
            "accessKey": "key",
            "secretKey": "secret",
            "bundled": {"enabled": False},
        },
        "postgresql": {"enabled": False, "external": {"siteURL": DATABASE, "mlflowURL": DATABASE}},
        "network": {
            "objects": {"cidrs": ["10.244.0.1/32"], "ports": [9000]},
            "database": {"cidrs": ["192.0.2.7/32"], "ports": [6432]},
        },
    }
    rendered = render_chart(chart, values)
    database = {"to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}], "ports": [{"protocol": "TCP", "port": 6432}]}
    ports = [{"protocol": "TCP", "port": 7070}, {"protocol": "TCP", "port": 9000}]
    objects = {"to": [{"ipBlock": {"cidr": "10.244.0.1/32"}}], "ports": ports}
    assert pick(rendered, "NetworkPolicy", "chexpert-mlflow")["spec"]["egress"] == [database, objects]
    for namespace in ("chexpert-staging", "chexpert-production"):
        assert pick(rendered, "NetworkPolicy", "chexpert-serve", namespace)["spec"]["egress"] == [objects]


def test_policies_can_be_left_to_others(chart: Path) -> None:
    """network.enabled: false makes none."""
    manifests = render_chart(chart, {"network": {"enabled": False}})
    assert not any(m["kind"] == "NetworkPolicy" for m in manifests)


@pytest.mark.parametrize(
    ("url", "more", "expected"),
    [
        ("http://git.example.org/x.git", [], {80}),
        ("https://git.example.org/x.git", [], {443}),
        ("http://git.example.org:3000/x.git", [], {3000}),
        ("https://me@git.example.org:8443/x.git", [], {8443}),
        ("ssh://git@git.example.org/x.git", [], {22}),
        ("ssh://git@git.example.org:2222/x.git", [], {2222}),
        ("git@git.example.org:x.git", [], {22}),
        ("git@git.example.org:x.git", [443], {22, 443}),
        ("git@github.com:radiology/x.git", [], {22, 443}),
        ("git://git.example.org/x.git", [], {9418}),
        ("http://git.example.org/x.git", [3000, 80], {80, 3000}),
        ("file:///srv/x.git", [], set()),
        ("", [], set()),
    ],
)
def test_steps_reach_git_where_it_listens(chart: Path, url: str, more: list[int], expected: set[int]) -> None:
    """By the URL's port or its scheme, and at no other; values add what no URL tells. Without a URL nobody asks git."""
    rendered = render_chart(chart, {"gitops": {"url": url}, "network": {"git": {"ports": more}}})
    policies = [m["spec"] for m in rendered if m["metadata"]["name"] == "chexpert-git"]
    ports = [p["port"] for spec in policies for rule in spec["egress"] for p in rule["ports"]]
    assert sorted(ports) == sorted(expected)


def test_a_gateway_on_a_node_is_asked_at_the_ports_of_its_urls(chart: Path) -> None:
    """And of a gateway that is pods at those of its entry points, whatever its Service has."""
    values = {
        "environments": {"production": {"url": "http://models.example.org:8081"}},
        "network": {"gateway": {"cidrs": ["10.244.0.1/32"], "podPorts": [9080], "ports": [443]}},
    }
    rules = pick(render_chart(chart, values), "NetworkPolicy", "chexpert-worker")["spec"]["egress"][-2:]
    assert [[p["port"] for p in rule["ports"]] for rule in rules] == [[9080], [443, 80, 8081]]


def test_our_own_gateway_is_let_through(chart: Path) -> None:
    """argo/cd/gateway's entry points are among the default ports, and its labels are those that production names."""
    brought = render_chart(ROOT / "argo/cd/gateway", {"certificate": "tls"}, name="gateway", namespace="kserve")
    (pod,) = (m["spec"]["template"] for m in brought if m["kind"] == "Deployment")
    ports = {p["containerPort"] for p in pod["spec"]["containers"][0]["ports"] if p["name"] != "ping"}
    assert ports <= set(stated(chart / "values.yaml")["gateway"]["podPorts"])
    for name in ("production", "staging"):
        named = stated(chart / "values" / f"{name}.yaml")["gateway"]["podLabels"]
        assert named.items() <= pod["metadata"]["labels"].items()


def test_every_step_that_needs_git_reaches_it(chart: Path) -> None:
    """And where a label tells them apart, no other step does."""
    policy = pick(
        render_chart(chart, {"gitops": {"url": "https://git.example.org/x.git"}}), "NetworkPolicy", "chexpert-git"
    )
    steps: dict[str, dict[str, str]] = {}
    for path in (ROOT / "argo/workflows").glob("*.yaml"):
        whole = YAML(typ="safe").load(path).get("spec", {})
        spec = whole.get("workflowSpec", whole)
        for template in (t for t in spec.get("templates", []) if "container" in t):
            own = template.get("metadata", {}).get("labels", {})
            steps[template["name"]] = spec["podMetadata"]["labels"] | own
    selector = policy["spec"]["podSelector"]
    assert selector.pop("matchExpressions") == [{"key": "workflows.argoproj.io/workflow", "operator": "Exists"}]
    wanted = selector.get("matchLabels", {})
    reaching = {name for name, carried in steps.items() if wanted.items() <= carried.items()}
    assert steps.keys() > GIT_STEPS
    assert reaching == (GIT_STEPS if wanted else steps.keys())


def stated(path: Path) -> dict[str, Any]:
    """What a values file says of the network."""
    values: dict[str, Any] = YAML(typ="safe").load(path)["network"]
    return values
