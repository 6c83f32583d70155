"""PRED, IPRED, IWRES, individual courses and covariate effects against closed forms; the figures show what is there."""

from dataclasses import replace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from level_cohorts import cohort_of, fitted_with
from scipy import stats
from typer.testing import CliRunner

from bayestwin.cli import app
from bayestwin.errors import FitError
from bayestwin.evaluation.covariate_effects import covariate_effects
from bayestwin.evaluation.goodness_of_fit import goodness_of_fit, individual_courses, normal_score
from bayestwin.plots.goodness_of_fit import (
    plot_covariate_effects,
    plot_goodness_of_fit,
    plot_individual_fits,
    plot_observed_predicted,
    plot_residuals,
    plot_spaghetti,
)
from bayestwin.population import PopulationPosterior
from bayestwin.population.prior import prior_population
from bayestwin.records import ClinicalEvent, Cohort, PatientRecord
from bayestwin.specification import load_model

matplotlib.use("agg")
EFFECTS = np.linspace(-3.0, 3.0, 6)


@pytest.fixture(scope="module")
def cohort():
    """Six patients; one lab is below a limit, and the last patient starts the drug on day 3."""
    records = [*cohort_of(20.0 + EFFECTS)]
    censored = replace(records[0].labs[1], value=19.0, censoring="left", limit=19.0)
    records[0] = replace(records[0], labs=(records[0].labs[0], censored, *records[0].labs[2:]))
    start = ClinicalEvent("line_of_therapy", 3.0, 3.0, "drug")
    records[-1] = replace(records[-1], events=(start,))
    return Cohort(tuple(records))


@pytest.fixture(scope="module")
def fit(population, cohort):
    return fitted_with(population, cohort, EFFECTS)


@pytest.fixture(scope="module")
def table(fit, cohort):
    return goodness_of_fit(fit, cohort, draws=100)


def own_levels(fit, key):
    return fit.individual_draws(PatientRecord(key))


def test_pred_is_the_typical_patient_and_ipred_the_posterior_mean_of_the_patient_s_own(fit, cohort, table):
    for key in cohort.keys[:-1]:
        mine = table[table["patient"] == key]
        assert mine["pred"].to_numpy() == pytest.approx(float(fit.posterior["level_pop"].mean()), abs=1e-9)
        assert mine["ipred"].to_numpy() == pytest.approx(own_levels(fit, key)[:, 0].mean(), abs=1e-9)


def test_iwres_are_residuals_over_the_residual_sd_and_a_censored_lab_has_none(table):
    flagged = table["limit_flag"] != "none"
    assert flagged.sum() == 1 and table.loc[flagged, "iwres"].isna().all()
    rest = table[~flagged]
    assert rest["iwres"].to_numpy() == pytest.approx((rest["observed"] - rest["ipred"]) / 1.5, abs=1e-9)


def test_after_a_treatment_each_response_class_counts_by_its_chance_given_the_labs(fit, cohort, table):
    record, draws = cohort["C-5"], fit.posterior.stack(sample=("chain", "draw"))
    level, effect = own_levels(fit, "C-5").T
    falls = np.stack([effect, draws["no_effect_pop"].values])  # responder, non-responder
    p_none, later = draws["p_none_pop"].values, [lab for lab in record.labs if lab.time > 3.0]
    joint = np.log(np.stack([1.0 - p_none, p_none]))
    joint = joint + sum(stats.norm.logpdf(lab.value, level - falls, 1.5) for lab in later)
    share = np.exp(joint - joint.max(axis=0))
    share = share / share.sum(axis=0)
    mine = table[table["patient"] == "C-5"]
    after = mine[mine["time"] > 3.0]
    assert after["ipred"].to_numpy() == pytest.approx((share * (level - falls)).sum(axis=0).mean(), abs=1e-6)
    before_any_lab = (draws["level_pop"] - (1 - p_none) * draws["effect_pop"] - p_none * draws["no_effect_pop"]).mean()
    assert after["pred"].to_numpy() == pytest.approx(float(before_any_lab), abs=1e-6)


def test_an_individual_course_is_the_posterior_of_the_latent_value(fit, cohort):
    course = individual_courses(fit, cohort["C-1"], "m_protein", times=[0.5, 4.0, 8.0], draws=100)
    level = own_levels(fit, "C-1")[:, 0]
    assert list(course["time"]) == [0.5, 4.0, 8.0]
    assert course["ipred"].to_numpy() == pytest.approx(level.mean(), abs=1e-9)
    for name, share in (("low", 0.1), ("high", 0.9)):
        assert course[name].to_numpy() == pytest.approx(np.quantile(level, share), abs=1e-9)


@pytest.mark.parametrize("x", [-30.0, -2.0, 0.0, 0.7, 8.0])
def test_a_student_residual_is_read_as_a_normal_score(x):
    assert normal_score(x, None) == x
    exact = stats.norm.isf(stats.t.sf(abs(x), 5)) * np.sign(x)
    assert normal_score(x, 5) == pytest.approx(exact, rel=1e-9, abs=1e-12)


