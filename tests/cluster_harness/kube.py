"""The cluster of KUBECONFIG, through `kubectl` and `helm` as a person would use them."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

__all__ = ["CommandFailed", "Kube", "NotReached", "until"]


class CommandFailed(AssertionError):
    """A program said no."""

    def __init__(self, command: list[str], output: str) -> None:
        super().__init__(f"{' '.join(command)[:300]}\n{output[-3000:]}")
        self.output = output


class NotReached(AssertionError):
    """Something did not come true in time."""


def until(what: str, seconds: float, probe: Callable[[], Any], *, every: float = 0.5) -> Any:
    """Call `probe` until it answers something true, and return that; NotReached says what it answered last."""
    end = time.monotonic() + seconds
    last: Any = None
    while time.monotonic() < end:
        try:
            last = probe()
        except (CommandFailed, OSError) as error:
            last = error
        else:
            if last:
                return last
        time.sleep(every)
    msg = f"{what}: not reached in {seconds:g} s; last: {last}"
    raise NotReached(msg)


class Kube:
    """One cluster."""

    def run(self, *command: str, stdin: str | None = None, seconds: float = 120) -> str:
        """Standard output of a program; CommandFailed with all it said otherwise."""
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=seconds)
        if done.returncode:
            raise CommandFailed(list(command), done.stdout + done.stderr)
        return done.stdout

    def kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = 120) -> str:
        """Output of kubectl."""
        return self.run("kubectl", *arguments, stdin=stdin, seconds=seconds)

    def get(self, kind: str, name: str = "", *, namespace: str = "", selector: str = "") -> dict[str, Any]:
        """One object, or a list of them."""
        arguments = ["get", kind, *([name] if name else []), "-o", "json"]
        arguments += ["-n", namespace] if namespace else []
        arguments += ["-l", selector] if selector else []
        found: dict[str, Any] = json.loads(self.kubectl(*arguments))
        return found

    def find(self, kind: str, name: str, *, namespace: str = "") -> dict[str, Any] | None:
        """One object, or None where there is none."""
        try:
            return self.get(kind, name, namespace=namespace)
        except CommandFailed as error:
            if "NotFound" in error.output or "not found" in error.output:
                return None
            raise

    def apply(self, *objects: dict[str, Any] | Path, namespace: str = "") -> None:
        """Apply objects or files server-side."""
        where = ["-n", namespace] if namespace else []
        for thing in objects:
            text = thing.read_text() if isinstance(thing, Path) else yaml.safe_dump(thing)
            self.kubectl("apply", "--server-side", "--force-conflicts", *where, "-f", "-", stdin=text)

    def delete(self, kind: str, *names: str, namespace: str = "", wait: bool = True) -> None:
        """Delete objects that may be gone already."""
        where = ["-n", namespace] if namespace else []
        self.kubectl(
            "delete",
            kind,
            *names,
            *where,
            "--ignore-not-found",
            f"--wait={str(wait).lower()}",
            "--timeout=120s",
            seconds=150,
        )

    def pods(self, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        """Pods that are not being deleted."""
        items = self.get("pods", namespace=namespace, selector=selector)["items"]
        return [pod for pod in items if not pod["metadata"].get("deletionTimestamp")]

    def execute(self, namespace: str, target: str, *command: str, container: str = "", seconds: float = 120) -> str:
        """Run a command in a container, the first if none is named."""
        chosen = ["-c", container] if container else []
        return self.kubectl("exec", "-n", namespace, target, *chosen, "--", *command, seconds=seconds)

    def logs(self, namespace: str, pod: str, container: str = "", lines: int = 40) -> str:
        """Newest lines of a container's log."""
        chosen = ["-c", container] if container else []
        return self.kubectl("logs", "-n", namespace, pod, *chosen, f"--tail={lines}")

    def has(self, kind: str) -> bool:
        """Whether the cluster serves this kind, such as inferenceservices.serving.kserve.io."""
        return self.find("crd", kind) is not None

    def gateway_address(self, namespace: str, name: str) -> str:
        """Address of a Gateway as its status tells it, with the port of its first listener where that is not 80."""
        gateway = self.get("gateway", name, namespace=namespace)
        address: str = gateway["status"]["addresses"][0]["value"]
        port = gateway["spec"]["listeners"][0]["port"]
        return address if port == 80 else f"{address}:{port}"
