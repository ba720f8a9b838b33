#!/usr/bin/env python3
"""Leases of Chameleon (Blazar) for the nodes: found or made, extended, watched, deleted.

The provider of Terraform has no Blazar, so this runs first. `ensure` may be run again at any time: it finds what is
there by name and makes only what is missing. On standard output stand `TF_VAR_…=…` lines alone; words go to the error
output. Exit codes: 0 done, 1 refused or failed, 3 the lease ends soon (`status`).
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

__all__ = ["EndsSoon", "LeaseError", "Leases", "Want", "delete", "ensure", "extend", "main", "status"]

VARIABLES = {"cpu": "TF_VAR_reservation", "gpu": "TF_VAR_gpu_reservation"}
ENDED = {"TERMINATED", "DELETING"}
_API_DATE = "%Y-%m-%d %H:%M"
_LEASE_DATE = "%Y-%m-%dT%H:%M:%S.%f"
_LOOK_AGAIN_S = 5.0


class LeaseError(Exception):
    """The lease is not as wanted; the message says what to do."""


class EndsSoon(LeaseError):
    """The lease ends within the time asked about."""


class Leases(Protocol):
    """The part of blazarclient's lease manager that is used."""

    def list(self) -> list[dict[str, Any]]:
        """All leases of the project."""
        ...

    def create(
        self,
        name: str,
        start: str,
        end: str,
        reservations: Sequence[dict[str, Any]],
        events: Sequence[dict[str, Any]],
    ) -> dict[str, Any]:
        """A new lease."""
        ...

    def update(self, lease_id: str, *, end_date: str) -> dict[str, Any]:
        """The lease with another end."""
        ...

    def delete(self, lease_id: str) -> None:
        """End the lease; what runs on it is ended too."""
        ...


@dataclass(frozen=True, slots=True)
class Want:
    """A lease for one pool of nodes: VMs of a flavour (KVM) or machines of a node type (bare metal)."""

    name: str
    amount: int
    length: timedelta
    flavor_id: str = ""
    node_type: str = ""

    def reservation(self) -> dict[str, Any]:
        """As Blazar asks for it. Chameleon writes equality with one sign."""
        if self.flavor_id:
            return {
                "resource_type": "flavor:instance",
                "flavor_id": self.flavor_id,
                "amount": self.amount,
                "affinity": None,
            }
        return {
            "resource_type": "physical:host",
            "min": self.amount,
            "max": self.amount,
            "hypervisor_properties": "",
            "resource_properties": f'["=", "$node_type", "{self.node_type}"]',
        }


def ensure(leases: Leases, want: Want, now: datetime, limit: timedelta, sleep: Callable[[float], None]) -> str:
    """The reservation's id, once the lease is active; makes the lease where there is none of that name.

    Raises:
        LeaseError: a lease of that name reserves something else, failed, or did not start within `limit`.
    """
    lease = _find(leases, want.name)
    if lease is None:
        end = (now + want.length).strftime(_API_DATE)
        lease = leases.create(want.name, "now", end, [want.reservation()], [])
    waited = 0.0
    while lease["status"] != "ACTIVE":
        if lease["status"] == "ERROR":
            message = f"lease {want.name} failed ({lease['id']}): `lease.py delete`, then ask for less or later"
            raise LeaseError(message)
        if waited >= limit.total_seconds():
            message = f"lease {want.name} is {lease['status']} after {waited:.0f} s; run this again later"
            raise LeaseError(message)
        sleep(_LOOK_AGAIN_S)
        waited += _LOOK_AGAIN_S
        lease = _found(leases, want.name)
    (reservation,) = lease["reservations"]
    if differences := _differences(reservation, want.reservation()):
        message = f"lease {want.name} reserves something else: {'; '.join(differences)}. Delete it or take another name"
        raise LeaseError(message)
    return str(reservation["id"])


def extend(leases: Leases, name: str, until: datetime) -> datetime:
    """The end of the lease, which is `until` or later; an earlier end is moved, a later one stays.

    Raises:
        LeaseError: there is no such lease.
    """
    lease = _found(leases, name)
    if _end(lease) >= until:
        return _end(lease)
    return _end(leases.update(lease["id"], end_date=until.strftime(_API_DATE)))


def status(leases: Leases, name: str, now: datetime, warn: timedelta) -> str:
    """One line: state, end, and what is left of it.

    Raises:
        EndsSoon: less than `warn` is left.
        LeaseError: there is no such lease.
    """
    lease = _found(leases, name)
    left = _end(lease) - now
    line = f"lease {name} is {lease['status']} until {_end(lease):%Y-%m-%d %H:%M} UTC, {_hours(left)} h from now"
    if left < warn:
        message = f"{line}: `lease.py extend` or save what is not on a volume"
        raise EndsSoon(message)
    return line


def delete(leases: Leases, name: str) -> bool:
    """Whether there was a lease to delete."""
    lease = _find(leases, name)
    if lease is None:
        return False
    leases.delete(lease["id"])
    return True


