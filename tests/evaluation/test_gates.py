"""Each guard of the gate, refusing and accepting."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from chexpert.domain.verdicts import Verdict
from chexpert.evaluation import profiles
from chexpert.evaluation.comparison import NotComparable, difference
from chexpert.evaluation.evaluation import Evaluation, evaluate
from chexpert.evaluation.gates import judge

OPEN = profiles.Profile(
    "open",
    "one guard at a time",
    least_mean=None,
    beat_baseline_by=None,
    incumbent_margin=None,
    slice_margin=None,
)


@pytest.fixture
def drawn(sample: Callable[..., Any]) -> Any:
    return sample(600)


def measured(drawn: Any, scores: Any, **more: Any) -> Evaluation:
    sex = np.where(np.arange(len(scores)) % 3 == 0, "Female", "Male")
    return evaluate(drawn.labels, scores, drawn.patients, columns={"sex": sex}, rounds=200, **more)


def noise(drawn: Any, size: float, seed: int = 0) -> Any:
    moved = drawn.logits + size * np.random.default_rng(seed).normal(size=drawn.logits.shape)
    return 1 / (1 + np.exp(-moved))


def asked(drawn: Any, scores: Any, profile: Mapping[str, Any], incumbent: Any = None) -> Verdict:
    served = None if incumbent is None else measured(drawn, incumbent, name="v1")
    shortcut = measured(drawn, noise(drawn, 4.0, seed=5), name="shortcut baseline")
    return judge(measured(drawn, scores), served, shortcut, replace(OPEN, **profile))


def test_the_mean_floor(drawn: Any) -> None:
    """Its lower bound is held against the floor: the estimate alone does not pass."""
    mean = measured(drawn, drawn.scores).mean
    assert asked(drawn, drawn.scores, {"least_mean": mean.low - 0.001}).passed
    refused = asked(drawn, drawn.scores, {"least_mean": mean.estimate - 0.001})
    assert not refused.passed
    assert refused.reasons[0].startswith(f"mean AUROC {mean}: its lower bound is not above")


def test_the_competition_floor(drawn: Any) -> None:
    """It passes above, refuses below, and refuses where a task cannot be measured."""
    assert asked(drawn, drawn.scores, {"least_competition": 0.6}).passed
    assert not asked(drawn, drawn.scores, {"least_competition": 0.99}).passed
    drawn.labels[:, 5] = 0
    assert (
        asked(drawn, drawn.scores, {"least_competition": 0.6})
        .reasons[0]
        .startswith(
            "mean AUROC of the five tasks not measured",
        )
    )


def test_permuted_labels_are_refused(drawn: Any) -> None:
    """A model that learned nothing is refused by every profile, an honest one passes the demo's and the small one's."""
    permuted = drawn.scores[np.random.default_rng(3).permutation(len(drawn.scores))]
    shortcut = measured(drawn, noise(drawn, 6.0), name="shortcut baseline")
    for profile in profiles.PROFILES.values():
        verdict = judge(measured(drawn, permuted), None, shortcut, profile)
        assert not verdict.passed
        floor = "not better than shortcut baseline" if profile.least_mean is None else "mean AUROC 0."
        assert any(reason.startswith(floor) for reason in verdict.reasons)
    for name in ("phantom", "small-real"):
        passed = judge(measured(drawn, drawn.scores), None, shortcut, profiles.get(name))
        assert passed.passed, passed.reasons
        assert "first, nothing to compare with" in passed.reasons[0]


def test_the_shortcut_baseline(drawn: Any) -> None:
    """Better than five image statistics passes; equal to them does not."""
    assert asked(drawn, drawn.scores, {"beat_baseline_by": 0.0}).passed
    same = asked(drawn, noise(drawn, 4.0, seed=5), {"beat_baseline_by": 0.0})
    assert not same.passed
    assert "not better than shortcut baseline" in same.reasons[0]


def test_an_equal_candidate_passes_the_incumbent(drawn: Any) -> None:
    """Equal and better pass, worse is refused."""
    profile = {"incumbent_margin": 0.02}
    worse = noise(drawn, 2.0)
    assert asked(drawn, drawn.scores, profile, incumbent=drawn.scores).passed
    better = asked(drawn, drawn.scores, profile, incumbent=worse)
    assert better.passed
    assert "no worse than v1" in better.reasons[0]
    refused = asked(drawn, worse, profile, incumbent=drawn.scores)
    assert not refused.passed
    assert refused.reasons[0].startswith("may be worse than v1 by more than 0.02")


def test_a_small_sample_cannot_show_it_is_no_worse(drawn: Any, sample: Callable[..., Any]) -> None:
    """A slightly noisy candidate passes on 600 images a margin that 40 images cannot show."""
    profile = {"incumbent_margin": 0.06}
    assert asked(drawn, noise(drawn, 0.5), profile, incumbent=drawn.scores).passed
    small = sample(60)
    assert not asked(small, noise(small, 1.0), profile, incumbent=small.scores).passed


def test_one_worse_slice_is_refused(drawn: Any) -> None:
    """A candidate that fails women is refused though its mean passes; a slice too small does not refuse."""
    scores = drawn.scores.copy()
    women = np.arange(len(scores)) % 3 == 0
    scores[women] = noise(drawn, 2.0)[women]
    profile = {"incumbent_margin": 0.3, "slice_margin": 0.05, "slice_images": 100}
    refused = asked(drawn, scores, profile, incumbent=drawn.scores)
    assert [reason.split(":")[0] for reason in refused.reasons] == ["worse than v1 on sex Female (200 images)"]
    assert asked(drawn, drawn.scores, profile, incumbent=drawn.scores).passed
    assert asked(drawn, scores, {**profile, "slice_images": 400}, incumbent=drawn.scores).passed


def test_calibration(drawn: Any) -> None:
    """Calibrated scores pass, the same order squeezed towards 1 is refused."""
    profile = {"most_expected_error": 0.1}
    assert asked(drawn, drawn.scores, profile).passed
    refused = asked(drawn, np.sqrt(np.sqrt(drawn.scores)), profile)
    assert "scores are off by" in refused.reasons[0]


def test_nothing_to_measure_is_refused(sample: Callable[..., Any]) -> None:
    """Images without 5 positives and 5 negatives of anything pass no gate, however open."""
    few = sample(8)
    verdict = asked(few, few.scores, {})
    assert not verdict.passed
    assert "no observation has 5 positives and 5 negatives among 8 images" in verdict.reasons[0]


def test_the_verdict_carries_its_evidence(drawn: Any) -> None:
    """Rows for every check, thresholds, a digest that follows the scores, and JSON that survives."""
    verdict = asked(drawn, drawn.scores, {"least_mean": 0.5, "beat_baseline_by": 0.0, "most_expected_error": 0.2})
    assert [row["check"] for row in verdict.evidence] == [
        "mean AUROC",
        "minus shortcut baseline",
        "expected calibration error",
    ]
    assert verdict.thresholds["least_mean"] == 0.5
    assert Verdict.from_json(verdict.to_json()) == verdict
    other = asked(drawn, noise(drawn, 0.1), {"least_mean": 0.5})
    assert other.inputs_digest != verdict.inputs_digest


def test_only_the_same_images_are_compared(drawn: Any, sample: Callable[..., Any]) -> None:
    """Other images, and an evaluation read from JSON, are refused by name."""
    candidate = measured(drawn, drawn.scores)
    stored = Evaluation.from_json(candidate.to_json())
    with pytest.raises(NotComparable, match="read from JSON"):
        difference(candidate, stored)
    elsewhere = sample(600, seed=4)
    with pytest.raises(NotComparable, match="600 and 600 images with other labels or patients"):
        difference(candidate, measured(elsewhere, elsewhere.scores, name="v1"))


def test_profiles_are_found_by_name() -> None:
    """A known name gives its floors in words; an unknown one lists the names."""
    assert profiles.get("small-real").slice_margin is None
    assert "beat_baseline_by 0.0" in str(profiles.get("phantom"))
    with pytest.raises(profiles.UnknownProfile, match="phantom, small-real, chexpert"):
        profiles.get("real")
