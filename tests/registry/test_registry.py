"""Versions, aliases and runs in a real MLflow on SQLite."""

import os
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chexpert.cli.registry import app
from chexpert.domain.errors import RefusedError, RetryableError
from chexpert.domain.verdicts import Verdict
from chexpert.registry import models, tracking
from chexpert.registry.errors import DigestMismatch, NoModelRegistered, RegistryRejected, RegistryUnavailable

# Python 3.12 warns of a fork beside any thread, here pytest-timeout's timer.
forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

PASSED = Verdict("evaluation", "small-cnn", passed=True, reasons=("mean AUROC 0.81",), inputs_digest="5e")
REFUSED = Verdict("evaluation", "small-cnn", passed=False, reasons=("mean AUROC 0.51 under 0.65",))
DIGESTS = {name: name * 64 for name in "abcdef"}


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/new/mlflow.db"


def enter(uri: str, digest: str, name: str = "chexpert", verdict: Verdict = PASSED) -> str:
    bundle = f"file:///objects/bundles/sha256-{digest}"
    return models.register(uri, name=name, bundle_uri=bundle, digest=digest, run_id="", verdict=verdict, tags={"x": 1})


def record(uri: str, process: int) -> None:
    """One process of several that write to one database at once."""
    with tracking.Tracker(uri).run(experiment="together", name=f"process {process}") as run:
        for step in range(10):
            run.metrics({"loss": 1.0 / (step + 1)}, step)
    enter(uri, DIGESTS["f"], name="together")


def test_a_passed_verdict_gives_the_first_version(uri: str) -> None:
    """A bundle whose verdict passed becomes v1, with its URI, digest and tags."""
    assert enter(uri, DIGESTS["a"]) == "v1"
    found = models.resolve(uri, "v1")
    assert (found.version, found.digest) == ("v1", DIGESTS["a"])
    assert found.bundle_uri == f"file:///objects/bundles/sha256-{DIGESTS['a']}"
    assert found.tags["x"] == "1"
    assert found.tags["verdict inputs"] == "5e"


def test_a_refused_verdict_enters_nothing(uri: str) -> None:
    """A refusal raises its reasons, and no version appears."""
    before = models.versions(uri)
    with pytest.raises(RefusedError, match=r"0\.51 under 0\.65"):
        enter(uri, DIGESTS["e"], verdict=REFUSED)
    assert models.versions(uri) == before


def test_a_uri_that_is_not_of_the_digest_is_refused(uri: str) -> None:
    """A version cannot point at a place whose content may change."""
    with pytest.raises(DigestMismatch, match="bundles/latest"):
        models.register(uri, bundle_uri="bundles/latest", digest=DIGESTS["a"], run_id="", verdict=PASSED)


def test_the_same_bundle_is_the_same_version(uri: str) -> None:
    """Registering a digest again gives its version; another digest gets the next."""
    first = enter(uri, DIGESTS["a"], name="again")
    second = enter(uri, DIGESTS["b"], name="again")
    assert (first, second) == ("v1", "v2")
    assert enter(uri, DIGESTS["a"], name="again") == "v1"
    assert [each.version for each in models.versions(uri, name="again")] == ["v2", "v1"]


def test_an_alias_moves(uri: str) -> None:
    """An alias stands at one version at a time, and every way of writing a version resolves to it."""
    enter(uri, DIGESTS["a"], name="moving")
    enter(uri, DIGESTS["b"], name="moving")
    models.set_alias(uri, "production", "v1", name="moving")
    models.set_alias(uri, "production", "v2", name="moving")
    ways = ("production", "v2", "2", "models:/moving@production", "models:/moving/2")
    assert {models.resolve(uri, way, name="moving").version for way in ways} == {"v2"}
    assert models.resolve(uri, "v1", name="moving").aliases == ()


def test_an_unknown_version_names_what_there_is(uri: str) -> None:
    """Resolving or pointing at what is not registered lists versions and aliases."""
    enter(uri, DIGESTS["a"], name="few")
    models.set_alias(uri, "staging", "v1", name="few")
    with pytest.raises(NoModelRegistered, match="there are v1, staging"):
        models.resolve(uri, "production", name="few")
    with pytest.raises(NoModelRegistered, match="no few v7"):
        models.set_alias(uri, "production", "v7", name="few")
    with pytest.raises(NoModelRegistered, match="there is no version yet"):
        models.resolve(uri, "v1", name="never")


