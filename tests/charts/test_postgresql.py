"""The bundled PostgreSQL's init script and server, run as its pod runs them: as uid 10001, with the chart's passwd."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rendering import Manifest, pick

UID = "10001"
DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
AS_THE_POD = 'mount --bind "$PASSWD_FILE" /etc/passwd && exec setpriv --reuid "$0" --regid "$0" --clear-groups "$@"'


@dataclass(frozen=True, slots=True)
class Pod:
    """The StatefulSet's pod on a folder, with a port of its own."""

    folder: Path
    spec: dict[str, Any]
    port: int

    def environment(self) -> dict[str, str]:
        """The init container's, with the pod's paths led into the folder."""
        stated = {e["name"]: self._here(e["value"]) for e in self.spec["initContainers"][0]["env"]}
        path = os.pathsep.join([*map(str, DEBIAN[:1]), os.environ["PATH"]])
        return {**stated, "PATH": path, "PASSWD_FILE": str(self.folder / "settings/passwd")}

    def initialise(self) -> str:
        """Run the init container; what it wrote."""
        command = [self._here(part) for part in self.spec["initContainers"][0]["command"]]
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", AS_THE_POD, UID, *command],
            env=self.environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def running(self) -> Iterator[None]:
        """The server's container; SIGINT, as its preStop sends it, must end it in order."""
        container = self.spec["containers"][0]
        command = [self._here(part) for part in [*container["command"], *container["args"]]]
        command = ["-clisten_addresses=127.0.0.1" if part == "-clisten_addresses=*" else part for part in command]
        log = (self.folder / "log").open("wb")
        with (
            log,
            subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", AS_THE_POD, UID, *command, f"-cport={self.port}"],
                env=self.environment(),
                stdout=log,
                stderr=log,
            ) as process,
        ):
            try:
                self._wait_until_ready(process)
                yield
            finally:
                process.send_signal(signal.SIGINT)
                assert process.wait(timeout=30) == 0, (self.folder / "log").read_text()

    def connect(self, database: str, password: str) -> psycopg.Connection[Any]:
        """By password over TCP, as site and MLflow do."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="chexpert", dbname=database, password=password, autocommit=True
        )

    def set_password(self, password: str) -> None:
        """What the Secret says."""
        (self.folder / "password/password").write_text(password)

    def _here(self, text: str) -> str:
        mounts = {
            "/etc/chexpert-postgresql-password": "password",
            "/etc/chexpert-postgresql": "settings",
            "/data": "data",
            "/tmp": "sockets",  # noqa: S108
        }
        for inside, name in mounts.items():
            if inside in text:
                return text.replace(inside, str(self.folder / name))
        return text

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        probe = [self._here(part) for part in self.spec["containers"][0]["readinessProbe"]["exec"]["command"]]
        environment = {**self.environment(), "PGPORT": str(self.port)}
        ends = time.monotonic() + 30
        while time.monotonic() < ends:
            assert process.poll() is None, (self.folder / "log").read_text()
            if subprocess.run(probe, env=environment, check=False).returncode == 0:
                return
            time.sleep(0.05)
        pytest.fail((self.folder / "log").read_text())


@pytest.fixture
def pod(bundled: list[Manifest]) -> Iterator[Pod]:
    """With an empty volume and the password `first`."""
    if not (shutil.which("initdb") or DEBIAN):
        pytest.skip("no PostgreSQL: apt-get install postgresql, then these run")
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("a passwd file of one's own needs root and a mount namespace")
    data = pick(bundled, "ConfigMap", "chexpert-postgresql")["data"]
    spec = pick(bundled, "StatefulSet", "chexpert-postgresql")["spec"]["template"]["spec"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    # pytest's own folders are closed to everybody else, and the server is somebody else.
    with tempfile.TemporaryDirectory(prefix="chexpert-postgresql-") as path:
        folder = Path(path)
        folder.chmod(0o755)
        for name in ("settings", "password", "data", "sockets"):
            (folder / name).mkdir()
        for name in ("data", "sockets"):
            os.chown(folder / name, int(UID), int(UID))
        for name, text in data.items():
            (folder / "settings" / name).write_text(text)
        made = Pod(folder, spec, port)
        made.set_password("first")
        yield made


def test_a_restart_keeps_the_data_and_takes_the_secrets_password(pod: Pod) -> None:
    """An empty volume becomes two databases; a second start finds them, and the password is the Secret's of now."""
    pod.initialise()
    with pod.running():
        for database in ("chexpert", "mlflow"):
            with pod.connect(database, "first") as connection:
                connection.execute("CREATE TABLE kept AS SELECT 1 AS row")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            pod.connect("chexpert", "wrong")
    pod.set_password("it's the \\second")
    assert "ERROR" not in pod.initialise()
    with pod.running():
        with pod.connect("mlflow", "it's the \\second") as connection:
            assert connection.execute("SELECT row FROM kept").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            pod.connect("chexpert", "first")


def test_an_initialisation_that_was_killed_is_begun_again(pod: Pod) -> None:
    """What it left behind is no cluster of databases, and in nobody's way."""
    half = pod.folder / "data/pgdata.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("17\n")
    for path in (half, half / "PG_VERSION"):
        os.chown(path, int(UID), int(UID))
    pod.initialise()
    assert not half.exists()
    assert (pod.folder / "data/pgdata").stat().st_mode & 0o777 == 0o700
