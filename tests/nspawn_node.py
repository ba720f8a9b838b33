"""Debian nodes with systemd and ssh on one machine (systemd-nspawn), on a bridge of their own. Needs root.

`base()` makes the root that all share, once; `Bridge` and `Node` are context managers that take away what they made.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Self

__all__ = ["Bridge", "Key", "Node", "base", "missing", "volume"]

CACHE = Path(os.environ.get("CHEXPERT_NODES_CACHE", "~/.cache/chexpert-nodes")).expanduser()
"""Where the shared root lies between runs (430 MB)."""

_PACKAGES = (
    "systemd,systemd-sysv,dbus,python3,python3-apt,openssh-server,iproute2,iptables,sudo,ca-certificates,kmod,"
    "e2fsprogs,procps,ethtool,curl,socat,conntrack"
)
_CGROUPS = Path("/sys/fs/cgroup")
_BOOT_S = 60
_REBOOT = 133
"""What nspawn exits with when the node asks for a restart (--keep-unit)."""

# Its own process enters the node's control groups before nspawn starts, so that they become the node's root.
_RUN = f"""
for group in $NODE_GROUPS; do echo $$ > "$group/cgroup.procs"; done
rc={_REBOOT}
while [ $rc = {_REBOOT} ]; do rc=0; systemd-nspawn "$@" || rc=$?; done
exit $rc
"""

_UNITS = {
    "ssh-host-keys.service": "[Unit]\nBefore=ssh.service\n[Service]\nType=oneshot\nExecStart=ssh-keygen -A\n"
    "[Install]\nWantedBy=multi-user.target\n",
    # nspawn hands the control groups over read-only; containerd and the kubelet write there.
    "writable-cgroups.service": "[Unit]\nBefore=containerd.service kubelet.service\n[Service]\nType=oneshot\n"
    "ExecStart=sh -c 'for d in /sys/fs/cgroup/*/; do mount -o remount,bind,rw $d || true; done'\n"
    "[Install]\nWantedBy=multi-user.target\n",
}


def missing() -> str:
    """What is not here that nodes need, as a reason to skip; empty when all is here."""
    if os.geteuid() != 0:
        return "nodes are systemd-nspawn containers: run as root"
    programs = {
        "debootstrap": "debootstrap",
        "systemd-nspawn": "systemd-container",
        "ssh": "openssh-client",
        "iptables": "iptables",
        "losetup": "mount",
    }
    absent = [package for program, package in programs.items() if shutil.which(program) is None]
    return f"apt-get install {' '.join(absent)}, then these run" if absent else ""


def base(folder: Path = CACHE / "bookworm-1") -> Path:
    """The root that nodes share: Debian 12 with systemd, ssh and the user cc, who may become root.

    Made once, in about a minute; a folder left half done is made anew, and of two runs at once one waits.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if not (folder / ".complete").exists():
            _succeeds("umount", "--lazy", str(folder / "proc"))  # of a debootstrap that was killed
            shutil.rmtree(folder, ignore_errors=True)
            _make_base(folder)
    return folder


