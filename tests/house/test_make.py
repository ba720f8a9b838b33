import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make here, so its targets cannot be tried")


def make(root: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    # Not what the `make test` that runs this was told.
    told = ("MAKE", "MFLAGS", "ONCE", "DATA", "TRAFFIC", "FAULT", "ARGS")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(told)}
    command = ["make", "--no-print-directory", *arguments, *(f"{name}={value}" for name, value in variables.items())]
    return subprocess.run(
        command,
        cwd=root,
        env={**inherited, "TORCH_BACKEND": ""},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_make_alone_prints_every_documented_target(root: Path) -> None:
    """Each target with its `##` line, and each target a person may call has one."""
    text = (root / "Makefile").read_text()
    documented = dict(re.findall(r"^([a-z-]+):[^\n]*?## (.+)$", text, re.MULTILINE))
    printed = make(root).stdout
    for target, words in documented.items():
        assert re.search(rf"make {target} +{re.escape(words)}", printed)
    phony = set(" ".join(re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)).split())
    assert phony - set(documented) == {"print-install-command", "programs", "FORCE"}
    assert {"install", "check", "test", "demo", "up", "bench", "lock", "clean"} <= set(documented)


@pytest.mark.parametrize("backend", ["cpu", "auto", "cu130"])
def test_a_torch_backend_becomes_uvs_option(root: Path, tmp_path: Path, backend: str) -> None:
    """It is asked of uv, and the torch of another backend is not taken for good enough."""
    command = make(root, "-s", "print-install-command", TORCH_BACKEND=backend, VENV=str(tmp_path)).stdout.split()
    assert f"--torch-backend={backend}" in command
    assert {"--reinstall-package=torch", "--reinstall-package=torchvision"} <= set(command)
    assert command[-2:] == ["--requirement", "requirements.lock"]


def test_without_a_torch_backend_the_machines_own_index_decides(root: Path, tmp_path: Path) -> None:
    """No option about torch, no index address; into the environment's Python by the pinned uv."""
    command = make(root, "-s", "print-install-command", VENV=str(tmp_path)).stdout.split()
    assert Path(command[0]).name == "uv"
    python = f"{tmp_path}/bin/python"
    expected = ["pip", "install", "--compile-bytecode", "--python", python, "--requirement", "requirements.lock"]
    assert command[1:] == expected


def test_the_backend_of_the_last_installation_is_kept(root: Path, tmp_path: Path) -> None:
    """A new lock does not silently bring the CUDA libraries to a machine that chose the processor."""
    (tmp_path / ".installed").write_text("cpu\n")
    assert "--torch-backend=cpu" in make(root, "-s", "print-install-command", VENV=str(tmp_path)).stdout
    other = make(root, "-s", "print-install-command", VENV=str(tmp_path), TORCH_BACKEND="auto").stdout
    assert "--torch-backend=auto" in other


def python_that(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_python_without_venv_is_told_the_package_to_install(root: Path, tmp_path: Path) -> None:
    """Debian ships venv apart: the message names it with its version."""
    script = 'case "$2" in *ensurepip*) exit 1;; *print*) echo 3.12;; esac'
    python = python_that(tmp_path, "python3.12", script)
    done = make(root, "install", VENV=str(tmp_path / "venv"), PYTHON=str(python))
    assert done.returncode != 0
    assert "apt-get install python3.12-venv" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_a_python_out_of_range_is_refused(root: Path, tmp_path: Path) -> None:
    """Neither one that is too old nor one that does not start; the message says what to do."""
    for number, script in enumerate(("exit 1", "echo broken >&2; exit 127")):
        python = python_that(tmp_path, f"python{number}", script)
        done = make(root, "install", VENV=str(tmp_path / "venv"), PYTHON=str(python))
        assert done.returncode != 0
        assert "no Python from 3.11 to 3.13" in done.stderr


def test_an_installation_is_not_repeated(root: Path, tmp_path: Path) -> None:
    """Nothing to do while lock and pyproject are older than the last installation; another backend is something."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    python_that(venv / "bin", "python", "exit 1")
    (venv / ".installed").write_text("cpu\n")
    assert make(root, "--question", "install", VENV=str(venv)).returncode == 0
    assert make(root, "--question", "install", VENV=str(venv), TORCH_BACKEND="cpu").returncode == 0
    assert make(root, "--question", "install", VENV=str(venv), TORCH_BACKEND="auto").returncode == 1
    os.utime(venv / ".installed", (0, 0))
    assert make(root, "--question", "install", VENV=str(venv)).returncode == 1


def test_the_demo_is_called_with_what_was_asked(root: Path, tmp_path: Path) -> None:
    """Each variable becomes its option; those not given leave nothing behind."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    python_that(venv / "bin", "python", "exit 1")
    (venv / ".installed").write_text("\n")
    plain = make(root, "--dry-run", "demo", VENV=str(venv)).stdout.strip()
    assert plain == f"{venv}/bin/chexpert demo"
    full = make(root, "--dry-run", "demo", VENV=str(venv), DATA="d", TRAFFIC="t", FAULT="nan", ONCE="1").stdout.strip()
    assert full == f"{venv}/bin/chexpert demo --data d --traffic t --fault nan --once"


def test_the_ci_script_is_one_that_bash_reads(root: Path) -> None:
    """Executable, without a syntax error, and it runs what the Makefile offers."""
    script = root / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    called = re.findall(r"^phase \w+ make (\w+)", script.read_text(), re.MULTILINE)
    assert called == ["install", "check", "test", "demo"]
