"""Marginal likelihood of each patient against its closed form, leave-one-patient-out against fitting anew, stacking."""

import json
from types import SimpleNamespace

import arviz_stats
import jax
import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from typer.testing import CliRunner

from bayestwin.cli import app
from bayestwin.errors import FitError
from bayestwin.evaluation import fit_comparison
from bayestwin.evaluation.fit_comparison import _notes, _same_data, compare_fits
from bayestwin.evaluation.patient_log_likelihood import _log_priors, patient_log_likelihood
from bayestwin.population import PopulationPosterior
from bayestwin.population.posterior import patient_mark
from bayestwin.records import ClinicalEvent, Cohort, Lab, PatientRecord
from bayestwin.specification import LKJ
from bayestwin.specification.correlation import Block

NOISE = 1.5


def patients(n=8, seed=3):
    rng, found = np.random.default_rng(seed), []
    for k in range(n):
        level = 20.0 + 2.0 * rng.standard_normal()
        labs = [
            Lab(f"m@{t}", "m_protein", float(t), level + NOISE * rng.standard_normal(), float(t)) for t in (1, 2, 3)
        ]
        found.append(PatientRecord(f"P-{k}", labs=tuple(labs)))
    return Cohort(tuple(found))


def exact(population, record):
    """ln p(y | draw): Normal with a common level of variance omega^2 (an untreated patient)."""
    draws = population.posterior
    y = np.array([lab.value for lab in record.labs])
    found = []
    for mean, omega in zip(draws["level_pop"].values.ravel(), draws["omega_level"].values.ravel()):
        covariance = omega**2 * np.ones((len(y), len(y))) + NOISE**2 * np.eye(len(y))
        found.append(stats.multivariate_normal(np.full(len(y), mean), covariance).logpdf(y))
    return np.array(found)


@pytest.fixture(scope="module")
def found(population):
    return patient_log_likelihood(population, patients(), random_seed=1, draws=100, points=400)


def test_every_patient_and_draw_has_the_integral_of_the_closed_form(population, found):
    own = found["log_likelihood"]["patient_record"].transpose("patient", "chain", "draw").values.reshape(8, -1)
    gaps = np.array([own[k] - exact(population, record) for k, record in enumerate(patients())])
    error = 1 / np.sqrt(found["importance"]["ess"].values)  # of one integral; the draws of a patient share its points
    assert (np.abs(gaps.mean(axis=1)) < 3.5 * error).all() and (gaps.std(axis=1) < 1.5 * error).all()
    assert abs(gaps.mean()) < 0.07
    assert (found["importance"]["ess"].values > 40).all()


def test_response_classes_are_summed(population):
    """Under the drug the level is a mixture of two: with the effect, and without."""
    record = patients(1)[next(iter(patients(1).keys))]
    start = ClinicalEvent("line_of_therapy", 0.5, 0.5, "drug")
    treated = PatientRecord("T-1", labs=record.labs, events=(start,))
    own = patient_log_likelihood(population, Cohort((treated,)), random_seed=1, draws=100, points=600)
    values = own["log_likelihood"]["patient_record"].values.ravel()
    draws, y = population.posterior, np.array([lab.value for lab in record.labs])
    expected = []
    names = ("level_pop", "omega_level", "effect_pop", "no_effect_pop", "p_none_pop")
    for m in range(100):
        mean, omega, effect, none, p = (draws[name].values.ravel()[m] for name in names)
        parts = []
        for share, shift, spread in ((1 - p, effect, 1.0), (p, none, 0.0)):
            covariance = (omega**2 + spread**2) * np.ones((3, 3)) + NOISE**2 * np.eye(3)
            parts.append(np.log(share) + stats.multivariate_normal(np.full(3, mean - shift), covariance).logpdf(y))
        expected.append(np.logaddexp(*parts))
    assert np.abs(values - expected).mean() < 0.12 and np.corrcoef(values, expected)[0, 1] > 0.99


def test_arviz_leaves_patients_out(population, found):
    loo = arviz_stats.loo(found, pointwise=True)
    by_hand = sum(-np.log(np.mean(np.exp(-exact(population, record)))) for record in patients())
    assert loo.elpd == pytest.approx(by_hand, abs=1.0) and loo.pareto_k.shape == (8,)


def moved(population, shift):
    """The population with every level moved."""
    tree = population.tree.copy(deep=True)
    draws = tree["posterior"].to_dataset()
    draws["level_pop"] = draws["level_pop"] + shift
    tree["posterior"] = type(tree)(draws)
    tree.attrs.update(method="variational", method_note="made up", verdict="approximate", diagnostics="MADE UP")
    return PopulationPosterior(population.model, tree)


