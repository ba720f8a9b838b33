"""What a pod that is not ready says of itself."""

from typing import Any

import pytest

from chexpert.cluster.pods import trouble, worst

FAILED = {"exitCode": 1, "message": ""}


def pod(
    name: str = "p", *, init: dict[str, Any] | None = None, main: dict[str, Any] | None = None, **status: Any
) -> Any:
    return {
        "metadata": {"name": name},
        "status": {
            "phase": "Pending",
            "initContainerStatuses": [{"name": "storage-initializer", **init}] if init else [],
            "containerStatuses": [{"name": "kserve-container", "ready": False, **main}] if main else [],
            **status,
        },
    }


@pytest.mark.parametrize(
    ("given", "reason", "failing"),
    [
        (pod(init={"state": {"waiting": {"reason": "CrashLoopBackOff"}}}), "Init:CrashLoopBackOff", True),
        (
            pod(init={"state": {"running": {}}, "restartCount": 2, "lastState": {"terminated": FAILED}}),
            "Init:CrashLoopBackOff",
            True,
        ),
        (pod(init={"state": {"terminated": FAILED}, "restartCount": 1}), "Init:CrashLoopBackOff", True),
        (pod(init={"state": {"terminated": FAILED}, "restartCount": 0}), "starts", False),
        (pod(main={"state": {"waiting": {"reason": "ErrImagePull"}}}), "ImagePullBackOff", True),
        (pod(main={"state": {"waiting": {"reason": "ImagePullBackOff"}}}), "ImagePullBackOff", True),
        (
            pod(main={"state": {"waiting": {"reason": "CreateContainerConfigError"}}}),
            "CreateContainerConfigError",
            True,
        ),
        (pod(main={"state": {"waiting": {"reason": "ContainerCreating"}}}), "starts", False),
        (pod(main={"state": {"running": {}}}), "runs and is not ready", False),
        (
            pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]),
            "Unschedulable",
            True,
        ),
        (pod(phase="Failed", reason="Evicted"), "Evicted", True),
    ],
)
def test_one_cause_has_one_word(given: Any, reason: str, failing: bool) -> None:
    """Between two crashes, or two pulls, the kubelet's state changes and the reason does not."""
    found = trouble(given)
    assert found is not None
    assert (found.reason, found.failing) == (reason, failing)


def test_a_ready_pod_and_one_that_goes_are_no_trouble() -> None:
    """Neither says why a weight is missing."""
    ready = pod(conditions=[{"type": "Ready", "status": "True"}])
    going = pod(init={"state": {"waiting": {"reason": "CrashLoopBackOff"}}})
    going["metadata"]["deletionTimestamp"] = "2026-05-01T12:00:00Z"
    assert trouble(ready) is trouble(going) is worst([ready, going]) is None


def test_a_failing_pod_speaks_for_its_siblings() -> None:
    """Of several, one that fails is told before one that only starts; then the first by name, each time the same."""
    starts, fails = pod("a"), pod("c", init={"state": {"waiting": {"reason": "CrashLoopBackOff"}}})
    twin = pod("b", init={"state": {"waiting": {"reason": "CrashLoopBackOff"}}})
    found = worst([starts, fails, twin])
    assert found is not None
    assert str(found) == "pod b Init:CrashLoopBackOff"