def test_a_run_keeps_what_it_was_given(uri: str, tmp_path: Path) -> None:
    """Parameters, curves, tags and files come back, and files lie in the folder given."""
    note = tmp_path / "note.txt"
    note.write_text("from a file")
    tracker = tracking.Tracker(uri, artifacts=str(tmp_path / "files"))
    with tracker.run(experiment="kept", name="one", tags={"git commit": "abc"}) as run:
        run.params({f"p{i}": i for i in range(150)} | {"long": "x" * 9000})
        run.metrics({"auroc/mean": 0.5, "auroc/Fracture": None}, 0)
        run.metrics({"auroc/mean": 0.75}, 1)
        run.artifact(note)
        run.artifact("text", "reports/page.html")
    (found,) = tracking.runs(uri, experiment="kept")
    assert (found.run_id, found.name, found.status) == (run.run_id, "one", "FINISHED")
    assert found.metrics == {"auroc/mean": 0.75}
    assert found.params["p149"] == "149"
    assert len(found.params["long"]) == 5000
    kept = sorted(p.relative_to(tmp_path / "files/kept").as_posix() for p in (tmp_path / "files").rglob("*.*"))
    assert kept == [f"{run.run_id}/artifacts/note.txt", f"{run.run_id}/artifacts/reports/page.html"]


def test_a_run_that_raises_is_failed(uri: str) -> None:
    """The error goes through, and the run says FAILED."""
    with pytest.raises(ZeroDivisionError), tracking.Tracker(uri).run(experiment="failing", name="bad"):
        _ = 1 / 0
    assert [each.status for each in tracking.runs(uri, experiment="failing")] == ["FAILED"]


def test_what_mlflow_rejects_names_the_request(uri: str) -> None:
    """A parameter that changes within a run is the caller's mistake, not a reason to try again."""
    with tracking.Tracker(uri).run(experiment="failing", name="changing") as run:
        run.params({"rate": 1})
        with pytest.raises(RegistryRejected, match="rejected log_batch"):
            run.params({"rate": 2})


@forks
def test_processes_share_one_new_database(tmp_path: Path) -> None:
    """Four processes forked together create one database, write their runs, and enter one bundle as one version."""
    shared = f"sqlite:///{tmp_path}/mlflow.db"
    context = get_context("fork")
    processes = [context.Process(target=record, args=(shared, number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    found = tracking.runs(shared, experiment="together")
    assert sorted(each.name for each in found) == [f"process {number}" for number in range(4)]
    assert all(each.metrics["loss"] == pytest.approx(0.1) for each in found)
    assert len(models.versions(shared, name="together")) == 1


@forks
def test_a_child_may_use_what_its_parent_opened(uri: str) -> None:
    """A process forked after its parent used the database uses it too."""
    enter(uri, DIGESTS["a"])
    child = get_context("fork").Process(target=record, args=(uri, 9))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert "process 9" in {each.name for each in tracking.runs(uri, experiment="together")}


def test_no_database_is_worth_another_try(tmp_path: Path) -> None:
    """A place that is no database, and a server that does not answer, raise RegistryUnavailable at once."""
    (tmp_path / "mlflow.db").write_text("this is no database, and longer than the header that SQLite looks at" * 9)
    for uri in (f"sqlite:///{tmp_path}/mlflow.db", "http://127.0.0.1:9"):
        with pytest.raises(RegistryUnavailable, match=uri) as raised:
            models.versions(uri)
        assert isinstance(raised.value, RetryableError)


def test_nothing_is_printed_or_left_behind(tmp_path: Path) -> None:
    """A run says nothing on stdout or stderr, and leaves no mlruns folder where it was started."""
    code = (
        "from chexpert.registry.tracking import Tracker\n"
        f"with Tracker('sqlite:///{tmp_path}/db/mlflow.db').run(experiment='quiet', name='one') as run:\n"
        "    run.artifact('text', 'a.txt')\n"
    )
    work = tmp_path / "work"
    work.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert list(work.iterdir()) == []
    assert len(list((tmp_path / "db/artifacts/quiet").rglob("a.txt"))) == 1


def test_the_command_lists_models_versions_and_runs(uri: str) -> None:
    """Each list shows what was entered; an empty one says so."""
    enter(uri, DIGESTS["c"], name="listed")
    models.set_alias(uri, "staging", "v1", name="listed")
    runner = CliRunner(env={"COLUMNS": "200", "CHEXPERT_TRACKING": uri})
    assert "staging = v1" in runner.invoke(app, ["models"]).output
    assert DIGESTS["c"][:12] in runner.invoke(app, ["versions", "--name", "listed"]).output
    assert "Versions of nothing: none" in runner.invoke(app, ["versions", "--name", "nothing"]).output
    assert runner.invoke(app, ["runs", "--limit", "3"]).exit_code == 0
