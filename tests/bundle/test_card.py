"""A card is read back exactly, or refused by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chexpert.bundle.card import Card
from chexpert.bundle.errors import BrokenBundle
from chexpert.bundle.store import fetch
from chexpert.domain.observations import OBSERVATIONS
from chexpert.testing.bundles import tiny


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    folder = tmp_path_factory.mktemp("bundles")
    return fetch(tiny(str(folder)).uri, None, folder).card


def test_a_card_survives_its_json(card: Card) -> None:
    """Reading what was written gives the same card, the same text and the same digest."""
    again = Card.from_json(card.to_json())
    assert again == card
    assert again.to_json() == card.to_json()
    assert again.digest == card.digest


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


def test_what_is_no_json_is_refused() -> None:
    """A card that was cut short is refused as such."""
    with pytest.raises(BrokenBundle, match="no JSON"):
        Card.from_json('{"labels": [')


def test_a_card_never_holds_nan(card: Card, tmp_path: Path) -> None:
    """An undefined metric must be None: NaN is refused before anything is written."""
    with pytest.raises(ValueError, match="JSON"):
        Card(**{**{f: getattr(card, f) for f in card.__slots__}, "metrics": {"auroc": float("nan")}}).to_json()
    assert not list(tmp_path.iterdir())
