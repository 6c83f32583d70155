"""Priors: what they say, from a file, and fits under them against closed forms; models in which nothing varies."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy import stats

from bayestwin.errors import FitError, ModelError
from bayestwin.population import fit_population, load_population
from bayestwin.population.hyper import assemble, hyper_sites
from bayestwin.population.program import distribution
from bayestwin.population.result import posterior_from, psi_of
from bayestwin.population.sampling import Draws
from bayestwin.population.start_values import to_median
from bayestwin.records import Cohort, Lab, PatientRecord
from bayestwin.specification import (
    Additive,
    Beta,
    Exponential,
    Fixed,
    Gamma,
    HalfCauchy,
    HalfNormal,
    InverseGamma,
    LogitNormal,
    LogNormal,
    Model,
    Normal,
    Observation,
    Parameter,
    Power,
    StudentT,
    TruncatedNormal,
    Uniform,
    load_model,
)
from bayestwin.specification.other_priors import read_priors, site_names, with_priors
from bayestwin.twin import start_twin

EXACT = [
    (LogNormal(median=2.0, sd_log=0.5), stats.lognorm(0.5, scale=2.0)),
    (Normal(mean=1.0, sd=2.0), stats.norm(1.0, 2.0)),
    (HalfNormal(sd=0.7), stats.halfnorm(scale=0.7)),
    (HalfCauchy(scale=1.5), stats.halfcauchy(scale=1.5)),
    (Exponential(rate=4.0), stats.expon(scale=0.25)),
    (Gamma(shape=2.0, rate=3.0), stats.gamma(2.0, scale=1 / 3)),
    (InverseGamma(shape=3.0, scale=2.0), stats.invgamma(3.0, scale=2.0)),
    (TruncatedNormal(mean=-0.5, sd=1.0), stats.truncnorm(0.5, np.inf, -0.5, 1.0)),
    (Beta(a=2.0, b=5.0), stats.beta(2.0, 5.0)),
    (StudentT(df=3.0, location=1.0, scale=2.0), stats.t(3.0, 1.0, 2.0)),
    (Uniform(low=0.2, high=0.9), stats.uniform(0.2, 0.7)),
]


@pytest.mark.parametrize(("prior", "exact"), EXACT, ids=lambda x: type(x).__name__)
def test_a_prior_has_the_density_and_the_median_of_its_name(prior, exact):
    with jax.enable_x64(True):
        for p in (0.1, 0.5, 0.8):
            x = exact.ppf(p)
            assert float(distribution(prior).log_prob(x)) == pytest.approx(exact.logpdf(x), abs=1e-6)
        assert float(to_median(prior)) == pytest.approx(exact.median(), rel=1e-6)


def test_a_fraction_has_the_density_of_a_logit_normal():
    with jax.enable_x64(True):
        found = float(distribution(LogitNormal(median=0.3, sd_logit=0.8)).log_prob(0.4))
    logit = np.log(0.4 / 0.6) - np.log(0.3 / 0.7)
    assert found == pytest.approx(stats.norm.logpdf(logit, 0, 0.8) - np.log(0.4 * 0.6), abs=1e-6)


def test_every_line_of_a_file_takes_the_place_of_the_model_s_prior_and_nothing_else_changes(tmp_path):
    model = load_model("theophylline")
    path = tmp_path / "priors.toml"
    path.write_text(
        'CL_pop = "Gamma(shape=4, rate=2)"\nomega_CL = "HalfCauchy(scale=0.4)"\n'
        'beta_CL_weight_kg = "Fixed(value=0.75)"\n'
        'sigma_add_concentration = "Exponential(rate=2)"\ncorrelation = "LKJ(concentration=3)"\n'
    )
    changed = with_priors(model, read_priors(path))
    before, after = hyper_sites(model, fixed=True), hyper_sites(changed, fixed=True)
    assert {name for name in before if before[name] != after[name]} == {
        "CL_pop",
        "omega_CL",
        "beta_CL_weight_kg",
        "sigma_add_concentration",
    }
    assert after["CL_pop"] == Gamma(shape=4.0, rate=2.0) and after["beta_CL_weight_kg"] == Fixed(value=0.75)
    assert changed.correlation.concentration == 3.0 and changed == model and model.correlation.concentration != 3.0
    assert list(with_priors(model, {}).parameters) == list(model.parameters)


def test_a_parameter_whose_name_begins_another_s_keeps_its_own_effects():
    whole = load_model("theophylline")
    effect = Power("weight_kg", reference=70.0, exponent=Normal(mean=0.75, sd=0.2))
    clearance, more = (
        Parameter(name, unit="L/h", scale="log", typical=LogNormal(median=2.8, sd_log=0.5), covariates=(effect,))
        for name in ("CL", "CL_m")
    )
    kept = tuple(p for p in whole.parameters if p.name != "CL")
    for both in ((clearance, more), (more, clearance)):
        model = replace(whole, parameters=(*kept, *both), correlation=None, source_hash="")
        assert with_priors(model, {}).effects == model.effects
        after = with_priors(model, {"beta_CL_m_weight_kg": Fixed(value=1.0)}).effects
        changed = [name for (name, _, own), (_, _, other) in zip(model.effects, after, strict=True) if own != other]
        assert changed == ["beta_CL_m_weight_kg"]


REFUSED = {
    "an unknown site": ('CL = "HalfNormal(sd=1)"', "the model has no such prior", "CL_pop"),
    "no such family": ('CL_pop = "Gaussian(mean=1, sd=1)"', "Gaussian(mean=1, sd=1)", "HalfNormal"),
    "a number": ("CL_pop = 2.8", "this is no prior", "HalfNormal(sd=0.5)"),
    "a wrong name": ('CL_pop = "LogNormal(median=2.8, sd=0.5)"', "the wrong numbers", "sd_log=..."),
    "a code": ('CL_pop = "LogNormal(median=__import__(1), sd_log=1)"', "this is no prior", "CL_pop"),
    "an impossible number": (
        'CL_pop = "LogNormal(median=-1, sd_log=1)"',
        "priors.toml, CL_pop: LogNormal needs a positive median",
        "median > 0",
    ),
    "another scale": ('CL_pop = "Normal(mean=0, sd=1)"', "does not fit scale log", "LogNormal or HalfNormal"),
    "a negative residual SD": ('sigma_add_concentration = "Normal(mean=0, sd=1)"', "does not fit", "all above 0"),
    "a below-zero range": ('omega_CL = "Uniform(low=-1, high=1)"', "positive number", "all above 0"),
    "infinity": ('CL_pop = "Fixed(value=1e999)"', "this is no prior", "HalfNormal(sd=0.5)"),
    "a number twice": ('CL_pop = "Fixed(value=1, value=2)"', "this is no prior", "HalfNormal(sd=0.5)"),
    "a word for a number": ("CL_pop = \"Fixed(value='2')\"", "this is no prior", "HalfNormal(sd=0.5)"),
    "too many digits": ('CL_pop = "Fixed(value=' + "9" * 500 + ')"', "this is no prior", "HalfNormal(sd=0.5)"),
    "no LKJ for a correlation": ('correlation = "Fixed(value=0)"', "an LKJ prior", "LKJ(concentration=2)"),
    "an LKJ elsewhere": ('CL_pop = "LKJ(concentration=2)"', "an LKJ prior", "LKJ(concentration=2)"),
    "a broken file": ("CL_pop = ", "cannot be read", "priors.toml"),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_line_that_cannot_be_is_refused_with_what_is_allowed(case, tmp_path):
    text, problem, allowed = REFUSED[case]
    path = tmp_path / "priors.toml"
    path.write_text(text + "\n")
    with pytest.raises(ModelError) as refused:
        with_priors(load_model("theophylline"), read_priors(path))
    assert problem in str(refused.value) and allowed in str(refused.value)


def test_the_names_that_a_file_may_use_are_those_that_a_fit_prints():
    for name in ("theophylline", "myeloma_car_t", "psa_intermittent"):
        model = load_model(name)
        standard = {"omega_frailty", *(f"omega_{name}" for own in model.latent_covariates.values() for name in own)}
        assert set(site_names(model)) - {"correlation"} == set(hyper_sites(model, fixed=True)) - standard


def one_level(tmp_path):
    """One patient's level with known error: nothing varies, everything is conjugate."""
    return Model(
        name="one",
        time_unit="day",
        states=("level",),
        initial_state=lambda p: {"level": p.level},
        vector_field=lambda t, y, p, u: {"level": 0.0 * y.level},
        parameters=(Parameter("level", unit="g/L", scale="identity", typical=Normal(mean=20.0, sd=1.0)),),
        outputs={"m": lambda t, y, p, u: y.level},
        observations=(Observation("m", unit="g/L", error=Additive(sd=Fixed(value=1.5)), plausible=(-100.0, 100.0)),),
    )


