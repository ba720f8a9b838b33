import re
from pathlib import Path

import pytest

from chexpert.domain.verdicts import Verdict
from chexpert.pipeline import provenance
from chexpert.pipeline.steps.tables import page


def test_an_image_says_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container there is no git: the variable it was built with counts."""
    monkeypatch.setenv("CHEXPERT_COMMIT", "f" * 40)
    assert provenance.git_commit() == "f" * 40


def test_a_checkout_is_named_by_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty digits, and a mark where the package differs from them."""
    monkeypatch.delenv("CHEXPERT_COMMIT", raising=False)
    if not (Path(__file__).parents[2] / ".git").exists():
        pytest.skip("this is no git checkout")
    assert re.fullmatch(r"[0-9a-f]{40}(\+changes)?", provenance.git_commit())


def test_code_outside_of_git_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installed package has no commit, and none is made up."""
    monkeypatch.delenv("CHEXPERT_COMMIT", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    assert provenance.git_commit() == "unknown"


def test_what_computed_a_result_has_its_version() -> None:
    """Every package that can change a result is named with the version installed."""
    found = provenance.versions()
    assert {"version numpy", "version torch", "version chexpert"} <= found.keys()
    assert all(re.match(r"\d+\.", value) for value in found.values())


def test_a_report_escapes_what_it_shows() -> None:
    """Names, reasons and values come from data: none of them becomes markup."""
    verdict = Verdict("variants", "<i>", passed=False, reasons=("a < b",))
    html = page("<script>", verdict, [{"file_name": "<b>x</b>", "p95_ms": 1.5}, {"more": None}], "x & y")
    assert "&lt;script&gt;: refused" in html
    assert "<script>" not in html
    assert "a &lt; b" in html
    assert "x &amp; y" in html
    assert "<td class=text>&lt;b&gt;x&lt;/b&gt;<td>1.5" in html
    assert "<th>file name<th>p95 ms<th>more" in html
