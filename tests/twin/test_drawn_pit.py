"""The PIT of a censored lab is drawn in its interval: independently between patients who share a seed."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from scipy import stats

from bayestwin.records import Lab
from bayestwin.specification import Additive, Fixed, LogNormal, Model, Observation, Parameter, Treatment
from bayestwin.twin.newer import surprise_rng
from bayestwin.twin.surprise import surprises

LABS = (Lab("y@28", "y", 28.0, 18.0, 28.0, "left", 18.0), Lab("z@28", "z", 28.0, 21.0, 28.0))


def model() -> Model:
    error = {"unit": "g/L", "error": Additive(sd=Fixed(value=2.0)), "plausible": (0.0, 100.0)}
    return Model(
        name="two_markers",
        time_unit="day",
        states=("a",),
        initial_state=lambda p: {"a": 0.0},
        vector_field=lambda t, y, p, u: {"a": 0.0 * y.a},
        parameters=(
            Parameter("level", unit="g/L", scale="log", typical=LogNormal(median=20.0, sd_log=1.0), source=""),
        ),
        outputs={"y": lambda t, y, p, u: p.level, "z": lambda t, y, p, u: p.level},
        observations=(Observation("y", **error), Observation("z", **error)),
        treatments=(Treatment("drug", label="a drug"),),
    )


@pytest.fixture(scope="module")
def expected():
    """Surprises of patients whose twins say the same, with one seed."""
    made, size = model(), 100
    predicted = 20.0 + np.random.default_rng(2).standard_normal((size, 1, 2))
    pieces = SimpleNamespace(ok=np.ones((size, 1), bool), prediction=predicted, departure=None)
    population = SimpleNamespace(sigma=np.full((1, len(made.residual_parameters)), 2.0))
    given = (pieces, np.ones((size, 1)), np.full(size, -np.log(size)), population, np.zeros(size, int))

    def of(key):
        with jax.enable_x64(True):
            return surprises(made, LABS, *given, key=key, rng=surprise_rng(SimpleNamespace(updates=0), 1))

    return [of(f"P-{n}") for n in range(100)]


def test_patients_with_one_seed_have_their_own_place_in_the_interval(expected):
    shares = [censored.pit / np.exp(censored.log_score) for censored, _ in expected]
    assert stats.kstest(shares, "uniform").pvalue > 0.01


def test_all_else_that_is_said_of_their_labs_is_the_same(expected):
    assert len({(a.crps, a.log_score, *a.quantiles.values()) for a, _ in expected}) == 1
    assert len({(b.pit, b.crps, b.log_score, *b.quantiles.values()) for _, b in expected}) == 1
