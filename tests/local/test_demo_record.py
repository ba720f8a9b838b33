import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from chexpert.local.demo.page import write_page
from chexpert.local.demo.record import Phase, Record, Row
from chexpert.local.demo.summary import print_summary


@pytest.fixture
def record() -> Record:
    record = Record(expected="refused at evaluate", seen="refused at evaluate")
    record.say("Data", "phantoms", "900 images")
    record.say("Data", "kept", "880 images")
    record.say("Candidate", "load test", "<b>p95</b> & more", "https://localhost/report?a=1&b=2")
    record.took("drawing", 1.25)
    record.took("rollout", 50.0, budget_s=45.0)
    record.took("training", 30.0, budget_s=40.0)
    return record


def printed(record: Record) -> str:
    console = Console(file=io.StringIO(), width=120, color_system=None)
    print_summary(record, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def paged(record: Record, path: Path) -> str:
    write_page(record, path, title="demo <script>", site="http://127.0.0.1:8800")
    return path.read_text(encoding="utf-8")


def test_a_story_is_as_expected_only_where_it_ends_there() -> None:
    """The stage seen has to be the one expected; a story without an end is not as expected."""
    assert Record(expected="returned at 10 %", seen="returned at 10 %").as_expected
    assert not Record(expected="returned at 10 %", seen="returned at 50 %").as_expected
    assert not Record(expected="returned at 10 %").as_expected


def test_a_phase_is_timed_even_if_it_fails_and_adds_up() -> None:
    """Two parts of one name are one phase, its first budget kept; a failure has its time, too."""
    record = Record()
    with record.timed("train", budget_s=40.0):
        pass
    with pytest.raises(ZeroDivisionError), record.timed("fails"):
        raise ZeroDivisionError
    record.took("train", 5.0)
    assert [phase.name for phase in record.phases] == ["train", "fails"]
    assert record.phases[0].seconds == pytest.approx(5.0, abs=0.5)
    assert record.phases[0].budget_s == 40.0
    assert record.phases[1].budget_s is None


def test_records_do_not_share_their_rows() -> None:
    """Each demo run starts with an empty record."""
    first = Record()
    first.say("Data", "phantoms", "900")
    assert first.rows == [Row("Data", "phantoms", "900")]
    assert Record().rows == []
    assert Record().phases == []


def test_the_summary_names_each_part_once_and_every_missed_budget(record: Record) -> None:
    """A part stands at its first row; only a phase over its budget is marked missed."""
    text = printed(record)
    assert text.count("Data") == 1
    assert "900 images" in text
    assert "880 images" in text
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "(missed)" in lines["rollout"]
    assert "50.0" in lines["rollout"]
    assert "≤ 40" in lines["training"]
    assert "missed" not in lines["training"] + lines["drawing"]
    assert "Seen: refused at evaluate. as expected" in text


def test_the_summary_tells_another_end(record: Record) -> None:
    """A story that ended elsewhere is told as such."""
    record.seen = "returned at 10 %"
    assert "Expected: refused at evaluate. Seen: returned at 10 %. NOT as expected" in printed(record)


def test_the_page_escapes_what_it_shows(record: Record, tmp_path: Path) -> None:
    """File names, reasons and titles cannot become markup."""
    html = paged(record, tmp_path / "demo" / "index.html")
    assert "<title>demo &lt;script&gt;</title>" in html
    assert "&lt;b&gt;p95&lt;/b&gt; &amp; more" in html
    assert '<a href="https://localhost/report?a=1&amp;b=2">' in html
    assert "<script" not in html
    assert "<b>" not in html


def test_the_page_links_local_evidence_from_where_it_lies(record: Record, tmp_path: Path) -> None:
    """A home that is moved or served as a whole keeps its links."""
    report = tmp_path / "objects" / "reports" / "evaluation.html"
    record.say("Candidate", "mean AUROC", "0.81", str(report))
    page = tmp_path / "demo" / "index.html"
    (link,) = re.findall(r'href="([^"]*evaluation[^"]*)"', paged(record, page))
    assert not link.startswith("/")
    assert (page.parent / link).resolve() == report


def test_the_page_marks_missed_budgets_and_the_end(record: Record, tmp_path: Path) -> None:
    """One phase of three missed its budget; the end is marked good or not."""
    good = paged(record, tmp_path / "index.html")
    assert good.count(">missed<") == 1
    assert re.search(r"rollout<td[^>]*>50\.0 s<td[^>]*>≤ 45 s <span class=\"miss\">missed", good)
    assert "✓ as expected" in good
    assert "Research use, not for diagnosis" in good
    record.seen = "failed"
    record.phases = [Phase("rollout", 45.0, 45.0)]
    bad = paged(record, tmp_path / "index.html")
    assert "✗ not as expected" in bad
    assert ">missed<" not in bad
