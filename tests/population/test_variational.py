"""The variational first look, beside quadrature: right in the middle, labelled approximate, and known to be narrow."""

import numpy as np
import pytest

from bayestwin.errors import FitError
from bayestwin.population import approximate_population

pytestmark = pytest.mark.slow  # compiles two programs


@pytest.fixture(scope="module", params=["full", "by_patient"])
def fitted(request, level_model, four_patients):
    return approximate_population(level_model, four_patients, random_seed=1, steps=3000, guide=request.param)


def test_the_normal_stands_where_quadrature_has_the_posterior(fitted, exact_means):
    level, omega = exact_means
    assert float(fitted.posterior["level_pop"].mean()) == pytest.approx(level, abs=0.3)
    assert float(fitted.posterior["omega_level"].mean()) == pytest.approx(omega, rel=0.35)
    psi = fitted.tree["individuals"]["psi"].sel(parameter="level").mean(("chain", "draw"))
    assert psi.values == pytest.approx([17.2, 19.1, 20.9, 22.8], abs=0.5)


def test_every_patient_keeps_the_spread_that_the_labs_leave(fitted):
    """1.5 / sqrt(6) shrunk a little by the population."""
    spread = np.asarray(fitted.tree["individuals"]["psi"].sel(parameter="level").std(("chain", "draw")))
    assert spread == pytest.approx(0.58, abs=0.15)


def test_it_says_that_it_is_approximate(fitted):
    assert fitted.diagnostics.approximate and "APPROXIMATE" in str(fitted.diagnostics)


def test_an_unknown_guide_is_refused(level_model, four_patients):
    with pytest.raises(FitError, match="no such guide.*half.*by_patient"):
        approximate_population(level_model, four_patients, random_seed=1, guide="half")
