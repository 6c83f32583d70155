"""An SD that passes 0 in the population's own move, under a metric in which it goes with another coordinate."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from bayestwin.population.gibbs_density import Density
from bayestwin.population.gibbs_jump import no_mixture
from bayestwin.population.gibbs_solved import POPULATION, solved_move
from bayestwin.population.gibbs_state import Ascent, Likelihood, Phase, Tuning, restarted, step_sizes
from bayestwin.population.joint import Joint
from bayestwin.population.whitening import blind

PATIENTS, COUNT = 2, 20_000


def without_labs() -> Joint:
    """h: mean of the one effect, standard normal, and ln of its SD, which is half-normal: dense at 0."""

    def likelihood(psi, shared):
        return psi[:, 0] * 0.0, psi * 0.0, jnp.zeros((len(psi), 0)), psi

    none = np.zeros(2, dtype=bool)
    return Joint(
        log_prior=lambda h: -0.5 * h[0] ** 2 - 0.5 * jnp.exp(2.0 * h[1]) + h[1],
        individual=lambda h: (jnp.full((PATIENTS, 1), h[0]), jnp.exp(h[1]) * jnp.eye(1)),
        shared=lambda h: h[:0],
        likelihood=likelihood,
        given_solved=lambda psi, shared, solved: psi[:, 0] * 0.0,
        acting=none,
        observing=none,
        prior_sd=np.ones(2),
        sites=lambda h: {"h": h},
        spreads=np.array([False, True]),
        prior_median=np.full(2, 1.0),
    )


def test_populations_drawn_from_the_prior_keep_their_law():
    metric = jnp.asarray([[1.0, 0.0], [0.7, 0.5]])  # the SD goes with the mean
    tuning = Tuning(
        blind(PATIENTS, 1, 0),
        metric,
        jnp.eye(2),
        jnp.eye(0),
        step_sizes(PATIENTS, 0.4),
        restarted(PATIENTS, 0.4),
        no_mixture(1, PATIENTS, 1),
    )
    phase, kind = Phase(*(jnp.asarray(False),) * 3, jnp.asarray(0.1)), jnp.asarray(POPULATION)

    def one(key):
        keys = jax.random.split(key, 4)
        mean, sd = jax.random.normal(keys[0]), jnp.abs(jax.random.normal(keys[1]))
        h, z = jnp.stack([mean, jnp.log(sd)]), jax.random.normal(keys[2], (PATIENTS, 1))
        psi = mean + sd * z
        known = Likelihood(jnp.zeros(PATIENTS), psi * 0.0, jnp.zeros((PATIENTS, 0)), psi)
        ascent = Ascent((h * 0.0,) * 2, (z * 0.0,) * 2, jnp.zeros(()))
        return h, *solved_move(density, np.array([4, 1, 5]), tuning, keys[3], kind, h, z, known, ascent, phase)[:2]

    with jax.enable_x64(True):
        density = Density(without_labs())
        h, new, z = jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(4), COUNT)))
    assert np.abs(new - h).mean(axis=0).min() > 0.3
    assert stats.kstest(new[:, 0], "norm").pvalue > 1e-3
    assert stats.kstest(np.exp(new[:, 1]), "halfnorm").pvalue > 1e-3
    assert np.abs(np.corrcoef(new[:, 0], np.exp(new[:, 1]))[0, 1]) < 4 / np.sqrt(COUNT)
