from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from chexpert.domain.labels import ABSENT, PRESENT, UNCERTAIN
from chexpert.domain.observations import OBSERVATIONS, Observation
from chexpert.simulator.ledger import Ledger
from chexpert.simulator.readers import PERFECT, BadErrorRate, ErrorRates, ReaderProfile, answers
from chexpert.simulator.reading import ReadingSession
from chexpert.simulator.samples import NO_TRUTH, is_abnormal, truth_of_yes_no
from chexpert.simulator.site import Site
from chexpert.simulator.tiles import TileSource
from chexpert.simulator.traffic import Traffic, TrafficSettings

ALL_PRESENT = (PRESENT,) * len(OBSERVATIONS)
ALL_ABSENT = (ABSENT,) * len(OBSERVATIONS)


def share(truth: tuple[int | None, ...], word: str, reader: ReaderProfile, observation: Observation) -> float:
    rng = np.random.default_rng(0)
    return sum(answers(truth, reader, rng)[observation] == word for _ in range(4000)) / 4000


def test_readers_err_as_often_as_stated() -> None:
    """Misses, false findings and uncertain answers come out within 3 standard errors of the stated rates."""
    reader = ReaderProfile("a", usual=ErrorRates(miss=0.2, false=0.1, uncertain=0.05))
    bound = 3.0 * (0.25 / 4000) ** 0.5
    assert abs(share(ALL_PRESENT, "absent", reader, Observation.EDEMA) - 0.2) < bound
    assert abs(share(ALL_ABSENT, "present", reader, Observation.EDEMA) - 0.1) < bound
    assert abs(share(ALL_ABSENT, "uncertain", reader, Observation.EDEMA) - 0.05) < bound
    assert abs(share(ALL_PRESENT, "uncertain", reader, Observation.EDEMA) - 0.05) < bound


def test_a_finding_can_have_rates_of_its_own() -> None:
    """Fractures are missed more often; the others keep the usual rates."""
    reader = ReaderProfile("a", usual=PERFECT, special={Observation.FRACTURE: ErrorRates(miss=1.0, uncertain=0.0)})
    said = answers(ALL_PRESENT, reader, np.random.default_rng(0))
    assert said.pop(Observation.FRACTURE) == "absent"
    assert set(said.values()) == {"present"}


def test_a_yes_no_truth_answers_no_finding_only() -> None:
    """Of the 13 other observations nothing is said, so nothing is learnt."""
    for abnormal, word in ((True, "absent"), (False, "present")):
        said = answers(truth_of_yes_no(abnormal=abnormal), ReaderProfile("a", usual=PERFECT), np.random.default_rng(0))
        assert said == {Observation.NO_FINDING: word}
    assert answers(NO_TRUTH, ReaderProfile("a"), np.random.default_rng(0)) == {}


def test_an_uncertain_truth_is_answered_uncertain() -> None:
    """Whatever the rates: nobody can miss what nobody knows."""
    truth = (UNCERTAIN, *ALL_PRESENT[1:])
    said = answers(truth, ReaderProfile("a", usual=PERFECT), np.random.default_rng(0))
    assert said[Observation.NO_FINDING] == "uncertain"


def test_what_is_said_of_one_observation_does_not_hang_on_the_others() -> None:
    """Knowing one label more changes no other answer of the same generator state."""
    reader = ReaderProfile("a", usual=ErrorRates(0.3, 0.3, 0.3))
    more = answers(ALL_PRESENT, reader, np.random.default_rng(5))
    fewer = answers((None, *ALL_PRESENT[1:]), reader, np.random.default_rng(5))
    assert {observation: word for observation, word in more.items() if observation in fewer} == fewer


@pytest.mark.parametrize("rates", [(-0.1, 0.0, 0.0), (0.6, 0.0, 0.5), (0.0, 1.1, 0.0)])
def test_impossible_rates_are_refused(rates: tuple[float, float, float]) -> None:
    """A rate outside of [0, 1], or two that leave no room for each other."""
    with pytest.raises(BadErrorRate):
        ErrorRates(*rates)


def test_abnormal_is_what_the_truth_says_or_nothing() -> None:
    """A device is no finding; a truth with gaps and without a finding says nothing."""
    device = dict.fromkeys(OBSERVATIONS, ABSENT) | {Observation.SUPPORT_DEVICES: PRESENT}
    assert is_abnormal(truth_of_yes_no(abnormal=True)) is True
    assert is_abnormal(truth_of_yes_no(abnormal=False)) is False
    assert is_abnormal((None, *list(device.values())[1:])) is False
    assert is_abnormal((None, PRESENT, *NO_TRUTH[2:])) is True
    assert is_abnormal(NO_TRUTH) is None


def send(server: Any, ledger: Ledger, studies: int) -> None:
    with Site(server.url) as site:
        source = TileSource(truth_of_yes_no(abnormal=True))
        Traffic(source, site, ledger, TrafficSettings(studies=studies)).send()


def total(server: Any) -> int:
    return int(httpx.get(f"{server.url}/api/worklist").json()["total"])


def test_readers_take_turns_from_the_top_and_sign(site_server: Any, tmp_path: Path) -> None:
    """Read studies leave the worklist; when none is left the session ends by itself."""
    ledger = Ledger(str(tmp_path), "run")
    send(site_server, ledger, 5)
    profiles = [ReaderProfile("a", usual=PERFECT), ReaderProfile("b", usual=PERFECT)]
    with Site(site_server.url) as site:
        top = site.worklist(1)[0].study
        session = ReadingSession(site, ledger, profiles)
        first = session.read(2)
        assert (first[0].sent.study, [reading.reader for reading in first]) == (top, ["a", "b"])
        assert total(site_server) == 3
        assert [reading.reader for reading in session.read(100)] == ["a", "b", "a"]
    assert total(site_server) == 0


def test_studies_of_others_are_left_to_people(site_server: Any, tmp_path: Path) -> None:
    """A study that the ledger does not know, and one that a person has open, stay as they are."""
    ledger = Ledger(str(tmp_path), "run")
    send(site_server, ledger, 3)
    with Site(site_server.url) as site:
        stranger = site.send([TileSource().sample(99)], "by-hand").study
        held = site.worklist()[0].study
        site.open(held, "Dr. Real", "radiologist")
        readings = ReadingSession(site, ledger, [ReaderProfile("a")]).read(100)
        left = {entry.study for entry in site.worklist()}
    assert held != stranger
    assert len(readings) == 2
    assert left == {stranger, held}


def test_studies_sent_later_are_learnt_from_the_ledger(site_server: Any, tmp_path: Path) -> None:
    """A session that found nothing to read reads what comes after."""
    ledger = Ledger(str(tmp_path), "run")
    with Site(site_server.url) as site:
        session = ReadingSession(site, ledger, [ReaderProfile("a")])
        assert session.read(1) == []
        send(site_server, ledger, 2)
        assert len(session.read(10)) == 2
