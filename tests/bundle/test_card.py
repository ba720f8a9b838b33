"""A card is read back exactly, or refused by name."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chexpert.bundle.card import Card
from chexpert.bundle.compared import AurocChange, Compared
from chexpert.bundle.errors import BrokenBundle
from chexpert.bundle.store import fetch
from chexpert.domain.observations import OBSERVATIONS
from chexpert.testing.bundles import tiny

COMPARED = Compared(12.5, 14.0, {1: 80.0, 16: 120.0}, 0.01, AurocChange(0.0001, -0.001, 0.001), 0.998)
UNMEASURED = Compared(12.5, 14.0, {}, None, None, None)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    folder = tmp_path_factory.mktemp("bundles")
    return fetch(tiny(str(folder)).uri, None, folder).card


def beside_others(card: Card, compared: Compared) -> Card:
    return replace(card, variant=replace(card.variant, parity_max_abs=None, compared=compared))


def test_a_card_survives_its_json(card: Card) -> None:
    """Reading what was written gives the same card, the same text and the same digest."""
    again = Card.from_json(card.to_json())
    assert again == card
    assert again.to_json() == card.to_json()
    assert again.digest == card.digest


@pytest.mark.parametrize("compared", [COMPARED, UNMEASURED])
def test_the_comparison_survives_it_too(card: Card, compared: Compared) -> None:
    """Its figures come back as they were, the images of a run as numbers, None for what was not measured."""
    full = beside_others(card, compared)
    again = Card.from_json(full.to_json())
    assert again == full
    assert again.variant.compared == compared
    assert again.digest == full.digest != card.digest


def test_a_card_from_before_the_comparison_is_read(card: Card) -> None:
    """A variant that was not compared has no such key, so an old card's text and digest stay what they were."""
    assert "compared" not in json.loads(card.to_json())["variant"]
    assert Card.from_json(card.to_json()).variant.compared is None


def test_thresholds_cover_each_observation_with_an_operating_point(card: Card) -> None:
    """The thresholds are those of the operating points, under the same observations."""
    assert card.thresholds == dict.fromkeys(OBSERVATIONS, 0.5)


def _drop(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda value: value.pop(key)


def _put(key: str, part: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: value.update({key: part})


def _put_in(key: str, inner: str, part: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: value[key].update({inner: part})


SPOILED = {
    "lacks metrics": _drop("metrics"),
    "unknown comment": _put("comment", "hello"),
    "variant lacks name": lambda value: value["variant"].pop("name"),
    "variant has unknown colour": _put_in("variant", "colour", "red"),
    "operating_points has unknown Gout": _put_in("operating_points", "Gout", {}),
    "operating_points.Edema.threshold is '0.5'": lambda v: v["operating_points"]["Edema"].update(threshold="0.5"),
    "not the 14 observations in their order": lambda value: value["labels"].reverse(),
    "data_version is 7": _put("data_version", 7),
    "metrics.auroc is 'high'": _put_in("metrics", "auroc", "high"),
    "preprocess.digest is": lambda value: value["preprocess"].update(size=65),
    "which no PreprocessSpec takes": lambda value: value["preprocess"].update(colour=1),
    "no plain file name": _put_in("files", "../evil", "0" * 64),
    "files.model.onnx is 'abc', not a sha256": _put_in("files", "model.onnx", "abc"),
    "files lacks reference.parquet": lambda value: value["files"].pop("reference.parquet"),
}


@pytest.mark.parametrize("complaint", SPOILED)
def test_a_spoiled_card_is_refused_by_name(card: Card, complaint: str) -> None:
    """Whatever is missing, unknown or of a wrong kind is named, together with the place of the card."""
    value = json.loads(card.to_json())
    SPOILED[complaint](value)
    with pytest.raises(BrokenBundle) as refusal:
        Card.from_json(json.dumps(value), where="s3://x/y")
    assert complaint in str(refusal.value)
    assert "s3://x/y" in str(refusal.value)


NONSENSE = {
    "variant.compared lacks flag_agreement": lambda value: value.pop("flag_agreement"),
    "variant.compared has unknown colour": _put("colour", "red"),
    "variant.compared.flag_agreement is 1.2, not within [0, 1]": _put("flag_agreement", 1.2),
    "variant.compared.score_change_max is 'small'": _put("score_change_max", "small"),
    "variant.compared.latency_ms_p95 is None": _put("latency_ms_p95", None),
    "variant.compared.latency_ms_p99 is -1.0, not above 0": _put("latency_ms_p99", -1.0),
    "variant.compared.latency_ms_p99 is nan": _put("latency_ms_p99", float("nan")),
    "variant.compared.images_per_s has 'many'": _put("images_per_s", {"many": 3.0}),
    "variant.compared.images_per_s has '0'": _put("images_per_s", {"0": 3.0}),
    "variant.compared.images_per_s.8 is 0.0": _put("images_per_s", {"8": 0.0}),
    "variant.compared.auroc_change.low is 'low'": _put_in("auroc_change", "low", "low"),
    "variant.compared.auroc_change lacks high": lambda value: value["auroc_change"].pop("high"),
    "variant.compared.auroc_change is [0.5, 0.001]": _put_in("auroc_change", "low", 0.5),
    "variant.compared is str": lambda value: value.clear(),
}


@pytest.mark.parametrize("complaint", NONSENSE)
def test_a_nonsense_figure_is_refused_by_name(card: Card, complaint: str) -> None:
    """Nobody reads a variant's figures in a card that has them wrong."""
    value = json.loads(beside_others(card, COMPARED).to_json())
    NONSENSE[complaint](value["variant"]["compared"])
    value["variant"]["compared"] = value["variant"]["compared"] or "fast"
    with pytest.raises(BrokenBundle) as refusal:
        Card.from_json(json.dumps(value), where="s3://x/y")
    assert complaint in str(refusal.value)


def test_what_is_no_json_is_refused() -> None:
    """A card that was cut short is refused as such."""
    with pytest.raises(BrokenBundle, match="no JSON"):
        Card.from_json('{"labels": [')


def test_a_card_never_holds_nan(card: Card, tmp_path: Path) -> None:
    """An undefined metric must be None: NaN is refused before anything is written."""
    with pytest.raises(ValueError, match="JSON"):
        Card(**{**{f: getattr(card, f) for f in card.__slots__}, "metrics": {"auroc": float("nan")}}).to_json()
    assert not list(tmp_path.iterdir())
