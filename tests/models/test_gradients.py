"""Gradient of every model's log-likelihood against finite differences, and over the whole range of its prior.

`make validate`: two programs per folder. Of the fast tests tests/individual/test_likelihood.py holds a linear model and
one on a fixed grid to finite differences, and tests/dynamics/test_block_gradients.py every building block.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayestwin.dynamics import Accuracy
from bayestwin.individual import class_likelihood, compile_record, total_log_likelihood

RANGE = 3.29  # 99.9 % of a normal
WIDTHS = 1e-3, 1e-4  # steps of the differences: the longer hardly feels rounding, the shorter hardly curvature
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
TIGHT, TIGHTER = Accuracy(1e-8, 1e-10, 4096), Accuracy(1e-11, 1e-12, 16_384)

pytestmark = [pytest.mark.validate, pytest.mark.slow]


@pytest.fixture(scope="module")
def likelihood(model, first_record):
    """likelihood(psi, hyper, accuracy) -> (log-likelihood, solved) of a patient under the model's first treatment."""
    data = jax.tree.map(jnp.asarray, compile_record(model, first_record))
    rho = model.response_correlation.rho if model.response_correlation else 0.0

    def total(psi, hyper, accuracy):
        pieces = class_likelihood(model, psi, hyper, data, rho=rho, accuracy=accuracy)
        return total_log_likelihood(pieces), pieces.ok.all()

    return total


@pytest.fixture(scope="module")
def gradient(likelihood):
    """((value, solved), (by psi, by hyper)) of many patients at a tolerance of 1e-8."""
    one = jax.value_and_grad(lambda psi, hyper: likelihood(psi, hyper, TIGHT), argnums=(0, 1), has_aux=True)
    return jax.jit(jax.vmap(one, in_axes=(0, 0)), compiler_options=QUICK)


LANES = 64


def wide(draws):
    """LANES patients from anywhere in the range that the prior gives 99.9 % to; the first two at its middle."""
    hyper, psi = draws
    z = np.random.default_rng(8).uniform(-RANGE, RANGE, (LANES, psi.shape[1]))
    z[:2] *= 0.05
    return jax.tree.map(lambda a: a[:LANES], hyper), psi.mean(axis=0) + z * psi.std(axis=0)


def test_the_gradient_is_finite_over_the_prior(draws, gradient):
    hyper, psi = wide(draws)
    (_, ok), (by_psi, by_hyper) = gradient(psi, hyper)
    assert np.asarray(ok).mean() >= 0.95
    assert all(np.isfinite(slope).all() for slope in jax.tree.leaves((by_psi, by_hyper)))


def test_the_gradient_is_the_finite_difference(model, draws, gradient, likelihood):
    hyper, psi = wide(draws)
    _, (by_psi, by_hyper) = gradient(psi, hyper)
    found = np.concatenate([np.asarray(by_psi)[0], np.asarray(by_hyper.typical)[0]])
    mine = jax.tree.map(lambda a: a[0], hyper)

    def moved(by):
        return likelihood(
            psi[0] + by[: psi.shape[1]], mine._replace(typical=mine.typical + by[psi.shape[1] :]), TIGHTER
        )

    many, eye, differences = jax.jit(jax.vmap(moved), compiler_options=QUICK), np.eye(len(found)), []
    for width in WIDTHS:
        value, ok = many(width * np.concatenate([eye, -eye, 2 * eye, -2 * eye]))
        assert ok.all()
        up, down, further_up, further_down = np.split(np.asarray(value), 4)
        differences.append((8 * (up - down) - (further_up - further_down)) / (12 * width))
    gaps = np.abs(found - np.array(differences))
    expected = np.choose(gaps.argmin(axis=0), differences)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
