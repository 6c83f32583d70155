"""Moves that leave the target unchanged, for all particles at once; one solve of the full history each.

    psi     psi' = mu + sqrt(1 - b^2) (psi - mu) + b L e: Crank-Nicolson about the Gaussian fitted to the particles;
            reversible for that Gaussian, so the acceptance sees only where the target differs from it
    draw    a new population draw with psi kept: several cheap steps on p(m | psi), then one on the likelihood
    both    a new population draw with the standardised effects kept:
            psi' = mean_m' + scale_m' (whiten_m (psi - mean_m))
    between a new population draw and response class, proposed as often as a normal approximation says they explain the
            labs, with psi standardised by that approximation (`laplace`),
            psi' = centre' + factor' e', e = whiten (psi - centre). The class that is left is drawn given psi. A draw
            with a small residual SD holds psi in a corner, another class in another mode, which no move above would
            find. Half of the particles keep e' = e, the others take a Crank-Nicolson step of any length from it

In psi, draw and between, parameters that no lab or event feels are drawn anew given the rest (`silence`).

The step size b follows the acceptance. Sources: Cotter et al. (2013), Statistical Science 28:424; Christen and Fox
(2005) for the two-stage acceptance.
"""

from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import Accuracy
from bayestwin.twin.particles import log_prior_of, log_share_of, multiplied
from bayestwin.twin.silence import effects, filled, log_active, with_silent
from bayestwin.twin.target import evaluator, full_likelihood, log_target, old_likelihood

CYCLE = (0, 2, 0, 0, 1, 0)  # psi, both, psi, psi, draw, psi
BETWEEN = 3
INNER = 8  # cheap steps of a draw move
KEPT = 0.5  # share of the moves between that keep psi as the approximation standardises it


class Guide(NamedTuple):
    """What the proposals of some islands rest on: mean (D,) and factor (D, D) of the Gaussian fitted to their
    particles, and `laplace.Normals`, asked of kind BETWEEN alone."""

    mean: Any
    factor: Any
    normals: Any


def fitted_gaussian(psi, log_weights, islands: int, prior_sd, active=None):
    """Mean (D,) and Cholesky factor (D, D) of all particles; of those that are not `active` (D,) apart from the others.

    Shrunk a little towards their spread so that none is singular.
    One Gaussian for half of the islands: fitted to one island of some hundred particles its correlations were too noisy
    to be accepted. It only shapes the proposal; islands are resampled and reported separately.
    """
    w = np.exp(np.asarray(log_weights)) / islands
    x = np.asarray(psi)
    mean = w @ x
    gap = x - mean
    cov = (w[:, None] * gap).T @ gap
    if active is not None:
        cov = np.where(np.asarray(active)[:, None] == np.asarray(active), cov, 0.0)
    return mean, np.linalg.cholesky(0.95 * cov + np.diag(0.05 * np.diag(cov) + 1e-6 * prior_sd**2))


@lru_cache(maxsize=64)
def sweep(model, accuracy: Accuracy):
    """A Metropolis sweep, one kind of move for every particle.

    Three compiled programs, so that only the evaluation is compiled anew for another length of history.
    """
    evaluate = evaluator(model, accuracy)

    def one(kind, key, psi, draw, pieces, old, population, data, rho, t, guides, step, silence=None, *, from_scratch):
        """pieces : ClassLikelihood of the newer record; old (P, C) : log-likelihood of the seen record

        guides : a Guide for each of as many parts of the particles, one after the other; silence : `silence.Silence`
        or None
        """
        key_propose, key_accept = jax.random.split(key)
        parts = []
        moving = (psi, draw, pieces) if kind == BETWEEN else (psi, draw)
        for number, (guide, own) in enumerate(zip(guides, in_parts(moving, len(guides)))):
            own_key = jax.random.fold_in(key_propose, number)
            if kind == BETWEEN:
                parts.append(propose_between(own_key, *own, population, guide.normals, silence))
            else:
                parts.append(propose(kind, own_key, *own, population, guide.mean, guide.factor, step, silence))
        new_psi, new_draw, ratio, *classes = joined(parts)
        proposed = evaluate(new_psi, new_draw, population, data, rho)
        if kind == BETWEEN:
            left, entered = classes[0]
            ratio = with_classes(ratio, proposed, entered, pieces, left)
        here, there = (psi, draw, pieces, old), (new_psi, new_draw, proposed)
        return accept(key_accept, here, there, ratio, t, from_scratch=from_scratch)

    return one


