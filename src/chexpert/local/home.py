"""Where one embedded platform keeps everything: a folder, by default `var`."""

import socket
from dataclasses import dataclass, replace
from pathlib import Path

from chexpert.domain.places import Places

__all__ = ["Home", "free_port"]

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Home:
    """Names of the files and folders of one embedded platform."""

    path: Path

    @property
    def objects(self) -> Path:
        """Images, bundles, logs, reports."""
        return self.path / "objects"

    @property
    def gitops(self) -> Path:
        """Bare repository that says what is served."""
        return self.path / "gitops.git"

    @property
    def served(self) -> Path:
        """Worktree of `gitops` that the model servers read."""
        return self.path / "served"

    @property
    def run(self) -> Path:
        """Run files: process ids and ports of what is running."""
        return self.path / "run"

    @property
    def logs(self) -> Path:
        """One log for each process."""
        return self.path / "logs"

    @property
    def runs(self) -> Path:
        """One folder for each pipeline run."""
        return self.path / "runs"

    def manifest(self, environment: str) -> Path:
        """The InferenceService file that `environment`'s model server reads."""
        return self.served / "kserve" / environment / "inferenceservice.yaml"

    def create(self) -> None:
        """Make the folders."""
        for folder in (self.objects, self.run, self.logs, self.runs):
            folder.mkdir(parents=True, exist_ok=True)

    def places(self) -> Places:
        """Addresses of what lies in the folder; servers have none yet."""
        root = self.path.resolve()
        return Places(
            objects=str(root / "objects"),
            database=f"sqlite:///{root / 'site.sqlite'}",
            tracking=f"sqlite:///{root / 'mlflow.sqlite'}",
            gitops=str(root / "gitops.git"),
        )

    def places_with(self, ports: dict[str, int]) -> Places:
        """The same, with the URLs of `site`, `staging` and `production` on loopback."""
        return replace(self.places(), **{name: f"http://{HOST}:{port}" for name, port in ports.items()})


def free_port(preferred: int) -> int:
    """`preferred` if nobody listens there, else one the system chooses."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    msg = f"no free port on {HOST}"
    raise OSError(msg)
