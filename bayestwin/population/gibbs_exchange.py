"""The move of HMC within Gibbs in which patients change their response class: two parameters exchange their roles.

A class of responders reads a parameter a, as the share that resists; in the other class b takes its place. Of labs that
say that a share of 0.7 resists, the patient may be a responder with a = 0.7 or a non-responder with b = 0.7; what is
not read lies anywhere in its prior. HMC leaves one for the other only where both happen to be near 0.7. And such
patients hold together: where several of them count as responders, the spread of a is wide enough for more of them.

Let the class c of each patient be drawn, given psi and what was solved for, and r be the value that is read. The labs
are predicted as before in either class, as long as r is read. So given r and all else but the class and what is not
read, the population has the density of a mixture,

    p(h) prod over patients [P(c = 0 | h) p(r as a, others | h) + P(c = 1 | h) p(r as b, others | h)]

by which it moves, chances of classes too, with patients in both classes at once; then class and what is not read are
drawn anew, exactly. Nothing is solved. Afterwards c is forgotten: psi is distributed as before. The kept likelihood is
void; the move of the patients that follows begins with a solve where they stand.

Sources: data augmentation of a mixture (Tanner and Wong 1987, J Am Stat Assoc 82:528; memory); draws of the rest given
what is left when some are summed out (van Dyk and Park 2008, J Am Stat Assoc 103:790; memory).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.linalg import block_diag, solve_triangular

from bayestwin.population.gibbs_unsolved import unsolved_move
from bayestwin.population.whitening import nothing_yet

ROUNDS = 8  # of moves of the population and exchanges in a sweep


def exchange_move(density, steps: int, tuning, key, h, z, likelihood, phase):
    """h and z after rounds of moves of the population and exchanges; as before where a patient's class is not known
    from the labs."""
    joint, begin = density.joint, jax.random.split(key)
    means, scale = density.individual(h)
    psi = means + z @ scale.T
    by_class = joint.by_class(psi, joint.shared(h * joint.prior_sd), likelihood.solved)
    which = jax.random.categorical(begin[0], by_class)
    known = jnp.isfinite(likelihood.value) & jnp.isfinite(by_class.max(-1))
    row = jnp.take_along_axis(jnp.asarray(joint.roles.rows), which[:, None, None], 1)[:, 0]

    def one_round(carry, key):
        h, psi, row = carry
        keys = jax.random.split(key, 3)
        offer = offered(joint.roles, keys[0], psi, row, known)
        h = mixture_move(density, steps, tuning, keys[1], h, offer, phase)
        psi, row = redrawn(density, keys[2], h, psi, row, offer)
        return (h, psi, row), None

    (new, psi, _), _ = jax.lax.scan(one_round, (h, psi, row), jax.random.split(begin[1], ROUNDS))
    h = jnp.where(known.all(), new, h)
    return h, jnp.where(known.all(), density.z(h, psi), z)


def offered(roles, key, psi, row, known):
    """The two classes between which each patient may change, of one treatment that counts: psi (2, N, D), classes
    (2, N, X), the place of what is not read (2, N), and whether the second counts (N,).

    known (N,) : whether the class was drawn from the patient's labs
    """
    here, counts = jnp.arange(len(psi)), jnp.asarray(roles.counts)
    one = jax.random.categorical(key, jnp.log(counts))
    at, pair = jnp.asarray(roles.classes)[one], jnp.asarray(roles.pairs)[one]
    other = row[here, at] > 0  # the class in which b is read
    read, left = jnp.where(other, pair[:, 1], pair[:, 0]), jnp.where(other, pair[:, 0], pair[:, 1])
    turned = psi.at[here, left].set(psi[here, read])
    rows = row, row.at[here, at].set(1 - row[here, at])
    return jnp.stack([psi, turned]), jnp.stack(rows), jnp.stack([left, read]), known & counts.any(1)


def weighed(density, h, offer):
    """ln of chance and density of each class (2, N), what is not read summed out, and its normal: mean, SD (2, N).

    Where the second class does not count, what is not read is not summed out in the first.
    """
    psi, rows, unread, counts = offer
    means, scale = density.individual(h)
    inverse = solve_triangular(scale, jnp.eye(len(scale)), lower=True)
    precision = inverse.T @ inverse
    each, here = jnp.arange(2)[:, None], jnp.arange(psi.shape[1])
    hidden = jnp.zeros(psi.shape, dtype=bool).at[each, here, unread].set(counts)
    off = jnp.where(hidden, 0.0, psi - means)
    pull = off @ precision
    own = jnp.diagonal(precision)[unread]
    pulled = pull[each, here, unread]
    square = (off * pull).sum(-1) - jnp.where(counts, pulled**2 / own, 0.0)
    log_det = jnp.log(jnp.diagonal(inverse)).sum() - jnp.where(counts, 0.5 * jnp.log(own), 0.0)
    shared = density.joint.shared(h * density.joint.prior_sd)
    chance = jnp.stack([density.joint.log_class(p, shared, r) for p, r in zip(psi, rows)])
    weight = (chance + log_det - 0.5 * square).at[1].add(jnp.where(counts, 0.0, -jnp.inf))
    return weight, means[here, unread] - pulled / own, 1.0 / jnp.sqrt(own)


def mixture_move(density, steps: int, tuning, key, h, offer, phase):
    """The population coordinates that act through psi only, and chances of classes, by so many leapfrog steps."""
    moving = jnp.concatenate([density.passive, density.chances]).astype(int)
    if not len(moving):
        return h
    among = jnp.searchsorted(density.observing, density.chances)
    root = block_diag(tuning.centred, jnp.diag(jnp.sqrt((tuning.observed**2).sum(-1))[among]))

    @partial(jax.value_and_grad, has_aux=True)
    def log_density(x):
        moved = h.at[moving].set(x)
        weight, *_ = weighed(density, moved, offer)
        return density.log_prior(moved) + jax.scipy.special.logsumexp(weight, axis=0).sum(), 0.0

    nothing = nothing_yet((), len(moving), len(moving))
    x, *_ = unsolved_move(log_density, h[moving], steps, tuning.steps[2], root, key, nothing, phase)
    return h.at[moving].set(x)


def redrawn(density, key, h, psi, row, offer):
    """psi (N, D) and classes (N, X) with the class of each patient to whom another is offered, and what is not read in
    it, drawn anew."""
    keys, here = jax.random.split(key), jnp.arange(len(psi))
    weight, mean, sd = weighed(density, h, offer)
    one = jax.random.categorical(keys[0], weight.T)
    unread = offer[2][one, here]
    fresh = mean[one, here] + sd[one, here] * jax.random.normal(keys[1], (len(psi),))
    drawn = offer[0][one, here].at[here, unread].set(fresh)
    counts = offer[3][:, None]
    return jnp.where(counts, drawn, psi), jnp.where(counts, offer[1][one, here], row)
