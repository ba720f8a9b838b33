"""`python -m openstack_cloud.watcher LOCK FOLDER`: takes the loopback cloud away when standard input ends.

It ends with the process that holds its other end, however that one ends. One cloud at a time holds the lock.
"""

import fcntl
import sys
from pathlib import Path

import nspawn_node
from openstack_cloud.cloud import ADDRESS, BRIDGE, NAME, base

__all__ = ["main"]


def main(lock: Path, folder: Path) -> None:
    """Prints a line once the lock is held; returns when nothing is left."""
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        sys.stdout.write("watching\n")
        sys.stdout.flush()
        sys.stdin.read()
        bridge = nspawn_node.Bridge(BRIDGE, ADDRESS.rpartition(".")[0])
        key = nspawn_node.Key(folder / "node-key")
        nspawn_node.Node(NAME, ADDRESS, bridge, base(), folder / "node", key).__exit__()
        bridge.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
