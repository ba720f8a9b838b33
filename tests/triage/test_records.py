"""Reports and verdicts over HTTP: shown shut off from the site, and nothing else of the machine with them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from chexpert.domain.timeline import Stage, TimelineEvent
from chexpert.domain.verdicts import Verdict
from chexpert.triage.evidence_tables import compared, tables
from chexpert.triage.records import Records
from chexpert.triage.rollout_page import Judged, steps
from chexpert.triage.settings import SiteSettings

HTML = {"accept": "text/html"}
NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)
RUN = "rollout-production-v2"
EVIDENCE = (
    {"what": "answers of v2", "requests": 1062, "faults": 0, "latency_ms_p95": 9.5},
    {"what": "answers of v1", "requests": 461, "faults": 1, "latency_ms_p95": 8.0},
    {"what": "drift, KS", "column": "Edema", "drifted": False},
    {"what": "drift, KS", "column": "Fracture", "drifted": True},
)
VERDICT = Verdict(
    "canary-10",
    "v2",
    passed=True,
    reasons=("v2 holds against v1",),
    evidence=EVIDENCE,
    thresholds={
        "min_requests": 40,
        "max_fault_difference": 0.02,
        "latency_ratio": 3.0,
        "latency_slack_ms": 250.0,
    },
)


@pytest.fixture
def objects(settings: SiteSettings) -> Path:
    root = Path(settings.objects)
    for name, text in {
        f"reports/{RUN}/canary-10-drift.html": "<script>document.title = 1</script>",
        f"verdicts/{RUN}/canary-10.json": VERDICT.to_json(),
        "secret.html": "not for here",
        "reports/secret.html": "not for here",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_report_is_shown_in_a_sandbox(client: httpx.Client, objects: Path) -> None:
    """Its scripts run, but in no origin of ours, and it loads nothing; our own pages keep the strict policy."""
    answer = client.get(f"/reports/{RUN}/canary-10-drift.html")
    assert (answer.status_code, answer.text) == (200, (objects / f"reports/{RUN}/canary-10-drift.html").read_text())
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'")
    assert not {"allow-same-origin", "connect-src", "'self'"} & set(policy.replace(";", " ").split())
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "unsafe" not in client.get("/rollout").headers["content-security-policy"]


@pytest.mark.usefixtures("objects")
@pytest.mark.parametrize(
    "path",
    [
        "/reports/none/none.html",
        f"/reports/{RUN}/none.html",
        "/reports/%2e%2e/secret.html",
        "/reports/%2e/secret.html",
        "/reports/%2e%2e%2f%2e%2e/secret.html",
        f"/reports/{RUN}/%2e%2e%2fsecret.html",
        f"/reports/{RUN}/..%5Csecret.html",
        f"/reports/{RUN}/canary-10-drift%00.html",
        "/reports//secret.html",
        "/verdicts/%2e%2e/secret.json",
        f"/verdicts/{RUN}/none.json",
    ],
)
def test_nothing_else_is_served(client: httpx.Client, path: str) -> None:
    """A way out of the folder, or to what is not there, is not found, and a browser is told in words."""
    answer = client.get(path, headers=HTML)
    assert answer.status_code == 404
    assert "not for here" not in answer.text
    assert "Research use" in answer.text


def test_a_missing_report_is_named(client: httpx.Client) -> None:
    """The message says which report of which run."""
    answer = client.get("/reports/r1/evaluation.html")
    assert answer.json()["error"].startswith("no report evaluation of run r1")


def test_the_rollout_page_leads_to_verdict_and_report(client: httpx.Client, settings: SiteSettings) -> None:
    """Each event links what it stands on, wherever its driver saw the objects; another address gives no link."""
    root = Path(settings.objects)
    for name, text in {
        f"reports/{RUN}/canary-10-drift.html": "x",
        f"verdicts/{RUN}/canary-10.json": VERDICT.to_json(),
        "verdicts/candidate-0/load-test.json": Verdict(
            "load-test", "v2", passed=True, reasons=("p95 23 ms",)
        ).to_json(),
        "reports/candidate-0/evaluation.html": "x",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    folder = root / "rollouts/production"
    folder.mkdir(parents=True)
    events = [
        TimelineEvent(NOW, "production", Stage.PROPOSED, "v1", "v2", {"v1": 100}, ("Serve v2",)),
        TimelineEvent(NOW, "production", Stage.CANARY, "v1", "v2", {"v1": 90, "v2": 10}),
        TimelineEvent(
            NOW + timedelta(minutes=1),
            "production",
            Stage.CANARY,
            "v1",
            "v2",
            {"v1": 50, "v2": 50},
            VERDICT.reasons,
            f"s3://elsewhere/verdicts/{RUN}/canary-10.json",
            f"s3://elsewhere/reports/{RUN}/canary-10-drift.html",
        ),
        TimelineEvent(
            NOW + timedelta(minutes=2),
            "production",
            Stage.DRIFT,
            "v1",
            "v2",
            reasons=("shifted",),
            report_uri="javascript:alert(1)",
        ),
    ]
    for number, event in enumerate(events):
        (folder / f"{number:08d}.json").write_text(event.to_json())
    page = client.get("/rollout").text
    for path in (f"/reports/{RUN}/canary-10-drift.html", f"/verdicts/{RUN}/canary-10.json"):
        assert f'href="{path}"' in page
        assert client.get(path).status_code == 200
    assert 'href="/reports/candidate-0/evaluation.html"' in page
    assert "javascript:" not in page
    assert "load test: p95 23 ms" in page
    assert "under 274 ms" in page
    assert "1,062" in page


@pytest.mark.parametrize(
    ("stage", "passed", "outcome"),
    [
        (Stage.CANARY, True, "passed"),
        (Stage.RETURNED, False, "refused"),
        (Stage.DRIFT, False, "waits"),
        (Stage.WAITING, False, "waits"),
    ],
)
def test_an_alarm_refuses_nobody(stage: Stage, outcome: str, *, passed: bool) -> None:
    """A shift of the input is no refusal of the candidate; a failed stage is one."""
    verdict = Verdict("canary-10", "v2", passed=passed, reasons=("said",))
    assert Judged(TimelineEvent(NOW, "production", stage, "v1", "v2"), verdict, "", "", "v1").outcome == outcome


@pytest.mark.parametrize(
    ("pull_request", "says"),
    [
        ("https://github.example/o/r/pull/41", '<a href="https://github.example/o/r/pull/41" rel="noreferrer">41</a>'),
        ("javascript:alert(1)", '<span class="acc">javascript:alert(1)</span>'),
        ("/srv/gitops.git#promote/production/v2", '<span class="acc">promote/production/v2</span>'),
    ],
)
def test_a_pull_request_is_a_link_only_where_it_is_a_page(
    client: httpx.Client,
    settings: SiteSettings,
    pull_request: str,
    says: str,
) -> None:
    """A branch of a local repository is told by its name; no other scheme becomes a link."""
    folder = Path(settings.objects) / "rollouts/production"
    folder.mkdir(parents=True)
    event = TimelineEvent(NOW, "production", Stage.CANARY, "v1", "v2", {"v1": 90, "v2": 10}, pull_request=pull_request)
    (folder / "00000001.json").write_text(event.to_json())
    assert says in client.get("/rollout").text


@pytest.mark.parametrize(
    "uri",
    ["", "verdicts", "/etc/passwd", "/o/verdicts/../x.json", "/o/verdicts/r/..json", "/o/reports/r/n.html?x=/verdicts"],
)
def test_an_address_that_is_no_records_gives_none(tmp_path: Path, uri: str) -> None:
    """Only verdicts/<run>/<name>.json is read, whatever an event says."""
    records = Records(str(tmp_path))
    assert records.verdict(uri) is None
    assert records.link(uri, "verdicts") == ""


def test_evidence_stands_side_by_side() -> None:
    """Rows of both versions become one table with the gate's limits; the others keep only their own columns."""
    lines = {line.what: line for line in compared(VERDICT, "v1")}
    assert (lines["Requests"].stable, lines["Requests"].candidate) == ("461", "1,062")
    assert lines["Latency, 95th percentile"].limit == "under 274 ms"
    (rest,) = tables(VERDICT, "v1")
    assert rest.columns == ("what", "column", "drifted")
    assert rest.rows == (("drift, KS", "Edema", "no"), ("drift, KS", "Fracture", "yes"))


