"""The rule that chooses a variant: the fastest that loses nothing."""

from dataclasses import replace
from math import inf, nan
from pathlib import Path

import pytest

from chexpert.bundle.compared import AurocChange, Compared
from chexpert.domain.errors import RefusedError
from chexpert.domain.verdicts import Verdict
from chexpert.evaluation.bootstrap import Interval
from chexpert.optimise.choice import VariantRow, choose
from chexpert.optimise.kinds import KINDS
from chexpert.optimise.settings import VariantSettings

SETTINGS = VariantSettings()
FP32 = VariantRow(
    name="fp32",
    path=Path("fp32.onnx"),
    precision="float32",
    size_bytes=4000,
    latency_ms_p50=10.0,
    latency_ms_p95=12.0,
    latency_ms_p99=13.0,
    images_per_s={1: 100.0},
    parity_max_abs=2e-7,
    score_change_max=0.0,
    auroc_change=Interval(0.0, 0.0, 0.0),
    flag_agreement=1.0,
)
INT8 = replace(
    FP32,
    name="dynamic-int8",
    precision="int8",
    latency_ms_p50=6.0,
    parity_max_abs=0.01,
    score_change_max=0.01,
    auroc_change=Interval(0.0001, -0.001, 0.001),
    flag_agreement=0.998,
)


def test_a_faster_variant_that_loses_nothing_is_chosen() -> None:
    """Int8 on a transformer: faster, same AUROC, same flags; fp32 lost by its latency alone."""
    result = choose([FP32, INT8], SETTINGS, subject="m")
    assert result.chosen is not None
    assert result.chosen.name == "dynamic-int8"
    assert result.verdict.passed
    assert result.rows[0].lost == "slower: 10.00 ms against 6.00 of dynamic-int8"
    assert result.rows[1].lost == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"latency_ms_p50": 15.0}, "slower: 15.00 ms against 10.00 of fp32"),
        ({"latency_ms_p50": 9.8}, "saves less than 5%"),
        ({"auroc_change": Interval(-0.003, -0.006, 0.0)}, "mean AUROC may fall by 0.0060, more than 0.005"),
        ({"auroc_change": Interval(nan, nan, nan)}, "could not be measured"),
        ({"flag_agreement": 0.99}, "99.0% of images are flagged alike, under 99.5%"),
    ],
)
def test_a_variant_that_loses_something_is_not_chosen(change: dict[str, object], reason: str) -> None:
    """Slower, no faster worth speaking of, worse, unmeasured or flagging others: fp32 is served, and it says why."""
    result = choose([FP32, replace(INT8, **change)], SETTINGS, subject="m")
    assert result.chosen is not None
    assert result.chosen.name == "fp32"
    assert reason in result.rows[1].lost
    assert reason in result.verdict.reasons[0]
    assert result.verdict.passed


def test_every_loss_is_listed() -> None:
    """A variant that is slower and worse is told both."""
    worse = replace(INT8, latency_ms_p50=15.0, auroc_change=Interval(-0.1, -0.2, 0.0), flag_agreement=0.5)
    lost = choose([FP32, worse], SETTINGS, subject="m").rows[1].lost
    assert all(word in lost for word in ("AUROC", "flagged alike", "slower"))


@pytest.mark.parametrize("difference", [1e-3, float("inf")])
def test_an_export_unlike_torch_is_refused_whole(difference: float) -> None:
    """Where fp32 does not answer as torch does, the graph is another model: nothing is chosen, the verdict refuses."""
    result = choose([replace(FP32, parity_max_abs=min(difference, 9.0)), INT8], SETTINGS, subject="m")
    assert result.chosen is None
    assert all("differs from torch" in row.lost for row in result.rows)
    with pytest.raises(RefusedError, match="differs from torch"):
        result.verdict.require()


def test_the_verdict_survives_its_json() -> None:
    """Rows, limits and reasons are plain values, also where AUROC was not measured."""
    verdict = choose([FP32, replace(INT8, auroc_change=Interval(nan, nan, nan))], SETTINGS, subject="m").verdict
    again = Verdict.from_json(verdict.to_json())
    assert again.reasons == verdict.reasons
    assert [row["name"] for row in again.evidence] == ["fp32", "dynamic-int8"]
    assert again.evidence[1]["auroc_change"] == {"estimate": None, "low": None, "high": None}
    assert again.thresholds["flag_agreement"] == 0.995


def test_the_facts_for_the_card_are_those_of_the_row() -> None:
    """What travels with the bundle is what was measured; None for what was not finite."""
    facts = INT8.facts()
    assert (facts.name, facts.precision, facts.latency_ms_p50) == ("dynamic-int8", "int8", 6.0)
    assert facts.runtime == "onnxruntime"
    assert facts.compared == Compared(12.0, 13.0, {1: 100.0}, 0.01, AurocChange(0.0001, -0.001, 0.001), 0.998)
    wild = replace(INT8, parity_max_abs=inf, score_change_max=inf, auroc_change=Interval(nan, nan, nan)).facts()
    assert wild.parity_max_abs is None
    assert wild.compared == Compared(12.0, 13.0, {1: 100.0}, None, None, 0.998)


def test_what_cannot_run_here_loses_by_that_reason() -> None:
    """A variant without its runtime is listed with the reason and None for its figures; another one is served."""
    kind = KINDS["openvino-bf16"]
    file = Path(__file__)
    absent = VariantRow.absent(kind, file, "this processor has FP32, no BF16")
    result = choose([FP32, absent], SETTINGS, subject="m")
    assert result.chosen is not None
    assert result.chosen.name == "fp32"
    assert result.rows[1].lost == "it cannot run here: this processor has FP32, no BF16"
    row = Verdict.from_json(result.verdict.to_json()).evidence[1]
    assert row["latency_ms_p50"] is None
    assert row["runtime"] == "openvino"
