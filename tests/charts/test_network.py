from pathlib import Path
from typing import Any

import pytest

from rendering import Manifest, pick, render_chart

NAMESPACES = ("chexpert", "chexpert-staging", "chexpert-production")
MODEL_PODS = {"serving.kserve.io/inferenceservice": "chexpert"}
WORKFLOW_PODS = {"workflows.argoproj.io/workflow": "continuous-x-1"}
DATABASE = "postgresql+psycopg://u:p@db.example.org:6432/x"


def component(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/part-of": "chexpert", "app.kubernetes.io/component": name}


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(e["operator"] == "Exists" and e["key"] in labels for e in selector.get("matchExpressions", []))


def may(
    manifests: list[Manifest],
    sender: tuple[str, dict[str, str]],
    receiver: tuple[str, dict[str, str]],
    port: int,
) -> bool:
    """Whether the policies let a pod reach another's port: the sender's egress and the receiver's ingress both do."""

    def reaches(direction: str, mine: tuple[str, dict[str, str]], peer: tuple[str, dict[str, str]]) -> bool:
        side = {"Egress": ("egress", "to"), "Ingress": ("ingress", "from")}[direction]
        policies = [
            m["spec"]
            for m in manifests
            if m["kind"] == "NetworkPolicy"
            and m["metadata"]["namespace"] == mine[0]
            and direction in m["spec"]["policyTypes"]
            and selects(m["spec"]["podSelector"], mine[1])
        ]
        rules = [rule for policy in policies for rule in policy.get(side[0], [])]
        return not policies or any(
            any(_is_peer(p, mine[0], peer) for p in rule[side[1]])
            and (not rule.get("ports") or port in {p["port"] for p in rule["ports"]})
            for rule in rules
        )

    return reaches("Egress", sender, receiver) and reaches("Ingress", receiver, sender)


def _is_peer(peer: dict[str, Any], namespace: str, pod: tuple[str, dict[str, str]]) -> bool:
    if "ipBlock" in peer:
        return False
    wanted = peer.get("namespaceSelector", {}).get("matchLabels", {}).get("kubernetes.io/metadata.name", namespace)
    return bool(pod[0] == wanted) and selects(peer.get("podSelector", {}), pod[1])


SITE, WORKER, MLFLOW, POSTGRESQL, S3, TRAINER = (
    ("chexpert", component(name)) for name in ("site", "worker", "mlflow", "postgresql", "s3", "trainer")
)
WORKFLOW = ("chexpert", WORKFLOW_PODS)
MODEL = ("chexpert-production", MODEL_PODS)
STAGED = ("chexpert-staging", MODEL_PODS)
GATEWAY = ("kserve", {"app": "gateway"})
STRANGER = ("chexpert", {"app": "stranger"})
OUTSIDER = ("default", {"app": "outsider"})


@pytest.mark.parametrize(
    ("sender", "receiver", "port"),
    [
        (GATEWAY, SITE, 8800),
        (GATEWAY, MODEL, 8080),
        (GATEWAY, MODEL, 8081),
        (SITE, POSTGRESQL, 5432),
        (WORKER, POSTGRESQL, 5432),
        (MLFLOW, POSTGRESQL, 5432),
        *((pod, S3, 7070) for pod in (SITE, WORKER, MLFLOW, WORKFLOW, TRAINER, MODEL, STAGED)),
        (WORKER, GATEWAY, 8000),
        (WORKFLOW, GATEWAY, 8000),
        (WORKFLOW, MODEL, 8080),
        (WORKFLOW, STAGED, 8081),
        (WORKFLOW, MLFLOW, 5000),
        (TRAINER, MLFLOW, 5000),
        (TRAINER, TRAINER, 29500),
    ],
)
def test_what_belongs_together_meets(
    bundled: list[Manifest], sender: tuple[str, dict[str, str]], receiver: tuple[str, dict[str, str]], port: int
) -> None:
    """Each way of the platform is open at both of its ends."""
    assert may(bundled, sender, receiver, port)


@pytest.mark.parametrize("sender", [STRANGER, OUTSIDER], ids=["stranger", "outsider"])
@pytest.mark.parametrize(
    ("receiver", "port"),
    [(SITE, 8800), (WORKER, 8801), (MLFLOW, 5000), (POSTGRESQL, 5432), (S3, 7070), (MODEL, 8080), (TRAINER, 29500)],
)
def test_a_stranger_reaches_nothing(
    bundled: list[Manifest], sender: tuple[str, dict[str, str]], receiver: tuple[str, dict[str, str]], port: int
) -> None:
    """Neither from a namespace of the platform nor from another one."""
    assert not may(bundled, sender, receiver, port)


@pytest.mark.parametrize(
    ("sender", "receiver", "port"),
    [
        (WORKFLOW, POSTGRESQL, 5432),
        (MODEL, POSTGRESQL, 5432),
        (MODEL, MLFLOW, 5000),
        (MODEL, SITE, 8800),
        (SITE, MODEL, 8080),
        (SITE, MLFLOW, 5000),
        (STAGED, MODEL, 8080),
        (SITE, POSTGRESQL, 22),
    ],
)
def test_what_needs_nothing_of_another_does_not_reach_it(
    bundled: list[Manifest], sender: tuple[str, dict[str, str]], receiver: tuple[str, dict[str, str]], port: int
) -> None:
    """Least for each: a model's server knows objects and nothing else."""
    assert not may(bundled, sender, receiver, port)


def test_every_namespace_denies_by_default(bundled: list[Manifest]) -> None:
    """In both directions, for every pod."""
    for namespace in NAMESPACES:
        spec = pick(bundled, "NetworkPolicy", "chexpert-deny", namespace)["spec"]
        assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


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
            "objects": {"cidrs": ["10.244.0.1/32"]},
            "database": {"cidrs": ["192.0.2.7/32"], "ports": [6432]},
        },
    }
    egress = pick(render_chart(chart, values), "NetworkPolicy", "chexpert-site")["spec"]["egress"]
    assert egress == [
        {"to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}], "ports": [{"protocol": "TCP", "port": 6432}]},
        {"to": [{"ipBlock": {"cidr": "10.244.0.1/32"}}], "ports": [{"protocol": "TCP", "port": 7070}]},
    ]


def test_the_api_server_is_open_to_workflows_alone(bundled: list[Manifest]) -> None:
    """Argo's executor reports there; nothing else of the platform speaks to it."""
    reaching = {
        m["metadata"]["name"]
        for m in bundled
        if m["kind"] == "NetworkPolicy"
        and any(p["port"] == 6443 for rule in m["spec"].get("egress", []) for p in rule.get("ports", []))
    }
    assert reaching == {"chexpert-workflow"}


def test_policies_can_be_left_to_others(chart: Path) -> None:
    """network.enabled: false makes none."""
    manifests = render_chart(chart, {"network": {"enabled": False}})
    assert not any(m["kind"] == "NetworkPolicy" for m in manifests)


def test_steps_reach_git_where_it_listens(chart: Path) -> None:
    """A port in gitops.url needs no second value; an address in scp's form has none."""

    def ports(url: str) -> set[int]:
        policy = pick(render_chart(chart, {"gitops": {"url": url}}), "NetworkPolicy", "chexpert-workflow")
        return {p["port"] for rule in policy["spec"]["egress"] for p in rule.get("ports", [])}

    assert ports("http://git.example.org:3000/chexpert.git") - ports("git@git.example.org:chexpert.git") == {3000}