def in_parts(tree, count: int) -> list:
    """A pytree of arrays over particles, cut into so many parts of equal size."""
    return [tree] if count == 1 else _cut(tree, count)


@partial(jax.jit, static_argnums=1)
def _cut(tree, count: int) -> list:
    size = len(jax.tree.leaves(tree)[0]) // count
    return [jax.tree.map(lambda a, k=k: a[k * size : (k + 1) * size], tree) for k in range(count)]


def joined(parts: list):
    """The parts one after the other again."""
    return parts[0] if len(parts) == 1 else _one_after_the_other(parts)


@jax.jit
def _one_after_the_other(parts):
    return jax.tree.map(lambda *a: jnp.concatenate(a), *parts)


@jax.jit
def propose(kind, key, psi, draw, population, mu, factor, step, silence=None):
    """Proposed psi (P, D) and draw (P,), and the log ratio of prior and proposal densities (P,)."""
    key_noise, key_draw, key_inner = jax.random.split(key, 3)

    inverse = jnp.linalg.inv(factor)  # solving P triangular systems took ten times as long

    def length(x):
        return (((x - mu) @ inverse.T) ** 2).sum(1)

    fresh = None if silence is None else jax.random.normal(jax.random.fold_in(key_noise, 1), psi.shape)

    def move_psi():
        # a mixture of step lengths: some proposals local, some nearly independent
        b = jnp.minimum(1.0, step * jnp.exp(0.7 * jax.random.normal(key_draw, (psi.shape[0], 1))))
        noise = jax.random.normal(key_noise, psi.shape) @ factor.T
        new = mu + jnp.sqrt(1.0 - b**2) * (psi - mu) + b * noise
        ratio = 0.5 * (length(new) - length(psi))
        if silence is not None:  # mu and factor are those of the others, silent ones a block of their own that cancels
            ratio = 0.5 * (length(jnp.where(silence.active, new, mu)) - length(jnp.where(silence.active, psi, mu)))
            partly = effects(jnp.where(silence.active, new, psi), draw, population, silence)
            e = jnp.where(silence.active, partly, fresh)
            gain = log_active(e, draw, silence) - height(draw)
            return filled(e, draw, population, silence), draw, gain + ratio
        return new, draw, log_prior_of(new, draw, population) - log_prior_of(psi, draw, population) + ratio

    def height(m):
        if silence is None:
            return log_prior_of(psi, m, population)
        return log_active(effects(psi, m, population, silence), m, silence)

    def move_draw():
        def inner(carry, key):
            m, lp = carry
            a, b = jax.random.split(key)
            other = jax.random.randint(a, m.shape, 0, population.log_det.shape[0])
            lp_other = height(other)
            take = jnp.log(jax.random.uniform(b, m.shape)) < lp_other - lp
            return (jnp.where(take, other, m), jnp.where(take, lp_other, lp)), None

        begin = (draw, height(draw))
        (m, _), _ = jax.lax.scan(inner, begin, jax.random.split(key_inner, INNER))
        if silence is None:
            return psi, m, jnp.zeros(psi.shape[0])
        e = jnp.where(silence.active, effects(psi, m, population, silence), fresh)
        return filled(e, m, population, silence), m, jnp.zeros(psi.shape[0])

    def move_both():
        m = jax.random.randint(key_draw, draw.shape, 0, population.log_det.shape[0])
        effect = multiplied(population.whiten, draw, psi - population.mean[draw], population.joined)
        moved = population.mean[m] + multiplied(population.scale, m, effect, population.joined)
        return moved, m, jnp.zeros(psi.shape[0]) + log_share_of(m, population) - log_share_of(draw, population)

    return jax.lax.switch(kind, (move_psi, move_draw, move_both))


