"""The platform as the tests have installed it: chart, Git host, Argo CD's Applications, workflows and environments."""

import json
import os
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from chexpert.data import objects
from chexpert.gitops import promotion
from chexpert.pipeline.driver.timeline import Timeline
from chexpert.serving.isvc import parse
from cluster_harness.environments import Environment
from cluster_harness.git_host import GitHost
from cluster_harness.kube import Kube, until
from cluster_harness.settings import ClusterSettings
from cluster_harness.table import Facts

__all__ = ["ROOT", "Promoted", "Ran", "World"]

ROOT = Path(__file__).parents[2]
ROLLOUT = {"environment": "production", "merge": "auto", "profile": "demo", "baseline": "traffic"}


@dataclass(frozen=True, slots=True)
class Promoted:
    """A version with its bundle, proposed for production."""

    version: str
    uri: str
    digest: str


@dataclass(frozen=True, slots=True)
class Ran:
    """A program of ours that has ended."""

    code: int
    output: str


@dataclass
class World:
    """What is installed, and how the tests reach it."""

    kube: Kube
    settings: ClusterSettings
    folder: Path
    """Scratch of this run on this machine."""
    gateway: str
    """host or host:port."""
    git: GitHost
    images: Sequence[bytes] = ()
    """Encoded radiographs to ask about."""

    @property
    def namespaces(self) -> Mapping[str, str]:
        """By role: platform, staging, production."""
        prefix = self.settings.prefix
        return {"platform": prefix, "staging": f"{prefix}-staging", "production": f"{prefix}-production"}

    @cached_property
    def staging(self) -> Environment:
        """Where versions are loaded before anybody depends on them."""
        return Environment("staging", self.namespaces["staging"], self.kube, self.git)

    @cached_property
    def production(self) -> Environment:
        """What clients ask."""
        return Environment("production", self.namespaces["production"], self.kube, self.git)

    @property
    def site_host(self) -> str:
        """Host name of the site at the gateway."""
        return f"site-{self.settings.prefix}.{self.settings.domain}"

    def host(self, environment: Environment) -> str:
        """Host name of an environment's server at the gateway."""
        return f"chexpert-{environment.namespace}.{self.settings.domain}"

    @cached_property
    def variables(self) -> dict[str, str]:
        """Environment of our own commands on this machine: the platform's objects, through a forwarded port."""
        secret = self.kube.get("secret", "chexpert-objects", namespace=self.namespaces["platform"])["data"]
        keys = {name: b64decode(secret[name]).decode() for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        configuration = self.kube.get("configmap", "chexpert", namespace=self.namespaces["platform"])["data"]
        ours = {"CHEXPERT_OBJECTS": configuration["CHEXPERT_OBJECTS"], "CHEXPERT_GITOPS": self.git.outside}
        s3 = {
            "AWS_ENDPOINT_URL_S3": f"http://{self.gateway}",
            "AWS_DEFAULT_REGION": configuration["AWS_DEFAULT_REGION"],
        }
        return {**os.environ, **keys, **ours, **s3}

    def chexpert(self, *arguments: str, seconds: float = 900) -> Ran:
        """Run `chexpert` on this machine."""
        command = [str(Path(sys.executable).with_name("chexpert")), *arguments]
        done = subprocess.run(command, env=self.variables, capture_output=True, text=True, check=False, timeout=seconds)
        return Ran(done.returncode, done.stdout + done.stderr)

    def read_object(self, *parts: str) -> bytes:
        """An object of the platform."""
        return objects.read_bytes("/".join([self.variables["CHEXPERT_OBJECTS"], *parts]))

    def timeline(self, environment: str) -> list[dict[str, Any]]:
        """Events of a rollout, oldest first."""
        return [
            json.loads(event.to_json()) for event in Timeline(self.variables["CHEXPERT_OBJECTS"], environment).read()
        ]

    def footprint(self) -> dict[str, float]:
        """Memory in use by namespace, in MiB, as the kubelets report it."""
        used: dict[str, float] = {}
        for node in self.kube.get("nodes")["items"]:
            path = f"/api/v1/nodes/{node['metadata']['name']}/proxy/stats/summary"
            for pod in json.loads(self.kube.kubectl("get", "--raw", path))["pods"]:
                namespace = pod["podRef"]["namespace"]
                used[namespace] = used.get(namespace, 0.0) + pod.get("memory", {}).get("workingSetBytes", 0) / 2**20
        return used

    # The chart -----------------------------------------------------------------------------------------------------

    def helm_upgrade(self, values: Mapping[str, Any]) -> None:
        """Upgrade the release with some values changed, and wait until everything is ready."""
        file = self.folder / "upgrade.yaml"
        file.write_text(yaml.safe_dump(dict(values)))
        self.kube.run(
            "helm", "upgrade", "chexpert", str(ROOT / "charts/chexpert"), "--namespace", self.settings.prefix,
            "--reuse-values", "--values", str(file), "--wait", "--timeout", "4m", seconds=300,
        )  # fmt: skip

    def helm_rollback(self) -> None:
        """Back to the release before, and wait until everything is ready."""
        self.kube.run(
            "helm",
            "rollback",
            "chexpert",
            "--namespace",
            self.settings.prefix,
            "--wait",
            "--timeout",
            "4m",
            seconds=300,
        )

    # Workflows ------------------------------------------------------------------------------------------------------

    def submit(self, workflow: str, **parameters: str) -> str:
        """Start a workflow; its name."""
        given = [f"--parameter={name}={value}" for name, value in parameters.items()]
        ran = self.chexpert("pipeline", "submit", workflow, "--namespace", self.namespaces["platform"], *given)
        assert ran.code == 0, ran.output
        return ran.output.split()[-1]

    def watch(self, run: str, *, seconds: float = 900) -> Ran:
        """Follow a workflow to its end with `chexpert pipeline watch`."""
        return self.chexpert("pipeline", "watch", run, "--namespace", self.namespaces["platform"], seconds=seconds)

    def nodes(self, run: str, kind: str = "Pod") -> list[dict[str, Any]]:
        """The pods of a workflow, as its status tells them; none while it has no status yet."""
        status = self.kube.get("workflow", run, namespace=self.namespaces["platform"]).get("status", {})
        return [node for node in status.get("nodes", {}).values() if node["type"] == kind]

    def continuous_x(self, facts: Facts, *, seed: int) -> Promoted:
        """Run the workflow template to its pull request for production."""
        began = time.monotonic()
        run = self.submit("continuous-x", source="s3://chexpert/uploads", profile="phantom", epochs="5", seed=str(seed))
        watched = self.watch(run)
        assert watched.code == 0, (
            f"{watched.output}\n{[(n['displayName'], n['phase'], n.get('message')) for n in self.nodes(run)]}"
        )
        nodes = self.nodes(run)
        proposed = self.proposed()
        assert proposed is not None
        took = f"{len(nodes)} steps Succeeded in {time.monotonic() - began:.0f} s"
        facts.saw(3, f"continuous-x, seed {seed}: {proposed.version}", f"{took}, pull request open")
        return proposed

    def proposed(self) -> Promoted | None:
        """The version of production's open pull request."""
        branches = [name for name in self.git.branches() if name.startswith("promote/production/")]
        if not branches:
            return None
        version = branches[0].rpartition("/")[2]
        text = self.git.git("show", f"origin/{branches[0]}:{self.production.path}")
        served = next(v for v in parse(text, where=branches[0]).versions if v.name == version)
        return Promoted(version, served.storage_uri, served.digest)

    def advance(self) -> None:
        """One step of production's rollout, by the workflow file `rollout`."""
        run = self.submit(str(ROOT / "argo/workflows/rollout.yaml"), image=self.settings.image("tools"), **ROLLOUT)
        ran = self.watch(run, seconds=180)
        assert ran.code == 0, ran.output

    def advance_until(self, reached: Callable[[], bool], health: list[str], *, seconds: float = 420) -> None:
        """Step on until something is true of git."""
        end = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < end, f"not reached; timeline: {self.timeline('production')[-3:]}"
            self.advance()
            self.observe(health)

    # Rollouts -------------------------------------------------------------------------------------------------------

    def application_name(self, part: str) -> str:
        """Name of Argo CD's Application of a part, as argo/cd/platform gives it."""
        return f"chexpert-{part}"

    def application(self, part: str) -> dict[str, Any]:
        """Argo CD's Application of a part, such as production; empty while there is none."""
        return self.kube.find("applications.argoproj.io", self.application_name(part), namespace="argocd") or {}

    def observe(self, health: list[str]) -> str:
        """Production's health in Argo CD, added to `health` where it changed."""
        now = str(self.application("production").get("status", {}).get("health", {}).get("status", "Unknown"))
        if not health or health[-1] != now:
            health.append(now)
        return now

    def until_routed(self, weights: Mapping[str, int], health: list[str], *, seconds: float = 180) -> float:
        """Wait until production's routes carry these percentages; the seconds it took."""
        wanted = {version: weight for version, weight in weights.items() if weight}
        began = time.monotonic()

        def reached() -> bool:
            self.observe(health)
            return self.production.routed() == wanted

        until(f"routes with {wanted}", seconds, reached, every=0.3)
        return time.monotonic() - began

    def propose(self, version: Promoted, *, runtime: str = "") -> None:
        """A pull request for production, 10 % at first; under another ServingRuntime if one is named."""
        text = promotion.start_canary(self.production.text(), version.version, version.uri, version.digest, 10)
        if runtime:
            document = yaml.safe_load(text)
            document["spec"]["canary"][0]["predictor"]["model"]["runtime"] = runtime
            text = yaml.safe_dump(document, sort_keys=False)
        branch = f"promote/production/{version.version}"
        self.git.propose(branch, f"Promote {version.version} to production", {self.production.path: text})

    def swap_back(self, stable: str, to: str) -> None:
        """The way back: one commit that swaps the names."""
        text = self.production.text()
        self.production.commit(f"Make {to} the stable again, not {stable}", promotion.swap(text, to))
