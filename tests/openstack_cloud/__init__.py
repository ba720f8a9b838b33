"""A real OpenStack on loopback for tests: Debian's services in one systemd node, a fake hypervisor, nothing that runs.

`packages.sh` installs, `configure.sh` and `seed.py` run in the node; `cloud` boots it and hands out
credentials; `watcher` takes it away when the tests are killed.
"""

__all__ = ["cloud"]