@pytest.mark.slow  # compiles NUTS
def test_one_patient_in_whom_nothing_varies_has_the_conjugate_posterior_under_a_prior_from_outside(tmp_path):
    y = np.array([23.0, 24.0, 22.5, 23.5])
    labs = tuple(Lab(f"m{t}", "m", float(t), float(v), float(t)) for t, v in enumerate(y))
    record, model = PatientRecord("P-1", labs=labs), one_level(tmp_path)
    wide = {"level_pop": Normal(mean=20.0, sd=10.0)}
    fit = fit_population(model, Cohort((record,)), random_seed=3, chains=2, warmup=200, draws=400, priors=wide)
    precision = 1 / 100.0 + len(y) / 1.5**2
    mean = (20.0 / 100.0 + y.sum() / 1.5**2) / precision
    draws = fit.posterior["level_pop"]
    assert float(draws.mean()) == pytest.approx(mean, abs=0.1)
    assert float(draws.std()) == pytest.approx(precision**-0.5, rel=0.12)
    own = (20.0 + y.sum() / 1.5**2) / (1.0 + len(y) / 1.5**2)
    assert abs(own - mean) > 0.5  # the model file's prior would be told apart
    assert json.loads(fit.attributes["other_priors"]) == {"level_pop": "Normal(mean 20, SD 10)"}
    with pytest.raises(FitError, match="nothing varies between patients"):
        start_twin(
            fit,
            PatientRecord("P-2"),
            random_seed=1,
            particles=80,
            islands=4,
            population_draws=20,
            accept_failed_fit=True,
        )


