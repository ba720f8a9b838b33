"""Who reaches whom: every way of the platform is asked of the policies, at both of its ends."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from rendering import Manifest, pick, render_chart

ROOT: Final = Path(__file__).resolve().parents[2]
NAMESPACES = ("chexpert", "chexpert-staging", "chexpert-production")


@dataclass(frozen=True)
class Peer:
    """A pod, or without a namespace a process on a node or outside the cluster."""

    name: str
    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    address: str = "10.244.1.9"


class Way(NamedTuple):
    """One connection that somebody might open."""

    sender: Peer
    receiver: Peer
    port: int
    protocol: str = "TCP"


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(e["operator"] == "Exists" and e["key"] in labels for e in selector.get("matchExpressions", []))


def may(manifests: list[Manifest], way: Way) -> bool:
    """Whether the policies let a packet pass: the sender's egress and the receiver's ingress both do."""
    there = _passes(manifests, "Egress", way.sender, way.receiver, way)
    return there and _passes(manifests, "Ingress", way.receiver, way.sender, way)


def _passes(manifests: list[Manifest], direction: str, mine: Peer, other: Peer, way: Way) -> bool:
    side, end = {"Egress": ("egress", "to"), "Ingress": ("ingress", "from")}[direction]
    policies = [
        m["spec"]
        for m in manifests
        if m["kind"] == "NetworkPolicy"
        and m["metadata"]["namespace"] == mine.namespace
        and direction in m["spec"]["policyTypes"]
        and selects(m["spec"]["podSelector"], mine.labels)
    ]
    asked = (way.protocol, way.port)
    return not policies or any(
        any(_is_peer(peer, mine.namespace, other) for peer in rule[end])
        and (not rule.get("ports") or asked in {(p["protocol"], p["port"]) for p in rule["ports"]})
        for policy in policies
        for rule in policy.get(side, [])
    )


def _is_peer(peer: dict[str, Any], namespace: str, other: Peer) -> bool:
    """As kube-router and Calico read it: a block of addresses holds pods too."""
    if block := peer.get("ipBlock"):
        address = ip_address(other.address)
        without = any(address in ip_network(part) for part in block.get("except", []))
        return address in ip_network(block["cidr"]) and not without
    wanted = {"kubernetes.io/metadata.name": namespace}
    selector = peer.get("namespaceSelector", {"matchLabels": wanted})
    named = {"kubernetes.io/metadata.name": other.namespace}
    return bool(other.namespace) and selects(selector, named) and selects(peer.get("podSelector", {}), other.labels)


def component(name: str) -> Peer:
    return Peer(name, "chexpert", {"app.kubernetes.io/part-of": "chexpert", "app.kubernetes.io/component": name})


SITE, WORKER, MLFLOW, POSTGRESQL, S3, TRAINER, TEST = (
    component(name) for name in ("site", "worker", "mlflow", "postgresql", "s3", "trainer", "test")
)
STEP_LABELS = {"workflows.argoproj.io/workflow": "continuous-x-1"}
STEP = Peer("step", "chexpert", STEP_LABELS)
GIT_STEP = Peer("git-step", "chexpert", STEP_LABELS | {"chexpert/git": "true"})
CLEANER = Peer("artifact-gc", "chexpert", STEP_LABELS | {"workflows.argoproj.io/component": "artifact-gc"})
MODEL = Peer("model", "chexpert-production", {"serving.kserve.io/inferenceservice": "chexpert"})
STAGED = Peer("staged", "chexpert-staging", {"serving.kserve.io/inferenceservice": "chexpert"})
GATEWAY = Peer("gateway", "kserve", {"app.kubernetes.io/name": "traefik"})
CONTROLLER = Peer("controller", "kserve", {"control-plane": "kserve-controller-manager"})
DNS = Peer("dns", "kube-system", {"k8s-app": "kube-dns"})
PROMETHEUS = Peer("prometheus", "monitoring", {"app.kubernetes.io/name": "prometheus"})
GRAFANA = Peer("grafana", "monitoring", {"app.kubernetes.io/name": "grafana"})
OUTSIDER = Peer("outsider", "default", {"app": "outsider"})
STRANGERS = [Peer(f"stranger-{n}", n, {"app": "stranger"}) for n in NAMESPACES]
NODE, NODE_2, NODE_3 = (Peer(f"node-{n}", address=f"10.244.0.{n}") for n in (1, 2, 3))
API = Peer("api", address="172.20.0.1")
GIT, INTERNET = Peer("git", address="192.0.2.30"), Peer("internet", address="198.51.100.1")
OURS = (SITE, WORKER, MLFLOW, TRAINER, TEST, STEP, CLEANER, MODEL, STAGED)

NODE_ONLY = {"namespaces": [], "cidrs": ["10.244.0.1/32"]}
WORLDS: Final[dict[str, list[Any]]] = {
    "bundled": [],
    "git": [{"gitops": {"url": "https://git.example.org/x.git"}}],
    # DNS, gateway, git, API server and collector are processes of one node, which also makes backups.
    "hosted": [
        {
            "gitops": {"url": "http://10.244.0.1:3000/chexpert.git"},
            "network": {
                **dict.fromkeys(("dns", "gateway", "git", "traces"), NODE_ONLY),
                "prometheus": {"namespaces": [], "cidrs": ["10.244.0.3/32"]},
                "backup": {"cidrs": ["10.244.0.1/32"]},
                "kubernetesAPI": {"cidrs": ["10.244.0.1/32"], "ports": [6443]},
            },
        }
    ],
    "production": [ROOT / "charts/chexpert/values/production.yaml"],
}
OPEN: Final[dict[str, list[Way]]] = {
    "bundled": [
        *(Way(sender, DNS, 53, protocol) for sender in (*OURS, *STRANGERS) for protocol in ("UDP", "TCP")),
        *(Way(sender, POSTGRESQL, 5432) for sender in (SITE, WORKER, MLFLOW)),
        *(Way(sender, S3, 7070) for sender in (SITE, WORKER, MLFLOW, STEP, CLEANER, TRAINER, MODEL, STAGED)),
        *(Way(sender, MLFLOW, 5000) for sender in (STEP, TRAINER, TEST)),
        *(Way(sender, GATEWAY, port) for sender in (SITE, WORKER, STEP) for port in (80, 8001, 8443)),
        *(Way(sender, API, port) for sender in (STEP, CLEANER) for port in (443, 6443)),
        *(Way(GATEWAY, model, port) for model in (MODEL, STAGED) for port in (8080, 8081)),
        *(Way(PROMETHEUS, *to) for to in ((WORKER, 8801), (MODEL, 8080), (STAGED, 8080))),
        Way(GATEWAY, SITE, 8800),
        Way(TEST, SITE, 8800),
        Way(STEP, MODEL, 8080),
        Way(TRAINER, TRAINER, 29500),
    ],
    "git": [Way(GIT_STEP, GIT, 443), Way(GIT_STEP, S3, 7070)],
    "hosted": [
        *(Way(sender, NODE, 53, protocol) for sender in (*OURS, *STRANGERS) for protocol in ("UDP", "TCP")),
        *(Way(sender, NODE, port) for sender in (SITE, WORKER, STEP) for port in (80, 443)),
        *(Way(GIT_STEP, NODE, port) for port in (3000, 6443)),
        *(Way(NODE, model, port) for model in (MODEL, STAGED) for port in (8080, 8081)),
        *(Way(NODE, *to) for to in ((SITE, 8800), (POSTGRESQL, 5432), (S3, 7070))),
        *(Way(NODE_3, *to) for to in ((WORKER, 8801), (MODEL, 8080), (STAGED, 8080))),
        *(Way(model, NODE, 4318) for model in (MODEL, STAGED)),
    ],
    "production": [
        *(Way(sender, Peer("database", address="192.0.2.10"), 5432) for sender in (SITE, WORKER, MLFLOW)),
        *(Way(sender, Peer("objects", address="192.0.2.20"), 443) for sender in (SITE, MLFLOW, STEP, TRAINER, MODEL)),
        Way(GIT_STEP, GIT, 443),
        Way(STEP, Peer("api", address="192.0.2.1"), 6443),
        Way(GATEWAY, SITE, 8800),
        Way(SITE, GATEWAY, 8443),
        Way(PROMETHEUS, MODEL, 8080),
    ],
}
SHUT: Final[dict[str, list[Way]]] = {
    "bundled": [
        *(
            Way(sender, *to)
            for sender in (*STRANGERS, OUTSIDER)
            for to in (
                *((SITE, 8800), (WORKER, 8801), (MLFLOW, 5000), (POSTGRESQL, 5432), (S3, 7070)),
                *((MODEL, 8080), (STAGED, 8081), (TRAINER, 29500)),
            )
        ),
        # A pod that no policy names has no way out, and none in.
        *(Way(pod, INTERNET, 443) for pod in (*STRANGERS, *OURS)),
        *(Way(OUTSIDER, stranger, 80) for stranger in STRANGERS),
        *(Way(SITE, *to) for to in ((DNS, 9153), (OUTSIDER, 53), (CONTROLLER, 9443), (NODE, 80), (NODE, 53))),
        *(Way(SITE, *to) for to in ((MODEL, 8080), (MLFLOW, 5000), (POSTGRESQL, 22), (API, 6443), (GIT, 443))),
        *(Way(WORKER, *to) for to in ((MODEL, 8080), (STAGED, 8080), (GATEWAY, 8080), (API, 6443), (NODE, 10250))),
        *(Way(STEP, *to) for to in ((POSTGRESQL, 5432), (SITE, 8800), (MODEL, 8081), (STAGED, 8080), (GIT, 22))),
        *(Way(STEP, *to) for to in ((GIT, 443), (INTERNET, 6443), (NODE, 10250), (NODE, 80))),
        *(Way(MODEL, *to) for to in ((POSTGRESQL, 5432), (MLFLOW, 5000), (SITE, 8800), (API, 443), (GATEWAY, 80))),
        *(Way(MODEL, *to) for to in ((OUTSIDER, 4318), (INTERNET, 4318), (STAGED, 8080))),
        *(Way(TRAINER, *to) for to in ((API, 6443), (GATEWAY, 80), (GIT, 443), (POSTGRESQL, 5432))),
        *(Way(TEST, *to) for to in ((POSTGRESQL, 5432), (S3, 7070), (API, 6443), (GATEWAY, 80))),
        *(Way(PROMETHEUS, *to) for to in ((SITE, 8800), (POSTGRESQL, 5432), (MODEL, 8081), (TEST, 80))),
        *(Way(GATEWAY, *to) for to in ((MLFLOW, 5000), (S3, 7070), (WORKER, 8801))),
        *(Way(NODE, *to) for to in ((POSTGRESQL, 5432), (S3, 7070), (SITE, 8800), (MODEL, 8080), (WORKER, 8801))),
    ],
    "git": [
        *(Way(sender, GIT, 443) for sender in (SITE, WORKER, TRAINER, MODEL, STEP, CLEANER)),
        *(Way(GIT_STEP, GIT, port) for port in (22, 80)),
    ],
    "hosted": [
        *(Way(sender, NODE, port) for sender in (SITE, WORKER, TRAINER, MODEL) for port in (3000, 6443, 10250)),
        *(Way(STEP, NODE, port) for port in (2379, 7070, 10250)),
        *(Way(sender, NODE, 80) for sender in (TRAINER, MODEL, TEST, *STRANGERS)),
        *(Way(sender, NODE_2, *at) for sender in (SITE, STEP) for at in ((53, "UDP"), (80,), (3000,), (6443,))),
        *(Way(NODE_2, *to) for to in ((SITE, 8800), (MODEL, 8080), (POSTGRESQL, 5432), (S3, 7070), (WORKER, 8801))),
        *(Way(NODE, *to) for to in ((MLFLOW, 5000), (TRAINER, 29500), (POSTGRESQL, 22), (WORKER, 8801))),
        *(Way(NODE_3, *to) for to in ((MODEL, 8081), (SITE, 8800), (POSTGRESQL, 5432))),
        *(Way(STEP, at, port) for at in (GIT, INTERNET, API) for port in (443, 3000, 6443)),
        Way(MODEL, NODE_2, 4318),
        Way(WORKER, NODE, 4318),
    ],
    "production": [
        *(Way(SITE, Peer("beside-database", address="192.0.2.11"), port) for port in (443, 5432)),
        *(Way(sender, Peer("beside-objects", address="192.0.2.21"), 443) for sender in (MODEL, STEP, TRAINER)),
        *(Way(STEP, at, port) for at in (INTERNET, API) for port in (22, 443, 6443)),
        Way(STEP, Peer("api", address="192.0.2.1"), 443),
        Way(CONTROLLER, SITE, 8800),
        Way(CONTROLLER, MODEL, 8080),
        Way(SITE, CONTROLLER, 8443),
        Way(GRAFANA, MODEL, 8080),
    ],
}


@pytest.fixture(scope="module")
def worlds() -> dict[str, list[Manifest]]:
    """The chart under each set of values."""
    return {name: render_chart(ROOT / "charts/chexpert", values) for name, values in WORLDS.items()}


def cases(ways: dict[str, list[Way]]) -> list[Any]:
    return [
        pytest.param(world, way, id=f"{world}: {way.sender.name} to {way.receiver.name} {way.protocol} {way.port}")
        for world, several in ways.items()
        for way in several
    ]


@pytest.mark.parametrize(("world", "way"), cases(OPEN))
def test_what_belongs_together_meets(worlds: dict[str, list[Manifest]], world: str, way: Way) -> None:
    """Each way of the platform is open at both of its ends, whether its end is a pod or a process at an address."""
    assert may(worlds[world], way)


@pytest.mark.parametrize(("world", "way"), cases(SHUT))
def test_what_needs_nothing_of_another_does_not_reach_it(
    worlds: dict[str, list[Manifest]], world: str, way: Way
) -> None:
    """Least for each, and nothing for strangers: a model's server knows objects and nothing else."""
    assert not may(worlds[world], way)


