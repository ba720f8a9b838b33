"""A Git host of our own in the cluster: `git http-backend` behind a small HTTP server, in the image of the steps."""

import subprocess
from pathlib import Path
from typing import Any

from cluster_harness.kube import CommandFailed

__all__ = ["GitHost", "git_host_objects"]

NAME = "git-host"
PORT = 3000
_START = """
export HOME=/repositories
git init -q --bare -b main {repository}
printf '#!/bin/sh\\nexec chexpert pr check --hook\\n' > {repository}/hooks/pre-receive
chmod +x {repository}/hooks/pre-receive
exec python3 -c "$SCRIPT" 0.0.0.0 {port} /repositories
"""


def git_host_objects(image: str, folder: str, gateway: tuple[str, str]) -> list[dict[str, Any]]:
    """Deployment, Service and HTTPRoute for /FOLDER/platform.git. Repositories live as long as the pod.

    A push is judged before it is accepted, by `chexpert pr check` as the repository's pre-receive hook.
    """
    repository = f"/repositories/{folder}/platform.git"
    labels = {"app.kubernetes.io/name": NAME}
    script = (Path(__file__).parent / "git_http.py").read_text()
    container = {
        "name": "git",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-ec"],
        "args": [_START.format(repository=repository, port=PORT)],
        "env": [{"name": "SCRIPT", "value": script}],
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": name, "mountPath": f"/{name}"} for name in ("repositories", "tmp")],
    }
    volumes = [{"name": name, "emptyDir": {}} for name in ("repositories", "tmp")]
    pod = {"containers": [container], "volumes": volumes, "automountServiceAccountToken": False}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": NAME, "labels": labels},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": NAME},
            "spec": {"selector": labels, "ports": [{"port": PORT}]},
        },
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": NAME},
            "spec": {
                "parentRefs": [{"namespace": gateway[0], "name": gateway[1]}],
                "rules": [
                    {
                        "matches": [{"path": {"type": "PathPrefix", "value": f"/{folder}"}}],
                        "backendRefs": [{"name": NAME, "port": PORT}],
                    }
                ],
            },
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": NAME},
            "spec": {
                "podSelector": {"matchLabels": labels},
                "policyTypes": ["Ingress"],
                "ingress": [{"ports": [{"port": PORT}]}],
            },
        },
    ]


class GitHost:
    """The repository `platform`, seen from this machine through the gateway."""

    def __init__(self, namespace: str, folder: str, gateway: str, clone: Path) -> None:
        self.inside = f"http://{NAME}.{namespace}.svc.cluster.local:{PORT}/{folder}/platform.git"
        self.outside = f"http://{gateway}/{folder}/platform.git"
        self.clone = clone

    def git(self, *arguments: str) -> str:
        """Run git in the clone."""
        command = ["git", "-c", "user.name=cluster test", "-c", "user.email=cluster-test@localhost", *arguments]
        done = subprocess.run(command, cwd=self.clone, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise CommandFailed(command, done.stderr)
        return done.stdout.strip()

    def seed(self, files: dict[str, str | Path]) -> None:
        """First commit: texts and folders by their path in the repository."""
        self.clone.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.git("remote", "add", "origin", self.outside)
        self._write(files)
        self.git("commit", "-qm", "Seed")
        self.git("push", "-q", "origin", "HEAD:main")

    def join(self) -> None:
        """Clone what an earlier run has left."""
        self.clone.mkdir(parents=True)
        self.git("clone", "-q", self.outside, ".")

    def change(self, message: str, files: dict[str, str | Path]) -> str:
        """Commit on the tip of main and push; the new sha."""
        self.pull()
        self._write(files)
        self.git("commit", "-qm", message)
        self.git("push", "-q", "origin", "HEAD:main")
        return self.git("rev-parse", "HEAD")

    def propose(self, branch: str, message: str, files: dict[str, str | Path]) -> None:
        """Push a branch with one commit on the tip of main, and stand on main again."""
        self.pull()
        self.git("checkout", "-q", "-B", branch)
        self._write(files)
        self.git("commit", "-qm", message)
        self.git("push", "-q", "--force", "origin", f"HEAD:refs/heads/{branch}")
        self.pull()

    def pull(self) -> str:
        """Stand on the host's main; its sha."""
        self.git("fetch", "-q", "--prune", "origin")
        self.git("checkout", "-q", "-B", "main", "origin/main")
        return self.git("rev-parse", "HEAD")

    def branches(self) -> list[str]:
        """Branches of the host."""
        self.git("fetch", "-q", "--prune", "origin")
        return [
            line.strip().removeprefix("origin/")
            for line in self.git("branch", "-r", "--format=%(refname:short)").splitlines()
        ]

    def _write(self, files: dict[str, str | Path]) -> None:
        for name, content in files.items():
            target = self.clone / name
            if isinstance(content, Path):
                for file in sorted(path for path in content.rglob("*") if path.is_file()):
                    copy = target / file.relative_to(content)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    copy.write_bytes(file.read_bytes())
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(content, encoding="utf-8")
        self.git("add", "-A")
