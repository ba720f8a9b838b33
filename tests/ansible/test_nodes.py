import pytest

from ansible_site import FOREIGN, Site

pytestmark = [pytest.mark.timeout(1200)]


def test_a_volume_with_other_data_is_refused_untouched(site: Site) -> None:
    """The run ends with the device, what is on it and that nothing was written."""
    refused = site.play("site.yml", "--tags", "nodes")
    assert refused.returncode != 0
    assert refused.counted("failed") == {"control-tests": 0, "worker1-tests": 1, "worker2-tests": 0}
    assert f"LABEL={FOREIGN}" in refused.text
    assert "Nothing was written" in refused.text
    assert f'LABEL="{FOREIGN}"' in site.nodes["worker1-tests"].run("blkid -p /dev/vdb").stdout


def test_a_second_run_changes_nothing(site: Site) -> None:
    """Nor does a third that only looks."""
    site.without_foreign()
    site.play("site.yml", "--tags", "nodes").succeeded()
    second = site.play("site.yml", "--tags", "nodes").succeeded()
    assert set(second.counted("changed").values()) == {0}, second.text[-6000:]
    looking = site.play("site.yml", "--tags", "nodes", "--check").succeeded()
    assert set(looking.counted("changed").values()) == {0}, looking.text[-6000:]


def test_nodes_are_as_the_roles_say(site: Site) -> None:
    """A mounted volume with our label, containerd that answers and is held, names of all nodes, forwarding."""
    control = site.nodes["control-tests"]
    assert control.run("findmnt -no SOURCE,FSTYPE --mountpoint /data").stdout.split() == ["/dev/vdb", "ext4"]
    assert "chexpert" in control.run("blkid -p -s LABEL /dev/vdb").stdout
    for node in site.nodes.values():
        assert "Server:" in node.run("ctr version").stdout
        assert "containerd" in node.run("apt-mark showhold").stdout
        assert node.run("sysctl -n net.ipv4.ip_forward").stdout.strip() == "1"
    assert control.run("getent hosts worker2-tests").stdout.split()[0] == "10.246.0.22"


def test_data_outlives_a_node_that_restarts(site: Site) -> None:
    """The volume is mounted again with what was on it, by the next run in a container, at boot on a machine."""
    control = site.nodes["control-tests"]
    control.run("echo kept > /data/proof")
    control.restart()
    site.play("site.yml", "--tags", "nodes").succeeded()
    assert control.run("findmnt -no TARGET --mountpoint /data && cat /data/proof").stdout.split() == ["/data", "kept"]


def test_a_device_that_is_not_there_is_named(site: Site) -> None:
    """A volume that nobody attached is no reason to write to the node's own disk."""
    refused = site.play(
        "site.yml", "--tags", "nodes", "--limit", "worker2-tests", volume_device="/dev/disk/by-id/virtio-none"
    )
    assert refused.returncode != 0
    assert "is the volume attached?" in refused.text
