"""A normal approximation of psi for each population draw and response class: it carries particles between them.

With predictions f = f0 + J (psi - psi0) around psi0, and l a lab's log-likelihood given its prediction,

    precision = whiten' whiten + J' (-l'') J
    step      = precision^-1 (J' l' - whiten' whiten (psi - mean))

J is taken at the best particle of each class and serves all draws; predictions are solved anew at the centre of each
draw. Only a proposal rests on it (`moves`, "between"), so events, the correlation of serial departures and how the
chance of a class depends on psi are left out, and what that and curvature do to all draws of a class alike is learnt
from the particles: mean and covariance of psi as the approximation standardises it, and the evidence of the class.

Source: Tierney and Kadane (1986), Journal of the American Statistical Association 81:82.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.individual.likelihood import rows_given_in_turn
from bayestwin.twin.particles import Population, log_prior_of, log_share_of
from bayestwin.twin.target import full_likelihood

STEPS = 6  # of Gauss-Newton on predictions held linear
FACTORS = (1.0, 0.5, 0.2, 0.05)  # of a step, of which the best is taken
APART = 0.1  # distance between the particles that give a slope, in SDs of the particles
ANY = 0.1  # share of the proposals that take any draw and class, whatever they explain
POWERS = (1.0, 0.5)  # of the evidence that share out the others, in halves: it is itself an approximation
ENOUGH = 4  # particles per parameter from which on a class is corrected


class Normals(NamedTuple):
    """Of every population draw m and response class c, in this order: N = M C.

    centre (N, D), factor (N, D, D) : psi given both has covariance factor factor'
    whiten (N, D, D) : inverse of the factor; log_det (N,) : ln |factor|
    log_share (N,) : ln of the probability with which each is proposed
    """

    centre: jax.Array
    factor: jax.Array
    whiten: jax.Array
    log_det: jax.Array
    log_share: jax.Array


class _Found(NamedTuple):
    """centre (N, D), factor (N, D, D), evidence (N,) : ln of it, up to a constant, as the approximation has it"""

    centre: jax.Array
    factor: jax.Array
    evidence: jax.Array


class _Linear(NamedTuple):
    """Predictions around K centres: at (K, D), predicted (K, N), slopes (K, N, D), log_class (K,), which (K,) draws."""

    at: jax.Array
    predicted: jax.Array
    slopes: jax.Array
    log_class: jax.Array
    which: jax.Array


def room_for(psi, classes: int) -> bool:
    """True where one solve of all particles psi (P, D) holds the slopes of every class; not where there is no slope."""
    return psi.shape[1] > 0 and len(psi) >= classes * (psi.shape[1] + 1)


def normals_by_draw(
    model, evaluate, psi, draw, pieces, population: Population, data, rho, key, *, solved_at_once: int = 0
) -> Normals:
    """The approximation for every population draw and response class, from particles at the target.

    psi (P, D), draw (P,), pieces : ClassLikelihood; evaluate : `target.evaluator` of the model. Three solves of
    `solved_at_once` (default P) particles: slopes at the best particle of each class; predictions at the centres of as
    many of the likeliest pairs; slopes of their own for as many pairs as one solve holds, which are used where they fit
    the particles better.
    """
    size = solved_at_once or len(psi)
    dimension, spread = psi.shape[1], np.asarray(psi).std(axis=0)
    solved = partial(_solved, evaluate, size, population, data, rho)
    own = np.asarray(_drawn_classes(key, pieces))

    def judged(normals):
        return _corrected(normals, psi, draw, own, pieces, population)

    def taken(normals, some, around):
        filled = jax.tree.map(lambda a: _filled(a, len(kind)), around)  # another size would be compiled anew
        found = jax.tree.map(np.array, normals)
        for a, b in zip(found, gauss_newton(model, filled, population, data)):
            a[some] = np.asarray(b)[: len(some)]
        return found

    first, kind, which, slopes = _from_the_best(model, solved, psi, draw, pieces, population, data)
    some = np.argsort(-first.evidence, kind="stable")[:size]
    predicted, log_class = solved(first.centre[some], which[some], kind[some])
    around = _Linear(first.centre[some], predicted, slopes[kind[some]], log_class, which[some])
    second = taken(first, some, around)
    some = np.argsort(-second.evidence, kind="stable")[: size // (dimension + 1)]
    apart = APART * np.minimum(np.sqrt((second.factor[some] ** 2).sum(-1)), 10.0 * spread) + 1e-9
    predicted, slopes, log_class = _with_slopes(solved, second.centre[some], which[some], kind[some], apart)
    third = taken(second, some, _Linear(second.centre[some], predicted, slopes, log_class, which[some]))
    return min(judged(second), judged(third), key=lambda found: found[1])[0]


def shares_of_classes(model, evaluate, psi, draw, pieces, population: Population, data, rho) -> np.ndarray:
    """P(response class | labs) as a first approximation from the best particle of each class has it, (C,); one solve.

    It needs no particle where a class would have its own: a class may have lost them all.
    """
    solved = partial(_solved, evaluate, len(psi), population, data, rho)
    found, *_ = _from_the_best(model, solved, psi, draw, pieces, population, data)
    by_class = np.asarray(found.evidence).reshape(-1, pieces.log_class.shape[-1])
    share = np.exp(by_class - by_class.max()).sum(axis=0)
    return share / share.sum()


def _from_the_best(model, solved, psi, draw, pieces, population, data):
    """The first approximation, class and draw of each pair, and the slopes (C, N, D) that draws of a class share."""
    draws, classes = len(population.log_det), pieces.log_class.shape[-1]
    kind, which = np.tile(np.arange(classes), draws), np.repeat(np.arange(draws), classes)
    best, apart = np.asarray(_best(psi, draw, pieces, population)), APART * np.asarray(psi).std(axis=0) + 1e-9
    at, of_draw = np.asarray(psi)[best], np.asarray(draw)[best]
    predicted, slopes, log_class = _with_slopes(solved, at, of_draw, np.arange(classes), np.tile(apart, (classes, 1)))
    around = _Linear(at[kind], predicted[kind], slopes[kind], log_class[kind], which)
    return jax.tree.map(np.asarray, gauss_newton(model, around, population, data)), kind, which, slopes


def _solved(evaluate, size, population, data, rho, at, of_draw, of_class):
    """Predictions (K, N) and ln P(class) (K,) at (K, D), in one solve of `size` particles.

    Filled up with the first, as another program would have to be compiled.
    """
    found = evaluate(_filled(at, size), _filled(of_draw, size), population, data, rho)
    own = np.arange(len(at)), of_class
    return np.asarray(found.prediction)[own], np.asarray(found.log_class)[own]


def _filled(a, size: int):
    """Rows of an array, filled up to so many with the first."""
    return np.concatenate([a, np.tile(a[:1], (size - len(a), *[1] * (a.ndim - 1)))])


@jax.jit
def _drawn_classes(key, pieces):
    """A response class for each particle, drawn given its psi and the labs, (P,)."""
    return jax.random.categorical(key, pieces.log_class + full_likelihood(pieces))


@jax.jit
def _best(psi, draw, pieces, population):
    """The particle at which each class is likeliest, (C,)."""
    height = log_prior_of(psi, draw, population)[:, None] + pieces.log_class + full_likelihood(pieces)
    return jnp.argmax(jnp.where(jnp.isfinite(height), height, -jnp.inf), axis=0)


def _with_slopes(solved, at, of_draw, of_class, apart):
    """Predictions (K, N), slopes (K, N, D) and ln P(class) (K,) at (K, D), from particles `apart` (K, D) of it."""
    count, dimension = at.shape
    steps = apart[:, :, None] * np.eye(dimension)
    beside = at[:, None] + np.concatenate([np.zeros((count, 1, dimension)), steps], axis=1)
    many = dimension + 1
    predicted, log_class = solved(beside.reshape(-1, dimension), np.repeat(of_draw, many), np.repeat(of_class, many))
    predicted, log_class = predicted.reshape(count, many, -1), log_class.reshape(count, many)
    with np.errstate(invalid="ignore", over="ignore"):
        slopes = (predicted[:, 1:] - predicted[:, :1]) / apart[:, :, None]
    return predicted[:, 0], np.nan_to_num(slopes, posinf=0.0, neginf=0.0).swapaxes(1, 2), log_class[:, 0]


def _corrected(found: _Found, psi, draw, own, pieces, population) -> tuple[Normals, float]:
    """Centres, factors and evidence of each class as its particles have them, and how badly they fit: the range of
    ln target - ln approximation over the middle half of the particles. own (P,) : class of each particle."""
    classes, dimension = pieces.log_class.shape[-1], psi.shape[1]
    centre, factor, evidence = (np.array(a) for a in found)
    here = np.asarray(draw) * classes + own
    joint = np.asarray(pieces.log_class + full_likelihood(pieces))[np.arange(len(own)), own]
    joint = joint + np.asarray(log_prior_of(psi, draw, population))
    effect = np.linalg.solve(factor[here], (np.asarray(psi) - centre[here])[..., None])[..., 0]
    log_det = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    sound = np.isfinite(joint)
    gap = joint + 0.5 * (effect**2).sum(axis=1) + log_det[here] - evidence[here]
    for c in range(classes):
        seen, rows = sound & (own == c), np.arange(c, len(centre), classes)
        if seen.sum() < ENOUGH * dimension:
            continue
        mean, cov = effect[seen].mean(axis=0), np.cov(effect[seen].T).reshape(dimension, dimension)
        turn = np.linalg.cholesky(0.9 * cov + np.diag(0.1 * np.diag(cov) + 1e-12))
        white = np.linalg.solve(turn, (effect[seen] - mean).T)
        density = -0.5 * (white**2).sum(axis=0) - log_det[here[seen]] - np.log(np.diag(turn)).sum()
        gap[seen] = joint[seen] - density - evidence[here[seen]]
        shift = np.median(gap[seen])
        gap[seen] -= shift
        evidence[rows] += shift
        centre[rows] += factor[rows] @ mean
        factor[rows] = factor[rows] @ turn
    low, high = np.quantile(np.nan_to_num(gap, nan=np.inf), (0.25, 0.75))
    return _as_normals(jnp.asarray(centre), jnp.asarray(factor), jnp.asarray(evidence)), float(high - low)


@jax.jit
def _as_normals(centre, factor, evidence) -> Normals:
    eye = jnp.broadcast_to(jnp.eye(factor.shape[-1]), factor.shape)
    whiten = jax.vmap(lambda a, b: jax.scipy.linalg.solve_triangular(a, b, lower=True))(factor, eye)
    log_det = jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)).sum(-1)
    possible = evidence > -1e200
    likely = jnp.stack([jax.nn.softmax(power * evidence) for power in POWERS]).mean(axis=0)
    share = (1.0 - ANY) * likely + ANY * possible / possible.sum()
    return Normals(centre, factor, whiten, log_det, jnp.log(share))


def _height(model, predicted, psi, log_class, m, population, data):
    """ln p(psi | draw) P(class) p(labs | psi, draw, class), as far as the approximation sees it."""
    white = population.whiten[m] @ (psi - population.mean[m])
    rows = _rows(model, predicted, population.sigma[m], data)
    height = rows.sum() + log_class - 0.5 * white @ white - population.log_det[m] + log_share_of(m, population)
    return jnp.nan_to_num(height, nan=-1e300, neginf=-1e300)


def _rows(model, predicted, sigma, data):
    """ln p of each lab given its prediction, (N,); 0 for padding."""
    return jnp.where(data.mask > 0, rows_given_in_turn(model, predicted, data, sigma), 0.0)


@partial(jax.jit, static_argnums=0)
def gauss_newton(model, linear: _Linear, population: Population, data):
    """The normal approximation of K pairs, predictions held linear: _Found."""

    def one(at, predicted, slopes, log_class, m):
        whiten, mean, sigma = population.whiten[m], population.mean[m], population.sigma[m]
        own = whiten.T @ whiten

        def line(psi):
            return predicted + slopes @ (psi - at)

        def height(psi):
            return _height(model, line(psi), psi, log_class, m, population, data)

        def curved(psi):
            rate = partial(_slope, lambda f: _rows(model, f, sigma, data))
            first, second = jax.jvp(rate, (line(psi),), (jnp.ones(predicted.shape),))
            sharp = jnp.clip(jnp.nan_to_num(-second), 0.0, 1e12)
            return jnp.nan_to_num(first), own + (slopes * sharp[:, None]).T @ slopes

        def step(carried, _):
            psi, *_ = carried
            first, precision = curved(psi)
            move = jnp.linalg.solve(precision, slopes.T @ first - own @ (psi - mean))
            tries = psi + jnp.asarray((0.0, *FACTORS))[:, None] * move
            heights = jax.vmap(height)(tries)
            return (tries[jnp.argmax(heights)], psi, heights[0], precision), None

        # one step more than is taken: precision and height where the last one ended, which compiles once
        (_, psi, last, precision), _ = jax.lax.scan(step, (at, at, jnp.zeros(()), own), None, length=STEPS + 1)
        upper = jnp.linalg.cholesky(precision)  # precision = upper upper', so upper^-T is a factor, made lower by QR
        inverse = jax.scipy.linalg.solve_triangular(upper, jnp.eye(len(psi)), lower=True)
        factor = jnp.linalg.cholesky(inverse.T @ inverse)
        evidence = last + jnp.log(jnp.diagonal(factor)).sum()
        sound = jnp.isfinite(psi).all() & jnp.isfinite(factor).all() & jnp.isfinite(evidence)
        nothing = _Found(mean, population.scale[m], jnp.asarray(-1e300))  # never proposed
        return jax.tree.map(lambda a, b: jnp.where(sound, a, b), _Found(psi, factor, evidence), nothing)

    return jax.vmap(one)(*linear)


def _slope(function, x):
    """Derivative of an elementwise function, of the shape of x."""
    return jax.jvp(function, (x,), (jnp.ones(x.shape),))[1]
