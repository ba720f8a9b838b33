import signal
import sys
from pathlib import Path

import pytest

from chexpert.domain.places import Places
from chexpert.triage.users import parse
from rendering import Manifest, Values, lint_chart, merged_values, pick, render_chart, render_texts

OVERLAYS = sorted((Path(__file__).resolve().parents[2] / "charts/chexpert/values").glob("*.yaml"))
KEYS = {"objects": {"accessKey": "key", "secretKey": "secret"}}
WORKLOADS = {"Deployment", "StatefulSet", "Job", "Pod"}


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Pod specs by the name of what makes them."""
    return {
        manifest["metadata"]["name"]: manifest["spec"]["template"] if manifest["kind"] != "Pod" else manifest
        for manifest in manifests
        if manifest["kind"] in WORKLOADS
    }


@pytest.mark.parametrize("values", [(), *[[path] for path in OVERLAYS]], ids=lambda v: v[0].stem if v else "none")
def test_every_values_file_lints_and_renders(chart: Path, values: Values) -> None:
    """`helm lint --strict` says nothing, and no two objects have one name."""
    assert lint_chart(chart, values) == []
    names = [
        (m["kind"], m["metadata"].get("namespace", ""), m["metadata"]["name"]) for m in render_chart(chart, values)
    ]
    assert len(names) == len(set(names)) > 40


def test_an_overlay_is_a_dozen_lines() -> None:
    """Staging and production say what differs, and nothing else."""
    for path in OVERLAYS:
        lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
        assert len(lines) <= 16, path.name


def test_without_generated_secrets_two_renderings_are_equal(chart: Path) -> None:
    """Argo CD renders again and again, and must see no difference."""
    values = [chart / "values" / "production.yaml"]
    assert render_texts(chart, values) == render_texts(chart, values)


def test_no_pod_changes_with_a_generated_secret(chart: Path) -> None:
    """What is invented anew in each rendering without a cluster reaches no pod template."""
    assert pods(render_chart(chart)) == pods(render_chart(chart))


def test_a_changed_address_restarts_what_reads_it(chart: Path, bundled: list[Manifest]) -> None:
    """Pods read the ConfigMap at their start only."""
    changed = pods(render_chart(chart, {"gitops": {"url": "https://git.example.org/a.git"}}))
    before = pods(bundled)
    restarted = {name for name in before if before[name] != changed[name]}
    assert restarted == {"chexpert-site", "chexpert-worker", "chexpert-mlflow"}


def test_a_new_version_of_the_chart_leaves_the_stores_alone(bundled: list[Manifest]) -> None:
    """No label of a version stands in a StatefulSet's pods, selector or claims."""
    for name in ("chexpert-postgresql", "chexpert-s3"):
        assert "app.kubernetes.io/version" not in str(pick(bundled, "StatefulSet", name)["spec"])


def test_a_corrected_store_replaces_a_broken_one(bundled: list[Manifest]) -> None:
    """OrderedReady, the default, would wait for ever for a pod whose image does not exist; seen on a cluster."""
    for name in ("chexpert-postgresql", "chexpert-s3"):
        assert pick(bundled, "StatefulSet", name)["spec"]["podManagementPolicy"] == "Parallel"


def test_the_configuration_is_one_in_all_namespaces(bundled: list[Manifest]) -> None:
    """Everything under CHEXPERT_ that the code knows is set, but the database, which is a secret."""
    maps = [m for m in bundled if m["kind"] == "ConfigMap" and m["metadata"]["name"] == "chexpert"]
    assert [m["metadata"]["namespace"] for m in maps] == ["chexpert", "chexpert-staging", "chexpert-production"]
    assert maps[0]["data"] == maps[1]["data"] == maps[2]["data"]
    places = Places.from_environment({**maps[0]["data"], "CHEXPERT_GITOPS": "x"})
    assert places.objects == "s3://chexpert"
    assert places.production == "http://chexpert-chexpert-production.example.com"
    assert places.tracking == "http://chexpert-mlflow.chexpert.svc:5000"
    assert maps[0]["data"]["CHEXPERT_INFERENCE_SERVICE"] == "chexpert-{environment}/chexpert"


def test_names_follow_the_namespaces(chart: Path) -> None:
    """Another hospital's namespaces are two values; nothing else names them."""
    values = {"environments": {"staging": {"namespace": "cxr-staging"}, "production": {"namespace": "cxr-production"}}}
    manifests = render_chart(chart, values, namespace="cxr")
    assert {m["metadata"]["namespace"] for m in manifests if "namespace" in m["metadata"]} == {
        "cxr",
        "cxr-staging",
        "cxr-production",
    }
    data = pick(manifests, "ConfigMap", "chexpert", "cxr")["data"]
    assert data["CHEXPERT_INFERENCE_SERVICE"] == "cxr-{environment}/chexpert"
    assert data["CHEXPERT_VERSION_URL"] == "http://chexpert-{version}-predictor.cxr-production.svc"
    assert "chexpert-staging" not in str(manifests)


