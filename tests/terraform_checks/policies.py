"""Rules over the text of every root and module. Each returns what breaks it, as "file: what", sorted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hcl2

__all__ = ["OPEN", "Block", "blocks", "lasting", "named", "opened", "protected", "unlocked", "unpinned"]

OPEN = {22: "admin", 6443: "admin", 80: "public", 443: "public", 11112: "hospital"}
"""Every port that may be open from outside, and to whom."""

LASTING = {
    "openstack_blockstorage_volume_v3",
    "openstack_objectstorage_container_v1",
    "openstack_networking_network_v2",
    "openstack_networking_subnet_v2",
}
"""Resources whose loss is a loss of data, or takes every node along."""

TABLE = {
    "for_each": "${var.rules}",
    "direction": "ingress",
    "ethertype": "IPv4",
    "protocol": "tcp",
    "port_range_min": "${each.value.port}",
    "port_range_max": "${each.value.port}",
    "remote_ip_prefix": "${each.value.cidr}",
}
"""A rule that lets in takes all it says from topology's table."""


@dataclass(frozen=True, slots=True)
class Block:
    """A resource, data source, provider or terraform block."""

    file: Path
    kind: str
    type: str
    name: str
    body: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.file}: {self.kind} {self.type} {self.name}".rstrip()


def blocks(folder: Path) -> list[Block]:
    """Every block below a folder."""
    files = [path for path in sorted(folder.rglob("*.tf")) if ".terraform" not in path.parts]
    return [block for path in files for block in _read(path, folder)]


def _read(path: Path, folder: Path) -> Iterator[Block]:
    parsed = hcl2.loads(path.read_text(encoding="utf-8"))
    for kind in ("resource", "data", "provider", "terraform", "module"):
        for block in parsed.get(kind, []):
            yield from _blocks(path.relative_to(folder), kind, _plain(block))


def _blocks(file: Path, kind: str, block: dict[str, Any]) -> Iterator[Block]:
    if kind == "terraform":
        yield Block(file, kind, "", "", block)
        return
    for label, inner in block.items():
        if kind in {"resource", "data"}:
            yield from (Block(file, kind, label, name, body) for name, body in inner.items())
        else:
            yield Block(file, kind, label, "", inner)


def _plain(value: Any) -> Any:
    """Without quotes, comments and marks of the parser."""
    if isinstance(value, dict):
        return {_plain(key): _plain(inner) for key, inner in value.items() if not _is_mark(key)}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


def _is_mark(key: str) -> bool:
    return key.startswith("__") and key.endswith("__")


def lasting(found: list[Block]) -> list[str]:
    """Data, or a network, in what `make destroy` destroys."""
    return sorted(str(b) for b in found if b.kind == "resource" and b.type in LASTING)


def protected(found: list[Block]) -> list[str]:
    """Data and networks without `prevent_destroy`."""
    wanted = [block for block in found if block.kind == "resource" and block.type in LASTING]
    return sorted(str(block) for block in wanted if not _prevents(block))


def _prevents(block: Block) -> bool:
    return any(lifecycle.get("prevent_destroy") is True for lifecycle in block.body.get("lifecycle", []))


def opened(found: list[Block]) -> list[str]:
    """Ways in that are not the table's: own rules, default rules, unprotected ports of a public network."""
    return sorted(f"{block}: {problem}" for block in found if block.kind == "resource" for problem in _ways_in(block))


def _ways_in(block: Block) -> Iterator[str]:
    body = block.body
    if block.type == "openstack_networking_secgroup_rule_v2":
        yield from (f"{key} is {body.get(key)!r}" for key, value in TABLE.items() if body.get(key) != value)
    elif block.type == "openstack_networking_port_v2":
        private = body.get("network_id") == "${var.private_network_id}"
        if body.get("port_security_enabled", True) is not True and not private:
            yield "no port security on a network that others share"
        if body.get("no_security_groups"):
            yield "no security group"
    elif block.type == "openstack_networking_network_v2":
        if body.get("shared") or body.get("external"):
            yield "others may join"
    elif block.type == "openstack_networking_subnet_v2" and body.get("no_gateway") is not True:
        yield "a private network has no way out"


def named(found: list[Block]) -> list[str]:
    """Names that topology did not make, so that nothing shows they end in the suffix."""
    made = ("${var.name", "${var.names.", "${var.key_name", "${each.value", "${module.topology.")
    wanted = [block for block in found if block.kind == "resource" and "name" in block.body]
    return sorted(str(b) for b in wanted if not _ends_in_one_of(str(b.body["name"]), made))


def _ends_in_one_of(name: str, made: tuple[str, ...]) -> bool:
    begins = name.rfind("${")
    return name.endswith("}") and name[begins:].startswith(made)


def unpinned(found: list[Block]) -> list[str]:
    """`terraform` blocks without a bounded version of Terraform or of a provider."""
    problems = []
    for block in (block for block in found if block.kind == "terraform"):
        if "<" not in block.body.get("required_version", ""):
            problems.append(f"{block}: required_version has no upper end")
        for name, provider in (pair for pins in block.body.get("required_providers", []) for pair in pins.items()):
            if not str(provider.get("version", "")).startswith("~>"):
                problems.append(f"{block}: provider {name} is not pinned")
    return sorted(problems)


def unlocked(found: list[Block]) -> list[str]:
    """Providers that are told more than which entry of clouds.yaml to use: credentials never stand here."""
    told = [(block, set(block.body) - {"alias", "cloud"}) for block in found if block.kind == "provider"]
    return sorted(f"{block}: {', '.join(sorted(more))}" for block, more in told if more)
