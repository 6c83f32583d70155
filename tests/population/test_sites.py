"""Laboratories with a factor each, drawn from one distribution: fit and twin against quadrature over its SD."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from bayestwin.errors import ModelError
from bayestwin.evaluation.verification.fit_calibration import ranked, simulated_cohort
from bayestwin.population import fit_population, load_population
from bayestwin.population.prior import prior_population
from bayestwin.population.site_factors import with_sites_of
from bayestwin.records import Cohort, Lab, PatientRecord
from bayestwin.specification import Fixed, HalfNormal, Normal, Sites, load_model
from bayestwin.specification.other_priors import site_names, with_priors
from bayestwin.twin import load_twin, save_twin, start_twin

SOURCE = '''
"""A level, read by laboratories that differ."""
from bayestwin.specification import *

def initial_state(p):
    return {"one": 1.0}

def vector_field(t, y, p, u):
    return {"one": 0.0 * y.one}

model = Model(
    name="read_elsewhere", time_unit="day", states=("one",), initial_state=initial_state, vector_field=vector_field,
    steps=Steps(first=1000.0, growth=1.0, largest=1000.0),
    parameters=(
        Parameter("level", unit="g/L", scale="log", typical=LogNormal(median=20.0, sd_log=0.5),
                  between=Fixed(value=0.4)),
    ),
    outputs={"m_protein": lambda t, y, p, u: p.level * y.one},
    observations=(Observation("m_protein", unit="g/L", error=LogNormalError(sd=Fixed(value=0.1)),
                              plausible=(0.0, 900.0), assay_bias=Sites(sd=HalfNormal(sd=0.3))),),
)
'''
SITES, OMEGA, SIGMA, THETA, PRIOR = ("east", "north", "west"), 0.4, 0.1, (np.log(20.0), 0.5), 0.3
READS = {"": 0.0, "east": 0.25, "north": -0.1, "west": -0.3}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "read_elsewhere"
    folder.mkdir()
    (folder / "model.py").write_text(SOURCE, encoding="utf-8")
    return load_model(folder)


@pytest.fixture(scope="module")
def cohort():
    """Eight patients, three labs each, of which some name no laboratory."""
    rng, records, names = np.random.default_rng(5), [], list(READS)
    for n in range(8):
        level = np.log(20.0) + 0.4 * rng.standard_normal()
        where = [names[(n + k) % 4] for k in range(3)]
        values = [np.exp(level + READS[w] + 0.1 * rng.standard_normal()) for w in where]
        labs = (
            Lab(f"m{t}", "m_protein", float(t), v, float(t), laboratory=w)
            for t, (v, w) in enumerate(zip(values, where))
        )
        records.append(PatientRecord(f"S-{n}", labs=tuple(labs)))
    return Cohort(tuple(records))


@pytest.fixture(scope="module")
def fitted(model, cohort):
    return fit_population(model, cohort, random_seed=1, chains=2, warmup=200, draws=600, target_accept=0.9)


def exact(cohort):
    """Mean and SD of (theta, ln factors) and of the SD between sites: normal given that SD, then a quadrature."""
    rows = [(n, lab) for n, record in enumerate(cohort) for lab in record.labs]
    y = np.log([lab.value for _, lab in rows])
    design = np.array([[1.0, *(float(lab.laboratory == s) for s in SITES)] for _, lab in rows])
    patient = np.array([[float(n == k) for k in range(len(cohort))] for n, _ in rows])
    noise = SIGMA**2 * np.eye(len(y)) + OMEGA**2 * patient @ patient.T
    grid, log_p, means, squares = np.linspace(0.005, 1.6, 320), [], [], []
    for sd in grid:
        prior = np.diag([THETA[1] ** 2, *[sd**2] * 3])
        law = noise + design @ prior @ design.T
        gain = prior @ design.T @ np.linalg.inv(law)
        mean = np.array([THETA[0], 0, 0, 0]) + gain @ (y - THETA[0])
        log_p.append(
            stats.multivariate_normal(np.full(len(y), THETA[0]), law).logpdf(y) + stats.norm(0, PRIOR).logpdf(sd)
        )
        means.append([*mean, sd])
        squares.append([*(mean**2 + np.diag(prior - gain @ design @ prior)), sd**2])
    p = np.exp(np.array(log_p) - max(log_p))
    p /= p.sum()
    mean = p @ np.array(means)
    return mean, np.sqrt(p @ np.array(squares) - mean**2)


def draws_of(population):
    """(draws, 5) as in `exact`, and ln of the factor of a laboratory nobody has seen."""
    found = population.posterior.stack(sample=("chain", "draw"))
    factors = np.log(found["assay_bias_m_protein"].transpose("sample", ...).values)
    named = [list(found["assay_bias_m_protein_site"].values).index(s) for s in (*SITES, "other")]
    theta, sd = np.log(found["level_pop"].values), found["assay_bias_sd_m_protein"].values
    return np.column_stack([theta, factors[:, named[:3]], sd]), factors[:, named[3]]


def agrees(population, cohort):
    import arviz_stats
    import xarray as xr

    (mean, sd), (found, other) = exact(cohort), draws_of(population)
    chains = population.posterior.sizes["chain"]
    split = xr.Dataset({str(k): (("chain", "draw"), found[:, k].reshape(chains, -1)) for k in range(5)})
    ess = np.array([float(arviz_stats.ess(split, method="mean")[str(k)]) for k in range(5)])
    z = (found.mean(axis=0) - mean) / (sd / np.sqrt(ess))
    assert np.abs(z).max() < 4.0, z
    assert found.std(axis=0) == pytest.approx(sd, rel=0.15)
    # a laboratory without labs: its prior, given the SD
    assert other.std() == pytest.approx(np.sqrt((found[:, 4] ** 2).mean()), rel=0.2)
    assert abs(np.corrcoef(other, found[:, 1])[0, 1]) < 0.15


def test_factors_of_laboratories_and_their_sd_are_those_of_the_closed_form(fitted, cohort):
    agrees(fitted, cohort)
    assert list(fitted.posterior["assay_bias_m_protein_site"].values) == [*SITES, "other"]
    assert set(fitted.posterior.data_vars) == {"level_pop", "assay_bias_sd_m_protein", "assay_bias_m_protein"}


@pytest.mark.validate
def test_hmc_within_gibbs_finds_the_same_factors(model, cohort):
    agrees(fit_population(model, cohort, random_seed=1, method="gibbs", warmup=200, draws=600), cohort)


def test_a_twin_weighs_labs_of_known_and_of_new_laboratories_as_the_closed_form_does(fitted, tmp_path):
    labs = [("", 24.0), ("east", 30.0), ("elsewhere", 15.0)]
    labs = tuple(Lab(f"m{t}", "m_protein", float(t), v, float(t), laboratory=w) for t, (w, v) in enumerate(labs))
    record = PatientRecord("T-1", labs=labs)
    sizes = {"particles": 2000, "islands": 4, "population_draws": 400, "accept_failed_fit": True}  # a short fit
    twin = start_twin(fitted, record, random_seed=1, **sizes)
    hyper, take = fitted.hyper_draws(sizes["population_draws"])
    found, other = draws_of(fitted)
    shift = np.column_stack([np.zeros(len(take)), found[take, 1], other[take]])
    y, theta, one = np.log([lab.value for lab in labs]) - shift, found[take, 0], np.ones(3)
    law = SIGMA**2 * np.eye(3) + OMEGA**2 * np.outer(one, one)
    log_w = np.array([stats.multivariate_normal(np.full(3, t), law).logpdf(r) for t, r in zip(theta, y)])
    w = np.exp(log_w - log_w.max())
    w /= w.sum()
    precision = 1 / OMEGA**2 + 3 / SIGMA**2
    mean = (theta / OMEGA**2 + y.sum(axis=1) / SIGMA**2) / precision
    centre = w @ mean
    sd = np.sqrt(w @ (1 / precision + (mean - centre) ** 2))
    psi = np.asarray(twin.particles.psi[:, 0])
    assert abs(twin.weights @ psi - centre) < 4 * max(twin.info.monte_carlo_error["level"], 0.02 * sd)
    assert np.sqrt(twin.weights @ (psi - twin.weights @ psi) ** 2) == pytest.approx(sd, rel=0.15)
    learnt = twin.weights @ other[take][np.asarray(twin.particles.draw)]
    assert learnt == pytest.approx(w @ other[take], abs=4 * 0.05 * other.std()) and learnt < -0.1
    save_twin(twin, tmp_path / "twin.nc")
    assert load_twin(tmp_path / "twin.nc", load_model(twin.model.folder)).model == twin.model


def test_sites_travel_with_the_result_and_are_no_part_of_the_model_s_hash(model, fitted, cohort, tmp_path):
    known = fitted.model
    assert known.hash == model.hash and known != model and hash(known) != hash(model)
    assert pickle.loads(pickle.dumps(known)) == known and pickle.loads(pickle.dumps(model)) == model
    loaded = load_population(fitted.save(tmp_path / "fit.nc"), model)
    assert loaded.model == known and loaded.hash == fitted.hash
    assert known.observations[0].assay_of(cohort.patients[0].labs[1]) == 1 and "drawn with the other sites" in str(
        known
    )
    assert known.observations[0].assay_of(replace(cohort.patients[0].labs[1], laboratory="elsewhere")) == 4
    changed = with_priors(known, {"assay_bias_sd_m_protein": Fixed(value=0.1)})
    assert changed.observations[0].assay_bias.sd == Fixed(value=0.1) and changed == known
    assert [name for name in site_names(known) if "assay" in name] == ["assay_bias_sd_m_protein"]
    prior = prior_population(model, draws=4, random_seed=1)
    assert prior.posterior["assay_bias_m_protein"].sizes["assay_bias_m_protein_site"] == 1
    assert prior.hyper_draws()[0].sigma.shape == (4, 3)


def test_a_calibration_study_simulates_labs_as_their_laboratories_read_and_ranks_every_factor(model):
    labs = [
        Lab(f"m{n}", "m_protein", float(n), 20.0, float(n), laboratory=SITES[n % 3] if n % 4 else "")
        for n in range(240)
    ]
    truth, cohort = simulated_cohort(model, Cohort((PatientRecord("S-1", labs=tuple(labs)),)), 0, random_seed=3)
    found = cohort.patients[0].labs
    plain = np.log([lab.value for lab in found if not lab.laboratory]).mean()
    for j, site in enumerate(SITES):
        read = np.log([lab.value for lab in found if lab.laboratory == site]).mean() - plain
        assert read == pytest.approx(np.log(truth["assay_bias_m_protein"][j]), abs=4 * 0.1 * np.sqrt(1 / 60 + 1 / 60))
    drawn = {"assay_bias_m_protein": np.random.default_rng(1).lognormal(size=(2, 60, 4))}
    rows = ranked(drawn, {"assay_bias_m_protein": truth["assay_bias_m_protein"]}, np.random.default_rng(2))
    assert [row["quantity"] for row in rows] == [f"assay_bias_m_protein[{j}]" for j in range(4)]


@pytest.mark.parametrize("wrong", [{"sd": Fixed(value=-1.0)}, {"sd": Normal(mean=0.3, sd=0.1)}, {"sd": 0.3}])
def test_sites_without_a_prior_of_a_positive_sd_are_refused(model, wrong):
    with pytest.raises(ModelError) as refused:
        replace(model.observations[0], assay_bias=Sites(**wrong))
    assert "assay_bias 'sd of Sites'" in str(refused.value) and "all above 0" in str(refused.value)


def test_a_laboratory_with_the_name_of_all_unseen_ones_is_refused(model, cohort):
    first = cohort.patients[0]
    odd = replace(first, labs=(replace(first.labs[0], laboratory="other"), *first.labs[1:]))
    with pytest.raises(ModelError, match="a name of its own"):
        with_sites_of(model, Cohort((odd, *list(cohort)[1:])))
    assert with_sites_of(model, cohort).observations[0].assay_bias.levels == SITES
    assert replace(model.observations[0], assay_bias={"east": HalfNormal(sd=1.0)}).assay_levels == ("east",)