@jax.jit
def propose_between(key, psi, draw, pieces, population, normals, silence=None):
    """As `propose`, with the Jacobian |factor'| / |factor| in the ratio, and the classes (P,) left and entered.

    normals : of the active parameters alone, where there is a silence
    """
    if silence is not None:
        new, *found = propose_between(key, psi[:, silence.places], draw, pieces, silence.among, normals)
        fresh = jax.random.normal(jax.random.fold_in(key, 1), psi.shape)
        return with_silent(new, found[0], population, silence, fresh), *found
    key_class, key_pick, key_step, key_noise = jax.random.split(key, 4)
    own_class = jax.random.categorical(key_class, pieces.log_class + full_likelihood(pieces))
    here = draw * pieces.log_class.shape[-1] + own_class
    there = _picked(key_pick, normals.log_share, draw.shape)
    m, new_class = jnp.divmod(there, pieces.log_class.shape[-1])
    effect = jnp.einsum("pde,pe->pd", normals.whiten[here], psi - normals.centre[here])
    step = jnp.sqrt(jnp.maximum(jax.random.uniform(key_step, (len(psi), 1), minval=-KEPT, maxval=1.0 - KEPT), 0.0))
    new = jnp.sqrt(1.0 - step**2) * effect + step * jax.random.normal(key_noise, psi.shape)
    moved = normals.centre[there] + jnp.einsum("pde,pe->pd", normals.factor[there], new)
    ratio = log_prior_of(moved, m, population) - log_prior_of(psi, draw, population)
    ratio = ratio + 0.5 * ((new**2).sum(-1) - (effect**2).sum(-1))
    ratio = ratio + normals.log_det[there] - normals.log_share[there] - normals.log_det[here] + normals.log_share[here]
    return moved, m, ratio, (own_class, new_class)


def _picked(key, log_share, shape):
    """Positions drawn with these probabilities; `jax.random.categorical` draws a number for each of them."""
    cumulative = jnp.cumsum(jnp.exp(log_share - log_share.max()))
    points = jax.random.uniform(key, shape) * cumulative[-1]
    return jnp.minimum(jnp.searchsorted(cumulative, points, side="right"), len(log_share) - 1)


@jax.jit
def share_of_class(pieces, which):
    """ln P(class | psi, labs) of one class for each particle, (P,)."""
    joint = pieces.log_class + full_likelihood(pieces)
    return jnp.take_along_axis(joint, which[:, None], axis=1)[:, 0] - jax.scipy.special.logsumexp(joint, axis=-1)


@jax.jit
def with_classes(ratio, proposed, entered, pieces, left):
    """The ratio (P,) of a move that left and entered these classes."""
    return ratio + share_of_class(proposed, entered) - share_of_class(pieces, left)


@partial(jax.jit, static_argnames=("from_scratch",))
def accept(key, here, there, ratio, t, *, from_scratch):
    """Metropolis acceptance of (psi, draw, pieces): what stands now, acceptance rate, share of failed solves."""
    psi, draw, pieces, old = here
    new_psi, new_draw, proposed = there
    proposed_old = jnp.zeros_like(old) if from_scratch else old_likelihood(proposed)
    height = log_target(jnp.zeros(()), pieces.log_class, old, full_likelihood(pieces), t)
    proposed_height = log_target(jnp.zeros(()), proposed.log_class, proposed_old, full_likelihood(proposed), t)
    log_accept = jnp.where(jnp.isfinite(proposed_height), proposed_height - height + ratio, -jnp.inf)
    take = jnp.log(jax.random.uniform(key, draw.shape)) < log_accept

    def pick(a, b):
        return jnp.where(take.reshape(-1, *([1] * (a.ndim - 1))), a, b)

    moved = jax.tree.map(pick, (new_psi, new_draw, proposed, proposed_old), (psi, draw, pieces, old))
    return *moved, take.mean(), (~proposed.ok).mean()
