"""Real stores on loopback for tests: an S3 server (versitygw) and PostgreSQL, or a printed reason why there is none."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

__all__ = [
    "S3",
    "Postgres",
    "answers_again",
    "free_port",
    "own_postgres",
    "own_s3",
    "postgres",
    "postgres_server",
    "s3",
    "s3_server",
]

_CACHE = Path(os.environ.get("CHEXPERT_CLUSTER_CACHE", "~/.cache/chexpert-cluster")).expanduser()
_DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
_START_S = 30


def free_port() -> int:
    """Of loopback, free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + _START_S
    while time.monotonic() < ends:
        assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"{process.args!r} did not listen on {port} within {_START_S} s")


@dataclass(slots=True)
class S3:
    """An S3 server on a folder. It can be killed and started again on the same port."""

    program: str
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once it listens."""
        for name in ("data", "metadata"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        command = [self.program, "--port", f"127.0.0.1:{self.port}", "--quiet", "posix"]
        command += ["--sidecar", str(self.folder / "metadata"), str(self.folder / "data")]
        environment = {**os.environ, "ROOT_ACCESS_KEY": "tests", "ROOT_SECRET_KEY": "tests-secret"}
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        _wait_for(self.port, self.process)

    def kill(self) -> None:
        """SIGKILL: nothing is said to its clients."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def bucket(self) -> str:
        """URI of a new, empty bucket."""
        name = f"chexpert-{uuid4().hex[:8]}"
        (self.folder / "data" / name).mkdir()
        return f"s3://{name}"

    def environment(self) -> dict[str, str]:
        """What a pod gets from the ConfigMap and the Secret."""
        return {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests-secret",
        }


@dataclass(slots=True)
class Postgres:
    """A PostgreSQL cluster on a folder, reached over loopback."""

    programs: Path
    folder: Path
    user: str
    port: int = field(default_factory=free_port)

    def create(self) -> None:
        """Make the cluster and start it."""
        self.folder.mkdir(parents=True)
        if os.geteuid() == 0:
            shutil.chown(self.folder, self.user)
        self._run("initdb", "-D", str(self.folder / "data"), "-U", "chexpert", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()

    def start(self) -> None:
        """Return once it accepts connections."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c shared_buffers=32MB"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-l", log, "-w", "-t", "30", "-o", options, "start")

    def kill(self) -> None:
        """SIGKILL to the server and its children: what was committed is in its log and nowhere else."""
        parent = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        found = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False)
        for pid in [parent, *map(int, found.stdout.split())]:
            os.kill(pid, signal.SIGKILL)
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """End it at once and remove its files."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder)

    def database(self) -> str:
        """SQLAlchemy URL of a new, empty database."""
        name = f"chexpert_{uuid4().hex[:8]}"
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.url(name)

    def url(self, name: str) -> str:
        """SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://chexpert@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *arguments: str) -> None:
        as_user = ["setpriv", f"--reuid={self.user}", "--clear-groups"] if self.user else []
        command = [*as_user, str(self.programs / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", timeout=90)
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """Shared by the tests of a session, each in a bucket of its own."""
    server = _s3(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def s3(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of an empty bucket; the environment leads to its server."""
    _lead_to(s3_server, monkeypatch)
    return s3_server.bucket()


@pytest.fixture
def own_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """A server of this test's own, to be killed."""
    server = _s3(tmp_path / "s3")
    server.start()
    _lead_to(server, monkeypatch)
    yield server
    server.kill()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Shared by the tests of a session, each in a database of its own."""
    server = _postgres(tmp_path_factory)
    server.create()
    yield server
    server.stop()


@pytest.fixture
def postgres(postgres_server: Postgres) -> str:
    """URL of an empty database."""
    return postgres_server.database()


@pytest.fixture
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server of this test's own, to be killed."""
    server = _postgres(tmp_path_factory)
    server.create()
    yield server
    server.stop()


@pytest.fixture
def answers_again() -> Callable[[str], None]:
    """Wait until a database answers."""

    def _wait(url: str) -> None:
        ends = time.monotonic() + _START_S
        while True:
            engine = create_engine(url)
            try:
                with engine.connect():
                    return
            except OperationalError:
                assert time.monotonic() < ends
                time.sleep(0.1)
            finally:
                engine.dispose()

    return _wait


def _lead_to(server: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    # fsspec keeps one client for each set of arguments, and the address is none of them.
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def _s3(folder: Path) -> S3:
    program = shutil.which("versitygw") or str(_CACHE / "bin" / "versitygw")
    if not os.access(program, os.X_OK):
        pytest.skip(f"no S3 server: versitygw is neither on PATH nor under {_CACHE}/bin")
    return S3(program, folder)


def _postgres(tmp_path_factory: pytest.TempPathFactory) -> Postgres:
    found = shutil.which("initdb")
    programs = Path(found).resolve().parent if found else next(iter(_DEBIAN), None)
    if programs is None:
        pytest.skip("no PostgreSQL: apt-get install postgresql, then these run")
    if os.geteuid() != 0:
        return Postgres(programs, tmp_path_factory.mktemp("postgresql") / "cluster", "")
    if shutil.which("setpriv") is None:
        pytest.skip("PostgreSQL does not run as root, and there is no setpriv to run it as somebody else")
    # pytest's own folders are closed to everybody else, and PostgreSQL must enter its folder.
    folder = Path(tempfile.gettempdir()) / f"chexpert-postgresql-{uuid4().hex[:8]}"
    return Postgres(programs, folder, "postgres" if "postgres" in map(_name, pwd.getpwall()) else "nobody")


def _name(entry: pwd.struct_passwd) -> str:
    return entry.pw_name
