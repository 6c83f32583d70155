"""The cross-check against a posterior known exactly: it agrees with the right one and tells a wrong one."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from bayestwin.errors import FitError, ModelError
from bayestwin.evaluation import crosscheck as room
from bayestwin.evaluation.crosscheck import Crosscheck, crosscheck, refuse_other_fit
from bayestwin.population import PopulationPosterior
from bayestwin.population.crosscheck import check_sampler, refuse_unsupported
from bayestwin.records import Cohort, Lab, PatientRecord
from bayestwin.records.record import ClinicalEvent
from bayestwin.specification import Fixed, HalfNormal, load_model

LEVELS = '''
"""A level that differs between patients."""
from bayestwin.specification import *

model = Model(
    name="levels", time_unit="day", states=("level",), initial_state=lambda p: {"level": p.level},
    vector_field=lambda t, y, p, u: {"level": 0.0 * y.level}, steps=Linear(),
    parameters=(
        Parameter("level", unit="g/L", scale="identity", typical=Normal(mean=20.0, sd=1.0), between=HalfNormal(sd=2.0),
                  covariates=(Slope("age_years", reference=60, slope=Fixed(value=0.1)),)),
    ),
    outputs={"level": lambda t, y, p, u: y.level},
    observations=(Observation("level", unit="g/L", error=Additive(sd=Fixed(value=1.5)), plausible=(-100.0, 100.0),
                              positive=False),),
)
'''
NOISE = (-1.1, 0.4, 0.9, -0.2, 0.7, -0.7)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "levels"
    folder.mkdir()
    (folder / "model.py").write_text(LEVELS, encoding="utf-8")
    return load_model(folder)


@pytest.fixture(scope="module")
def cohort():
    """Six patients, six labs each."""
    records = []
    for n, level in enumerate((16.5, 18.0, 19.5, 20.5, 22.0, 24.0)):
        labs = tuple(Lab(f"l@{t}", "level", float(t), level + e, float(t)) for t, e in enumerate(NOISE, start=1))
        records.append(PatientRecord(f"L-{n}", labs=labs))
    return Cohort(tuple(records))


def exact_population(model, cohort, *, omega_prior=2.0, count=4000, **attributes):
    """Independent draws of the exact posterior, by quadrature over the typical level and omega."""
    level, omega = np.linspace(14, 26, 601)[:, None], np.linspace(0.01, 12, 1200)[None, :]
    log_p = -0.5 * (level - 20.0) ** 2 - 0.5 * (omega / omega_prior) ** 2
    for record in cohort:
        y = np.array([lab.value for lab in record.labs])
        spread = omega**2 + 1.5**2 / len(y)
        log_p = log_p - 0.5 * np.log(spread) - 0.5 * (y.mean() - level) ** 2 / spread
    p, rng = np.exp(log_p - log_p.max()).ravel(), np.random.default_rng(8)
    row, column = np.unravel_index(rng.choice(p.size, count, p=p / p.sum()), log_p.shape)
    draws = {"level_pop": level[row, 0], "omega_level": omega[0, column]}
    dims = ("chain", "draw")
    data = {name: (dims, values.reshape(4, -1) + 0.005 * rng.uniform(-1, 1)) for name, values in draws.items()}
    stats = {
        "energy": (dims, rng.standard_normal((4, count // 4))),
        "diverging": (dims, np.zeros((4, count // 4), bool)),
    }
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(data), "sample_stats": xr.Dataset(stats)})
    tree.attrs.update({"model_hash": model.hash, "data_hash": cohort.data_hash, "method": "nuts"} | attributes)
    return PopulationPosterior(model, tree)


@pytest.fixture(scope="module")
def found(model, cohort):
    """The cross-check of the exact posterior, in 2 chains; the equations are solved by the wrapped solver."""
    sizes = {"chains": 2, "tune": 200, "draws": 400, "target_accept": 0.9}
    return crosscheck(model, cohort, exact_population(model, cohort), random_seed=3, **sizes)


@pytest.mark.slow
def test_the_pymc_program_agrees_with_the_exact_posterior(found):
    assert found.agrees, found.sentence
    assert found.table["parameter"].tolist() == ["level_pop", "omega_level"]
    assert "AGREE" in found.sentence and "Shared by both: the solution" in found.sentence
    assert found.table["smallest_seen"].max() < 0.3


@pytest.mark.slow
def test_a_posterior_under_another_prior_differs(found, model, cohort):
    wrong = replace(found, population=exact_population(model, cohort, omega_prior=1.2))
    assert "omega_level" in wrong.unequal and not wrong.agrees
    assert "DIFFERENT beyond Monte Carlo error: " in wrong.sentence


@pytest.mark.slow
def test_a_sampler_that_did_not_arrive_shows_nothing(found):
    drifting = found.posterior.copy(deep=True)
    drifting["level_pop"][:] += np.array([[0.0], [1.0]])
    stuck = Crosscheck(found.population, drifting, found.stats, "pymc", False)
    assert not stuck.agrees and "NOT SHOWN: PyMC: R-hat" in stuck.sentence


@pytest.mark.slow
def test_the_caller_s_flags_stay_as_they_were(found):
    import jax
    import pytensor

    assert found.agrees is not None
    assert not jax.config.jax_enable_x64 and pytensor.config.cast_policy == "custom"


def test_a_fit_of_other_records_or_priors_or_no_fit_is_refused(model, cohort):
    fitted = exact_population(model, cohort, count=400)
    refuse_other_fit(fitted, model, cohort, {})
    fewer = Cohort(tuple(cohort)[:5])
    with pytest.raises(FitError, match="fitted to other records"):
        refuse_other_fit(fitted, model, fewer, {})
    with pytest.raises(FitError, match="only a sampled population .*variational.*without --approximate"):
        refuse_other_fit(exact_population(model, cohort, count=400, method="variational"), model, cohort, {})
    prior = {"omega_level": HalfNormal(sd=1.0)}
    with pytest.raises(FitError, match="under other priors .*--priors"):
        refuse_other_fit(fitted, model, cohort, prior)
    named = exact_population(model, cohort, count=400, other_priors=json.dumps({"omega_level": "HalfNormal(SD 1)"}))
    refuse_other_fit(named, model, cohort, prior)
    with pytest.raises(FitError, match="under other priors"):
        refuse_other_fit(named, model, cohort, {})


def test_what_pymc_is_not_told_is_refused_by_name():
    with pytest.raises(ModelError, match="model myeloma_car_t.*response classes in PyMC.*Cross-check a copy"):
        refuse_unsupported(load_model("myeloma_car_t"), Cohort(()))
    theophylline = load_model("theophylline")
    told_apart = replace(theophylline.observations[0], assay_scale={"south": Fixed(value=2.0)})
    with pytest.raises(ModelError, match="errors that differ between laboratories in PyMC.*concentration"):
        refuse_unsupported(replace(theophylline, observations=(told_apart,), source_hash=""), Cohort(()))
    between = Lab("c@1", "concentration", 1.0, 2.0, 1.0, "interval", 3.0)
    with pytest.raises(ModelError, match="patient P-4.*1 labs of concentration between two limits"):
        refuse_unsupported(theophylline, Cohort((PatientRecord("P-4", labs=(between,)),)))


def test_a_departing_output_beyond_its_limit_is_refused_by_patient():
    low = Lab("p@1", "psa", 1.0, 0.02, 1.0, censoring="left")
    with pytest.raises(ModelError, match="patient P-4.*measured labs only.*1 labs of psa beyond a limit"):
        refuse_unsupported(load_model("psa_intermittent"), Cohort((PatientRecord("P-4", labs=(low,)),)))


def test_covariates_that_change_are_refused_by_patient(model):
    change = ClinicalEvent("covariate", 3.0, 3.0, "age_years = 61.0")
    record = PatientRecord("L-9", labs=(), events=(change,), covariates={"age_years": 60.0})
    with pytest.raises(ModelError, match="patient L-9.*stay as they are.*age_years"):
        refuse_unsupported(model, Cohort((record,)))


def test_a_sampler_that_is_absent_or_unknown_is_said(monkeypatch):
    with pytest.raises(FitError, match="unknown sampler.*pymc or nutpie"):
        check_sampler("stan")
    monkeypatch.setattr("bayestwin.population.crosscheck.sampling.find_spec", lambda name: None)
    with pytest.raises(FitError, match=r"nutpie.*bayestwin\[nutpie\]"):
        check_sampler("nutpie")
    assert room.SHARED.startswith("Checked: priors")