Rule = tuple[str, dict[str, Any]]
"""Where it stands, and the rule, or the metadata of a policy."""


def lesser(manifests: list[Manifest]) -> Iterator[tuple[Rule, list[Manifest]]]:
    """The policies without one of them, and without one rule of one of them; first what is missing."""
    policies = [m for m in manifests if m["kind"] == "NetworkPolicy"]
    for policy in policies:
        where = f"{policy['metadata']['namespace']}/{policy['metadata']['name']}"
        others = [m for m in policies if m is not policy]
        yield (where, policy["metadata"]), others
        for side in ("ingress", "egress"):
            rules = policy["spec"].get(side, [])
            for at, rule in enumerate(rules):
                spec = policy["spec"] | {side: [*rules[:at], *rules[at + 1 :]]}
                yield (f"{where} {side}", rule), [*others, policy | {"spec": spec}]


@pytest.mark.parametrize("world", ["bundled", "git", "hosted"])
def test_no_rule_could_be_missing_unseen(worlds: dict[str, list[Manifest]], world: str) -> None:
    """Without any policy, or any rule of one, some way above would be shut that is open, or open that is shut.

    Of the others only what they have beside the first.
    """
    known = [] if world == "bundled" else [rule for rule, _ in lesser(worlds["bundled"])]
    unseen = [
        rule
        for rule, left in lesser(worlds[world])
        if rule not in known
        and all(may(left, way) for way in OPEN[world])
        and not any(may(left, way) for way in SHUT[world])
    ]
    assert unseen == []


