"""Replicates, VPC, NPDE, shrinkage: closed forms of the level model, and checks that a wrong population fails."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "twin"))

from level_cohorts import cohort_of, fitted_with, levels_of
from level_model import as_population

from bayestwin.cli import app
from bayestwin.dosing import DoseEvent
from bayestwin.errors import FitError
from bayestwin.evaluation.lab_limits import Limits, limits_of
from bayestwin.evaluation.predictive_checks import _imputed, bins_of, npde, npde_tests, replicates_needed, vpc
from bayestwin.evaluation.random_effects import against_covariates, random_effects, shrinkage
from bayestwin.evaluation.replicates import Replicates, _own_limit, _row, replicates
from bayestwin.population import PopulationPosterior
from bayestwin.records import Cohort, Lab, PatientRecord
from bayestwin.specification import load_model

matplotlib.use("agg")


@pytest.fixture(scope="module")
def known(population):
    """The population without doubt about its parameters: patients of one cohort are then independent."""
    draws = population.posterior
    constant = {name: np.full(100, float(draws[name].mean())) for name in draws.data_vars}
    return as_population(population.model, constant)


@pytest.fixture(scope="module")
def made(known):
    """2,000 replicates of 40 patients of a population that is known."""
    return replicates(known, cohort_of(levels_of(40)), random_seed=1, count=2000)


def test_replicates_have_the_mean_and_covariance_of_the_closed_form_with_doubt_about_the_population(population):
    found = replicates(population, cohort_of(levels_of(40)), random_seed=1, count=400)
    draws = population.posterior
    level, omega = (draws[name].values.ravel() for name in ("level_pop", "omega_level"))
    assert found.simulated.shape == (400, 160) and found.failures == 0.0
    between = level.var() + (omega**2).mean()
    covariance = np.mean([np.cov(found.simulated[:, 4 * k : 4 * k + 4], rowvar=False) for k in range(40)], axis=0)
    assert np.diag(covariance) == pytest.approx(np.full(4, between + 1.5**2), rel=0.1)
    assert covariance[0, 3] == pytest.approx(between, rel=0.12)
    assert found.simulated[:, :4].mean() == pytest.approx(level.mean(), abs=0.5)
    assert found.labs["pred"].to_numpy() == pytest.approx(np.full(160, level.mean()), abs=1e-6)


SINCE_DOSE = {
    "after an additional dose": (50.0, -1, 2.0),
    "after another": (98.0, -1, 2.0),
    "after the last of them": (130.0, -1, 34.0),
    "a trough before an additional dose": (48.0, -1, 24.0),
    "a row of the time of an additional dose": (48.0, 3, 0.0),
    "a trough before the dose of its time": (200.0, -1, 104.0),
    "a row after the dose of its time": (200.0, 3, 0.0),
    "a reset is no dose and cancels those to come": (260.0, -1, 60.0),
    "a time that doses add up to but for rounding": (300.3, 3, 0.0),
    "a trough at that time": (300.3, -1, 0.1),
    "before the first dose": (-1.0, -1, np.nan),
}


@pytest.mark.parametrize("case", SINCE_DOSE, ids=str)
def test_the_time_since_the_dose_is_that_of_the_last_dose_that_the_lab_sees(case):
    at, order, expected = SINCE_DOSE[case]
    doses = (
        DoseEvent(0.0, 320.0, "oral", addl=4, ii=24.0, order=1),
        DoseEvent(200.0, 320.0, "oral", addl=9, ii=100.0, order=1),
        DoseEvent(250.0, 0.0, "oral", reset=True, order=1),
        DoseEvent(300.0, 320.0, "oral", addl=3, ii=0.1, order=1),
    )
    lab = Lab("c", "concentration", at, 5.0, at, order=order)
    row = _row(load_model("theophylline"), PatientRecord("P-1", labs=(lab,), doses=doses), lab, 1.0)
    assert row["since_dose"] == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_bins_hold_about_equal_numbers_and_never_part_equal_times():
    at = np.repeat([0.0, 1.0, 2.0, 3.0, 10.0], [10, 10, 10, 10, 3])
    found = bins_of(at, 4)
    assert [len(members) for members in found] == [20, 23]
    assert sorted(np.concatenate(found)) == list(range(43))
    assert [len(m) for m in bins_of(np.r_[at, np.nan], 100)] == [10, 10, 10, 13]


def test_the_bands_hold_cohorts_of_the_population_and_not_of_another(made):
    outside, few = [], replace(made, simulated=made.simulated[::5])
    for seed in range(15):
        drawn = replace_observed(few, made.simulated[seed])
        table = vpc(drawn, "m_protein", probability=0.9, bins=4)
        outside.append(((table["observed"] < table["low"]) | (table["observed"] > table["high"])).mean())
    assert 0.03 < np.mean(outside) < 0.17
    high = vpc(replace_observed(few, made.simulated[0] + 4.0), "m_protein", bins=4)
    assert (high["observed"] > high["high"]).mean() > 0.6


def replace_observed(found, values):
    return Replicates(found.model, found.labs.assign(observed=values), found.simulated, found.failures)


def test_prediction_correction_takes_away_what_pred_explains():
    """Two halves with PRED 1 and 10: uncorrected the bands span both, corrected they are one distribution."""
    rng = np.random.default_rng(3)
    pred = np.tile([1.0, 10.0], 50)
    labs = pd.DataFrame({"patient": np.arange(100), "lab_id": "", "output": "m_protein", "time": 1.0})
    labs = labs.assign(observed=pred * np.exp(0.1 * rng.standard_normal(100)), limit_flag="none", scale="ln", pred=pred)
    simulated = pred * np.exp(0.1 * rng.standard_normal((200, 100)))
    found = Replicates(FakeModel(None), labs, simulated, 0.0)
    plain, corrected = (vpc(found, "m_protein", prediction_corrected=on).set_index("line") for on in (False, True))
    assert plain.loc["90", "observed"] / plain.loc["10", "observed"] > 8
    ratio = np.exp(0.1 * stats.norm.ppf(0.9))
    assert corrected.loc["90", "observed"] / corrected.loc["50", "observed"] == pytest.approx(ratio, abs=0.05)
    assert corrected.loc["50", "observed"] == pytest.approx(5.5, rel=0.05)
    predose = labs.assign(pred=np.where(np.arange(len(labs)) % 20 == 0, 0.0, labs["pred"]))
    without = vpc(Replicates(found.model, predose, simulated, 0.0), "m_protein", prediction_corrected=True)
    bins = without.drop_duplicates("bin")
    assert without.attrs["left_out"] == len(labs) - bins["labs"].sum() == np.ceil(len(labs) / 20)
    assert corrected.attrs == plain.attrs == {"left_out": 0, "no_dose": 0}
    with pytest.raises(FitError, match="PRED.*above 0"):
        vpc(Replicates(found.model, labs.assign(pred=-1.0), simulated, 0.0), "m_protein", prediction_corrected=True)


class FakeModel:
    """A model as far as a check looks at it: one output with a usual limit."""

    def __init__(self, limit):
        self.observations = (
            type("O", (), {"output": "m_protein", "lower_limit": limit, "log_scale": False, "discrete": False})(),
        )
        self.observation_index = {"m_protein": 0}


def test_values_under_the_limit_stand_at_it_and_their_share_is_compared(made):
    observed = np.maximum(made.simulated[3], 19.0)
    flags = np.where(made.simulated[3] < 19.0, "left", "none")
    labs = made.labs.assign(observed=observed, limit_flag=flags)
    table = vpc(Replicates(FakeModel(19.0), labs, made.simulated, 0.0), "m_protein", bins=1).set_index("line")
    assert table.loc["10", "observed"] == 19.0 and table.loc["10", "low"] == 19.0
    assert table.loc["below limit", "observed"] == pytest.approx((flags == "left").mean())
    assert table.loc["below limit", "low"] < table.loc["below limit", "observed"] < table.loc["below limit", "high"]


def test_values_over_an_upper_limit_stand_at_it(made):
    """Labs right-censored at 21: simulated values beyond it had stood where they were, and the 90th percentile off."""
    values, failed = made.simulated[3], made.simulated[:300].copy()
    flags = np.where(values > 21.0, "right", "none")
    labs = made.labs.assign(observed=np.minimum(values, 21.0), limit_flag=flags)
    table = vpc(Replicates(FakeModel(None), labs, failed, 0.0), "m_protein", bins=1).set_index("line")
    assert (flags == "right").mean() > 0.15 and list(table.index) == ["10", "50", "90"]
    assert table.loc["90", "observed"] == table.loc["90", "low"] == table.loc["90", "high"] == 21.0
    uncapped = vpc(replace_observed(replace(made, simulated=failed), values), "m_protein", bins=1).set_index("line")
    assert table.loc["10", "low"] == uncapped.loc["10", "low"]
    further = labs.assign(
        observed=np.where(flags == "none", values, 21.0) + np.where(np.arange(len(labs)) == 0, 9.0, 0.0)
    )
    further.loc[0, "limit_flag"] = "none"
    found = vpc(Replicates(FakeModel(None), further, failed, 0.0), "m_protein", percentiles=(100.0,), bins=1)
    # a lab that lies beyond the others' limit stands there too: a limit of its own would be chosen by its value
    assert found["observed"][0] == found["low"][0] == found["high"][0] == 21.0
    failed[:, :-40] = np.nan
    both = labs.assign(observed=np.clip(values, 19.0, 21.0), limit_flag=np.where(values < 19.0, "left", flags))
    table = vpc(Replicates(FakeModel(19.0), both, failed, 0.0), "m_protein", percentiles=(50.0,), bins=1)
    assert 19.0 < table["median"][0] < 21.0


def limited(made, seed, own, *, say="all", laboratory=""):
    """Labs of one replicate under limits `own`; say : "all", or "censored" where measured labs do not say theirs."""
    flags = np.where(made.simulated[seed] < own, "left", "none")
    said = np.where((flags == "left") | (say == "all"), own, np.nan)
    labs = made.labs.assign(observed=np.maximum(made.simulated[seed], own), limit_flag=flags)
    return Replicates(FakeModel(20.0), labs.assign(limit=said, laboratory=laboratory), made.simulated[::5], 0.0)


LABORATORIES = np.where(np.arange(160) % 2, "A", "B")
TWO_LIMITS = np.where(LABORATORIES == "A", 17.0, 21.0)


@pytest.mark.parametrize(
    "how", [{}, {"say": "censored"}, {"say": "censored", "laboratory": LABORATORIES}], ids=("own", "unsaid", "by name")
)
def test_a_right_model_passes_whatever_labs_say_of_two_limits(made, how):
    """Limits had been guessed from other labs, by the value of the lab: a right model expected other shares."""
    held, p = [], []
    for seed in range(15):
        found = limited(made, seed, TWO_LIMITS, **how)
        table = vpc(found, "m_protein", percentiles=(10.0, 50.0), bins=1).set_index("line")
        assert "below limit" in table.index
        held.append((table["observed"] >= table["low"]) & (table["observed"] <= table["high"]))
        p.append(npde_tests(npde(replace(found, simulated=made.simulated), "m_protein", random_seed=seed))["p"])
    assert np.mean(held, axis=0).min() > 0.7 and np.mean(np.array(p) < 0.05) <= 0.27


def test_the_limit_of_a_lab_is_its_own_limit_of_quantification_and_of_a_finding_its_sensitivity():
    measured, found = SimpleNamespace(findings=()), SimpleNamespace(findings=("negative", "positive"))
    lab = lambda value, kind="none", limit=None: Lab("a", "y", 1.0, value, 1.0, kind, limit)  # noqa: E731
    said = [lab(5.0, limit=0.5), lab(0.5, "left", 0.5), lab(5.0), lab(90.0, "right", 90.0), lab(1.0, "interval", 2.0)]
    assert [_own_limit(measured, one) for one in said] == pytest.approx([0.5, 0.5, *[np.nan] * 3], nan_ok=True)
    assert _own_limit(found, lab(1e-5, "right", 1e-5)) == 1e-5  # positive: not below it


def test_labs_that_say_their_limit_have_no_other(made):
    """The usual limit of the model is 20, and an assay that measures below it says so."""
    table = vpc(limited(made, 0, np.full(160, 2.0)), "m_protein", bins=1).set_index("line")
    assert table.loc["below limit", ["observed", "low", "median", "high"]].tolist() == [0.0] * 4
    assert table.loc["10", "observed"] == np.percentile(made.simulated[0], 10)


def test_the_usual_limit_stands_where_labs_say_none_and_none_lies_below_it(made):
    silent = limited(made, 0, np.full(160, -50.0))
    silent = replace(silent, labs=silent.labs.drop(columns=["limit", "laboratory"]))
    assert "below limit" not in set(vpc(silent, "m_protein")["line"])  # values below 20: it is no limit here
    above = replace(silent, labs=silent.labs.assign(observed=np.maximum(silent.labs["observed"], 20.5)))
    table = vpc(above, "m_protein", bins=1).set_index("line")
    assert table.loc["below limit", "observed"] == 0.0 and table.loc["below limit", "low"] > 0.3


def test_one_diluted_sample_does_not_set_the_limit_of_all(made):
    own = np.where(np.arange(160) == 3, 60.0, 17.0)
    table = vpc(limited(made, 0, own, say="censored"), "m_protein", bins=1).set_index("line")
    assert table.loc["50", "observed"] == pytest.approx(np.median(made.simulated[0]), abs=0.5)


def test_solves_that_failed_are_in_no_share(made):
    """A fifth of the solves fail: the expected share below the limit had been a fifth lower."""
    found = limited(made, 0, np.full(160, 20.0))
    failed = found.simulated.copy()
    failed[:, ::5] = np.nan
    all_of_them, rest = (
        vpc(replace(found, simulated=s), "m_protein", bins=1).set_index("line") for s in (found.simulated, failed)
    )
    assert rest.loc["below limit", "median"] == pytest.approx(all_of_them.loc["below limit", "median"], abs=0.03)


def test_solves_that_failed_are_in_no_share_of_a_category():
    labs = pd.DataFrame({"patient": np.arange(100), "lab_id": "", "output": "m_protein", "time": 1.0})
    labs = labs.assign(observed=np.arange(100) % 2, limit_flag="none", scale="natural", pred=1.0)
    simulated = np.random.default_rng(1).integers(0, 2, (200, 100)).astype(float)
    simulated[:, ::5] = np.nan
    model = FakeModel(None)
    model.observations[0].discrete, model.observations[0].distribution = True, SimpleNamespace(values=(0, 1))
    table = vpc(Replicates(model, labs, simulated, 0.0), "m_protein", bins=1)
    assert table["median"].to_numpy() == pytest.approx([0.5, 0.5], abs=0.02)


def test_labs_before_the_first_dose_are_counted_where_the_time_is_since_a_dose(made):
    since = np.where(np.arange(160) < 7, np.nan, made.labs["time"])
    table = vpc(replace(made, labs=made.labs.assign(since_dose=since)), "m_protein", time="since_dose", bins=1)
    assert table.attrs["no_dose"] == 7 and table["labs"].iloc[0] == 153


def test_replicates_over_an_upper_limit_are_drawn_anew_for_measured_labs_too():
    """Two labs that hang together, one measured and one over 1: where both are over it they must no longer do so."""
    z = np.random.default_rng(1).multivariate_normal([0.0, 0.0], [[1.0, 0.95], [0.95, 1.0]], 4000)
    nothing = np.full(2, np.nan)
    limits = Limits(nothing, np.ones(2), np.array([False, False]), np.array([False, True]))
    y, drawn = _imputed(np.array([0.3, 1.0]), nothing, z, limits, np.random.default_rng(2))
    both = (z > 1.0).all(axis=1)
    assert np.corrcoef(z[both].T)[0, 1] > 0.7 and abs(np.corrcoef(drawn[both].T)[0, 1]) < 0.15
    assert (drawn > 1.0).tolist() == (z > 1.0).tolist() and (drawn[z < 1.0] == z[z < 1.0]).all()
    assert y[0] == 0.3 and y[1] > 1.0
    labs = pd.DataFrame({"output": "m_protein", "observed": [0.3, 1.0], "limit_flag": ["none", "right"]})
    found = limits_of(Replicates(FakeModel(None), labs, z, 0.0))
    assert found.upper.tolist() == [1.0, 1.0] and found.above.tolist() == [False, True]


def test_npde_are_the_whitened_values_of_the_closed_form(known, made):
    table = npde(made, "m_protein", random_seed=1)
    level, omega = (float(known.posterior[name][0, 0]) for name in ("level_pop", "omega_level"))
    covariance = omega**2 * np.ones((4, 4)) + 1.5**2 * np.eye(4)
    y = made.labs["observed"].to_numpy().reshape(40, 4)
    exact = np.linalg.solve(np.linalg.cholesky(covariance), (y - level).T).T
    assert np.corrcoef(table["npde"].to_numpy(), exact.ravel())[0, 1] > 0.99
    assert table["npde"].to_numpy() == pytest.approx(exact.ravel(), abs=0.5)


def test_the_tests_pass_on_the_population_and_fail_on_a_bias_a_wrong_spread_and_a_wrong_limit(made):
    fair = []
    for s in range(20):
        own = replace_observed(made, made.simulated[s])
        fair.append(npde_tests(npde(own, "m_protein", random_seed=s))["p"])
    assert np.mean(np.array(fair) < 0.05) <= 0.2 and np.median(fair) > 0.15
    biased = npde_tests(npde(replace_observed(made, made.simulated[0] + 1.5), "m_protein", random_seed=1))
    assert biased["p_mean"] < 1e-3 and biased["mean"] > 0.2
    wide = made.simulated[0] + 1.5 * np.random.default_rng(1).standard_normal(160)
    assert npde_tests(npde(replace_observed(made, wide), "m_protein", random_seed=1))["p_variance"] < 1e-3
    flags = np.where(made.simulated[2] < 20.0, "left", "none")
    limited = made.labs.assign(observed=np.maximum(made.simulated[2], 20.0), limit_flag=flags)
    right = npde_tests(npde(Replicates(made.model, limited, made.simulated, 0.0), "m_protein", random_seed=1))
    assert right["p"] > 0.01
    turned = limited.assign(limit_flag=np.where(flags == "left", "right", "none"))
    wrong = npde_tests(npde(Replicates(made.model, turned, made.simulated, 0.0), "m_protein", random_seed=1))
    assert wrong["p"] < 1e-4


@pytest.mark.parametrize("limit", [17.0, 20.0, 24.0])
def test_censoring_leaves_npde_standard_normal(made, limit):
    """From a tenth to nearly all labs under the limit, of cohorts that are replicates themselves."""
    variances, p = [], []
    for seed in range(15):
        flags = np.where(made.simulated[seed] < limit, "left", "none")
        labs = made.labs.assign(observed=np.maximum(made.simulated[seed], limit), limit_flag=flags)
        found = npde_tests(npde(Replicates(made.model, labs, made.simulated, 0.0), "m_protein", random_seed=seed))
        variances.append(found["variance"])
        p.append(found["p"])
    assert np.mean(variances) == pytest.approx(1.0, abs=0.1) and np.mean(np.array(p) < 0.05) <= 0.27


def between(made, seed, width):
    """Labs of one replicate known only to lie between two multiples of `width`."""
    low = np.floor(made.simulated[seed] / width) * width
    labs = made.labs.assign(observed=low, observed_to=low + width, limit_flag="interval")
    return Replicates(made.model, labs, made.simulated, 0.0)


def test_intervals_leave_npde_standard_normal_and_would_not_if_taken_for_their_lower_end(made):
    found = [npde_tests(npde(between(made, seed, 6.0), "m_protein", random_seed=seed)) for seed in range(12)]
    assert np.mean([one["variance"] for one in found]) == pytest.approx(1.0, abs=0.1)
    assert np.mean([one["p"] < 0.05 for one in found]) <= 0.27
    coarse = between(made, 1, 6.0)
    wrong = replace(coarse, labs=coarse.labs.assign(limit_flag="none"))
    assert npde_tests(npde(wrong, "m_protein", random_seed=1))["p"] < 1e-4


def test_bands_hold_labs_known_to_lie_between_two_limits_and_not_their_lower_ends(made):
    held, wrong = [], []
    for seed in range(8):
        coarse = replace(between(made, seed, 4.0), simulated=made.simulated[::10])
        taken = replace(coarse, labs=coarse.labs.assign(limit_flag="none"))
        for tables, found in ((held, coarse), (wrong, taken)):
            table = vpc(found, "m_protein")
            tables.append(((table["observed"] >= table["low"]) & (table["observed"] <= table["high"])).mean())
    assert np.mean(held) > 0.85 and np.mean(wrong) < 0.4


def test_many_labs_of_a_patient_leave_the_variance_at_one():
    """30 patients of 25 labs that hang together; whitened with the replicates they are ranked among, it was 1.1."""
    rng, n, patients = np.random.default_rng(8), 25, 30
    spread = np.linalg.cholesky(0.8 * np.ones((n, n)) + 0.2 * np.eye(n))
    count, variances, p = replicates_needed(n), [], []
    labs = pd.DataFrame({"patient": np.repeat(np.arange(patients), n), "lab_id": "", "output": "m_protein"})
    labs = labs.assign(time=np.tile(np.arange(n), patients), limit_flag="none", scale="natural", pred=1.0)
    for seed in range(8):
        drawn = np.concatenate([rng.standard_normal((count + 1, n)) @ spread.T for _ in range(patients)], axis=1)
        found = Replicates(FakeModel(None), labs.assign(observed=drawn[0]), drawn[1:], 0.0)
        tests = npde_tests(npde(found, "m_protein", random_seed=seed))
        variances.append(tests["variance"])
        p.append(tests["p"])
    assert np.mean(variances) == pytest.approx(1.0, abs=0.05) and np.mean(np.array(p) < 0.05) <= 0.4


def test_few_labs_are_not_tested(made):
    one = Replicates(made.model, made.labs[:2].reset_index(drop=True), made.simulated[:, :2], 0.0)
    assert np.isnan(npde_tests(npde(one, "m_protein", random_seed=1))["p"])


def test_too_few_replicates_and_an_unknown_output_are_refused(made):
    few = Replicates(made.model, made.labs, made.simulated[:20], 0.0)
    with pytest.raises(FitError, match="patient C-0: .*too few replicates.*20 replicates, 4 labs.*at least 100"):
        npde(few, "m_protein", random_seed=1)
    with pytest.raises(FitError, match="no lab of this output.*m_protein"):
        made.of("x")


def test_shrinkage_is_one_less_the_spread_of_the_means_over_omega(population):
    effects = np.linspace(-1.5, 1.5, 13)
    cohort = Cohort(
        tuple(replace(r, covariates={"age_years": 60.0 + 5 * e, "sex": "f" if k % 2 else "m"})
              for k, (r, e) in enumerate(zip(cohort_of(effects), effects)))
    )  # fmt: skip
    fit = fitted_with(population, cohort, effects)
    found = random_effects(fit, cohort, draws=100)
    own = found[found["parameter"] == "level"]
    assert own["mean"].to_numpy() == pytest.approx(effects, abs=0.05)
    assert own["sd"].to_numpy() == pytest.approx(0.1, abs=0.03)
    omega = float(fit.posterior["omega_level"].mean())
    row = shrinkage(fit, found).set_index("parameter").loc["level"]
    assert row["shrinkage_sd"] == pytest.approx(1 - effects.std(ddof=1) / omega, abs=0.02)
    assert row["shrinkage_variance"] == pytest.approx(1 - effects.var(ddof=1) / omega**2, abs=0.03)
    beside = against_covariates(found, cohort).set_index(["parameter", "covariate"])
    assert beside.loc[("level", "age_years"), "p_adjusted"] < 1e-4 and beside.loc[("level", "sex"), "p_adjusted"] > 0.05
    with pytest.raises(FitError, match="kept no individual parameters"):
        random_effects(population, cohort)


def test_the_command_writes_tables_and_figures(population, tmp_path):
    tree = population.tree.copy()
    tree.attrs.update(method="variational", method_note="made up", verdict="approximate", diagnostics="MADE UP")
    PopulationPosterior(population.model, tree).save(tmp_path / "population.nc")
    rows = [f"{r.key},{lab.time:g},m_protein,{lab.value:.3f},g/L" for r in cohort_of(levels_of(12)) for lab in r.labs]
    (tmp_path / "labs.csv").write_text("patient,time,output,value,unit\n" + "\n".join(rows) + "\n")
    words = [
        "check-fit",
        "--population",
        "population.nc",
        "--model",
        str(population.model.folder),
        "--labs",
        "labs.csv",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        answer = CliRunner().invoke(app, [*words, "--out", "out", "--replicates", "200"])
    assert answer.exit_code == 0, answer.output
    assert "m_protein: VPC" in answer.output and "no random effects" in answer.output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    pictures = {f"{name}_m_protein.png" for name in ("vpc", "npde", "spaghetti")}
    assert names == pictures | {"vpc_m_protein.csv", "npde_m_protein.csv"}
