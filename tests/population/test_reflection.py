"""Coordinates in which an SD may pass 0, against derivatives that JAX finds by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayestwin.population.reflection import BEND, reflection

MEDIAN, SD = np.array([0.3, -1.0, 2.0]), np.array([1.0, 1.1, 0.6])
BENT = reflection([1, 2], MEDIAN, SD)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("h", [[0.5, -0.2, 3.0], [0.5, 3.0, -4.0], [-1.0, -15.0, 8.0]])
def test_there_and_back_on_either_side_of_zero(h):
    q = BENT.q(jnp.asarray(h))
    assert np.allclose(BENT.h(q), h, rtol=1e-12) and q[0] == h[0] and (q[1:] > 0).all()
    assert np.allclose(BENT.h(q * jnp.asarray([1.0, -1.0, -1.0])), h, rtol=1e-12)


def test_it_is_straight_near_zero_and_the_logarithm_far_from_it():
    c = BEND * np.exp(MEDIAN[1])
    small, large = (np.array([0.0, np.log(sd) / SD[1], 1.0]) for sd in (0.01 * c, 100.0 * c))
    assert BENT.q(jnp.asarray(small))[1] * SD[1] == pytest.approx(0.01, rel=1e-4)
    assert BENT.q(jnp.asarray(large))[1] * SD[1] == pytest.approx(np.log(200.0), rel=1e-4)


@pytest.mark.parametrize("q", [[0.4, 0.3, 1.5], [0.4, -0.3, 2.5], [0.4, 1e-5, -4.0]])
def test_its_slope_and_jacobian_are_those_of_the_density_over_q(q):
    q = jnp.asarray(q)

    def over_h(h):
        return -0.5 * ((h - 0.2) ** 2).sum() + jnp.sin(h).prod()

    jacobian = jax.jacobian(BENT.h)(q)
    assert float(BENT.log_jacobian(q)) == pytest.approx(float(jnp.log(jnp.abs(jnp.diagonal(jacobian))).sum()))
    expected = jax.grad(lambda q: over_h(BENT.h(q)) + BENT.log_jacobian(q))(q)
    assert np.allclose(BENT.slope(q, jax.grad(over_h)(BENT.h(q))), expected, rtol=1e-8)


def test_a_half_normal_is_flat_at_zero():
    """Its slope over h and that of the Jacobian cancel there: a trajectory meets no wall and no well."""
    scale = np.exp(MEDIAN[1]) / 0.6745  # of the half-normal with this median

    def over_h(h):  # ln density of h = ln SD / SD[1]
        sd = jnp.exp(h[1] * SD[1])
        return -0.5 * (sd / scale) ** 2 + h[1] * SD[1]

    q = jnp.asarray([0.0, 1e-6, 1.0])
    slope = BENT.slope(q, jax.grad(over_h)(BENT.h(q)))[1]
    assert abs(float(slope)) < 1e-4
