"""A bundle in S3 as an InferenceService: the same scores everywhere, and never ready when it is not what it says."""

import json
import socket
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from chexpert.domain.observations import OBSERVATIONS
from chexpert.serving.client import V2Client
from cluster_harness.installing import SITE_PASSWORD, SITE_USER
from cluster_harness.kube import until
from cluster_harness.load import image_request
from cluster_harness.site import Site
from cluster_harness.table import Facts
from cluster_harness.world import Promoted, World

Scores = NDArray[np.float32]
WRONG = "0" * 64
STUDIES = 25
pytestmark = pytest.mark.timeout(600)


def test_a_bundle_in_s3_answers_rest_and_grpc_through_the_gateway_with_the_local_servers_scores(
    world: World, first: Promoted, facts: Facts
) -> None:
    """One image three ways: V2 REST, V2 gRPC by tritonclient, and `chexpert serve` on this machine."""
    image = world.images[0]
    rest = _rest(world, image)
    grpc = _grpc(world, image)
    local = _local(world, first, image)
    assert np.array_equal(rest, grpc)
    assert float(np.abs(rest - local).max()) <= 1e-6
    facts.saw(4, f"V2 REST and gRPC through the gateway, by {first.version}", "equal to the last bit")
    facts.saw(4, "largest difference to the local server's 14 scores", f"{float(np.abs(rest - local).max()):.1e}")


def test_uploaded_studies_are_scored_by_the_worker_through_the_gateway(
    world: World, first: Promoted, facts: Facts
) -> None:
    """Each is listed at once and scored by the stable soon after; the later rollout replays these images."""
    began = time.monotonic()
    with Site(world, SITE_USER, SITE_PASSWORD) as site:
        studies = {
            site.upload(image, f"radiograph-{number}.jpg") for number, image in enumerate(world.images[:STUDIES])
        }

        def scored() -> bool:
            known = {entry["study"]: entry["version"] for entry in site.entries()}
            return {known[study] for study in studies} == {first.version}

        until("a score for each", 90, scored)
    facts.saw(4, f"{STUDIES} studies uploaded", f"all scored by {first.version} after {time.monotonic() - began:.0f} s")


@pytest.mark.usefixtures("first")
def test_a_wrong_digest_never_becomes_ready_and_the_pod_says_why(world: World, facts: Facts) -> None:
    """The same bundle under another digest: the stable of a service of its own, watched for a while."""
    manifest = yaml.safe_load(world.production.text())
    manifest["metadata"] = {"name": "wrong-digest", "annotations": manifest["metadata"]["annotations"]}
    manifest["spec"].pop("canary", None)
    predictor = manifest["spec"]["predictor"]
    predictor["minReplicas"] = 1
    for variable in predictor["model"]["env"]:
        if variable["name"] == "CHEXPERT_BUNDLE_DIGEST":
            variable["value"] = WRONG
    namespace = world.namespaces["staging"]
    world.kube.apply(manifest, namespace=namespace)
    try:
        selector = "serving.kserve.io/inferenceservice=wrong-digest"
        said = until("the pod's log", 150, lambda: _complaint(world, namespace, selector))
        conditions = {
            c["type"]: c["status"]
            for c in world.kube.get("isvc", "wrong-digest", namespace=namespace)["status"]["conditions"]
        }
        assert conditions["Ready"] != "True"
        facts.saw(4, "a wrong digest", f"never ready; the pod says: {said[:160]}")
    finally:
        world.kube.delete("isvc", "wrong-digest", namespace=namespace)


def _complaint(world: World, namespace: str, selector: str) -> str:
    for pod in world.kube.pods(namespace, selector):
        assert not any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
        lines = world.kube.logs(namespace, pod["metadata"]["name"], "kserve-container").splitlines()
        if found := [line for line in lines if WRONG in line]:
            return found[-1]
    return ""


def _local(world: World, first: Promoted, image: bytes) -> Scores:
    """Scores by `chexpert serve` on this machine, from the same bundle in the platform's S3."""
    manifest = world.folder / "inferenceservice.yaml"
    manifest.write_text(world.production.text())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        "chexpert",
        "serve",
        "--manifest",
        str(manifest),
        "--port",
        str(port),
        "--cache",
        str(world.folder / "bundles"),
    ]
    with subprocess.Popen(command, env=world.variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            with V2Client(f"http://127.0.0.1:{port}") as client:
                until("the local server", 90, lambda: client.readiness().ready)
                (answer,) = client.score_images([image])
        finally:
            server.terminate()
    assert answer.version == first.version
    return np.asarray(answer.scores, dtype=np.float32)


def _rest(world: World, image: bytes) -> Scores:
    body, headers = image_request(image)
    # The binary extension takes the image in, plain JSON brings the scores back: what `curl` shows a person.
    answer = httpx.post(
        f"http://{world.gateway}/v2/models/chexpert/infer",
        content=body,
        headers={**headers, "host": world.host(world.production)},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    tensor = next(output for output in answer.json()["outputs"] if output["name"] == "scores")
    assert tensor["shape"] == [1, len(OBSERVATIONS)]
    return np.asarray(tensor["data"], dtype=np.float32)


def _grpc(world: World, image: bytes) -> Scores:
    # In a process of its own: its protobuf names and the kserve SDK's do not live in one.
    script = f"""
import json, sys, numpy as np, tritonclient.grpc as t
client = t.InferenceServerClient({world.gateway if ":" in world.gateway else world.gateway + ":80"!r},
    channel_args=[("grpc.default_authority", {world.host(world.production)!r})])
image = t.InferInput("image", [1], "BYTES")
image.set_data_from_numpy(np.array([sys.stdin.buffer.read()], dtype=object))
answer = client.infer("chexpert", [image], outputs=[t.InferRequestedOutput("scores")])
print(json.dumps(answer.as_numpy("scores").reshape(-1).tolist()))
"""
    done = subprocess.run([sys.executable, "-c", script], input=image, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return np.asarray(json.loads(done.stdout), dtype=np.float32)