def _find(leases: Leases, name: str) -> dict[str, Any] | None:
    found = [lease for lease in leases.list() if lease["name"] == name and lease["status"] not in ENDED]
    if len(found) > 1:
        message = (
            f"{len(found)} leases are called {name}: {', '.join(lease['id'] for lease in found)}. Delete all but one"
        )
        raise LeaseError(message)
    return found[0] if found else None


def _found(leases: Leases, name: str) -> dict[str, Any]:
    lease = _find(leases, name)
    if lease is None:
        message = f"there is no lease {name}: `lease.py ensure` makes it"
        raise LeaseError(message)
    return lease


def _differences(has: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Numbers come back as text from some releases."""
    shown = {**has, "flavor_id": _asked_flavor(has)}
    known = {key: value for key, value in wanted.items() if shown.get(key) is not None and value is not None}
    return [f"{key} is {shown[key]}, not {value}" for key, value in known.items() if str(shown[key]) != str(value)]


def _asked_flavor(reservation: dict[str, Any]) -> str | None:
    """Of an active reservation `flavor_id` is the flavour made for it; a copy of the one asked for lies beside it."""
    try:
        return str(json.loads(reservation["resource_properties"])["id"])
    except (KeyError, TypeError, ValueError):
        return None


def _end(lease: dict[str, Any]) -> datetime:
    return datetime.strptime(lease["end_date"], _LEASE_DATE).replace(tzinfo=UTC)


def _hours(left: timedelta) -> str:
    return f"{left.total_seconds() / 3600:.1f}"


@contextmanager
def _connected(cloud: str) -> Iterator[tuple[Leases, Callable[[str], str]]]:
    """Leases of an entry of clouds.yaml, the id of a flavour by its name; what it refuses is a LeaseError."""
    from blazarclient.client import Client  # noqa: PLC0415
    from blazarclient.exception import BlazarClientException  # noqa: PLC0415
    from keystoneauth1.exceptions import ClientException  # noqa: PLC0415

    import openstack  # noqa: PLC0415 - the rules above are tested without a cloud's libraries

    try:
        connection = openstack.connect(cloud=cloud)
        client = Client(session=connection.session, region_name=connection.config.region_name)
        yield client.lease, lambda name: str(connection.compute.find_flavor(name, ignore_missing=False).id)
    except BlazarClientException as error:
        message = f"Blazar: {error}"
        if str(connection.config.get_auth_args().get("application_credential_id", "")):
            message += (
                f". The entry {cloud} is an application credential, which may be barred from leases: name a login"
            )
        raise LeaseError(message) from error
    except (ClientException, openstack.exceptions.SDKException) as error:
        message = f"{cloud}: {error}"
        raise LeaseError(message) from error


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("command", choices=["ensure", "extend", "status", "delete"])
    parser.add_argument("--cloud", default="kvm", help="entry of clouds.yaml")
    parser.add_argument("--suffix", required=True, help="the project suffix, e.g. project7")
    parser.add_argument("--pool", choices=sorted(VARIABLES), default="cpu")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--flavor", default="", help="VMs: the flavour to reserve, e.g. m1.large")
    kind.add_argument("--node-type", default="", help="bare metal: the node type, e.g. compute_liqid")
    parser.add_argument("--amount", type=int, default=3, help="nodes")
    parser.add_argument("--days", type=float, default=7.0, help="length of a new lease; with extend: from now")
    parser.add_argument("--warn-hours", type=float, default=24.0, help="when status says that the end is near")
    parser.add_argument("--wait-s", type=float, default=600.0, help="how long a new lease may take to start")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code."""
    parser = _arguments()
    asked = parser.parse_args(words)
    if asked.command == "ensure" and not (asked.flavor or asked.node_type):
        parser.error("ensure needs --flavor or --node-type")
    name, now = f"{asked.pool}-{asked.suffix}", datetime.now(UTC)
    length = timedelta(days=asked.days)
    try:
        with _connected(asked.cloud) as (leases, flavor):
            if asked.command == "delete":
                _say(f"lease {name} {'deleted' if delete(leases, name) else 'was not there'}")
                return 0
            if asked.command == "extend":
                _say(f"lease {name} ends {extend(leases, name, now + length):%Y-%m-%d %H:%M} UTC")
            if asked.command == "ensure":
                flavor_id = flavor(asked.flavor) if asked.flavor else ""
                want = Want(name, asked.amount, length, flavor_id, asked.node_type)
                reservation = ensure(leases, want, now, timedelta(seconds=asked.wait_s), time.sleep)
                sys.stdout.write(f"{VARIABLES[asked.pool]}={reservation}\n")
            _say(status(leases, name, now, timedelta(hours=asked.warn_hours)))
    except EndsSoon as soon:
        _say(f"warning: {soon}")
        return 3 if asked.command == "status" else 0
    except LeaseError as error:
        _say(str(error))
        return 1
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