def _make_base(folder: Path) -> None:
    _run("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(folder), limit_s=900)
    _run("chroot", str(folder), "useradd", "--create-home", "--shell", "/bin/bash", "cc")
    (folder / "etc/sudoers.d/cc").write_text("cc ALL=(ALL) NOPASSWD: ALL\n")
    for name, text in _UNITS.items():
        (folder / "etc/systemd/system" / name).write_text(text)
    _run("chroot", str(folder), "systemctl", "enable", "systemd-networkd", *_UNITS)
    _run("chroot", str(folder), "systemctl", "mask", "apt-daily.timer", "apt-daily-upgrade.timer", "console-getty")
    for key in (folder / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    # An id of the base's would be every node's.
    (folder / "etc/machine-id").write_text("")
    (folder / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    for source in (Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("debian*")):
        if source.exists():
            shutil.copy(source, folder / source.relative_to("/"))
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", folder / "etc/ssl/certs/ca-certificates.crt")
    (folder / ".complete").touch()


@dataclass(frozen=True, slots=True)
class Key:
    """A key pair for the user cc of every node."""

    private: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        """A new pair in this folder."""
        private = folder / "node-key"
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(private))
        return cls(private)

    @property
    def public(self) -> str:
        """The line of authorized_keys."""
        return self.private.with_suffix(".pub").read_text()


@dataclass(slots=True)
class Bridge:
    """A network of its own; what leaves it goes out masqueraded. The machine's other rules are left alone."""

    name: str = "chxa0"
    prefix: str = "10.246.0"
    """The first three octets of a /24; the machine is .1."""

    def __enter__(self) -> Self:
        self.close()
        _run("ip", "link", "add", self.name, "type", "bridge")
        _run("ip", "address", "add", f"{self.prefix}.1/24", "dev", self.name)
        _run("ip", "link", "set", self.name, "up")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        _run("iptables", "-w", "-t", "nat", "-A", *self._rule)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take away bridge and rule, of an earlier run that was killed too."""
        while _succeeds("iptables", "-w", "-t", "nat", "-D", *self._rule):
            pass
        _succeeds("ip", "link", "delete", self.name)

    @property
    def _rule(self) -> tuple[str, ...]:
        network = f"{self.prefix}.0/24"
        return ("POSTROUTING", "-s", network, "!", "-d", network, "-j", "MASQUERADE")


@dataclass(slots=True)
class Node:
    """One Debian machine. Leaving the context ends it and removes its disk."""

    name: str
    address: str
    bridge: Bridge
    base: Path
    folder: Path
    key: Key
    device: Path | None = None
    """A loop device, seen in the node under its own name and as /dev/vdb."""
    device_id: str = ""
    """Name of a link to it in /dev/disk/by-id, as udev makes one on a machine."""

    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        try:
            self._prepare()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        _succeeds("umount", str(self.folder / "root"))
        shutil.rmtree(self.folder, ignore_errors=True)
        for group in self._groups():
            _remove_groups(group)

    def start(self) -> None:
        """Boot, and return once ssh lets cc in."""
        for group in self._groups():
            _make_group(group)
        command = ["-q", "--register=no", "--keep-unit", "-M", self.name, "-D", str(self.folder / "root"), "-b"]
        command += [f"--network-bridge={self.bridge.name}", "--resolv-conf=off", "--timezone=off", "--capability=all"]
        command += ["--system-call-filter=@keyring bpf perf_event_open", "--bind=/dev/kmsg"]
        if self.device:
            command += [f"--bind={self.device}", f"--bind={self.device}:/dev/vdb"]
        for part in ("containerd", "kubelet", "etcd"):
            command.append(f"--bind={self.folder / part}:/var/lib/{part}")
        environment = {**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
        environment["NODE_GROUPS"] = " ".join(map(str, self._groups()))
        log = (self.folder / "console").open("ab")
        self.process = subprocess.Popen(
            ["sh", "-c", _RUN, "node", *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self.wait()

    def wait(self) -> None:
        """Until ssh answers.

        Raises:
            TimeoutError: it did not within a minute; with the end of the console.
        """
        ends = time.monotonic() + _BOOT_S
        while not self._answers():
            if time.monotonic() > ends or (self.process and self.process.poll() is not None):
                text = (self.folder / "console").read_text(errors="replace")[-2000:]
                message = f"{self.name} does not answer on {self.address}: {text}"
                raise TimeoutError(message)
            time.sleep(0.2)

    def run(self, command: str, *, check: bool = True, limit_s: int = 120) -> subprocess.CompletedProcess[str]:
        """One command line as root, over ssh; a failure raises with what it printed unless `check` is off."""
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        options += ["-o", "ConnectTimeout=2", "-i", str(self.key.private)]
        done = subprocess.run(
            ["ssh", *options, f"cc@{self.address}", "sudo", "sh", "-c", _quoted(command)],
            capture_output=True,
            text=True,
            check=False,
            timeout=limit_s,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode != 0:
            message = f"{self.name}: {command}: rc {done.returncode}: {done.stdout}{done.stderr}"
            raise RuntimeError(message)
        return done

    def restart(self) -> None:
        """Power off and boot again; the disk stays."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """Power off as a person would: services end in order. What does not end within 20 s is killed."""
        for pid in self._inits():
            os.kill(pid, signal.SIGRTMIN + 4)
        if self.process:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=20)
        self.kill()

    def kill(self) -> None:
        """End every process of the node at once."""
        for pid in self._inits():
            _signal(pid)
        ends = time.monotonic() + 20
        while (left := self.left_over()) and time.monotonic() < ends:
            for pid in left:
                _signal(pid)
            time.sleep(0.1)
        if self.process:
            self.process.wait(timeout=20)
            self.process = None
        # The network of a node can outlive its processes for minutes; the next start would find the cable's name taken.
        _succeeds("ip", "link", "delete", f"vb-{self.name}")

    def left_over(self) -> set[int]:
        """Processes that still run in the node's control groups."""
        return {int(line) for group in self._groups() for file in group.rglob("cgroup.procs") for line in _lines(file)}

    def _prepare(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        for part in ("root", "upper", "work", "containerd", "kubelet", "etcd"):
            (self.folder / part).mkdir(parents=True)
        layers = f"lowerdir={self.base},upperdir={self.folder / 'upper'},workdir={self.folder / 'work'}"
        _run("mount", "-t", "overlay", "overlay", "-o", layers, str(self.folder / "root"))
        root = self.folder / "root"
        (root / "etc/hostname").write_text(f"{self.name}\n")
        (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n")
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        (root / "etc/systemd/network/10-host0.network").write_text(
            f"[Match]\nName=host0\n[Network]\nAddress={self.address}/24\nGateway={self.bridge.prefix}.1\n"
            "LinkLocalAddressing=no\n"
        )
        if self.device_id:
            link = f"L /dev/disk/by-id/{self.device_id} - - - - /dev/vdb\n"
            (root / "etc/tmpfiles.d/volume.conf").write_text(link)
        ssh = root / "home" / "cc" / ".ssh"
        ssh.mkdir(mode=0o700)
        (ssh / "authorized_keys").write_text(self.key.public)
        _run("chroot", str(root), "chown", "-R", "cc:cc", f"/{ssh.relative_to(root)}")

    def _groups(self) -> list[Path]:
        unified = (_CGROUPS / "cgroup.controllers").exists()
        parents = [_CGROUPS] if unified else [path for path in _CGROUPS.iterdir() if not path.is_symlink()]
        return [parent / f"chexpert-node-{self.name}" for parent in sorted(parents) if os.path.ismount(parent)]

    def _inits(self) -> list[int]:
        """PID 1 of the node, as this machine numbers it: the child of nspawn, never nspawn itself."""
        if self.process is None or self.process.poll() is not None:
            return []
        return [init for nspawn in _children(self.process.pid) for init in _children(nspawn)]

    def _answers(self) -> bool:
        try:
            return self.run("true", check=False, limit_s=10).returncode == 0
        except subprocess.TimeoutExpired:
            return False


@contextmanager
def volume(file: Path, size_mb: int, file_system: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """A loop device over a sparse file, blank unless `file_system` writes one."""
    with file.open("wb") as image:
        image.truncate(size_mb << 20)
    device = Path(_run("losetup", "--find", "--show", str(file)).strip())
    try:
        if file_system:
            file_system(device)
        yield device
    finally:
        _run("losetup", "--detach", str(device))
        file.unlink()


def _run(*command: str, limit_s: int = 120) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit_s)
    if done.returncode != 0:
        message = f"{' '.join(command)}: rc {done.returncode}: {done.stdout[-1000:]}{done.stderr[-2000:]}"
        raise RuntimeError(message)
    return done.stdout


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0


def _quoted(command: str) -> str:
    return "'" + command.replace("'", "'\\''") + "'"


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:  # the group went away meanwhile
        return []


def _children(pid: int) -> list[int]:
    return [int(child) for child in _lines(Path(f"/proc/{pid}/task/{pid}/children"))]


def _signal(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _make_group(group: Path) -> None:
    group.mkdir(exist_ok=True)
    # Version 1 lets no process in before the group has processors and memory.
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (group / name).exists() and not (group / name).read_text().strip():
            (group / name).write_text((group.parent / name).read_text())


def _remove_groups(group: Path) -> None:
    if group.exists():
        for path in sorted(group.rglob("*"), key=lambda path: len(path.parts), reverse=True):
            if path.is_dir():
                path.rmdir()
        group.rmdir()
