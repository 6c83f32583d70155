"""M-protein under clearance alone in the myeloma model: the floor facts, and what a reading is called."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bayestwin.errors import RecordError
from bayestwin.prognosis.imposed import ImposedLabs, PastCourse
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.specification.load import model_part

HALF_LIVES = {"IgG": 13.75, "IgA": 6.0}


@pytest.fixture(scope="module")
def clearance(myeloma_prior):
    return model_part(myeloma_prior[0], "clearance")


def infused(twin, half_life, m_protein=18.0, events=(ClinicalEvent("infusion", 0.0, 0.0, "ide_cel"),)):
    """The twin on the day of its infusion, every particle with this M-protein and clearance, no assay error."""
    model, psi = twin.model, np.array(twin.particles.psi)
    psi[:, model.individual_names.index("kP")] = np.log(np.log(2) / half_life)
    state = np.array(twin.particles.state)
    state[:, :, model.states.index("m_protein")] = m_protein
    population = twin.population._replace(sigma=1e-6 * np.asarray(twin.population.sigma))
    particles = twin.particles._replace(psi=psi, state=state)
    return replace(
        twin, particles=particles, population=population, record=replace(twin.record, events=events), time=0.0
    )


@pytest.mark.parametrize("isotype, left", [("IgG", 4.4), ("IgA", 0.7)])
def test_complete_kill_leaves_what_the_half_life_leaves_on_day_28(myeloma_prior, clearance, isotype, left):
    twin = infused(myeloma_prior[2], HALF_LIVES[isotype])
    found = clearance.allowed(twin, np.array([28.0, 90.0]), random_seed=1)
    exact = 18.0 * 0.5 ** (np.array([28.0, 90.0]) / HALF_LIVES[isotype])
    low, middle, high = found.quantiles((0.025, 0.5, 0.975))
    np.testing.assert_allclose([low, middle, high], np.stack([exact] * 3), rtol=2e-3, atol=2e-5)
    assert round(middle[0], 1) == left


def test_every_clone_of_the_model_is_gone(myeloma_prior, clearance):
    model = myeloma_prior[0]
    burden = [name for name in model.states if name.startswith("ln_") and name != "ln_reference"]
    assert tuple(burden) == clearance.CLONES and set(clearance.GONE) == set(burden)
    assert max(clearance.GONE.values()) < np.log(1e-20)


@pytest.mark.parametrize(
    "above, verdict, words",
    [(0.5, "near", "near what clearance allows"), (0.05, "well above", "well above it"), (0.95, "below", "below it")],
)
def test_a_reading_is_called_by_where_it_lies_in_clearance_alone(clearance, above, verdict, words):
    reading = clearance.Reading(28.0, 6.5, "g/L", 2.34, 6.98, above, 0.013, 0.001)
    assert reading.verdict == verdict and f"so the reading is {words};" in reading.sentence
    assert "between 2.3 and 7 g/L" in reading.sentence and "fewer than 5 in 100" in reading.sentence


@pytest.mark.parametrize(
    "value, low, high, above, said",
    [
        (6.5, 1.97, 6.47, 0.08, "between 1.97 and 6.47 g/L, so the reading is well above"),
        (6.5, 1.97, 6.5004, 0.12, "between 1.97 and 6.5004 g/L, so the reading is near"),
        (2.0, 2.04, 6.5, 0.95, "between 2.04 and 6.5 g/L, so the reading is below"),
        (6.5, 2.34, 6.98, 0.3, "between 2.3 and 7 g/L, so the reading is near"),
    ],
)
def test_ends_are_said_in_digits_enough_to_see_on_which_side_the_reading_lies(clearance, value, low, high, above, said):
    assert said in clearance.Reading(28.0, value, "g/L", low, high, above, 0.013, 0.001).sentence


def test_a_key_that_looks_like_a_name_is_not_repeated(myeloma_prior, clearance):
    twin = infused(myeloma_prior[2], 14.0)
    with pytest.raises(RecordError, match="different patients") as found:
        clearance.read_clearance(twin, replace(twin, record=PatientRecord("Erika Mustermann")), random_seed=1)
    assert "Erika" not in str(found.value)


def test_two_twins_of_other_patients_and_records_without_infusion_or_labs_are_refused(myeloma_prior, clearance):
    twin = infused(myeloma_prior[2], 14.0)
    with pytest.raises(RecordError, match="different patients.*'M-2'"):
        clearance.read_clearance(twin, replace(twin, record=PatientRecord("M-2")), random_seed=1)
    with pytest.raises(RecordError, match="no infusion by the time.*Start a twin from the record as it was known"):
        clearance.read_clearance(twin, replace(twin, record=replace(twin.record, events=())), random_seed=1)
    with pytest.raises(RecordError, match="no M-protein after the infusion"):
        clearance.read_clearance(twin, twin, random_seed=1)

    later, lab = replace(twin, time=28.0), Lab("a", "m_protein", 56.0, 4.0, 56.0)
    now = replace(twin, record=replace(twin.record, labs=(lab,)), time=56.0)
    with pytest.raises(RecordError, match="first twin does not stand at the infusion.*'day 28'.*day 0, the day of"):
        clearance.read_clearance(later, now, random_seed=1)


def reading_of(clearance, monkeypatch, lab, now=None, drawn=(0.1, 0.3, 0.6, 2.0)):
    """What is said of one lab beside four equally likely labs of clearance alone."""
    even, states = np.full(4, 0.25), {name: np.zeros((4, 2)) for name in clearance.CLONES}
    model = SimpleNamespace(
        observations=(SimpleNamespace(unit="g/L"),), observation_index={"m_protein": 0}, states=clearance.CLONES
    )
    labs = ImposedLabs("m_protein", np.array([lab.time]), np.array(drawn)[:, None], even)
    past = PastCourse(np.array([0.0, now or lab.time]), states, even, np.log(np.full(4, 0.5)), 2)
    monkeypatch.setattr(clearance, "labs_if", lambda *a, **k: labs)
    monkeypatch.setattr(clearance, "past_course", lambda twin, times, *, random_seed: past)
    record = PatientRecord("A", labs=(lab,), events=(ClinicalEvent("infusion", 0.0, 0.0, "ide_cel"),))
    first, second = (SimpleNamespace(key="A", time=t, record=record, model=model) for t in (0.0, now or lab.time))
    return clearance.read_clearance(first, second, random_seed=1)


@pytest.mark.parametrize(
    "lab, above, verdict, words",
    [
        ({"value": 0.6}, 0.375, "near", "was 0.6 g/L"),  # itself a tie
        ({"value": 2.5, "censoring": "left", "limit": 2.5}, 0.5, "near", "was <2.5 g/L"),  # well above before
        ({"value": 0.05, "censoring": "left", "limit": 0.05}, 1.0, "below", "was <0.05 g/L"),
        ({"value": 0.2, "censoring": "left", "limit": 0.2}, 0.875, "near", "was <0.2 g/L"),
        ({"value": 0.5, "censoring": "right", "limit": 0.5}, 0.25, "near", "was >0.5 g/L"),
        ({"value": 0.5, "censoring": "interval", "limit": 0.7}, 0.375, "near", "was 0.5 to 0.7 g/L"),
        ({"value": 2.5}, 0.0, "well above", "was 2.5 g/L"),
    ],
)
def test_a_reading_beyond_its_limit_lies_among_what_the_limit_does_not_tell_from_it(
    clearance, monkeypatch, lab, above, verdict, words
):
    reading = reading_of(clearance, monkeypatch, Lab("a", "m_protein", 28.0, known_time=28.0, **lab))
    assert reading.above == pytest.approx(above) and reading.verdict == verdict
    assert f"M-protein {words} on day 28" in reading.sentence and "up to this day" in reading.sentence


def test_survivors_are_counted_on_the_day_of_the_twin_and_the_sentence_names_it(clearance, monkeypatch):
    reading = reading_of(clearance, monkeypatch, Lab("a", "m_protein", 28.0, 6.5, 28.0), now=90.0)
    assert reading.day == 28.0 and reading.until == 90.0
    assert "on day 28;" in reading.sentence and "with all labs up to day 90 the model holds" in reading.sentence
    assert reading.sentence.endswith("a tenth of the burden at the infusion or more is there then.")


def test_what_is_left_of_the_burden_is_counted_over_all_clones_from_the_infusion(clearance, monkeypatch):
    half = np.log(0.5)
    states = {name: np.array([[half, half + np.log(x)] for x in (0.05, 0.2, 2.0, 0.1001)]) for name in clearance.CLONES}
    even = np.full(4, 0.25)
    asked = []

    def past_course(twin, times, *, random_seed):
        asked.append(list(times))
        return PastCourse(np.asarray(times), states, even, np.log(np.full(4, 0.5)), 2)

    monkeypatch.setattr(clearance, "past_course", past_course)
    twin = SimpleNamespace(time=28.0)
    np.testing.assert_allclose(
        np.exp(clearance.left_since(twin, 0.0, random_seed=1).ln_share), [0.05, 0.2, 2.0, 0.1001]
    )
    chance, error = clearance.survivors(twin, 0.0, random_seed=1)
    assert chance == pytest.approx(0.75) and error > 0 and asked[0] == [0.0, 28.0]
    assert clearance.survivors(twin, 0.0, share=3.0, random_seed=1)[0] == 0.0
