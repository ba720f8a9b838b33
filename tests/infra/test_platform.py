"""Argo CD's Applications: what they install, in which order, and what their projects let them."""

import copy
from pathlib import PurePosixPath
from typing import Any

import helm_python
import pytest
from ruamel.yaml import YAML

from infra_checks.builds import CLUSTER_WIDE
from infra_checks.objects import CHART, GATEWAY, KUSTOMIZATIONS, PLATFORM, ROOT, everything
from rendering import Manifest, lint_chart, merged_values, render_chart

REPOSITORY = {"repoURL": "https://git.example.org/chexpert.git"}
EXISTING = PLATFORM.parent / "values" / "existing-controllers.yaml"


def rendered(*values: Any) -> dict[str, Manifest]:
    """Applications by name."""
    objects = render_chart(PLATFORM, [REPOSITORY, *values], name="chexpert-platform", namespace="argocd")
    return {m["metadata"]["name"]: m for m in objects if m["kind"] == "Application"}


def project(name: str) -> Manifest:
    found = everything()["argo/cd/platform"]
    return next(m for m in found if m["kind"] == "AppProject" and m["metadata"]["name"] == name)


def wave(manifest: Manifest) -> int:
    return int(manifest["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])


@pytest.mark.parametrize("values", [[], [EXISTING]], ids=["all", "existing-controllers"])
def test_the_applications_chart_is_without_complaint(values: list[Any]) -> None:
    """Strictly linted with every values file."""
    assert lint_chart(PLATFORM, [REPOSITORY, *values]) == []


@pytest.mark.parametrize(
    "values",
    [
        {"repoURL": ""},
        {"repoURL": "chexpert"},
        {"revision": "latest"},
        {"parts": {"kserv": False}},
        {"parts": {"kserve": "no"}},
        {"namespaces": {"staging": "Staging"}},
        {"links": {"site": "triage.example.org"}},
        {"serving": {"images": ["chexpert/serve=localhost/serve:latest"]}},
        {"serving": {"images": ["chexpert/serve=localhost/serve"]}},
        {"kserve": {"images": {"tag": "v0.20.0"}}},
        {"retry": {"duration": "soon"}},
        {"gateway": {"service": "NodeAddresses"}},
        {"gateway": {"addresses": ["192.168.1.11"]}},
        {"gateway": {"service": "NodePort"}},
        {"gateway": {"image": "traefik"}},
        {"kserve": {"domain": "svc.cluster.local"}},
        {"devicePlugin": {"revision": "latest"}},
        {"repo": "https://git.example.org/chexpert.git"},
    ],
    ids=str,
)
def test_a_wrong_value_is_refused(values: dict[str, Any]) -> None:
    """Unknown keys, moving revisions and images, and a KServe without weights."""
    with pytest.raises(helm_python.HelmError):
        rendered(values)


def test_controllers_come_before_what_needs_them() -> None:
    """Projects, health rules, kinds, controllers, chart, workflows, models: each wave waits for the one before."""
    everyone = [*rendered().values(), project("chexpert"), project("chexpert-controllers")]
    order = sorted((wave(m), m["metadata"]["name"]) for m in everyone)
    names = [name for _, name in order]
    for before, after in [
        ("chexpert", "argocd-health"),
        ("argocd-health", "gateway-api"),
        ("gateway-api", "gateway"),
        ("gateway", "kserve"),
        ("cert-manager", "kserve"),
        ("kserve-crds", "kserve"),
        ("kserve", "chexpert-staging"),
        ("argo-workflows", "chexpert-workflows"),
        ("chexpert-workflows", "chexpert-staging"),
        ("chexpert-staging", "chexpert-production"),
    ]:
        assert names.index(before) < names.index(after)
        assert order[names.index(before)][0] < order[names.index(after)][0] or before == "chexpert"


def test_a_cluster_with_its_controllers_gets_only_ours() -> None:
    """The values file switches off all that others own; the health rules stay."""
    assert sorted(rendered(EXISTING)) == [
        "argocd-health",
        "chexpert",
        "chexpert-production",
        "chexpert-staging",
        "chexpert-workflows",
    ]


@pytest.mark.parametrize("part", YAML(typ="safe").load(PLATFORM / "values.yaml")["parts"])
def test_each_part_can_be_left_out(part: str) -> None:
    """Switched off, its Applications are gone and all others stay; GPUs are offered only where somebody says so."""
    everyone = rendered({"parts": {"devicePlugin": True}})
    gone = everyone.keys() - rendered({"parts": {"devicePlugin": True, part: False}}).keys()
    assert gone
    assert everyone.keys() - gone <= rendered({"parts": {"devicePlugin": True, part: False}}).keys()
    assert "nvidia-device-plugin" not in rendered()


def test_every_application_mends_itself_and_tries_again() -> None:
    """Server-side apply everywhere; CRDs and controllers are never pruned, ours are."""
    for name, application in rendered().items():
        policy = application["spec"]["syncPolicy"]
        assert policy["automated"]["selfHeal"]
        assert policy["automated"]["prune"] == name.startswith("chexpert")
        assert {"CreateNamespace=true", "ServerSideApply=true"} <= set(policy["syncOptions"])
        assert policy["retry"]["limit"] > 0
        assert "ignoreDifferences" not in application["spec"]


def test_what_an_application_names_in_this_checkout_is_there() -> None:
    """Each path of our own repository is a folder that can be built."""
    for application in rendered().values():
        source = application["spec"]["source"]
        if source["repoURL"] == REPOSITORY["repoURL"]:
            assert (ROOT / source["path"]).is_dir()
            assert source["path"] in KUSTOMIZATIONS or ROOT / source["path"] in {CHART, GATEWAY}


def test_the_models_come_from_the_repository_that_promotions_commit_to() -> None:
    """Only these two move with it; without one they come from where everything comes from."""
    found = rendered({"gitops": {"repoURL": "https://git.example.org/models.git", "revision": "released"}})
    moved = {name for name, a in found.items() if a["spec"]["source"]["repoURL"].endswith("models.git")}
    assert moved == {"chexpert-staging", "chexpert-production"}
    assert found["chexpert-staging"]["spec"]["source"]["targetRevision"] == "released"
    assert found["chexpert"]["spec"]["source"]["helm"]["valuesObject"]["gitops"]["url"].endswith("models.git")
    assert rendered()["chexpert-staging"]["spec"]["source"]["repoURL"] == REPOSITORY["repoURL"]


def test_links_lead_to_the_rollout_page_and_to_mlflow() -> None:
    """On the Application of each environment; without addresses there are no links."""
    links = {"site": "https://triage.example.org/", "mlflow": "https://mlflow.example.org"}
    annotations = rendered({"links": links})["chexpert-production"]["metadata"]["annotations"]
    rollout = "https://triage.example.org/rollout?environment=production"
    assert annotations["link.argocd.argoproj.io/rollout"] == rollout
    assert annotations["link.argocd.argoproj.io/mlflow"] == links["mlflow"]
    assert not [key for key in rendered()["chexpert-production"]["metadata"]["annotations"] if "link" in key]


def test_the_chart_takes_the_values_that_its_application_gives() -> None:
    """Namespaces, Gateway and addresses are told once; the chart's schema accepts them, and the user's win."""
    told = rendered(
        {"links": {"site": "https://triage.example.org"}, "chexpert": {"values": {"site": {"replicas": 2}}}}
    )
    values = told["chexpert"]["spec"]["source"]["helm"]["valuesObject"]
    assert values["secrets"]["existing"]
    kinds = {m["kind"] for m in render_chart(CHART, values)}
    assert "Secret" not in kinds
    assert values["site"] == {"url": "https://triage.example.org", "replicas": 2}


def permitted(manifest: Manifest, held_by: Manifest) -> bool:
    group = manifest["apiVersion"].rpartition("/")[0]
    spec = held_by["spec"]
    if manifest["kind"] in CLUSTER_WIDE:
        name = manifest["metadata"]["name"]
        return any(
            (entry["group"], entry["kind"]) == (group, manifest["kind"])
            and PurePosixPath(name).match(entry.get("name", "*"))
            for entry in spec["clusterResourceWhitelist"]
        )
    kinds = {(entry["group"], entry["kind"]) for entry in spec["namespaceResourceWhitelist"]}
    destinations = {entry["namespace"] for entry in spec["destinations"]}
    namespace = manifest["metadata"].get("namespace")
    return (group, manifest["kind"]) in kinds and (namespace is None or namespace in destinations)


def test_projects_let_through_what_their_applications_install() -> None:
    """Every object is of a kind, in a namespace and from a repository that its project names."""
    for source, held_by in [
        (f"charts/{CHART.name}", "chexpert"),
        *((f"charts/{CHART.name} with {path.name}", "chexpert") for path in sorted((CHART / "values").glob("*.yaml"))),
        ("argo/workflows", "chexpert"),
        ("kserve/staging", "chexpert"),
        ("kserve/production", "chexpert"),
        ("argo/cd/gateway", "chexpert-controllers"),
        ("argo/cd/gateway on bare nodes", "chexpert-controllers"),
        ("argo/cd/health", "chexpert-controllers"),
    ]:
        refused = [m for m in everything()[source] if not permitted(m, project(held_by))]
        assert [(source, m["kind"], m["metadata"]["name"]) for m in refused] == []
    for application in rendered().values():
        held = project(application["spec"]["project"])["spec"]
        assert application["spec"]["source"]["repoURL"] in held["sourceRepos"]
        assert application["spec"]["destination"]["namespace"] in {d["namespace"] for d in held["destinations"]}


@pytest.mark.parametrize(
    ("kind", "group", "name", "namespace"),
    [
        ("ClusterRole", "rbac.authorization.k8s.io", "any", None),
        ("Namespace", "", "kube-system", None),
        ("DaemonSet", "apps", "any", "chexpert"),
        ("Service", "", "any", "kube-system"),
    ],
)
def test_the_projects_of_ours_refuse_what_they_do_not_name(
    kind: str, group: str, name: str, namespace: str | None
) -> None:
    """Cluster-wide roles, other namespaces and kinds that we do not use."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    planted = {"apiVersion": f"{group}/v1".lstrip("/"), "kind": kind, "metadata": metadata}
    assert not permitted(planted, project("chexpert"))
    allowed = copy.deepcopy(planted) | {"kind": "Service", "apiVersion": "v1"}
    assert permitted(allowed | {"metadata": {"name": "any", "namespace": "chexpert"}}, project("chexpert"))


def test_the_root_tells_its_own_address_on() -> None:
    """One address to edit: the chart's two required ones come from the Application's own source."""
    (root,) = everything()["argo/cd/root.yaml"]
    source = root["spec"]["source"]
    told = {p["name"]: p["value"] for p in source["helm"]["parameters"]}
    assert told == {"repoURL": "$ARGOCD_APP_SOURCE_REPO_URL", "revision": "$ARGOCD_APP_SOURCE_TARGET_REVISION"}
    assert (ROOT / source["path"] / "Chart.yaml").is_file()
    assert all((ROOT / source["path"] / name).is_file() for name in source["helm"]["valueFiles"])
    assert merged_values([PLATFORM / "values.yaml"])["repoURL"] == ""
