import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chexpert.data import chexpert_csv
from chexpert.data.drawing.anatomy import sample_patient
from chexpert.data.drawing.label_noise import observed
from chexpert.data.drawing.truth import close, follow_up, sample_truth
from chexpert.data.phantoms import InvalidKnob, Knobs, PhantomSettings, draw, generate
from chexpert.domain.labels import impute_parents
from chexpert.domain.observations import OBSERVATIONS, Observation
from chexpert.domain.studies import View
from chexpert.imaging.image import Image
from chexpert.imaging.preprocess import PreprocessSpec, preprocess

truths = st.lists(st.integers(0, 1), min_size=14, max_size=14).map(lambda labels: close(tuple(labels)))
SMALL = PhantomSettings(train_patients=12, valid_patients=4, seed=3)


def only(*observations: Observation) -> tuple[int, ...]:
    return close(tuple(int(o in observations) for o in OBSERVATIONS))


def seen(seed: int, truth: tuple[int, ...], **changes: object) -> np.ndarray:
    """Preprocessed pixels of a PA phantom of one patient and seed, as floats."""
    rng = np.random.default_rng(seed)
    patient = sample_patient(np.random.default_rng(seed), Knobs())
    phantom = draw(rng, truth=truth, projection="PA", patient=patient, knobs=Knobs(inverted=0.0), **changes)
    height, width = phantom.pixels.shape
    return preprocess(Image(phantom.pixels, width, height), PreprocessSpec()).astype(float)


@given(truth=truths)
def test_truth_is_closed(truth: tuple[int, ...]) -> None:
    """Parents are present with their children, and No Finding exactly where nothing but a device is."""
    assert impute_parents(truth) == truth
    present = {o for o, label in zip(OBSERVATIONS, truth, strict=True) if label}
    assert (Observation.NO_FINDING in present) == (not present - {Observation.NO_FINDING, Observation.SUPPORT_DEVICES})


@settings(deadline=None, max_examples=25)
@given(truth=truths, seed=st.integers(0, 10**6), size=st.sampled_from([32, 64, 160]))
def test_a_phantom_is_an_image_of_its_truth(truth: tuple[int, ...], seed: int, size: int) -> None:
    """Any combination can be drawn, at any size, twice the same."""
    first, second = (draw(np.random.default_rng(seed), size=size, truth=truth) for _ in range(2))
    assert first.truth == truth
    assert first.pixels.dtype == np.uint8
    assert max(first.pixels.shape) == size
    assert first.pixels.std() > 15
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert first.projection == ("" if first.view is View.LATERAL else first.projection)


@pytest.mark.parametrize(
    "observation", [o for o in OBSERVATIONS if o not in {Observation.NO_FINDING, Observation.FRACTURE}]
)
def test_every_finding_changes_the_picture(observation: Observation) -> None:
    """At 64 px a finding moves pixels more than drawing the same truth twice does."""
    finding = [np.abs(seen(n, only(observation)) - seen(n, only())).mean() for n in range(12)]
    assert np.median(finding) > 3.0


def test_brightness_does_not_tell_findings() -> None:
    """Mean and spread of grey levels are drawn apart from the truth: an effusion is no brighter film."""
    means = {
        truth: np.array([draw(np.random.default_rng(n), truth=truth).pixels.mean() for n in range(60)])
        for truth in (only(), only(Observation.PLEURAL_EFFUSION))
    }
    first, second = means.values()
    assert abs(first.mean() - second.mean()) < 0.6 * first.std()


def test_findings_occur_together_as_in_the_real_data() -> None:
    """No Finding is rare enough, devices common in AP, and effusion more likely with edema."""
    rng = np.random.default_rng(0)
    patients = [sample_patient(rng, Knobs()) for _ in range(3000)]
    labels = np.array([sample_truth(rng, patient, "AP", Knobs()) for patient in patients])
    share = dict(zip(OBSERVATIONS, labels.mean(axis=0), strict=True))
    effusion, edema = (labels[:, OBSERVATIONS.index(o)] for o in (Observation.PLEURAL_EFFUSION, Observation.EDEMA))
    assert 0.08 < share[Observation.NO_FINDING] < 0.35
    assert 0.4 < share[Observation.SUPPORT_DEVICES] < 0.75
    assert effusion[edema == 1].mean() > 1.4 * effusion[edema == 0].mean()


def test_prevalence_turns_findings_up_and_off() -> None:
    """0 draws no finding but devices; 3 draws more."""
    rng = np.random.default_rng(0)
    patient = sample_patient(rng, Knobs())
    counts = {
        factor: np.sum([sample_truth(rng, patient, "PA", Knobs(prevalence=factor))[1:13] for _ in range(300)])
        for factor in (0.0, 1.0, 3.0)
    }
    assert counts[0.0] == 0 < counts[1.0] < counts[3.0]


