"""The commands a person uses."""

import pytest
from typer.testing import CliRunner

from chexpert.cli import gitops, rollout
from chexpert.domain.errors import RefusedError
from chexpert.gitops.promotion_request import connect
from chexpert.testing.rollouts import PATH, RolloutSite

BRANCH = "promote/production/v1"


@pytest.fixture
def run(site: RolloutSite, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    for name, value in site.places.to_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CHEXPERT_GITHUB_TOKEN", raising=False)
    return CliRunner()


def test_a_person_reads_merges_and_follows_a_promotion(site: RolloutSite, run: CliRunner) -> None:
    """list, show and merge lead from a proposal to the served version; status tells it."""
    site.propose("v1")
    assert BRANCH in run.invoke(gitops.app, ["list"]).output
    assert "Serve v1 in production" in run.invoke(gitops.app, ["show", BRANCH]).output
    assert "merged promote/production/v1" in run.invoke(gitops.app, ["merge", BRANCH]).output
    assert "first" in run.invoke(rollout.app, ["advance"]).output
    assert "nothing to do now" in run.invoke(rollout.app, ["advance", "--profile", "demo"]).output
    assert "v1 100 %" in run.invoke(rollout.app, ["status"]).output


def test_closing_withdraws_a_promotion(site: RolloutSite, run: CliRunner) -> None:
    """A closed request is listed no more and nothing is served."""
    site.propose("v1")
    assert run.invoke(gitops.app, ["close", BRANCH]).exit_code == 0
    assert BRANCH not in run.invoke(gitops.app, ["list"]).output
    assert site.served().stable is None


def test_a_person_cannot_merge_what_the_check_refuses(site: RolloutSite, run: CliRunner) -> None:
    """The same check stands in front of a person's merge as of the driver's."""
    with connect(site.places, site.settings.gitops) as (repository, _):
        text = repository.read(PATH) or ""
        repository.start_branch(BRANCH)
        repository.commit(PATH, text.replace("autoscalerClass: none", "autoscalerClass: hpa"), "Serve v1")
        repository.push(BRANCH)
    result = run.invoke(gitops.app, ["merge", BRANCH])
    assert isinstance(result.exception, RefusedError)
    assert "autoscalerClass" in str(result.exception)
    assert "hpa" not in site.text()