def test_the_command_puts_the_right_fit_first_and_names_what_hangs_on_its_prior(population, tmp_path):
    for name, shift in (("right", 0.0), ("wrong", 6.0)):
        moved(population, shift).save(tmp_path / f"{name}.nc")
    rows = [f"{r.key},{lab.time:g},m_protein,{lab.value:.3f},g/L" for r in patients(5) for lab in r.labs]
    (tmp_path / "labs.csv").write_text("patient,time,output,value,unit\n" + "\n".join(rows) + "\n")
    words = ["--model", str(population.model.folder), "--labs", "labs.csv", "--draws", "100", "--points", "100"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        answer = CliRunner().invoke(app, ["compare-fits", "wrong.nc", "right.nc", *words, "--out", "out"])
        twice = CliRunner().invoke(app, ["compare-fits", "right.nc", "right.nc", *words, "--out", "out"])
        with (tmp_path / "labs.csv").open("a", encoding="utf-8") as labs:
            labs.write("P-1,999,no_such_lab,1,g/L\n")
        refused = CliRunner().invoke(app, ["compare-fits", "right.nc", *words, "--out", "again"])
        (tmp_path / "labs.csv").write_text("patient,time,output,value,unit\n", encoding="utf-8")
        empty = CliRunner().invoke(app, ["compare-fits", "right.nc", *words, "--out", "none"])
    assert answer.exit_code == 0, answer.output
    table = pd.read_csv(tmp_path / "out" / "comparison.csv").set_index("fit")
    assert list(table.index) == ["right", "wrong"] and table.loc["right", "weight"] > 0.9
    assert table.loc["wrong", "elpd_diff"] * np.sign(table.loc["wrong", "elpd_diff"]) > 2 * table.loc["wrong", "dse"]
    by_patient = pd.read_csv(tmp_path / "out" / "patients.csv")
    assert (
        by_patient["elpd right"].sum() == pytest.approx(table.loc["right", "elpd"], abs=1e-6) and len(by_patient) == 5
    )
    assert (
        "wrong: prior sensitivity of" in answer.output and (tmp_path / "out" / "prior_sensitivity_right.csv").is_file()
    )
    assert twice.exit_code == 2 and "not all different" in twice.output
    assert refused.exit_code == 1 and "no_such_lab" in refused.output and (tmp_path / "again/comparison.csv").is_file()
    assert empty.exit_code == 3 and "Nothing usable: no lab was accepted." in empty.output
    assert not (tmp_path / "none").exists()


def stands_for(*outputs):
    """A fit as far as the check of its labs looks at it; outputs : (name, unit, names of those it is derived from)."""
    named = [dict(zip(("output", "unit", "derived_from"), one), derived_within=0.5) for one in outputs]
    index = {one["output"]: k for k, one in enumerate(named)}
    observations = tuple(SimpleNamespace(**one) for one in named)
    named = {"observations": observations, "observation_index": index, "progression": None, "time_unit": "day"}
    return SimpleNamespace(model=SimpleNamespace(**named))


def test_fits_that_learnt_from_other_labs_of_the_same_rows_are_not_compared():
    """One model derives the change from the marker and leaves it out, the other learns from both."""
    record = patients(1)[next(iter(patients(1).keys))]
    cohort = Cohort((record.with_labs((*record.labs, Lab("d@2", "change", 2.0, -1.0, 2.0))),))
    marker = ("m_protein", "g/L", ())
    one = stands_for(marker, ("change", "g/L", ()))
    two = stands_for(marker, ("change", "g/L", ("m_protein",)))
    with pytest.raises(FitError, match="change in g/L at 2 is read by one alone.*derived from the same others"):
        compare_fits({"one": one, "two": two}, {"one": cohort, "two": cohort}, random_seed=1)


@pytest.mark.parametrize(
    ("hazards", "events", "says"),
    [
        ({"death_hazard": "death"}, ("death",), "death at 200 is read by two alone"),
        ({"death_hazard": "death"}, (), "survival at 3 is read by two alone"),
        ({"progression_hazards": ("other",)}, ("assessed",), "freedom from a progression.* at 200 is read by two"),
        ({"progression_hazards": ("other",)}, ("progression",), "a progression that is not.* at 200 is read by two"),
        ({"progression_hazards": ("other",)}, ("death",), None),
    ],
)
def test_fits_of_which_one_scores_events_are_not_compared(hazards, events, says):
    """Both had been compared on their labs alone, while the density of one held the death too."""
    (record,) = patients(1)
    record = PatientRecord(
        record.key, record.labs, events=tuple(ClinicalEvent(e, 200.0, 200.0, "imaging") for e in events)
    )
    fits = {"one": stands_for(("m_protein", "g/L", ())), "two": stands_for(("m_protein", "g/L", ()))}
    endpoint = {"death_hazard": None, "death_hazards": (), "progression_hazards": (), "way_of": lambda *_: None}
    fits["two"].model.progression = SimpleNamespace(**(endpoint | hazards))
    cohorts = dict.fromkeys(fits, Cohort((record,)))
    if says is None:
        return _same_data(fits, cohorts)
    with pytest.raises(FitError, match=says + ".*whose hazards are of the same events"):
        _same_data(fits, cohorts)


def test_patients_whom_the_fit_has_not_learnt_from_are_scored_without_weights_and_named(population, monkeypatch):
    """Importance weights take out of the draws a patient who was never in them: the far one's score was too low."""
    tree, cohort = population.tree.copy(), patients()
    fitted = [patient_mark(record) for record in cohort][:-2]
    tree.attrs.update(fitted_patients=json.dumps([*fitted, "somebody else"]), fitted_records="{}")
    values = np.array([exact(population, record) for record in cohort])
    values[:-1], values[-1] = (
        0.5 * values[:-1],
        4.0 * values[-1],
    )  # far from the others: draws differ in what they say of it
    data = {"patient_record": (("patient", "chain", "draw"), values[:, None])}
    groups = {
        "posterior": population.tree["posterior"].to_dataset(),
        "log_likelihood": xr.Dataset(data, {"patient": [r.key for r in cohort]}),
        "importance": xr.Dataset({"ess": ("patient", [90.0] * 7 + [12.0])}, {"patient": [r.key for r in cohort]}),
    }
    monkeypatch.setattr(fit_comparison, "patient_log_likelihood", lambda *_, **__: xr.DataTree.from_dict(groups))
    monkeypatch.setattr(arviz_stats, "psense_summary", lambda *_: None)
    fit = PopulationPosterior(population.model, tree)
    found = compare_fits({"fit": fit}, {"fit": cohort}, random_seed=1)
    elpd = found.khat["elpd fit"].to_numpy()
    assert elpd[-2:] == pytest.approx(np.log(np.exp(values[-2:]).mean(axis=1)))
    weighted = arviz_stats.loo(xr.DataTree.from_dict(groups), pointwise=True)
    assert elpd[:-2] == pytest.approx(weighted.elpd_i.values[:-2]) and elpd[-1] > weighted.elpd_i.values[-1] + 0.05
    row = found.table.iloc[0]
    assert row["elpd"] == pytest.approx(elpd.sum()) and row["se"] == pytest.approx(np.sqrt(8) * elpd.std())
    assert row["good_k"] == pytest.approx(1 - 1 / np.log10(100)) and row["khat_above"] == 0
    assert found.notes["fit"] == (
        "not fitted on P-6, P-7: scored as patients to come, without importance weights",
        "1 of 7 fitted patients are not in these files and have no score",
        "fewer than 25 effective points for P-7: ask for more points",
    )


def test_k_hat_is_judged_by_the_number_of_draws(population):
    """At 200 draws the estimate is not to be trusted above 0.57, not 0.7."""
    (note,) = _notes(population, patients(2), [], ["P-1"], 0.5654, [])
    assert note.startswith("k-hat above 0.57 for P-1: their score is not to be trusted")


def test_fits_that_speak_of_other_labs_or_units_are_not_compared():
    with pytest.raises(
        FitError, match="patient P-0, one and two: .*m_protein in g/L at 1 is read by one alone.*same names and units"
    ):
        compare_fits(
            {"one": stands_for(("m_protein", "g/L", ())), "two": stands_for(("m_protein", "g/dL", ()))},
            {"one": patients(1), "two": patients(1)},
            random_seed=1,
        )


def test_the_prior_of_a_correlation_is_lkj_and_sites_with_other_priors_are_named(monkeypatch):
    monkeypatch.setattr("bayestwin.evaluation.patient_log_likelihood.hyper_sites", lambda model: {})
    factor, prior = np.array([[[[1.0, 0.0], [r, np.sqrt(1 - r**2)]] for r in (-0.5, 0.2, 0.9)]]), 3.0
    block = Block("correlation_cholesky", "correlation", LKJ(over=("a", "b"), concentration=prior), ((0, 1),))
    model = SimpleNamespace(correlation_blocks=(block,))
    data = {"correlation_cholesky": (("chain", "draw", "parameter_a", "parameter_b"), factor)}
    given = SimpleNamespace(model=model, attributes={"other_priors": '{"k_pop": "Normal(0, 1)"}'})
    own = _log_priors(given, data)
    with jax.enable_x64(True):
        lkj = np.array(dist.LKJ(2, prior).log_prob(factor @ np.swapaxes(factor, -1, -2)))
    gap = own["correlation"].values - lkj
    assert own["correlation"].dims == ("chain", "draw") and np.ptp(gap) < 1e-6 and np.ptp(lkj) > 1
    assert own.attrs["without"] == "k_pop"
    given.attributes["other_priors"] = '{"correlation": "LKJ(1)"}'
    assert "correlation" not in _log_priors(given, data)


def test_priors_of_the_draws_are_there_and_arviz_says_what_hangs_on_them(population, found):
    own = found["log_prior"]
    level = found["posterior"]["level_pop"].values
    assert own["level_pop"].values == pytest.approx(stats.norm(20.0, 1.0).logpdf(level), abs=1e-6)
    omega = found["posterior"]["omega_level"].values
    assert own["omega_level"].values == pytest.approx(stats.halfnorm(scale=2.0).logpdf(omega), abs=1e-6)
    table = arviz_stats.psense_summary(found, var_names=["level_pop"])
    assert {"prior", "likelihood"} <= set(table.columns)