def test_no_policy_names_a_whole_node(worlds: dict[str, list[Manifest]]) -> None:
    """Every rule of egress to an address says its ports: a node has the kubelet and the API server too."""
    for manifest in (m for several in worlds.values() for m in several if m["kind"] == "NetworkPolicy"):
        for rule in manifest["spec"].get("egress", []):
            assert rule.get("ports") or not any("ipBlock" in peer for peer in rule["to"]), manifest["metadata"]


@pytest.mark.parametrize(
    ("address", "inside"), [("192.0.2.7", True), ("192.0.2.64", False), ("198.51.100.7", False), ("fd00::7", False)]
)
def test_a_block_of_addresses_is_read_with_its_exceptions(address: str, inside: bool) -> None:
    """The judge itself: in the block and in none that it excepts."""
    block = {"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.64/26"]}}
    assert _is_peer(block, "chexpert", Peer("somebody", address=address)) == inside


def test_every_namespace_denies_by_default(bundled: list[Manifest]) -> None:
    """In both directions, for every pod."""
    for namespace in NAMESPACES:
        spec = pick(bundled, "NetworkPolicy", "chexpert-deny", namespace)["spec"]
        assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_the_api_server_is_open_to_workflows_alone(bundled: list[Manifest]) -> None:
    """Argo's executor reports there; nothing else of the platform speaks to it."""
    reaching = {
        m["metadata"]["name"]
        for m in bundled
        if m["kind"] == "NetworkPolicy"
        and any(p["port"] == 6443 for rule in m["spec"].get("egress", []) for p in rule.get("ports", []))
    }
    assert reaching == {"chexpert-workflow"}
