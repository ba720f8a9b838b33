import importlib.util
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from terraform_checks.workspace import TREE

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WEEK = timedelta(days=7)
LIMIT = timedelta(minutes=10)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lease", TREE / "lease/lease.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["lease"] = module
    spec.loader.exec_module(module)
    return module


class Blazar:
    """Leases in memory that start after some looks, as blazarclient hands them out."""

    def __init__(self, looks: int = 1, ends_as: str = "ACTIVE") -> None:
        self.leases: list[dict[str, Any]] = []
        self.looks, self.ends_as = looks, ends_as

    def list(self) -> list[dict[str, Any]]:
        """All of them; each look brings a pending one nearer to its start."""
        self.looks -= 1
        for lease in self.leases:
            if lease["status"] == "PENDING" and self.looks < 0:
                lease["status"] = self.ends_as
        return [dict(lease) for lease in self.leases]

    def create(
        self,
        name: str,
        start: str,
        end: str,
        reservations: Sequence[dict[str, Any]],
        events: Sequence[dict[str, Any]],
    ) -> dict[str, Any]:
        """A pending lease."""
        assert (start, list(events)) == ("now", [])
        number = len(self.leases)
        end_date = f"{end.replace(' ', 'T')}:00.000000"
        made = [{**one, "id": f"reservation-{number}"} for one in reservations]
        for one in made:
            if "flavor_id" in one:
                one["resource_properties"] = json.dumps({"id": one["flavor_id"]})
                one["flavor_id"] = one["id"]
        lease = {"id": f"lease-{number}", "name": name, "end_date": end_date, "status": "PENDING", "reservations": made}
        self.leases.append(lease)
        return dict(lease)

    def update(self, lease_id: str, *, end_date: str) -> dict[str, Any]:
        """With another end."""
        (lease,) = (lease for lease in self.leases if lease["id"] == lease_id)
        lease["end_date"] = f"{end_date.replace(' ', 'T')}:00.000000"
        return dict(lease)

    def delete(self, lease_id: str) -> None:
        """It is gone."""
        self.leases = [lease for lease in self.leases if lease["id"] != lease_id]


def want(script: ModuleType, **changes: Any) -> Any:
    return script.Want(**{"name": "cpu-project7", "amount": 3, "length": WEEK, "flavor_id": "f1", **changes})


def ensure(script: ModuleType, blazar: Blazar, **changes: Any) -> str:
    found: str = script.ensure(blazar, want(script, **changes), NOW, LIMIT, lambda _: None)
    return found


def test_a_second_run_finds_the_first_ones_lease(script: ModuleType) -> None:
    """The same reservation, and one lease."""
    blazar = Blazar()
    assert ensure(script, blazar) == ensure(script, blazar) == "reservation-0"
    assert len(blazar.leases) == 1


def test_a_lease_that_ended_is_not_found_again(script: ModuleType) -> None:
    """A new one of the same name is made."""
    blazar = Blazar()
    ensure(script, blazar)
    blazar.leases[0]["status"] = "TERMINATED"
    assert ensure(script, blazar) == "reservation-1"


def test_the_reservation_comes_when_the_lease_is_active(script: ModuleType) -> None:
    """Not while it is pending: its flavour does not exist yet."""
    blazar = Blazar(looks=4)
    ensure(script, blazar)
    assert blazar.leases[0]["status"] == "ACTIVE"


def test_a_lease_of_another_size_is_refused(script: ModuleType) -> None:
    """It is not changed in silence: nodes may run on it."""
    blazar = Blazar()
    ensure(script, blazar)
    with pytest.raises(script.LeaseError, match="amount is 3, not 5"):
        ensure(script, blazar, amount=5)


def test_a_lease_of_another_flavour_is_refused(script: ModuleType) -> None:
    """Of that asked for, not of the one that Blazar made for the reservation."""
    blazar = Blazar()
    ensure(script, blazar)
    with pytest.raises(script.LeaseError, match="flavor_id is f1, not f2"):
        ensure(script, blazar, flavor_id="f2")


def test_a_lease_of_machines_is_found_again(script: ModuleType) -> None:
    """Its properties are no flavour."""
    blazar, machines = Blazar(), {"flavor_id": "", "node_type": "compute_liqid"}
    assert ensure(script, blazar, **machines) == ensure(script, blazar, **machines)
    with pytest.raises(script.LeaseError, match="compute_gigaio"):
        ensure(script, blazar, flavor_id="", node_type="compute_gigaio")


def test_a_failed_lease_is_told(script: ModuleType) -> None:
    """No reservation's id comes of it."""
    with pytest.raises(script.LeaseError, match="lease cpu-project7 failed"):
        ensure(script, Blazar(ends_as="ERROR"))


def test_a_lease_that_does_not_start_is_told_after_the_limit(script: ModuleType) -> None:
    """The wait is bounded, and the lease stays for the next run."""
    blazar = Blazar(looks=10_000)
    with pytest.raises(script.LeaseError, match="is PENDING after 600 s"):
        ensure(script, blazar)
    assert len(blazar.leases) == 1


def test_two_leases_of_one_name_are_refused(script: ModuleType) -> None:
    """Which of them is meant, a person must say."""
    blazar = Blazar()
    ensure(script, blazar)
    blazar.leases.append({**blazar.leases[0], "id": "lease-9"})
    with pytest.raises(script.LeaseError, match="lease-0, lease-9"):
        ensure(script, blazar)


def test_machines_are_asked_for_by_node_type_with_one_equals_sign(script: ModuleType) -> None:
    """As Chameleon's Blazar wants it."""
    asked = want(script, flavor_id="", node_type="compute_liqid", amount=1).reservation()
    assert asked["resource_properties"] == '["=", "$node_type", "compute_liqid"]'
    assert (asked["resource_type"], asked["min"], asked["max"]) == ("physical:host", 1, 1)


def test_extending_twice_moves_the_end_once(script: ModuleType) -> None:
    """The end is a time, not an addition; a later end stays."""
    blazar = Blazar()
    ensure(script, blazar)
    until = NOW + timedelta(days=10)
    assert script.extend(blazar, "cpu-project7", until) == until
    assert script.extend(blazar, "cpu-project7", until) == until
    assert script.extend(blazar, "cpu-project7", NOW) == until


def test_the_end_is_warned_of(script: ModuleType) -> None:
    """Within the hours asked about, and not before."""
    blazar = Blazar()
    ensure(script, blazar)
    day = timedelta(hours=24)
    assert "168.0 h from now" in script.status(blazar, "cpu-project7", NOW, day)
    with pytest.raises(script.EndsSoon, match=r"23\.0 h from now"):
        script.status(blazar, "cpu-project7", NOW + WEEK - timedelta(hours=23), day)


def test_deleting_twice_is_no_fault(script: ModuleType) -> None:
    """The second time there is nothing to delete."""
    blazar = Blazar()
    ensure(script, blazar)
    assert script.delete(blazar, "cpu-project7")
    assert not script.delete(blazar, "cpu-project7")


def test_what_is_not_there_cannot_be_extended(script: ModuleType) -> None:
    """The message names the command that makes it."""
    with pytest.raises(script.LeaseError, match=r"there is no lease cpu-project7: `lease\.py ensure`"):
        script.extend(Blazar(), "cpu-project7", NOW)
