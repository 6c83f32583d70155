"""The move of HMC within Gibbs in which a patient changes his response class: two parameters exchange their roles.

A class of responders reads a parameter a, as the share that resists; in the other class b takes its place. With labs
that say that a share of 0.7 resists, a patient may be a responder with a = 0.7 or a non-responder with b = 0.7; what is
not read lies anywhere in its prior. HMC leaves one for the other only where both happen to be near 0.7. Here

    a' = b,  b' ~ Normal(mean_b, sd_b^2)        or        b' = a,  a' ~ Normal(mean_a, sd_a^2)

each with chance 1/2, so that the labs are predicted as before and what is no longer read is drawn from the population.
Each is the way back of the other; the ratio is that of the two densities drawn from. Few such patients moved the
population: p, a and b of it change together when one of them changes his class.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Roles(NamedTuple):
    """Which parameters may exchange their roles.

    pairs (K, 2) : places in psi of a and b; counts (N, K) : 1 where the class counts for the patient, else 0
    """

    pairs: np.ndarray
    counts: np.ndarray


def roles_of(model, relevant) -> Roles:
    """Response classes of which both parameters vary between patients on the same scale.

    relevant (N, X) : which response classes count for a patient
    """
    names = list(model.individual_names)
    scale = {p.name: p.scale for p in model.parameters}
    kept = [
        k
        for k, c in enumerate(model.response_classes)
        if {c.parameter, c.replaced_by} <= set(names) and scale[c.parameter] == scale[c.replaced_by]
    ]
    classes = [model.response_classes[k] for k in kept]
    pairs = [(names.index(c.parameter), names.index(c.replaced_by)) for c in classes]
    return Roles(np.array(pairs, dtype=int).reshape(-1, 2), np.asarray(relevant, dtype=float)[:, kept])


def exchanged(roles: Roles, key, psi, means, scale):
    """Proposed psi (N, D), and ln of the density of the way back less that of the way there, (N,); -inf where no class
    counts.

    means (N, D), scale (D, D) : of psi given the population
    """
    keys = jax.random.split(key, 3)
    counts = jnp.asarray(roles.counts)
    which = jax.random.categorical(keys[0], jnp.log(counts))
    pair = jnp.asarray(roles.pairs)[which]
    pair = jnp.where(jax.random.bernoulli(keys[1], 0.5, (len(psi), 1)), pair, pair[:, ::-1])
    here, row = jnp.take_along_axis(psi, pair, 1), jnp.arange(len(psi))
    mean, sd = jnp.take_along_axis(means, pair, 1), jnp.sqrt((scale**2).sum(-1))[pair]
    fresh = jax.random.normal(keys[2], (len(psi),))
    left = (here[:, 1] - mean[:, 1]) / sd[:, 1]  # read before, or not: drawn anew on the way back
    proposed = psi.at[row, pair[:, 1]].set(here[:, 0]).at[row, pair[:, 0]].set(mean[:, 0] + sd[:, 0] * fresh)
    ratio = 0.5 * (fresh**2 - left**2) + jnp.log(sd[:, 0] / sd[:, 1])
    return proposed, jnp.where(counts.any(1), ratio, -jnp.inf)
