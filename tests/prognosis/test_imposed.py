"""States given by hand and states of the past, where both are known in closed form."""

from dataclasses import replace

import numpy as np
import pytest

from bayestwin.errors import FitError, ModelError
from bayestwin.prognosis.imposed import labs_if, past_course


def test_labs_under_an_imposed_level_scatter_around_it_with_the_assay_alone(hazard_twin):
    found = labs_if(hazard_twin, {"level": 5.0}, "m_protein", [10.0, 40.0], random_seed=1)
    mean = found.weights @ found.labs
    np.testing.assert_allclose(mean, 5.0, atol=5 * 0.3 / np.sqrt(len(found.labs)))
    np.testing.assert_allclose(found.quantiles((0.1, 0.9))[:, 1], [5.0 - 1.28 * 0.3, 5.0 + 1.28 * 0.3], atol=0.06)
    errors = found.quantiles_mcse((0.1, 0.5))[:, 1]  # of 800 normal labs
    assert errors == pytest.approx(0.3 * np.sqrt([0.09 / 800, 0.25 / 800]) / np.array([0.1755, 0.3989]), rel=0.9)
    assert found.share_above(40.0, 5.0) == pytest.approx(0.5, abs=0.06)
    assert found.share_above(40.0, 99.0) == 0.0 and found.share_above(40.0, -99.0) == pytest.approx(1.0)


def test_without_an_imposed_state_labs_are_those_the_twin_expects(hazard_twin):
    found = labs_if(hazard_twin, {}, "m_protein", [10.0], random_seed=1)
    level = hazard_twin.weights @ np.asarray(hazard_twin.particles.psi[:, 0])
    assert found.weights @ found.labs[:, 0] == pytest.approx(level, abs=0.1)


def test_states_of_the_past_are_those_of_the_particles_and_chances_are_their_weights(hazard_twin):
    past = past_course(hazard_twin, [0.0, 10.0], random_seed=1)
    level = np.asarray(hazard_twin.particles.psi[:, 0])
    np.testing.assert_allclose(past.at(0.0).level, level, rtol=1e-9)
    np.testing.assert_array_equal(past.at(10.0).level, past.at(0.0).level)
    chance, error = past.chance(past.at(10.0).level > np.median(level))
    assert chance == pytest.approx((hazard_twin.weights * (level > np.median(level))).sum()) and 0 < error < 0.2


def test_what_cannot_be_asked_is_refused_with_what_can(hazard_twin):
    with pytest.raises(ModelError, match="no such name.*'burden'.*level"):
        labs_if(hazard_twin, {"burden": 0.0}, "m_protein", [20.0], random_seed=1)
    with pytest.raises(ModelError, match="no such name.*'igg'.*m_protein"):
        labs_if(hazard_twin, {}, "igg", [20.0], random_seed=1)
    with pytest.raises(ModelError, match="states are given at the data cut.*'3 day'.*at least 10"):
        labs_if(hazard_twin, {}, "m_protein", [3.0], random_seed=1)
    with pytest.raises(ModelError, match="end at the data cut.*at most 10.*Ask a forecast"):
        past_course(hazard_twin, [0.0, 11.0], random_seed=1)
    with pytest.raises(ModelError, match="begin with the patient's first row.*'-20 day'.*at least 0"):
        past_course(hazard_twin, [-20.0, 10.0], random_seed=1)


def test_nothing_is_read_from_a_withheld_twin(hazard_twin):
    failed = replace(hazard_twin, history=(replace(hazard_twin.info, verdict="WITHHELD", reasons=("too few",)),))
    with pytest.raises(FitError, match="withheld, and nothing is read from it: too few"):
        past_course(failed, [0.0], random_seed=1)