def test_images_take_registry_and_tag_from_one_value(chart: Path) -> None:
    """Ours follow; a reference with a tag or digest of its own and those of others stay."""
    digest = f"chexpert/tools@sha256:{'0' * 64}"
    values = {"images": {"registry": "registry.example.org:5000/radiology/", "tag": "1.2.3", "tools": digest}}
    images = {
        c["image"]
        for pod in pods(render_chart(chart, values)).values()
        for c in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
    }
    assert images == {
        "registry.example.org:5000/radiology/chexpert/web:1.2.3",
        f"registry.example.org:5000/radiology/{digest}",
        "docker.io/library/postgres:17.10-bookworm",
        "ghcr.io/versity/versitygw:v1.8.0",
    }


def test_stores_of_ones_own_replace_the_bundled_ones(external: list[Manifest]) -> None:
    """No StatefulSet, no claim, no Service and no account of them is left."""
    assert [m for m in external if m["kind"] == "StatefulSet"] == []
    assert not any(m["metadata"]["name"] in {"chexpert-postgresql", "chexpert-s3"} for m in external)
    assert pick(external, "ConfigMap", "chexpert")["data"]["AWS_ENDPOINT_URL_S3"] == "https://s3.example.org"


def test_argo_is_told_the_store_without_a_scheme(chart: Path, bundled: list[Manifest]) -> None:
    """Host and port by themselves, and TLS as a word."""
    inside = pick(bundled, "ConfigMap", "artifact-repositories")["data"]["s3"]
    assert 'endpoint: "chexpert-s3.chexpert.svc:7070"' in inside
    assert "insecure: true" in inside
    assert "{{workflow.name}}/{{pod.name}}" in inside
    values = [KEYS, {"objects": {"endpoint": "https://s3.example.org/", "bundled": {"enabled": False}}}]
    outside = pick(render_chart(chart, values), "ConfigMap", "artifact-repositories")["data"]["s3"]
    assert 'endpoint: "s3.example.org"' in outside
    assert "insecure: false" in outside


def test_a_budget_stands_only_where_a_pod_can_be_spared(bundled: list[Manifest], external: list[Manifest]) -> None:
    """One for a single pod would block every drain of its node."""
    assert [m for m in bundled if m["kind"] == "PodDisruptionBudget"] == []
    assert pick(external, "Deployment", "chexpert-site")["spec"]["replicas"] == 2
    assert pick(external, "PodDisruptionBudget", "chexpert-site")["spec"]["maxUnavailable"] == 1


def test_the_route_takes_the_sites_host(chart: Path, external: list[Manifest]) -> None:
    """As its users type it, without a port, on the Gateway of the values."""
    route = pick(external, "HTTPRoute", "chexpert-site")["spec"]
    assert route["hostnames"] == ["chexpert.example.org"]
    assert route["parentRefs"] == [
        {"name": "kserve-ingress-gateway", "namespace": "kserve", "sectionName": "https"},
    ]
    values = {"gateway": {"enabled": False}, "site": {"url": "http://cxr.test:8080"}}
    assert not any(m["kind"] == "HTTPRoute" for m in render_chart(chart, values))


def test_alerts_are_made_on_request(bundled: list[Manifest], external: list[Manifest]) -> None:
    """A cluster without the Prometheus operator's kinds would refuse them."""
    kinds = {"PrometheusRule", "PodMonitor"}
    assert not kinds & {m["kind"] for m in bundled}
    assert kinds <= {m["kind"] for m in external}


def test_nobody_logs_in_before_there_is_a_user(bundled: list[Manifest]) -> None:
    """The site starts with an account whose password nobody has; the Secret's users come over it."""
    users = parse(pick(bundled, "ConfigMap", "chexpert-scripts")["data"]["users"], "the chart")
    assert list(users) == ["nobody"]
    volumes = pick(bundled, "Deployment", "chexpert-site")["spec"]["template"]["spec"]["volumes"]
    sources = next(v for v in volumes if v["name"] == "users")["projected"]["sources"]
    assert [next(iter(source)) for source in sources] == ["configMap", "secret"]


def test_the_notes_say_what_is_next(chart: Path) -> None:
    """The first user, the address, and what this installation lacks."""
    notes = render_texts(chart)["chexpert/templates/NOTES.txt"]
    assert "chexpert users add" in notes
    assert "http://chexpert.example.com" in notes
    assert "gitops.url is empty" in notes


def test_merging_is_helms() -> None:
    """A later file wins key by key, and replaces a list as a whole."""
    merged = merged_values([{"a": {"b": 1, "c": [1]}}, {"a": {"c": [2]}}])
    assert merged == {"a": {"b": 1, "c": [2]}}


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own record of signals is in /proc")
def test_helms_library_leaves_sigpipe_ignored() -> None:
    """A send to a closed socket is an error of that send, here and in every later test of this process."""
    record = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    assert int(record["SigIgn"], 16) >> (signal.SIGPIPE - 1) & 1