@pytest.mark.slow  # compiles NUTS
def test_what_a_file_fixes_is_kept_as_a_constant_and_the_file_loads_again(untreated_level, four_patients, tmp_path):
    fixed = {"omega_level": Fixed(value=2.5)}
    fit = fit_population(untreated_level, four_patients, random_seed=1, chains=2, warmup=100, draws=100, priors=fixed)
    kept = load_population(fit.save(tmp_path / "pop.nc"), untreated_level)
    assert (kept.posterior["omega_level"] == 2.5).all()
    hyper, _ = kept.hyper_draws(10)
    assert np.asarray(hyper.omega)[:, 0] == pytest.approx(2.5)
    y = np.array([np.mean([lab.value for lab in r.labs]) for r in four_patients])
    spread = 2.5**2 + 1.5**2 / 6
    exact = (20.0 + y.sum() / spread) / (1.0 + 4 / spread)
    assert float(kept.posterior["level_pop"].mean()) == pytest.approx(exact, abs=0.25)


def test_a_number_fixed_by_the_model_file_and_otherwise_by_the_file_of_priors_is_that_of_the_fit_ever_after(tmp_path):
    whole = load_model("theophylline")
    own = {"ka_pop": 1.5, "omega_ka": 0.3, "beta_CL_weight_kg": 0.75, "sigma_add_concentration": 0.7}
    model = replace(with_priors(whole, {name: Fixed(value=x) for name, x in own.items()}), source_hash="")
    other = {name: Fixed(value=0.5 * x) for name, x in own.items() if name != "omega_ka"}
    fitted = with_priors(model, other)
    rng = np.random.default_rng(1)
    samples = {name: rng.uniform(0.4, 0.6, (2, 3)) for name in hyper_sites(fitted)}
    samples["correlation_cholesky"] = np.broadcast_to(np.eye(3), (2, 3, 3, 3))
    labs = (Lab("c", "concentration", 1.0, 5.0, 1.0),)
    record = PatientRecord("P-1", labs=labs, covariates={"weight_kg": 35.0})
    stats = {"diverging": np.zeros((2, 3), bool), "energy": rng.normal(size=(2, 3)), "lp": np.zeros((2, 3))}
    with jax.enable_x64(True):
        drawn = Draws(samples | {"z": rng.normal(size=(2, 3, 1, 3))}, stats)
        fit = posterior_from(model, [record], drawn, 0.0, Cohort((record,)), 1, fitted=fitted)
        used = jax.tree.map(np.asarray, assemble(fitted, samples, 0.0))
        psi = psi_of(fitted, used, [record], {"psi": None, "z": drawn.samples["z"]}, np.zeros(3, bool), (2, 3))
    kept = load_population(fit.save(tmp_path / "pop.nc", keep_individuals=True), model)
    hyper, _ = kept.hyper_draws()
    for found, expected in zip(jax.tree.leaves(hyper), jax.tree.leaves(used)):
        np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=1e-12)
    np.testing.assert_allclose(kept.individual_draws(record), psi.reshape(6, 3), rtol=1e-12)
    assert "omega_ka" not in kept.posterior and set(json.loads(kept.attributes["other_priors"])) == set(other)
