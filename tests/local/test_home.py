import socket
from pathlib import Path

from chexpert.domain.places import Places
from chexpert.local.home import Home, free_port


def test_everything_of_a_platform_lies_in_its_home(tmp_path: Path) -> None:
    """No name of a home leads out of its folder."""
    home = Home(tmp_path)
    named = [home.objects, home.gitops, home.served, home.run, home.logs, home.runs, home.manifest("staging")]
    assert all(path.is_relative_to(tmp_path) for path in named)
    assert home.manifest("staging") == home.served / "kserve/staging/inferenceservice.yaml"


def test_a_home_is_made_once_and_found_again(tmp_path: Path) -> None:
    """Making the folders a second time keeps what lies in them; the repository and its clone are left to git."""
    home = Home(tmp_path / "new" / "home")
    home.create()
    (home.objects / "kept").touch()
    home.create()
    assert (home.objects / "kept").exists()
    assert not home.gitops.exists()
    assert not home.served.exists()


def test_places_are_absolute_and_name_servers_only_once_they_have_ports(tmp_path: Path) -> None:
    """Children start elsewhere, so addresses are absolute; a server without a port is missing, not at port 0."""
    home = Home(tmp_path / "a" / ".." / "home")
    places = home.places()
    root = tmp_path / "home"
    assert places == Places(
        objects=f"{root}/objects",
        database=f"sqlite:///{root}/site.sqlite",
        tracking=f"sqlite:///{root}/mlflow.sqlite",
        gitops=f"{root}/gitops.git",
    )
    assert "CHEXPERT_SITE" not in places.to_environment()
    served = home.places_with({"site": 1, "staging": 2, "production": 3})
    assert (served.site, served.staging, served.production) == tuple(f"http://127.0.0.1:{n}" for n in (1, 2, 3))
    assert served.objects == places.objects


def test_a_free_port_is_kept_and_a_taken_one_replaced() -> None:
    """The preferred port is given while nobody listens there; else another one that can be listened on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        other = free_port(taken)
        assert other not in {0, taken}
        with socket.socket() as second:
            second.bind(("127.0.0.1", other))
    assert free_port(taken) == taken
