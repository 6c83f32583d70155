"""The SD between occasions: a population fit against quadrature, its program against the density on paper."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from level_model import write_occasional_model
from numpyro.infer.util import log_density
from scipy import stats

from bayestwin.errors import ModelError
from bayestwin.population import fit_population, load_population
from bayestwin.population.crosscheck.program import refuse_unsupported
from bayestwin.population.program import population_program
from bayestwin.population.stacks import stack_cohort
from bayestwin.records import ClinicalEvent, Cohort, Lab, PatientRecord
from bayestwin.specification import load_model

QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
SIGMA, PATIENTS, OCCASIONS, LABS = 1.5, 12, 3, 3
TRUTH = {"level_pop": 20.0, "omega_level": 1.5, "gamma_level": 2.5}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The model of a level that varies between occasions."""
    return load_model(write_occasional_model(tmp_path_factory.mktemp("models") / "occasional_level"))


@pytest.fixture(scope="module")
def cohort():
    """Patients of one to three occasions, three labs each, drawn from the truth."""
    rng, patients = np.random.default_rng(12), []
    for n in range(PATIENTS):
        own, labs, events = TRUTH["level_pop"] + TRUTH["omega_level"] * rng.standard_normal(), [], []
        for k in range(OCCASIONS if n % 4 else 1):
            level = own + TRUTH["gamma_level"] * rng.standard_normal()
            start = 10.0 * k
            if k:
                events.append(ClinicalEvent("covariate", start, start, f"occasion = {k + 1}"))
            for j in range(1, LABS + 1):
                t = start + j
                labs.append(Lab(f"m@{t:g}", "m_protein", t, level + SIGMA * rng.standard_normal(), t))
        patients.append(PatientRecord(f"O-{n}", labs=tuple(labs), events=tuple(events)))
    return Cohort(tuple(patients))


def by_quadrature(cohort, *, mixed=False):
    """Posterior means and SDs of typical level, omega and gamma: the sum over a grid of the exact marginal density.

    mixed : the labs of a patient dealt out over the occasions in turn, which is wrong
    """
    level, omega, gamma = np.meshgrid(
        np.linspace(16.5, 23.5, 43), np.linspace(0.02, 6.0, 70), np.linspace(0.3, 6.0, 70), indexing="ij"
    )
    log_p = -0.5 * (level - 20.0) ** 2 - 0.5 * (omega / 2.0) ** 2 - 0.5 * (gamma / 2.0) ** 2
    within = gamma**2 + SIGMA**2 / LABS  # variance of the mean of one occasion, given the patient
    for record in cohort:
        y = np.array([lab.value for lab in record.labs])
        y = y.reshape(LABS, -1).T if mixed else y.reshape(-1, LABS)
        means, n = y.mean(axis=1), len(y)
        apart = ((means - means.mean()) ** 2).sum()
        total = within / n + omega**2
        log_p -= 0.5 * ((n - 1) * np.log(within) + apart / within)
        log_p -= 0.5 * (np.log(total) + (means.mean() - level) ** 2 / total)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    found = {}
    for name, grid in zip(TRUTH, (level, omega, gamma)):
        mean = (p * grid).sum()
        found[name] = mean, np.sqrt((p * (grid - mean) ** 2).sum())
    return found


@pytest.mark.validate  # ten seconds of NUTS
def test_a_fit_finds_the_sd_between_occasions_that_quadrature_finds(model, cohort, tmp_path):
    fitted = fit_population(model, cohort, random_seed=1, chains=2, warmup=300, draws=400)
    exact = by_quadrature(cohort)
    summary = fitted.summary()
    for name, (mean, sd) in exact.items():
        values = fitted.posterior[name].values
        error = sd / np.sqrt(100.0)  # at least a hundred effective draws
        assert abs(values.mean() - mean) < 4 * error, (name, values.mean(), mean, sd)
        assert values.std() == pytest.approx(sd, rel=0.25) and abs(mean - TRUTH[name]) < 2.5 * sd
        assert name in summary.index
    names = list(fitted.tree["individuals"]["parameter"].values)
    assert names == list(model.individual_names)
    psi = fitted.tree["individuals"]["psi"].sel(patient="O-0", parameter="level_occasion_3").values
    spread = np.sqrt((fitted.posterior["gamma_level"].values ** 2).mean())
    assert psi.std() == pytest.approx(spread, rel=0.2)  # the patient had one occasion: the third keeps its prior
    back = load_population(fitted.save(tmp_path / "fit.nc"), model)
    hyper, _ = back.hyper_draws(50)
    assert hyper.omega.shape == (50, 5)
    np.testing.assert_array_equal(hyper.omega[:, 1:], np.repeat(np.asarray(hyper.omega[:, 1:2]), 4, axis=1))


def test_the_tolerances_above_would_notice_labs_of_other_occasions(cohort):
    for name, (mean, sd) in by_quadrature(cohort, mixed=True).items():
        right = by_quadrature(cohort)[name]
        assert name == "level_pop" or abs(mean - right[0]) > 0.6 * right[1], (name, mean, sd, right)


def test_the_program_s_density_is_the_one_on_paper(model, cohort):
    """One population draw and effects of three patients, the third with one occasion."""
    few = Cohort(cohort.patients[2:5])
    at = {"level_pop": 21.0, "omega_level": 1.2, "gamma_level": 2.2}
    z = np.random.default_rng(2).standard_normal((3, 5))
    with jax.enable_x64(True):
        groups, order = stack_cohort(model, few)
        given = {name: jnp.asarray(value) for name, value in at.items()} | {"z": jnp.asarray(z)}
        program = partial(population_program, model, groups, rho=0.0)
        found = jax.jit(lambda v: log_density(program, (), {}, v)[0], compiler_options=QUICK)(given)
    expected = stats.norm(20.0, 1.0).logpdf(21.0) + stats.norm.logpdf(z).sum()
    expected += sum(stats.halfnorm(scale=2.0).logpdf(at[name]) for name in ("omega_level", "gamma_level"))
    for record, mine in zip(order, z):
        occasion = np.array([int(lab.time // 10) for lab in record.labs])
        level = 21.0 + 1.2 * mine[0] + 2.2 * mine[1:][occasion]
        expected += stats.norm(level, SIGMA).logpdf([lab.value for lab in record.labs]).sum()
    assert float(found) == pytest.approx(expected, abs=1e-8)


def test_the_second_program_refuses_occasions_by_name(model, cohort):
    with pytest.raises(ModelError, match=r"cannot say variability between occasions in PyMC \(found 'level'\)"):
        refuse_unsupported(model, cohort)
    refuse_unsupported(replace(model, occasions=None), cohort)
