import json
import shlex
import time
from collections.abc import Callable
from typing import Any

import pytest

import kubernetes_folder
from ansible_site import HOSTS, Site

pytestmark = [pytest.mark.timeout(1500)]

PASSWORD = "geheim-0815"  # noqa: S105 - of no database; looked for in what is printed
ANSWERING = """
apiVersion: v1
kind: Pod
metadata: {{name: on-{node}, labels: {{app: answering}}}}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 0
  containers:
    - name: answering
      image: localhost/busybox:1
      imagePullPolicy: Never
      command: [/bin/sh, -c, "busybox mkdir /www; echo {node} > /www/index.html; exec busybox httpd -f -p 8080 -h /www"]
---
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: answering}
spec:
  selector: {app: answering}
  ports: [{port: 80, targetPort: 8080}]
"""
CLAIMING = """
apiVersion: v1
kind: Namespace
metadata: {name: chexpert}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data-chexpert-postgresql-0, namespace: chexpert}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 10Gi}}
---
apiVersion: v1
kind: Pod
metadata: {name: tables, namespace: chexpert}
spec:
  terminationGracePeriodSeconds: 0
  volumes: [{name: data, persistentVolumeClaim: {claimName: data-chexpert-postgresql-0}}]
  containers:
    - name: tables
      image: localhost/busybox:1
      imagePullPolicy: Never
      command: [/bin/sh, -c, "echo rows > /data/rows; exec busybox sleep 3600"]
      volumeMounts: [{name: data, mountPath: /data}]
"""


