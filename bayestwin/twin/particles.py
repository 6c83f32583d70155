"""Weighted particles of one patient: individual parameters and the population draw each belongs to.

Islands are resampled and normalised separately, so that the spread of their estimates is the Monte Carlo error:
error of a mean = SD over islands / sqrt(number of islands).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.individual import Hyper
from bayestwin.individual.missing import levels_of, some_category_missing
from bayestwin.individual.parameters import normal_given_levels

LARGEST_K = 0.7  # k-hat beyond which importance ratios are not trusted
LARGEST_GAP = 0.4  # SD of the island means, in posterior SDs, beyond which islands disagree
LARGEST_CLASS_GAP = 0.2  # SD of the island means of the chance of a response class, likewise
BEYOND = 2.5  # times the SD of the means of half the islands that islands lead to expect
ENOUGH = 8  # particles per parameter from which on half of the islands fit proposals of their own
EVEN = 2.0  # largest ratio over the mean ratio, up to which weights count as even


class Population(NamedTuple):
    """Population draws as the twin needs them, M of them.

    typical (M, Q), effects (M, F), sigma (M, R) : what predictions use
    mean (M, D), scale (M, D, D), whiten (M, D, D), log_det (M,) : of psi given the draw, for this patient's covariates
    covariates (M, S) : of their distributions, None without any
    log_share (M,), which (M,) : where a category of the patient is missing each row is a population draw together with
        a level, of this prior chance and of this draw; None else
    joined (K,) : positions of the parameters that are correlated with another; None where all may be
    """

    typical: jax.Array
    effects: jax.Array
    sigma: jax.Array
    mean: jax.Array
    scale: jax.Array
    whiten: jax.Array
    log_det: jax.Array
    covariates: jax.Array | None = None
    log_share: jax.Array | None = None
    which: jax.Array | None = None
    joined: jax.Array | None = None

    @property
    def draws(self) -> int:
        """Number of population draws."""
        return len(self.log_det) if self.which is None else int(np.asarray(self.which).max()) + 1

    def drawn(self, row):
        """The population draw that each of these rows belongs to."""
        return row if self.which is None else np.asarray(self.which)[np.asarray(row)]

    def with_level(self, draw, rng: np.random.Generator):
        """A row for each of these population draws, with a level of what is missing drawn at random."""
        if self.which is None:
            return draw
        levels = np.asarray(self.log_share).reshape(-1, self.draws)[:, np.asarray(draw)]
        return (levels + rng.gumbel(size=levels.shape)).argmax(axis=0) * self.draws + np.asarray(draw)


class Particles(NamedTuple):
    """P particles in islands of equal size.

    psi (P, D); draw (P,) index of the population draw; log_weights (P,), normalised within each island
    labs, alive, other, log_class (P, C) : log-likelihood pieces by response class; state (P, C, S + H + 2 W):
        states, hazard integrals, mean and variance of serially correlated departures
    """

    psi: jax.Array
    draw: jax.Array
    log_weights: jax.Array
    labs: jax.Array
    alive: jax.Array
    other: jax.Array
    log_class: jax.Array
    state: jax.Array


def population_for(model, hyper: Hyper, terms) -> Population:
    """Means, scales and whitening matrices of psi for a patient with these covariate terms.

    A missing number is summed out of them; with a missing category every draw stands once for each combination of
    levels, level by level (`Population.which`).
    """
    found = _population_for(model, hyper, terms, some_category_missing(model, terms))
    return found._replace(joined=_joined(np.asarray(found.scale)))


def _joined(scale: np.ndarray):
    """Positions of the parameters that any draw correlates with another, from the factors (M, D, D)."""
    linked = (scale != 0).any(axis=0) & ~np.eye(scale.shape[-1], dtype=bool)
    joined = np.flatnonzero(linked.any(axis=0) | linked.any(axis=1))
    return None if len(joined) == scale.shape[-1] else jnp.asarray(joined)


def multiplied(factors, draw, x, joined=None):
    """The factor (D, D) of each particle's draw, out of (M, D, D), times its row of x (P, D).

    joined : of a `Population`; the others stand alone in the factors. Most do in a model of many treatments, and P
    matrices of the whole size took as long to gather as a solve of the patient's course.
    """
    if joined is None:
        return jnp.einsum("pde,pe->pd", factors[draw], x)
    alone = jnp.diagonal(factors, axis1=-2, axis2=-1)[draw] * x
    block = factors[:, joined[:, None], joined][draw]
    return alone.at[:, joined].set(jnp.einsum("pde,pe->pd", block, x[:, joined]))


@partial(jax.jit, static_argnums=(0, 3))
def _population_for(model, hyper: Hyper, terms, levels: bool) -> Population:
    hyper, terms = jax.tree.map(jnp.asarray, hyper), jnp.asarray(terms)
    mean, scale = jax.vmap(lambda h: normal_given_levels(model, h, terms))(hyper)
    log_share = which = None
    if levels:
        shares, shifts = jax.vmap(lambda h: levels_of(model, h, terms))(hyper)
        count, many = shares.shape
        mean = (mean[:, None] + shifts).swapaxes(0, 1).reshape(many * count, -1)
        hyper, scale = jax.tree.map(lambda a: jnp.tile(a, (many, *[1] * (a.ndim - 1))), (hyper, scale))
        log_share, which = shares.T.reshape(-1), jnp.tile(jnp.arange(count), many)
    eye = jnp.broadcast_to(jnp.eye(scale.shape[-1]), scale.shape)
    whiten = jax.vmap(lambda a, b: jax.scipy.linalg.solve_triangular(a, b, lower=True))(scale, eye)
    log_det = jnp.log(jnp.diagonal(scale, axis1=-2, axis2=-1)).sum(-1)
    kept = hyper.typical, hyper.effects, hyper.sigma
    return Population(*kept, mean, scale, whiten, log_det, hyper.covariates, log_share, which)


@jax.jit
def log_prior_of(psi, draw, population: Population):
    """ln p(psi | draw) up to a constant, (P,); of a row with a level, times the chance of that level."""
    white = multiplied(population.whiten, draw, psi - population.mean[draw], population.joined)
    return -0.5 * (white**2).sum(-1) - population.log_det[draw] + log_share_of(draw, population)


def level_given(psi, draw, population: Population, rng: np.random.Generator):
    """A row for each particle of these population draws, the level of what is missing drawn given psi."""
    if population.which is None:
        return draw
    rows = np.asarray(draw) + population.draws * np.arange(len(population.log_det) // population.draws)[:, None]
    height = np.stack([np.asarray(log_prior_of(psi, row, population)) for row in rows])
    return np.take_along_axis(rows, (height + rng.gumbel(size=height.shape)).argmax(axis=0)[None], axis=0)[0]


def log_share_of(draw, population: Population):
    """ln of the prior chance of the level in each of these rows, 0 where nothing is missing, (P,)."""
    return jnp.zeros(()) if population.log_share is None else population.log_share[draw]


def normalised(log_weights, islands: int) -> np.ndarray:
    """Log-weights that sum to one within each island; not a number where an island has no weight at all."""
    by_island = np.asarray(log_weights).reshape(islands, -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (by_island - log_sum_exp(by_island, axis=1)[:, None]).reshape(-1)


def within_draws(log_weights, islands: int, draw) -> np.ndarray:
    """The same with equal weight for every population draw in each island, whatever its particles weigh: (P,).

    draw (P,) : population draw of each particle; one whose particles all weigh nothing keeps no weight
    """
    found, draw = np.array(log_weights, dtype=float).reshape(islands, -1), np.asarray(draw).reshape(islands, -1)
    for own, at in zip(found, draw):
        largest = np.full(at.max() + 1, -np.inf)
        np.maximum.at(largest, at, own)
        safe = np.where(np.isfinite(largest), largest, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            own -= (safe + np.log(np.bincount(at, np.exp(own - safe[at]))))[at]
    return np.where(np.isnan(found), -np.inf, found).reshape(-1)


def log_sum_exp(values, axis: int) -> np.ndarray:
    """ln sum exp along an axis, -inf where every value is."""
    values = np.asarray(values)
    largest = values.max(axis=axis, keepdims=True)
    safe = np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(values - safe).sum(axis=axis)) + safe.squeeze(axis)


def effective_size(log_weights, islands: int) -> float:
    """Effective sample size: sum over islands of 1 / sum w^2."""
    w = np.exp(np.asarray(log_weights)).reshape(islands, -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.nan_to_num(1.0 / (w**2).sum(axis=1), nan=0.0, posinf=0.0).sum())


def effective_draws(draw, log_weights) -> float:
    """Effective number of population draws: 1 / sum of their squared weights."""
    weight = np.exp(np.asarray(log_weights))
    share = np.bincount(np.asarray(draw), weights=weight) / weight.sum()
    return float(1.0 / (share**2).sum())


def unique_particles(psi) -> int:
    """Number of distinct particles."""
    return len(np.unique(np.asarray(psi), axis=0))


def systematic(rng: np.random.Generator, log_weights, islands: int, *, particles: int | None = None, draw=None):
    """Systematic resampling within each island: positions of the survivors, (P,).

    particles : so many survivors over all islands, None for as many as there are
    draw (P,) : population draws that are to keep their number of particles: they stand one after the other
    """
    if draw is not None:
        island = np.repeat(np.arange(islands), len(draw) // islands)
        order = np.lexsort((draw, island))
        return order[systematic(rng, np.asarray(log_weights)[order], islands, particles=particles)]
    weights = np.exp(np.asarray(log_weights)).reshape(islands, -1)
    own = weights.shape[1]
    size = own if particles is None else particles // islands
    starts = rng.random(islands)
    picked = []
    for k in range(islands):
        cumulative = np.cumsum(weights[k])
        points = (starts[k] + np.arange(size)) / size * cumulative[-1]
        picked.append(k * own + np.minimum(np.searchsorted(cumulative, points), own - 1))
    return np.concatenate(picked)


def pareto_k(log_ratios) -> float:
    """Shape of the generalised Pareto fitted to the largest importance ratios (Zhang and Stephens 2009).

    Tail size min(0.2 P, 3 sqrt(P)) as in PSIS (Vehtari et al. 2024). -inf where none of the P ratios is above EVEN
    times their mean: no particle can then carry the rest (ESS is P / EVEN at least), and the shape of so short a tail,
    which knows no scale, is that of chance. Ratios between 0.5 and 1 that lay in clumps, one for each population draw,
    had k-hat 1.2.
    """
    every = np.asarray(log_ratios, dtype=float)
    x = np.sort(every[np.isfinite(every)])
    tail = int(min(0.2 * len(x), 3 * np.sqrt(len(x))))
    if tail < 5 or np.exp(x - x[-1]).sum() >= len(every) / EVEN:
        return -np.inf if len(x) else np.inf
    cut = np.exp(x[-tail - 1] - x[-1])
    exceed = np.exp(x[-tail:] - x[-1]) - cut
    if exceed[-1] <= 0 or exceed[max(int(np.floor(tail / 4 + 0.5)) - 1, 0)] <= 0:
        return -np.inf
    grid = 30 + int(np.sqrt(tail))
    theta = (
        1 / exceed[-1]
        + (1 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))) / 3 / exceed[int(np.floor(tail / 4 + 0.5)) - 1]
    )
    k = np.mean(np.log1p(-theta[:, None] * exceed), axis=1)
    profile = tail * (np.log(-theta / k) - k - 1)
    with np.errstate(over="ignore"):  # a profile far above another's leaves it no weight
        weight = 1 / np.exp(profile - profile[:, None]).sum(axis=1)
    best = (theta * weight / weight.sum()).sum()
    shape = np.mean(np.log1p(-best * exceed))
    return float(shape * tail / (tail + 10) + 10 * 0.5 / (tail + 10))


def island_gaps(psi, log_weights, islands: int) -> np.ndarray:
    """SD of the island means over the posterior SD of every individual parameter, (D,)."""
    x, w = np.asarray(psi), np.exp(np.asarray(log_weights)) / islands
    sd = np.sqrt(w @ (x - w @ x) ** 2)
    return np.divide(island_means(x, log_weights, islands).std(axis=0, ddof=1), sd, out=np.zeros_like(sd), where=sd > 0)


def halves(islands: int, particles: int, dimension: int) -> int:
    """Parts of the islands whose proposals are their own (`mover`).

    Two, of two islands each at least and of particles enough to fit proposals to; else one.
    """
    return 2 if islands >= 4 and islands % 2 == 0 and particles >= 2 * ENOUGH * dimension else 1


def half_gaps(values, log_weights, islands: int) -> np.ndarray:
    """SD of the means of both halves of the islands where that is beyond what islands say, else 0: (P, K) -> (K,).

    Islands of a half share proposals. What the SD of two means is to be follows from the islands; BEYOND times that is
    not chance. An odd number of islands, or fewer than four, has no halves.
    """
    means = island_means(values, log_weights, islands)
    if islands < 4 or islands % 2:
        return np.zeros(means.shape[1:])
    both = means.reshape(2, islands // 2, *means.shape[1:])
    within = np.sqrt(both.var(axis=1, ddof=1).mean(axis=0) / (islands // 2))
    found = both.mean(axis=1).std(axis=0, ddof=1)
    return np.where(found > BEYOND * within, found, 0.0)


def island_means(values, log_weights, islands: int) -> np.ndarray:
    """Weighted mean of each island: values (P, ...) -> (islands, ...)."""
    w = np.exp(np.asarray(log_weights)).reshape(islands, -1)
    v = np.asarray(values).reshape(islands, w.shape[1], *np.shape(values)[1:])
    return np.einsum("ip,ip...->i...", w, v) / w.sum(1).reshape(-1, *([1] * (v.ndim - 2)))