def test_evidence_of_one_version_is_compared_with_nothing() -> None:
    """Without the stable's row nothing is claimed of it, and no row is lost."""
    assert compared(VERDICT, "v0") == []
    assert sum(len(table.rows) for table in tables(VERDICT, "v0")) == len(EVIDENCE)


def test_a_step_tells_what_was_said_of_it() -> None:
    """A stage's judgement stands at that stage, and the old version's name at the last step."""
    weights = ({"v1": 90, "v2": 10}, {"v1": 50, "v2": 50}, {"v1": 0, "v2": 100})
    reasons: tuple[tuple[str, ...], ...] = ((), ("ten held",), ("fifty held",))
    events = [
        TimelineEvent(NOW, "production", Stage.PROPOSED, "v1", "v2"),
        *(
            TimelineEvent(NOW, "production", Stage.CANARY, "v1", "v2", weight, reason)
            for weight, reason in zip(weights, reasons, strict=True)
        ),
        TimelineEvent(NOW, "production", Stage.SWAPPED, "v2", "v1", {"v2": 100, "v1": 0}, ("hundred held",)),
    ]
    rows = steps(events, [])
    assert [row["name"] for row in rows] == ["Staging", "10 %", "50 %", "100 %", "v1 at 0 %"]
    assert [row["reason"] for row in rows[1:4]] == ["ten held", "fifty held", "hundred held"]
    assert {row["state"] for row in rows} == {"done"}
    ahead = steps(events[:2], [])
    assert [row["state"] for row in ahead] == ["done", "now", "", "", ""]
    assert ahead[1]["reason"] == ""
    returned = TimelineEvent(NOW, "production", Stage.RETURNED, "v1", "v2", {"v1": 100}, ("too slow",))
    back = steps([*events[:2], returned], [])
    assert [row["state"] for row in back] == ["done", "back", "", "", ""]
    assert [row["note"] for row in back[2:]] == ["not reached"] * 3
    assert back[1]["reason"] == "too slow"


def test_the_newest_load_test_of_a_version_is_found(tmp_path: Path) -> None:
    """By its subject; another version's is not taken for it."""
    records = Records(str(tmp_path))
    assert records.load_test("v2") is None
    for run, version in (("a-0", "v1"), ("a-1", "v2"), ("a-2", "v3")):
        path = tmp_path / "verdicts" / run / "load-test.json"
        path.parent.mkdir(parents=True)
        path.write_text(Verdict("load-test", version, passed=True, reasons=(run,)).to_json())
    found = records.load_test("v2")
    assert found is not None
    assert found[0] == "a-1"
    assert records.load_test("v9") is None