@pytest.fixture(scope="module")
def cluster(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The site with everything that site.yml brings, from a folder instead of the internet."""
    if reason := kubernetes_folder.missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("kubernetes") / "source"
    site.without_foreign()
    site.settings |= {
        "cluster_version": kubernetes_folder.prepare(folder),
        "cluster_source": str(folder),
        "backup_target": "/data/backup",
        "backup_databases": {"site": f"postgresql://chexpert:{PASSWORD}@10.96.0.50/chexpert"},
        "backup_objects": "site:chexpert",
        "backup_remotes": {"site": {"type": "s3", "provider": "Other", "secret_access_key": PASSWORD}},
        "backup_packages": ["postgresql-client", "rclone"],
        "backup_postgresql_source": "",
    }
    manifests = kubernetes_folder.CACHE / "manifests/argocd"
    if (manifests / "core-install.yaml").exists():
        site.settings["argocd_bootstrap_source"] = str(manifests)
        site.settings["argocd_bootstrap_repository"] = "http://10.246.0.1/chexpert.git"
    return site


def kubectl(site: Site, arguments: str, *, given: str = "") -> str:
    control = site.nodes["control-tests"]
    if given:
        (control.folder / "root/srv/given.yaml").write_text(given)  # not in /tmp, where the node has a tmpfs
        arguments = f"{arguments} -f /srv/given.yaml"
    return control.run(f"kubectl --kubeconfig /etc/kubernetes/admin.conf {arguments}", limit_s=200).stdout


def items(site: Site, what: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(kubectl(site, f"get {what} -o json"))["items"]
    return found


def answer(site: Site, asking: str, host: str, port: int) -> str:
    """What a pod of that node is told; empty while it reaches nobody, or does not run."""
    # nc, as the wget of Debian's busybox-static (1.35.0-4+deb12u1+b1) ends with a segmentation fault.
    asked = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 3 {host} {port} | busybox tail -n 1"
    try:
        return kubectl(site, f"exec on-{asking} -- /bin/sh -c {shlex.quote(asked)}").strip()
    except RuntimeError:
        return ""


def in_time(what: Callable[[], bool], limit_s: float = 180) -> None:
    """Until it is so: routes and rules are written behind a pod, and a restarted one has another address."""
    ends = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < ends, f"not within {limit_s:g} s"
        time.sleep(1)


def everybody_answers(site: Site) -> bool:
    """Every pod is told by every other one who it is."""
    addresses = {pod["metadata"]["name"].removeprefix("on-"): pod["status"]["podIP"] for pod in items(site, "pods")}
    assert set(addresses) == HOSTS
    return all(answer(site, asking, address, 8080) == node for asking in HOSTS for node, address in addresses.items())


def test_fresh_nodes_become_a_cluster(cluster: Site) -> None:
    """One run of site.yml: three nodes of the wanted version, Ready; no secret in what it prints."""
    done = cluster.play("site.yml", "-vv").succeeded()
    assert PASSWORD not in done.text
    nodes = {node["metadata"]["name"]: node["status"] for node in items(cluster, "nodes")}
    assert set(nodes) == HOSTS
    for status in nodes.values():
        assert {c["type"]: c["status"] for c in status["conditions"]}["Ready"] == "True"
        assert status["nodeInfo"]["kubeletVersion"] == f"v{cluster.settings['cluster_version']}"


def test_a_second_run_changes_nothing(cluster: Site) -> None:
    """Nor does a third that only looks, nor an upgrade to the version that runs."""
    for playbook, arguments in (("site.yml", []), ("site.yml", ["--check"]), ("upgrade.yml", [])):
        again = cluster.play(playbook, *arguments).succeeded()
        assert set(again.counted("changed").values()) == {0}, again.text[-6000:]


def test_a_pod_on_each_node_answers_the_others(cluster: Site) -> None:
    """By address over every pair of nodes, and by the service's name."""
    kubectl(cluster, "apply", given="".join(ANSWERING.format(node=node) for node in HOSTS) + SERVICE)
    kubectl(cluster, "wait --for=condition=Ready pod -l app=answering --timeout=120s")
    kubectl(cluster, "-n kube-system rollout status deployment/coredns --timeout=120s")
    in_time(lambda: everybody_answers(cluster))
    in_time(lambda: answer(cluster, "worker2-tests", "answering.default.svc.cluster.local", 80) in HOSTS)


def test_the_platforms_claim_finds_the_volume(cluster: Site) -> None:
    """A pod with the chart's claim is scheduled to the node with the disk, and its bytes lie there."""
    kubectl(cluster, "apply", given=CLAIMING)
    kubectl(cluster, "-n chexpert wait --for=condition=Ready pod/tables --timeout=120s")
    control = cluster.nodes["control-tests"]
    assert control.run("cat /data/tables/rows").stdout == "rows\n"
    assert control.run("findmnt -no TARGET --target /data/tables").stdout.strip() == "/data"


def test_argo_cd_gets_one_application(cluster: Site) -> None:
    """The root of argo/cd with this repository's address; nothing else is applied by hand."""
    if "argocd_bootstrap_source" not in cluster.settings:
        pytest.skip(f"no manifests/argocd/core-install.yaml under {kubernetes_folder.CACHE}")
    (root,) = items(cluster, "applications -n argocd")
    assert root["metadata"]["name"] == "chexpert-platform"
    assert root["spec"]["source"]["repoURL"] == "http://10.246.0.1/chexpert.git"
    assert root["spec"]["source"]["path"] == "argo/cd/platform"
    assert "argocd-application-controller" in kubectl(cluster, "get statefulsets -n argocd -o name")


def test_backups_are_timed_and_their_settings_private(cluster: Site) -> None:
    """The timer waits, the program starts, and only root reads its passwords."""
    control = cluster.nodes["control-tests"]
    assert control.run("systemctl is-active chexpert-backup.timer").stdout.strip() == "active"
    assert control.run("stat -c '%a %U' /etc/chexpert/backup.env").stdout.split() == ["600", "root"]
    assert control.run("systemctl start chexpert-backup.service", check=False).returncode != 0
    assert PASSWORD not in control.run("journalctl -u chexpert-backup.service --no-pager").stdout


def test_a_restarted_node_comes_back_by_itself(cluster: Site) -> None:
    """Its pods run again and reach the others', without a run of ours."""
    cluster.nodes["worker1-tests"].restart()
    control = cluster.nodes["control-tests"]
    ends = time.monotonic() + 120
    while control.run("curl -sf http://10.246.0.21:10248/healthz", check=False).returncode and time.monotonic() < ends:
        if cluster.nodes["worker1-tests"].run("curl -sf http://127.0.0.1:10248/healthz", check=False).returncode == 0:
            break
        time.sleep(1)
    kubectl(cluster, "wait --for=condition=Ready node/worker1-tests --timeout=120s")
    kubectl(cluster, "wait --for=condition=Ready pod/on-worker1-tests --timeout=120s")
    in_time(lambda: everybody_answers(cluster))


def test_a_reset_wants_the_projects_name_and_leaves_the_data(cluster: Site) -> None:
    """Without it nothing happens; with it Kubernetes is gone, and the volume is mounted with what was on it."""
    refused = cluster.play("reset.yml")
    assert refused.returncode != 0
    assert "-e confirm=tests" in refused.text
    assert len(items(cluster, "nodes")) == len(HOSTS)
    cluster.play("reset.yml", confirm="tests").succeeded()
    for node in cluster.nodes.values():
        assert node.run("pgrep -x 'kubelet|kube-apiserver|etcd'", check=False).stdout == ""
        assert node.run("ls /etc/kubernetes/*.conf /etc/cni/net.d/*", check=False).stdout == ""
    assert cluster.nodes["control-tests"].run("cat /data/tables/rows").stdout == "rows\n"
    again = cluster.play("reset.yml", confirm="tests").succeeded()
    assert set(again.counted("changed").values()) == {0}, again.text[-6000:]
