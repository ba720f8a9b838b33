"""buildah, podman and docker: how each is told to build, save and push."""
# ruff: noqa: INP001, S603

import json
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Engine", "EngineMissing", "choose"]

ENGINES = ("buildah", "podman", "docker")


class EngineMissing(Exception):
    """No program that builds images is on PATH."""

    def __str__(self) -> str:
        """Names those that would do."""
        return f"none of {', '.join(ENGINES)} is on PATH; IMAGE_ENGINE can name one"


@dataclass(frozen=True)
class Engine:
    """One program, with its own options before the subcommand. Each method raises CalledProcessError where it fails."""

    command: tuple[str, ...]

    @property
    def kind(self) -> str:
        """Which of ENGINES it is, by the program's name."""
        return Path(self.command[0]).name

    def build(self, context: Path, dockerfile: Path, target: str, reference: str, options: Sequence[str]) -> None:
        """Builds one target under a name."""
        layers = ["--layers"] if self.kind == "buildah" else []
        what = ["--file", str(dockerfile), "--target", target, "--tag", reference, str(context)]
        self._run("build", *layers, *options, *what)

    def save(self, reference: str, archive: Path) -> None:
        """Writes an image as a docker archive, in place of an earlier file."""
        archive.unlink(missing_ok=True)
        if self.kind == "buildah":
            self._run("push", "--quiet", reference, f"docker-archive:{archive}:{reference}")
        else:
            form = ["--quiet", "--format", "docker-archive"] if self.kind == "podman" else []
            self._run("save", *form, "--output", str(archive), reference)

    def push(self, reference: str) -> str:
        """Pushes an image and returns the digest of its manifest."""
        if self.kind == "docker":
            self._run("push", "--quiet", reference)
            repository = reference.rpartition(":")[0]
            pushed = json.loads(self._run("image", "inspect", "--format", "{{json .RepoDigests}}", reference))
            (digest,) = (name.partition("@")[2] for name in pushed if name.startswith(f"{repository}@"))
            return str(digest)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "digest")
            self._run("push", "--quiet", "--digestfile", str(file), reference, f"docker://{reference}")
            return file.read_text().strip()

    def _run(self, *arguments: str) -> str:
        is_asked = arguments[:2] == ("image", "inspect")
        output = subprocess.PIPE if is_asked else None
        return subprocess.run([*self.command, *arguments], check=True, text=True, stdout=output).stdout or ""


def choose(environment: Mapping[str, str]) -> Engine:
    """Returns the engine that IMAGE_ENGINE names, or the first one on PATH.

    Raises:
        EngineMissing: there is none.
    """
    if told := shlex.split(environment.get("IMAGE_ENGINE", "")):
        return Engine(tuple(told))
    for name in ENGINES:
        if shutil.which(name, path=environment.get("PATH")):
            return Engine((name,))
    raise EngineMissing
