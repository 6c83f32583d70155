"""Where patients begin: effects found by a search over draws of their prior, without gradients.

An ascent from the prior mean ends in whatever mode of a patient is nearest. Where responders and non-responders,
or fast and slow courses, explain labs in ways that no path of rising density joins, that is often the wrong one: of 25
patients of the reduced myeloma model so many were that the population followed them and stayed there, 140 below in the
log density. Differential evolution, towards the best member (Storn and Price 1997, J Global Optim 11:341), all
patients side by side, finds the best one; each chain takes a member with
chances by their density. Chains then mostly begin in the same mode: R-hat does not tell of a second one that compares.
Only the start: what is sampled does not depend on it.
"""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from bayestwin.population.joint import Joint

MEMBERS, GENERATIONS = 100, 60
AT_ONCE = 20  # members solved for together
CROSSED = 0.9  # chance that a coordinate is taken from the trial


def searched_effects(joint: Joint, start: dict, key, *, members: int = MEMBERS, generations: int = GENERATIONS) -> dict:
    """The same start with "z" (chains, N, D) from the search, given the mean population of the chains.

    start : unbounded sites with a leading axis of chains
    """
    population = {name: value.mean(axis=0) for name, value in start.items() if name != "z"}
    h, chains = ravel_pytree(population)[0], len(start["z"])
    key_first, key_search, key_chains = jax.random.split(key, 3)

    def log_density(z):
        means, scale = joint.individual(h)
        value = joint.likelihood(means + z @ scale.T, joint.shared(h))[0] - 0.5 * (z**2).sum(-1)
        return jnp.where(jnp.isnan(value), -jnp.inf, value)

    def of_all(z):
        return jax.lax.map(log_density, z, batch_size=AT_ONCE)

    def generation(found, step):
        """One generation; in the first, members stand where they were drawn: the likelihood is compiled once."""
        (z, value), (key, first) = found, step
        keys = jax.random.split(key, 3)
        others = (jnp.arange(members)[:, None] + jax.random.randint(keys[0], (2, *value.shape), 1, members)) % members
        a, b = (jnp.take_along_axis(z, other[..., None], 0) for other in others)
        best = jnp.take_along_axis(z, value.argmax(0)[None, :, None], 0)
        reach = jax.random.uniform(keys[1], (*value.shape, 1), minval=0.4, maxval=0.9)
        crossed = jax.random.uniform(keys[2], z.shape) < CROSSED
        trial = jnp.where(crossed & ~first, z + reach * (best - z + a - b), z)
        reached = of_all(trial)
        better = (reached > value) | first
        return (jnp.where(better[..., None], trial, z), jnp.where(better, reached, value)), None

    @jax.jit
    def search(given):
        drawn = jax.random.normal(key_first, (members, *given.shape[1:])).at[:chains].set(given[:members])
        steps = jax.random.split(key_search, generations + 1), jnp.arange(generations + 1) == 0
        (z, value), _ = jax.lax.scan(generation, (drawn, jnp.zeros(drawn.shape[:2])), steps)
        value = jnp.where(jnp.isfinite(value).any(0), value, 0.0)
        place = jax.random.categorical(key_chains, value.T, shape=(chains, value.shape[1]))
        return jnp.take_along_axis(z, place[..., None], 0)

    return start | {"z": search(start["z"])}
