"""Several ways to one posterior agree, and ways that are wrong on purpose are told."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from level_model import as_population, level_draws
from scipy import stats

from bayestwin.errors import RecordError
from bayestwin.evaluation.panels import panels
from bayestwin.evaluation.scores import holm
from bayestwin.evaluation.verification import first_part, verify_patient, welch
from bayestwin.evaluation.verification.arrivals import as_drawn, main_output, retracted, shuffled, tenfold
from bayestwin.evaluation.verification.moments import Estimate, Moments, forecast_moments, parameter_moments, pooled
from bayestwin.evaluation.verification.one_patient import WAYS
from bayestwin.population import PopulationPosterior
from bayestwin.population.posterior import patient_mark
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.twin import rebuild_twin, update

SIZES = {"particles": 400, "islands": 8, "population_draws": 100}
SIGMA = 1.5


def patient(values, *, drug_at=None, key="V-1"):
    labs = tuple(Lab(f"m{t}", "m_protein", float(t), v, float(t)) for t, v in enumerate(values, 1))
    events = () if drug_at is None else (ClinicalEvent("line_of_therapy", drug_at, drug_at, "drug"),)
    return PatientRecord(key, labs=labs, events=events)


VALUES = (0.5, 6.0, 3.0, 0.8)  # far apart, so that a lab that is ignored leaves a trace


@pytest.fixture(scope="module")
def population(population):
    """The level model about a level of 2, so that ten times a lab is wrong and not worlds away."""
    draws = level_draws()
    return as_population(population.model, draws | {"level_pop": draws["level_pop"] - 18.0})


def exact_level(population, values, draws=100):
    """Mean and SD of the level, and of the next lab, given untreated labs: a mixture over the population draws."""
    hyper, _ = population.hyper_draws(draws)
    theta, omega = np.asarray(hyper.typical[:, 0]), np.asarray(hyper.omega[:, 0])
    y, n = np.asarray(values), len(values)
    precision = 1 / omega**2 + n / SIGMA**2
    mean = (theta / omega**2 + y.sum() / SIGMA**2) / precision
    log_m = -0.5 * (theta**2 / omega**2 - mean**2 * precision + np.log(omega**2 * precision))
    w = np.exp(log_m - log_m.max())
    w /= w.sum()
    centre = (w * mean).sum()
    variance = (w * (1 / precision + (mean - centre) ** 2)).sum()
    return centre, np.sqrt(variance), np.sqrt(variance + SIGMA**2)


@pytest.fixture(scope="module")
def verified(population):
    return verify_patient(population, patient(VALUES), random_seed=3, parameters=("level",), **SIZES)


def test_six_ways_to_one_posterior_are_equal_within_their_monte_carlo_error(verified):
    assert tuple(row.name for row in verified.rows) == ("batch", *WAYS)
    assert verified.equal and "EQUAL to the batch row" in verified.sentence, verified.sentence
    assert verified.same_particles  # through a file and back: bit for bit
    assert (verified.table["equal"] == ["reference"] + 5 * ["yes"]).all()
    assert len(verified.comparisons) == 5 * 4  # mean and SD of the level and of the next lab


def test_every_row_holds_the_closed_form(verified, population):
    mean, sd, predictive = exact_level(population, VALUES)
    for row in verified.rows:
        level, ahead = row.moments["level"], row.moments["m_protein at 5"]
        for found, exact in ((level.mean(), mean), (level.sd(), sd), (ahead.mean(), mean), (ahead.sd(), predictive)):
            assert abs(found.value - exact) < 5.5 * max(found.error, 0.01 * sd), row.name


def test_each_way_says_how_it_went(verified):
    says = {row.name: row.says for row in verified.rows}
    assert "m_protein at 3 arrived as 30, corrected to 3 at 4; restart from scratch" in says["tenfold error, corrected"]
    assert "m_protein = 12 at 2 was learnt beside 6, withdrawn at 4; restart from the twin" in says["retracted"]
    assert "in a random order" in says["shuffled arrival"] and "of 4" in says["killed and resumed"]
    assert all(row.kilobytes > 20 and row.seconds > 0 and row.ess > 40 for row in verified.rows)


def sabotaged(population, monkeypatch, ways, seed=4, **patches):
    for name, broken in patches.items():
        monkeypatch.setattr(f"bayestwin.twin.update.{name}", broken)
    return verify_patient(population, patient(VALUES), random_seed=seed, parameters=("level",), ways=ways, **SIZES)


def test_a_reweighting_that_ignores_a_lab_is_told(population, monkeypatch):
    whole = update._reweighted

    def forgets(twin, newer):
        made, check = whole(twin, newer)
        late = any(lab.time == 4.0 for lab in newer.labs)
        return (made._replace(log_weights=twin.particles.log_weights), check) if late else (made, check)

    found = sabotaged(population, monkeypatch, ("lab by lab",), _reweighted=forgets)
    assert not found.equal and found.unequal == ("lab by lab",)
    assert "NOT EQUAL within Monte Carlo error: lab by lab" in found.sentence


def test_weights_that_were_tampered_with_are_told(population, monkeypatch):
    whole = update._forward

    def sharpened(*asked):
        twin, info = whole(*asked)
        level = np.asarray(twin.particles.psi[:, 0])
        weights = update.normalised(np.asarray(twin.particles.log_weights) + 0.7 * level, twin.islands)
        return replace(twin, particles=twin.particles._replace(log_weights=weights)), info

    found = sabotaged(population, monkeypatch, ("lab by lab", "shuffled arrival"), _forward=sharpened)
    assert set(found.unequal) == {"lab by lab", "shuffled arrival"}


def test_a_correction_that_reweights_back_is_told(population, monkeypatch):
    def back(twin, record, change, random_seed, rejuvenate_below, population, earlier, accuracy):
        with jax.enable_x64(True):
            made, _ = update._reweighted(twin, update.solve_through(twin, record, change, accuracy))
        return replace(twin, record=record, particles=made, history=(*twin.history, twin.info)), twin.info

    found = sabotaged(population, monkeypatch, ("tenfold error, corrected",), _restart=back)
    assert not found.equal
    assert "tenfold error, corrected" in (*found.unequal, *found.blind)


def test_a_row_whose_check_failed_shows_nothing(population, monkeypatch):
    monkeypatch.setattr("bayestwin.twin.check.SMALLEST_ESS", 1e9)
    monkeypatch.setattr("bayestwin.twin.check.LARGEST_K", -1e9)
    monkeypatch.setattr("bayestwin.twin.rungs.by_long_chains", lambda twin, info, **_: (twin, info))
    found = verify_patient(population, patient(VALUES[:2]), random_seed=1, ways=("lab by lab",), **SIZES)
    assert set(found.withheld) == {"batch", "lab by lab"} and not found.equal
    assert "NOT SHOWN: the numerical check of batch, lab by lab failed" in found.sentence


def test_parameters_and_forecasts_are_chosen_by_what_was_learnt(population):
    record = patient((3.0, 2.0, -5.0), drug_at=2.0)
    found = verify_patient(population, record, random_seed=1, ways=("lab by lab",), **SIZES)
    assert list(found.batch.moments) == ["level", "effect", "P(no response to drug)", "m_protein at 4"]
    assert found.forecast == ("m_protein", 4.0)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"parameters": ("lvl",)}, "no such individual parameter .*'lvl'.* one of level, effect"),
        ({"ways": ("backwards",)}, "no such way of arriving .*backwards.* lab by lab"),
        ({"forecast_at": 2.0}, "a forecast must be later than the record .*later than 4"),
        ({"output": "psa"}, "patient V-1: nothing to verify: no lab of this output .*'psa'.* m_protein"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_computed(population, asked, said):
    with pytest.raises(RecordError, match=said):
        verify_patient(population, patient(VALUES), random_seed=1, **asked)


def test_a_patient_of_the_fitted_cohort_and_one_with_a_single_lab_are_refused(population):
    tree = population.tree.copy()
    tree.attrs["fitted_patients"] = json.dumps([patient_mark(patient(VALUES))])
    with pytest.raises(RecordError, match="patient V-1: .*fitted cohort.* Fit without this patient"):
        verify_patient(PopulationPosterior(population.model, tree), patient(VALUES), random_seed=1)
    with pytest.raises(RecordError, match="too few measured values of m_protein"):
        main_output(population.model, patient((20.0,)))


def test_every_way_of_arriving_ends_in_the_same_record():
    record = patient((20.0, 21.0, 14.0, 13.0, 12.0), drug_at=2.5)
    late = ClinicalEvent("assessed", 7.0, 7.0)
    record = replace(record, events=(*record.events, late))
    content = {(lab.lab_id, lab.time, lab.value) for lab in record.labs}
    rng = np.random.default_rng(1)
    for arrival in (as_drawn(record), shuffled(record, rng).record, tenfold(record, "m_protein").record):
        assert {(lab.lab_id, lab.time, lab.value) for lab in panels(arrival)[-1].newer.labs} == content
        assert {e.time for e in panels(arrival)[-1].newer.events} == {2.5, 7.0}
    seen = [{lab.value for lab in p.newer.labs} for p in panels(tenfold(record, "m_protein").record)]
    assert 140.0 in seen[2] and 140.0 in seen[3] and 140.0 not in seen[4] and 14.0 in seen[4]
    course = panels(retracted(record, "m_protein").record)
    assert 42.0 in {lab.value for lab in course[1].newer.labs} and 42.0 not in {x.value for x in course[-1].newer.labs}
    orders = [[p.labs[0].lab_id for p in panels(shuffled(record, rng).record)] for _ in range(3)]
    assert len({tuple(o) for o in orders}) > 1 and all(len(o) == 5 for o in orders)


def test_the_first_part_of_a_record_keeps_its_events_and_all_doses():
    record = patient((20.0, 21.0, 14.0, 13.0), drug_at=2.5)
    assert [lab.time for lab in first_part(record, until=2.0).labs] == [1.0, 2.0]
    assert first_part(record, until=2.0).events == () and len(first_part(record, labs_at_most=3).events) == 1
    assert first_part(record, labs_at_most=9) == record


def test_island_moments_give_mean_and_sd_and_their_errors(population):
    twin, info = rebuild_twin(population, patient(VALUES), random_seed=5, **SIZES)
    level = parameter_moments(twin, ("level",))["level"]
    x, w = np.asarray(twin.particles.psi[:, 0]), twin.weights
    assert level.mean().value == pytest.approx((w * x).sum())
    assert level.mean().error == pytest.approx(info.monte_carlo_error["level"])
    assert level.sd().value == pytest.approx(np.sqrt((w * (x - (w * x).sum()) ** 2).sum()))
    ahead = forecast_moments(twin, [("m_protein", 9.0)])["m_protein at 9"]
    assert ahead.mean().value == pytest.approx(level.mean().value)
    assert ahead.sd().value == pytest.approx(np.hypot(level.sd().value, SIGMA))
    both = pooled([{"level": level}, {"level": level}])["level"]
    assert both.mean().freedom == 15 and both.mean().value == pytest.approx(level.mean().value)


def test_the_printed_errors_of_means_and_sds_are_true_ones():
    rng = np.random.default_rng(1)
    x = rng.normal(3.0, 2.0, (2000, 8, 50))
    found = [Moments(a.mean(axis=1), (a**2).mean(axis=1)) for a in x]
    for pick in (Moments.mean, Moments.sd):
        values, errors = zip(*((e.value, e.error) for e in map(pick, found)))
        assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(values), rel=0.05)


def test_p_values_of_equal_estimates_are_uniform_and_a_normal_would_cry_wolf():
    rng = np.random.default_rng(2)
    a, b = (rng.normal(size=(4000, 8)) * s for s in (1.0, 3.0))
    found = [welch(Moments(x).mean(), Moments(y).mean()) for x, y in zip(a, b)]
    assert stats.kstest([d.p for d in found], "uniform").pvalue > 0.01
    assert np.mean([d.z**2 for d in found]) == pytest.approx(1.0, abs=0.08)
    assert np.mean([2 * stats.norm.sf(abs(d.t)) < 0.001 for d in found]) > 0.003


def test_copies_are_equal_and_what_is_not_a_number_is_not():
    assert welch(Estimate(1.0, 0.0, 7), Estimate(1.0, 0.0, 7)).p == 1.0
    assert welch(Estimate(1.0, 0.0, 7), Estimate(1.1, 0.0, 7)).p == 0.0
    assert welch(Estimate(float("nan"), 0.1, 7), Estimate(1.1, 0.1, 7)).p == 0.0


def test_holm_s_adjusted_p_is_the_textbook_one_and_what_was_not_tested_does_not_count():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.01, np.nan, 0.04, 0.03, 0.005]), [0.03, np.nan, 0.06, 0.06, 0.02])
