from typing import Any

from rendering import Manifest, pick


def granted(manifests: list[Manifest], account: str) -> dict[tuple[str, str], set[str]]:
    """What an account of the release may do: verbs by namespace and resource."""
    found: dict[tuple[str, str], set[str]] = {}
    for binding in manifests:
        if binding["kind"] != "RoleBinding" or account not in {s["name"] for s in binding["subjects"]}:
            continue
        namespace = binding["metadata"]["namespace"]
        for rule in pick(manifests, "Role", binding["roleRef"]["name"], namespace)["rules"]:
            for resource in rule["resources"]:
                found.setdefault((namespace, resource), set()).update(rule["verbs"])
    return found


def test_a_step_reports_its_results_and_no_more(bundled: list[Manifest]) -> None:
    """And says what artifacts it deleted."""
    assert granted(bundled, "chexpert-workflow") == {
        ("chexpert", "workflowtaskresults"): {"create", "patch"},
        ("chexpert", "workflowartifactgctasks"): {"list", "watch"},
        ("chexpert", "workflowartifactgctasks/status"): {"patch"},
    }


def test_the_rollout_driver_reads_the_environments(bundled: list[Manifest]) -> None:
    """It changes nothing there: what serves is changed in git."""
    reads: dict[tuple[str, str], Any] = {
        (namespace, resource): verbs
        for namespace in ("chexpert-staging", "chexpert-production")
        for resource, verbs in (("inferenceservices", {"get"}), ("httproutes", {"get"}), ("pods", {"get", "list"}))
    }
    assert granted(bundled, "chexpert-rollout") == {
        ("chexpert", "workflowtaskresults"): {"create", "patch"},
        **reads,
    }


def test_the_trainer_applies_a_job_and_its_service(bundled: list[Manifest]) -> None:
    """In the release's namespace, and nothing else there; what it applied goes with its workflow."""
    applies = {"create", "get", "patch"}
    assert granted(bundled, "chexpert-trainer") == {
        ("chexpert", "workflowtaskresults"): {"create", "patch"},
        ("chexpert", "jobs"): applies,
        ("chexpert", "services"): applies,
    }


def test_no_account_reaches_the_whole_cluster(bundled: list[Manifest]) -> None:
    """No cluster role is made or bound, and no rule says *."""
    assert not any(m["kind"].startswith("ClusterRole") for m in bundled)
    rules = [rule for m in bundled if m["kind"] == "Role" for rule in m["rules"]]
    assert not any("*" in str(rule) for rule in rules)


def test_accounts_of_servers_mount_no_token(bundled: list[Manifest]) -> None:
    """Neither by themselves nor by their pods."""
    for manifest in bundled:
        if manifest["kind"] in {"Deployment", "StatefulSet"}:
            spec = manifest["spec"]["template"]["spec"]
            assert spec["automountServiceAccountToken"] is False
            account = pick(bundled, "ServiceAccount", spec["serviceAccountName"])
            assert account["automountServiceAccountToken"] is False
