"""The move of HMC within Gibbs in which patients change their response class: two parameters exchange their roles.

A class of responders reads a parameter a, as the share that resists; in the other class b takes its place. Of labs that
say that a share of 0.7 resists, the patient may be a responder with a = 0.7 or a non-responder with b = 0.7; what is
not read lies anywhere in its prior. HMC leaves one for the other only where both happen to be near 0.7. And such
patients hold together: where several of them count as responders, the spread of a is wide enough for more of them.

With the class c of each patient drawn, given psi and what was solved for, the labs are predicted as before after

    c = 1, b' = a, a' ~ Normal(mean_a, sd_a^2)    from c = 0, and    c = 0, a' = b, b' ~ Normal(mean_b, sd_b^2)    back

so that nothing is solved, and many such exchanges and centred moves of the population follow each other. Afterwards c
is forgotten: psi is distributed as before. The kept likelihood is void; the move of the patients that follows begins
with a solve where they stand.

Source of the drawn class: data augmentation of a mixture (Tanner and Wong 1987, J Am Stat Assoc 82:528; memory).
"""

import jax
import jax.numpy as jnp

from bayestwin.population.gibbs_centred import centred_move

ROUNDS = 8  # of exchanges and centred moves in a sweep


def exchange_move(density, steps: int, tuning, key, h, z, likelihood, phase):
    """h and z after rounds of exchanges and centred moves; of patients whose class is known from their labs too."""
    joint, begin = density.joint, jax.random.split(key)
    shared = joint.shared(h * joint.prior_sd)
    means, scale = density.individual(h)
    psi = means + z @ scale.T
    by_class = joint.by_class(psi, shared, likelihood.solved)
    which = jax.random.categorical(begin[0], by_class)
    known = jnp.isfinite(likelihood.value) & jnp.isfinite(by_class.max(-1))
    row = jnp.take_along_axis(jnp.asarray(joint.roles.rows), which[:, None, None], 1)[:, 0]

    def one_round(carry, key):
        h, z, row = carry
        keys = jax.random.split(key)
        z, row = exchanged(density, keys[0], h, z, row, known)
        h, z, _ = centred_move(density, steps, tuning, keys[1], h, z, phase)
        return (h, z, row), None

    (h, z, _), _ = jax.lax.scan(one_round, (h, z, row), jax.random.split(begin[1], ROUNDS))
    return h, z


def exchanged(density, key, h, z, row, known):
    """z (N, D) and classes (N, X) after each patient was offered the other class of one treatment that counts.

    known (N,) : whether the class was drawn from the patient's labs
    """
    joint, keys = density.joint, jax.random.split(key, 3)
    roles, here = joint.roles, jnp.arange(len(z))
    means, scale = density.individual(h)
    psi, shared = means + z @ scale.T, joint.shared(h * joint.prior_sd)
    counts = jnp.asarray(roles.counts)
    one = jax.random.categorical(keys[0], jnp.log(counts))
    at = jnp.asarray(roles.classes)[one]
    other = row[here, at] > 0  # the class in which b is read
    pair = jnp.asarray(roles.pairs)[one]
    read, left = jnp.where(other, pair[:, 1], pair[:, 0]), jnp.where(other, pair[:, 0], pair[:, 1])
    sd = jnp.sqrt((scale**2).sum(-1))
    fresh = jax.random.normal(keys[1], (len(z),))
    before = (psi[here, left] - means[here, left]) / sd[left]  # is drawn anew on the way back
    moved = psi.at[here, left].set(psi[here, read]).at[here, read].set(means[here, read] + sd[read] * fresh)
    turned = row.at[here, at].set(1 - row[here, at])
    new_z = density.z(h, moved)
    gain = 0.5 * ((z**2).sum(-1) - (new_z**2).sum(-1)) + 0.5 * (fresh**2 - before**2) + jnp.log(sd[read] / sd[left])
    gain = gain + joint.log_class(moved, shared, turned) - joint.log_class(psi, shared, row)
    taken = (jnp.log(jax.random.uniform(keys[2], (len(z),))) < gain) & known & counts.any(1)
    return jnp.where(taken[:, None], new_z, z), jnp.where(taken[:, None], turned, row)
