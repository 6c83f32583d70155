"""Jumps of patients between modes that chains have met."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from two_modes import STEEP, WHERE, two_modes

from bayestwin.population import gibbs_solved
from bayestwin.population.gibbs import PatientwiseHMC
from bayestwin.population.gibbs_jump import (
    jumped,
    log_density,
    mixture_of,
    no_mixture,
    nothing_seen,
    seen_too,
)

HEIGHTS = np.array([[0.0, 4.0], [0.0, 6.0], [0.0, 9.0]])  # the prior takes 4 from the second mode


def exact_share() -> np.ndarray:
    """Chance of the second mode, by quadrature."""
    z = np.linspace(-3.0, 5.0, 200_001)
    density = np.exp(HEIGHTS[:, :, None] - STEEP * (z - WHERE[:, None]) ** 2 - 0.5 * z**2)
    return density[:, 1].sum(-1) / density.sum((-1, -2))


def found_share(seed: int, chains: int = 4) -> np.ndarray:
    """(chains, patients): share of sampling that each chain spends in the second mode, where all but one begin."""
    with jax.enable_x64(True):
        joint, warmup, draws = two_modes(jnp.asarray(HEIGHTS)), 200, 3000
        begun = jnp.asarray(WHERE)[np.minimum(np.arange(chains), 1)][:, None, None] * jnp.ones((1, len(HEIGHTS), 1))
        kernel = PatientwiseHMC(joint)
        keys = jax.random.split(jax.random.key(seed), chains)
        state = kernel.init(keys, warmup, {"h": jnp.zeros((chains, 1)), "z": begun}, (), {})

        @jax.jit
        def run(state):
            def step(state, _):
                state = kernel.sample(state, (), {})
                return state, state.z["z"][..., 0]

            return jax.lax.scan(step, state, None, length=warmup + draws)[1]

        z = np.asarray(run(state))[warmup:]
    return (z > 1.0).mean(axis=0)


def test_chains_that_begin_in_different_modes_give_each_its_weight():
    share, exact = found_share(seed=1), exact_share()
    assert 0.2 < exact.min() and exact.max() > 0.9
    assert np.abs(share - exact).max() < 0.06  # 3000 sweeps of each chain


@pytest.mark.validate  # says that the test before it can fail
def test_without_jumps_each_chain_stays_where_it_began(monkeypatch):
    monkeypatch.setattr(gibbs_solved, "jumped", lambda mixture, key, psi: (psi, jnp.full(len(psi), -jnp.inf)))
    assert found_share(seed=1) == pytest.approx(np.tile([[0.0], [1.0], [1.0], [1.0]], (1, 3)))


def test_the_ratio_is_that_of_the_density_proposed_from():
    """An importance sample: the mean of a function under a normal, from proposals and their ratios."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        chains, size, draws = 2, 2, 60
        seen = jax.tree.map(lambda a: jnp.zeros((chains, *a.shape)), nothing_seen(1, size))
        cloud = rng.standard_normal((draws, chains, 1, size)) * 0.7 + np.array([-0.5, 0.5])[:, None, None]
        for psi in cloud:
            seen = jax.vmap(seen_too, (0, 0, None))(seen, jnp.asarray(psi), 1.0)
        mixture = mixture_of(no_mixture(chains, 1, size), seen)
        for both in mixture[1:]:  # nothing was known: both windows are this one
            np.testing.assert_array_equal(both[:chains], both[chains:])
        short = mixture._replace(mean=mixture.mean[:chains], lower=mixture.lower[:chains])
        np.testing.assert_allclose(short.mean, cloud.mean(axis=0), atol=1e-12)
        covariance = np.asarray(short.lower @ short.lower.swapaxes(-1, -2))
        of_cloud = np.stack([np.cov(cloud[:, c, 0].T, ddof=0) for c in range(chains)])[:, None]
        np.testing.assert_allclose(np.diagonal(covariance, 0, -2, -1), np.diagonal(of_cloud, 0, -2, -1), rtol=1e-6)
        np.testing.assert_allclose(covariance[..., 0, 1], of_cloud[..., 0, 1] * draws / (draws + size), rtol=1e-6)

        here = jnp.zeros((1, size))
        keys = jax.random.split(jax.random.key(2), 40_000)
        proposed, ratio = jax.jit(jax.vmap(lambda key: jumped(mixture, key, here)))(keys)
        x, log_q = np.asarray(proposed)[:, 0], np.asarray(log_density(mixture, here))[0] - np.asarray(ratio)[:, 0]
        weight = np.exp(-0.5 * ((x - 0.2) ** 2).sum(-1) - log_q)  # to a normal around 0.2
        weight /= weight.sum()
        assert weight @ x == pytest.approx([0.2, 0.2], abs=0.03)
        assert weight @ (x - 0.2) ** 2 == pytest.approx([1.0, 1.0], abs=0.05)


def test_nothing_is_proposed_before_anything_was_seen():
    with jax.enable_x64(True):
        _, ratio = jumped(no_mixture(3, 4, 2), jax.random.key(1), jnp.zeros((4, 2)))
    assert (np.asarray(ratio) == -np.inf).all()
