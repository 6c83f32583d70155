"""A population fitted on what is counted and graded: one density with scipy's, and a truth that comes back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counted_model import VALUES, counted_record, mass, write_counted_model
from scipy import stats

from bayestwin.population import fit_population
from bayestwin.population.program import population_program
from bayestwin.population.stacks import stack_cohort
from bayestwin.population.start_values import unconstrained_medians
from bayestwin.records import Cohort
from bayestwin.specification import load_model

TRUTH = {
    "severity_pop": 0.6,
    "omega_severity": 0.8,
    "overdispersion_infections": 0.3,
    "cut_1_grade": -0.4,
    "cut_step_2_grade": 1.2,
    "cut_step_3_grade": 0.9,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_counted_model(tmp_path_factory.mktemp("models") / "counted"))


def test_the_density_of_the_program_is_that_of_the_model_file_and_scipy(model):
    from numpyro.infer.util import log_density

    cohort = Cohort((counted_record(VALUES, key="F-1"), counted_record(VALUES[:3], key="F-2")))
    z, draws = np.array([[0.4], [-1.1]]), {name: np.array([value]) for name, value in TRUTH.items()}
    with jax.enable_x64(True):
        groups, order = stack_cohort(model, cohort)
        sites = {name: jnp.asarray(value) for name, value in TRUTH.items()} | {"z": jnp.asarray(z)}
        found = jax.jit(lambda at: log_density(lambda: population_program(model, groups, rho=0.0), (), {}, at)[0])(
            sites
        )
        start = unconstrained_medians(model, groups, rho=0.0, centred=False)
    assert start["cut_1_grade"] == pytest.approx(-0.5) and start["cut_step_2_grade"] == pytest.approx(0.0)
    severity = TRUTH["severity_pop"] + TRUTH["omega_severity"] * z[:, 0]
    by_hand = stats.norm.logpdf(z).sum()
    for n, record in enumerate(order):
        values = VALUES if record.key == "F-1" else VALUES[:3]
        by_hand += sum(np.log(mass(draws, 0, o, v, severity[n])) for o, v in values)
    by_hand += stats.norm.logpdf(TRUTH["severity_pop"], 0.5, 0.3) + stats.halfnorm.logpdf(0.8)
    by_hand += stats.halfnorm.logpdf(0.3, scale=0.5) + stats.norm.logpdf(-0.4, -0.5, 0.5)
    by_hand += sum(stats.lognorm.logpdf(step, 0.3) for step in (1.2, 0.9))
    assert float(found) == pytest.approx(by_hand, abs=1e-9)


@pytest.mark.validate
def test_a_fit_finds_the_cut_points_and_the_overdispersion_that_made_the_labs(model):
    rng, patients = np.random.default_rng(3), []
    cuts = np.cumsum([TRUTH[name] for name in ("cut_1_grade", "cut_step_2_grade", "cut_step_3_grade")])
    for n in range(60):
        severity = TRUTH["severity_pop"] + TRUTH["omega_severity"] * rng.standard_normal()
        r = 1.0 / TRUTH["overdispersion_infections"]
        values = [("infections", rng.negative_binomial(r, r / (r + np.exp(severity)))) for _ in range(6)]
        values += [("grade", int((severity + rng.logistic() > cuts).sum())) for _ in range(6)]
        values += [("answer", int(1.0 - severity + rng.logistic() > 0)) for _ in range(3)]
        patients.append(counted_record(values, key=f"F-{n}"))
    found = fit_population(model, Cohort(tuple(patients)), random_seed=1, chains=2, warmup=200, draws=200)
    assert found.diagnostics.divergences == 0 and found.diagnostics.rhat < 1.04, str(found.diagnostics)
    for name, value in TRUTH.items():
        draws = found.posterior[name].to_numpy()
        assert abs(draws.mean() - value) < 3.5 * draws.std(), name
        assert draws.std() < 0.25, name  # every prior SD is 0.3 or more