def test_a_fit_without_its_individuals_says_what_to_do(population, cohort):
    with pytest.raises(FitError, match="kept no individual parameters.*keep-individuals"):
        goodness_of_fit(population, cohort)


@pytest.fixture(scope="module")
def forest():
    weights = np.linspace(50.0, 90.0, 41)
    people = Cohort(tuple(PatientRecord(f"P{k}", covariates={"weight_kg": w}) for k, w in enumerate(weights)))
    population = prior_population(load_model("theophylline"), draws=4000, random_seed=1)
    return covariate_effects(population, people, draws=4000)


def test_covariate_effects_are_the_power_law_at_the_percentiles_of_the_patients(forest):
    """CL * (weight / 70) ** exponent with exponent 0.75 (0.2): quantiles in closed form."""
    mine = forest[(forest["parameter"] == "CL") & (forest["covariate"] == "weight_kg")].set_index("value")
    assert list(mine.index) == [52.0, 88.0] and set(mine["kind"]) == {"ratio"} and set(mine["patients"]) == {41}
    for weight, row in mine.iterrows():
        middle = (weight / 70) ** 0.75
        assert row["median"] == pytest.approx(middle, rel=0.01)
        ends = sorted((weight / 70) ** (0.75 + 0.2 * z) for z in (-1.645, 1.645))
        assert [row["low_90"], row["high_90"]] == pytest.approx(ends, rel=0.02)


def test_too_few_patients_with_the_covariate_is_an_error(forest):
    population = prior_population(load_model("theophylline"), draws=10, random_seed=1)
    with pytest.raises(FitError, match="no covariate effect.*weight_kg.*at least 5 patients"):
        covariate_effects(population, Cohort((PatientRecord("P", covariates={"weight_kg": 70.0}),)))


def test_the_figures_show_every_lab_the_trend_and_the_limit(fit, cohort, table, forest):
    axes = plot_goodness_of_fit(table, unit="g/L")
    assert axes.shape == (2, 2)
    ax = plot_observed_predicted(table, which="ipred")
    drawn = {line.get_marker(): len(line.get_xdata()) for line in ax.lines if line.get_linestyle() == "None"}
    assert drawn["o"] == len(table) - 1 and drawn["v"] == 1
    straight = pd.DataFrame({"time": np.arange(20.0), "iwres": 0.1 * np.arange(20.0) - 1, "limit_flag": "none"})
    trend = plot_residuals(straight, against="time").lines[-1]
    assert trend.get_ydata() == pytest.approx(0.1 * trend.get_xdata() - 1, abs=1e-6)
    lines = [line for line in plot_spaghetti(table).lines if line.get_linestyle() == "-"]
    assert len(lines) == len(cohort)
    courses = {key: individual_courses(fit, cohort[key], "m_protein", times=[0.0, 9.0]) for key in cohort.keys[:2]}
    assert [ax.get_title(loc="left") for ax in plot_individual_fits(courses, table)] == ["C-0", "C-1"]
    names = [text.get_text() for text in plot_covariate_effects(forest).get_yticklabels()]
    assert names[-1] == f"{forest['parameter'].iloc[0]}: weight_kg = 52.0"


def test_the_command_writes_the_figures_of_a_fit_that_kept_its_individuals_and_of_priors(fit, cohort, tmp_path):
    tree = fit.tree.copy()
    tree.attrs.update(method="variational", method_note="made up", verdict="approximate", diagnostics="MADE UP")
    PopulationPosterior(fit.model, tree).save(tmp_path / "population.nc", keep_individuals=True)
    rows = [f"{r.key},{lab.time:g},m_protein,{lab.value:.3f},g/L" for r in cohort for lab in r.labs]
    (tmp_path / "labs.csv").write_text("patient,time,output,value,unit\n" + "\n".join(rows) + "\n")
    words = ["check-fit", "--model", str(fit.model.folder), "--labs", "labs.csv", "--replicates", "100"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        answer = CliRunner().invoke(app, [*words, "--population", "population.nc", "--out", "out"])
        prior = CliRunner().invoke(app, [*words, "--from-priors", "--out", "prior"])
        both = CliRunner().invoke(app, [*words, "--from-priors", "--population", "population.nc", "--out", "x"])
    assert answer.exit_code == 0, answer.output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    pictures = ("goodness_of_fit_m_protein", "individual_fits_m_protein_1", "spaghetti_m_protein", "eta_level")
    assert {f"{name}.png" for name in pictures} < names and "goodness_of_fit.csv" in names
    assert prior.exit_code == 0 and "priors, no fit" in prior.output, prior.output
    assert {path.name for path in (tmp_path / "prior").iterdir()} == {
        f"{name}_m_protein.{kind}" for name in ("vpc", "npde") for kind in ("csv", "png")
    } | {"spaghetti_m_protein.png"}
    assert both.exit_code == 2
