"""NUTS and HMC within Gibbs on a model with drift and a hazard: both against a sum over a grid."""

import pytest
from moving_parts_model import NAMES, by_quadrature, patients, write_moving_parts

from bayestwin.population import fit_population
from bayestwin.specification import load_model

pytestmark = pytest.mark.validate


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_moving_parts(tmp_path_factory.mktemp("models") / "moving_parts"))


@pytest.mark.parametrize("method", ["nuts", "gibbs"])
def test_drift_and_hazards_are_sampled_as_the_grid_has_them(model, method):
    import arviz_stats

    cohort = patients()
    fitted = fit_population(model, cohort, random_seed=1, method=method, chains=4, warmup=400, draws=800)
    assert fitted.diagnostics.rhat < 1.02, str(fitted.diagnostics)
    ess = arviz_stats.ess(fitted.posterior[list(NAMES)], method="mean")
    for name, (mean, sd) in by_quadrature(cohort).items():
        values = fitted.posterior[name].values
        assert abs(values.mean() - mean) < 4 * sd / float(ess[name]) ** 0.5 + 0.01 * sd, (name, values.mean(), mean, sd)
        assert values.std() == pytest.approx(sd, rel=0.15), name


def test_the_grid_is_wide_and_fine_enough_and_the_cohort_tells_of_drift_and_hazard():
    found = by_quadrature(patients())
    assert found["drift_sd_level"][0] > 3 * found["drift_sd_level"][1]  # away from 0: a fit without drift would be told
    assert found["h_pop"][1] < 0.5 * found["h_pop"][0] < 0.03 and 0.1 < found["omega_h"][1] < 0.6


def test_the_tolerance_would_notice_a_step_left_out_and_follow_up_too_long():
    right, wrong = by_quadrature(patients()), by_quadrature(patients(), last_knot=1, hazard_counts=1.4)
    for name in ("drift_sd_level", "h_pop"):
        assert abs(right[name][0] - wrong[name][0]) > 4 / 400**0.5 * right[name][1], name