def test_labels_are_noisy_as_measured_and_clean_on_demand() -> None:
    """The four states appear with the stated shares; share 0 gives the truth; No Finding never beside a finding."""
    rng = np.random.default_rng(0)
    truth = only(Observation.EDEMA)
    drawn = [observed(rng, truth, 1.0) for _ in range(4000)]
    edema = [labels[OBSERVATIONS.index(Observation.EDEMA)] for labels in drawn]
    for state, share in ((1, 0.40), (-1, 0.17), (0, 0.05), (None, 0.38)):
        assert abs(np.mean([label == state for label in edema]) - share) < 0.03
    assert observed(rng, truth, 0.0) == truth
    findings = [i for i, o in enumerate(OBSERVATIONS) if o not in {Observation.NO_FINDING, Observation.SUPPORT_DEVICES}]
    assert not any(labels[0] == 1 and any(labels[i] == 1 for i in findings) for labels in drawn)


def test_follow_ups_change_slowly() -> None:
    """Most findings stand at the next study."""
    rng = np.random.default_rng(0)
    patient = sample_patient(rng, Knobs())
    pairs = [(sample_truth(rng, patient, "AP", Knobs()), sample_truth(rng, patient, "AP", Knobs())) for _ in range(300)]
    same = [np.mean(np.equal(before, follow_up(rng, before, anew))) for before, anew in pairs]
    chance = [np.mean(np.equal(before, anew)) for before, anew in pairs]
    assert np.mean(same) > np.mean(chance) + 0.1


@pytest.mark.parametrize(
    "knobs",
    [
        Knobs(gamma=1.8),
        Knobs(noise=5.0),
        Knobs(paediatric=1.0),
        Knobs(phone_photo=1.0),
        Knobs(lateral=1.0),
        Knobs(inverted=1.0),
    ],
)
def test_every_knob_shifts_the_images(knobs: Knobs) -> None:
    """Each drift changes what the same generator draws."""
    usual = Knobs(lateral=0.0, inverted=0.0)
    same = [draw(np.random.default_rng(n), truth=only(), knobs=usual).pixels for n in range(6)]
    drifted = [draw(np.random.default_rng(n), truth=only(), knobs=knobs).pixels for n in range(6)]
    changed = [a.shape != b.shape or np.abs(a.astype(int) - b).mean() > 1.5 for a, b in zip(same, drifted, strict=True)]
    assert all(changed)


@pytest.mark.parametrize(("name", "value"), [("gamma", -1.0), ("paediatric", 1.5), ("lateral", -0.1)])
def test_knobs_beyond_their_range_are_refused(name: str, value: float) -> None:
    """The knob, its value and its range are named."""
    with pytest.raises(InvalidKnob, match=f"knob {name} is {value}"):
        Knobs(**{name: value})


def test_children_are_children() -> None:
    """Ages 1 to 5, all of them."""
    ages = [draw(np.random.default_rng(n), knobs=Knobs(paediatric=1.0)).age for n in range(10)]
    assert all(1 <= age <= 5 for age in ages)


def test_the_folder_has_the_real_layout(tmp_path: Path) -> None:
    """The adapter reads it: clean truth in valid, four states in train, every file there, several studies a patient."""
    generate(tmp_path / "a", SMALL)
    manifest = chexpert_csv.read(tmp_path / "a")
    assert "" not in manifest.column("sha256")
    assert set(manifest.column("odd")) == {""}
    valid = manifest.labels()[manifest.rows("valid")]
    assert set(np.unique(valid)) <= {0.0, 1.0}
    assert len(set(manifest.column("study"))) > len(set(manifest.column("patient"))) == 16
    with (tmp_path / "a" / "truth.csv").open() as file:
        truth = {row["Path"]: row for row in csv.DictReader(file)}
    assert len(truth) == len(manifest)
    assert next(iter(truth)).startswith("CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg")


def test_the_same_settings_give_the_same_bytes(tmp_path: Path) -> None:
    """Seed and settings say everything; another seed is other data, noise changes labels but no pixel."""
    settings_of = {
        "a": SMALL,
        "b": SMALL,
        "noisefree": PhantomSettings(12, 4, seed=3, noise=0.0),
        "other": PhantomSettings(12, 4, seed=4),
    }
    made = {}
    for name, chosen in settings_of.items():
        generate(tmp_path / name, chosen, workers=1)
        made[name] = chexpert_csv.read(tmp_path / name, source="x")
    assert made["a"].digest == made["b"].digest != made["other"].digest
    assert list(made["a"].column("sha256")) == list(made["noisefree"].column("sha256"))
    assert made["a"].digest != made["noisefree"].digest


def test_a_finished_folder_is_left_alone(tmp_path: Path) -> None:
    """Generating again with the same settings writes nothing; with others it writes anew."""
    done: list[int] = []
    generate(tmp_path, SMALL, progress=lambda at, _: done.append(at))
    assert done[-1] == 16
    before = (tmp_path / "train.csv").stat().st_mtime_ns
    generate(tmp_path, SMALL)
    assert (tmp_path / "train.csv").stat().st_mtime_ns == before
    generate(tmp_path, PhantomSettings(10, 4, seed=3))
    assert (tmp_path / "train.csv").stat().st_mtime_ns != before


def test_impossible_settings_are_refused() -> None:
    """Noise is a share; counts are not negative."""
    with pytest.raises(InvalidKnob, match="noise is 2"):
        PhantomSettings(noise=2)
    with pytest.raises(InvalidKnob, match="train_patients is -1"):
        PhantomSettings(train_patients=-1)
