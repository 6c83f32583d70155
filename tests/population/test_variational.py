"""The variational first look, beside quadrature: right in the middle, labelled approximate, and known to be narrow."""

import numpy as np
import pytest
from scipy.special import ndtri

from bayestwin.errors import FitError
from bayestwin.population import approximate_population
from bayestwin.records import Cohort, Lab, PatientRecord

pytestmark = pytest.mark.slow  # compiles two programs


@pytest.fixture(scope="module", params=[pytest.param("full", marks=pytest.mark.validate), "by_patient"])
def fitted(request, untreated_level, four_patients):
    return approximate_population(untreated_level, four_patients, random_seed=1, steps=3000, guide=request.param)


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


def test_patients_with_few_labs_each_leave_the_spread_between_them_where_quadrature_has_it(untreated_level):
    """One lab each. Centred, the normal found 0.75 where quadrature has 1.98."""
    levels = 20.0 + 2.5 * ndtri((np.arange(40) + 0.5) / 40)
    labs = [(Lab("m", "m_protein", 1.0, level, 1.0),) for level in levels]
    cohort = Cohort(tuple(PatientRecord(f"F-{n}", labs=lab) for n, lab in enumerate(labs)))
    found = approximate_population(untreated_level, cohort, random_seed=1, steps=3000, guide="by_patient")
    omega = np.linspace(0.02, 8, 400)
    spread = omega**2 + 1.5**2
    # the typical level, Normal(20, 1), integrated out: its posterior is centred on 20 by symmetry
    log_p = -0.5 * (omega / 2.0) ** 2 - 20 * np.log(spread) - 0.5 * ((levels - 20) ** 2).sum() / spread
    p = np.exp(log_p - log_p.max()) / np.sqrt(1 + 40 / spread)
    assert float(found.posterior["omega_level"].mean()) == pytest.approx((p * omega).sum() / p.sum(), abs=0.25)


def test_an_unknown_guide_is_refused(untreated_level, four_patients):
    with pytest.raises(FitError, match="no such guide.*half.*by_patient"):
        approximate_population(untreated_level, four_patients, random_seed=1, guide="half")


@pytest.mark.parametrize("draws", [0, 2, 802])
def test_draws_that_do_not_fill_four_chains_are_refused_before_any_step(untreated_level, four_patients, draws):
    with pytest.raises(FitError, match=f"draws: draws stand in 4 chains of one length .found {draws}.*a multiple of 4"):
        approximate_population(untreated_level, four_patients, random_seed=1, steps=50, draws=draws)
