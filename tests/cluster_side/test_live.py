"""On the cluster of KUBECONFIG, where there is one: a real Argo controller, a real API server."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from kubernetes import client
from typer.testing import CliRunner

from chexpert.cli.pipeline import app
from chexpert.cluster.api import ARGO, CORE, path
from chexpert.cluster.connection import KubernetesApi
from chexpert.cluster.doctor import checks
from chexpert.cluster.doctor.findings import State
from chexpert.cluster.errors import ClusterRefused, ClusterUnavailable

pytestmark = pytest.mark.timeout(300)

IMAGE = os.environ.get("CHEXPERT_TEST_IMAGE", "python:3.11-slim-bookworm")
"""Any image with a shell that the cluster has or can pull."""
SECURE = """
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          resources: {requests: {cpu: 10m, memory: 16Mi}}
"""
WORKFLOW = f"""\
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {{name: three-ends}}
spec:
  entrypoint: main
  serviceAccountName: runs
  arguments: {{parameters: [{{name: code}}]}}
  podGC: {{strategy: OnPodSuccess}}
  securityContext: {{runAsNonRoot: true, runAsUser: 10001, seccompProfile: {{type: RuntimeDefault}}}}
  templates:
  - name: main
    dag:
      tasks:
      - {{name: first, template: talk}}
      - {{name: judge, template: judge, dependencies: [first]}}
      - {{name: never, template: talk, dependencies: [judge]}}
  - name: talk
    container:
          image: {IMAGE}
          command: [sh, -c, "for n in 1 2 3; do echo line $n; sleep 1; done"]{SECURE}
  - name: judge
    retryStrategy: {{limit: "2", expression: asInt(lastRetry.exitCode) == 75, backoff: {{duration: 1s}}}}
    container:
          image: {IMAGE}
          command: [sh, -c]
          args:
          - 'echo judging; echo "refused: AUROC 0.51 under 0.65" >&2; exit {{{{workflow.parameters.code}}}}'{SECURE}
"""


@pytest.fixture(scope="module")
def cluster() -> KubernetesApi:
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG is not set: no cluster to try this on")
    api = KubernetesApi.connect()
    try:
        api.get("/version")
    except (ClusterUnavailable, ClusterRefused) as error:
        pytest.skip(f"the cluster does not answer: {error}")
    return api


@pytest.fixture(scope="module")
def namespace(cluster: KubernetesApi) -> Iterator[str]:
    """A namespace of its own with an account that may run workflows; gone afterwards."""
    if cluster.get(path(ARGO, "workflows")) is None:
        pytest.skip("the cluster has no Argo Workflows")
    name = f"h4-{uuid4().hex[:8]}"
    cluster.create(path(CORE, "namespaces"), {"metadata": {"name": name}})
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    rule = {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "runs"}
    subject = {"kind": "ServiceAccount", "name": "runs", "namespace": name}
    cluster.create(path(CORE, "serviceaccounts", namespace=name), {"metadata": {"name": "runs"}})
    cluster.create(path(rbac, "roles", namespace=name), {"metadata": {"name": "runs"}, "rules": [rule]})
    binding = {"metadata": {"name": "runs"}, "roleRef": role, "subjects": [subject]}
    cluster.create(path(rbac, "rolebindings", namespace=name), binding)
    yield name
    client.CoreV1Api(cluster._client).delete_namespace(name)


@pytest.fixture
def run(namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("ARGO_SERVER", raising=False)
    monkeypatch.delenv("CHEXPERT_OBJECTS", raising=False)
    (tmp_path / "three-ends.yaml").write_text(WORKFLOW)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, [*arguments, "--namespace", namespace])


@pytest.mark.parametrize(("code", "outcome"), [(0, "succeeded"), (3, "refused"), (1, "failed"), (75, "failed")])
def test_a_run_ends_on_a_cluster_as_on_one_machine(run: Any, code: int, outcome: str) -> None:
    """Exit code, tries of 75 alone, reasons of a refusal, the log of a fault."""
    done = run("submit", "three-ends.yaml", "--parameter", f"code={code}", "--watch")
    assert done.exit_code == {0: 0, 3: 3}.get(code, 1), done.output
    assert f": {outcome}" in done.output.splitlines()[-1]
    assert ("judge refused: AUROC 0.51 under 0.65" in done.output) is (code == 3)
    assert ("── judge: " in done.output) is (outcome == "failed")
    assert ("never: Omitted" in done.output) is (code != 0)


def test_a_followed_log_has_every_line_once(run: Any) -> None:
    """Also of a pod that podGC removes when it has ended."""
    name = run("submit", "three-ends.yaml", "--parameter", "code=3").output.strip()
    done = run("logs", name, "--follow")
    lines = done.output.splitlines()
    assert [line for line in lines if line.startswith("first: ")] == [f"first: line {n}" for n in (1, 2, 3)]
    assert "judge: refused: AUROC 0.51 under 0.65" in lines
    alone = run("logs", name, "--step", "judge").output.splitlines()
    assert {"judging", "refused: AUROC 0.51 under 0.65"} <= set(alone)  # two streams keep no order between them


def test_a_template_of_the_cluster_runs_by_its_name(cluster: KubernetesApi, namespace: str, run: Any) -> None:
    """A reference to it is what is submitted; a field nobody knows is refused by the API server."""
    from ruamel.yaml import YAML

    template = YAML(typ="safe").load(WORKFLOW)
    cluster.create(path(ARGO, "workflowtemplates", namespace=namespace), template)
    done = run("submit", "three-ends", "--parameter", "code=0")
    assert done.exit_code == 0, done.output
    made = cluster.get(path(ARGO, "workflows", done.output.strip(), namespace=namespace))
    assert made is not None
    assert made["spec"]["workflowTemplateRef"] == {"name": "three-ends"}
    Path("wrong.yaml").write_text(WORKFLOW.replace("podGC:", "podGX:"))
    refused = run("submit", "wrong.yaml", "--parameter", "code=0")
    assert isinstance(refused.exception, ClusterRefused)
    assert "podGX" in str(refused.exception)


def test_the_doctor_reads_a_real_cluster(cluster: KubernetesApi) -> None:
    """Every check comes to an answer of its own; KServe's webhook, where it is installed, refuses the wrong one."""
    started = time.monotonic()
    found = {finding.check: finding for finding in checks.examine(cluster, "h4-nothing-here")}
    assert time.monotonic() - started < 60
    assert found["Kubernetes"].state is State.OK
    assert found["Rights to install"].state in {State.OK, State.MISSING}
    assert found["Namespace h4-nothing-here"].state is State.MISSING
    if found["KServe: controller"].state is State.OK:
        assert found["KServe: webhooks"].state is State.OK, found["KServe: webhooks"]
    for finding in found.values():
        sys.stdout.write(f"{finding.check}: {finding.state}: {finding.found}\n")
