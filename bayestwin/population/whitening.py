"""Coordinates in which patients hardly depend on the population: each patient's effects, centred and scaled by what
their own labs say.

Of the likelihood of patient i a normal view is kept, learnt in warm-up, with c the acting population coordinates:

    slope of ln p(labs_i | psi, c)  ~  b_i + K_i c - A_i psi           A_i (D, D), not negative definite

With psi = mean_i(h) + S(h) z, z ~ Normal(0, I), the effects given the population are then about

    Normal(Q^-1 S' (b_i + K_i c - A_i mean_i), Q^-1),   Q = I + S' A_i S = L L'

and v = L' (z - that mean) is about Normal(0, I) whatever the population is: neither centred nor non-centred, but for
each patient and direction as much of either as the labs ask for (no labs: v = z). The view steers; it is never part of
the target: the density of (h, v) carries the Jacobian, -ln det L.

Sources: Papaspiliopoulos, Roberts and Skoeld (2003), Bayesian Statistics 7:307 (partially non-centred); Osmundsen,
Kleppe and Liesenfeld (2021), J Comput Graph Stat 30:906 (maps from an approximation of the likelihood). The view is the
linear regression of slopes on positions along the trajectories, after Opper and Archambeau (2009), Neural Computation
21:786.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

RIDGE = 1e-4  # of the standardised regression
LONGER = 2.5  # at most so many times as long is an axis for where draws lie
STILL = 0.01  # summed square of changes, in prior SDs, under which K is drawn to 0


class View(NamedTuple):
    """Normal view of the likelihood of N patients: A (N, D, D), b (N, D), K (N, D, C)."""

    curvature: jax.Array
    offset: jax.Array
    by_population: jax.Array


def blind(patients: int, size: int, acting: int) -> View:
    """The view of one who knows nothing: v is the non-centred z."""
    return View(jnp.zeros((patients, size, size)), jnp.zeros((patients, size)), jnp.zeros((patients, size, acting)))


class Place(NamedTuple):
    """Where patients stand given the population: centre of z (N, D) and lower L (N, D, D)."""

    centre: jax.Array
    lower: jax.Array

    def z(self, v):
        """Effects of whitened coordinates v (N, D)."""
        return self.centre + _back(self.lower, v)

    def v(self, z):
        """Whitened coordinates of effects z (N, D)."""
        return jnp.einsum("nba,nb->na", self.lower, z - self.centre)

    def log_jacobian(self):
        """ln |dz/dv| of each patient, (N,)."""
        return -jnp.log(jnp.diagonal(self.lower, axis1=-2, axis2=-1)).sum(-1)


def placed(view: View, means, scale, acting) -> Place:
    """Coordinates for a population with these means (N, D), scale S (D, D) and acting coordinates c (C,)."""
    scaled = jnp.einsum("nab,bc->nac", view.curvature, scale)
    lower = jnp.linalg.cholesky(jnp.eye(scale.shape[0]) + jnp.einsum("ba,nbc->nac", scale, scaled))
    pull = view.offset + view.by_population @ acting - jnp.einsum("nab,nb->na", view.curvature, means)
    half = jax.vmap(lambda low, x: solve_triangular(low, x, lower=True))(lower, pull @ scale)
    return Place(_back(lower, half), lower)


def _back(lower, v):
    return jax.vmap(lambda low, x: solve_triangular(low, x, lower=True, trans="T"))(lower, v)


class Sums(NamedTuple):
    """What is kept of positions (P) and slopes (G): products (..., P + G, P + G) of their changes within a move, and
    the weighted sum (..., 1 + P + G) of 1, position and slope."""

    products: jax.Array
    total: jax.Array


def nothing_yet(shape: tuple, positions: int, slopes: int) -> Sums:
    """Sums over no points."""
    return Sums(
        jnp.zeros((*shape, positions + slopes, positions + slopes)), jnp.zeros((*shape, 1 + positions + slopes))
    )


def noted(x, slope, begin, weight) -> Sums:
    """Sums of one point; begin : position and slope where its move began, weight (...).

    Changes within a move, not deviations from a mean: what is held in a move differs between moves and moves the
    slope more than the position does.
    """
    change = weight[..., None] * jnp.concatenate([a - b for a, b in zip((x, slope), begin)], -1)
    products = change[..., :, None] * change[..., None, :]
    return Sums(products, weight[..., None] * jnp.concatenate([jnp.ones((*x.shape[:-1], 1)), x, slope], -1))


def viewed(within: Sums, between: Sums, acting: int) -> View:
    """The view that positions (psi, c) and slopes in psi support.

    within : moves of patients, in which c is held: they tell the curvature; between : moves of the population. What
    these leave unexplained tells K, which is drawn to 0 unless c has moved by a good part of its prior SD: from short
    moves alone it came out a million times too large, and held the population fast.
    """
    size = (within.products.shape[-1] - acting) // 2
    psi, c, slope = slice(0, size), slice(size, size + acting), slice(size + acting, None)
    among, across = within.products[:, psi, psi], within.products[:, psi, slope]
    spread = jnp.sqrt(jnp.maximum(jnp.diagonal(among, axis1=-2, axis2=-1), 1e-30))[..., :, None]
    alike = among / spread / jnp.swapaxes(spread, -1, -2) + RIDGE * jnp.eye(size)
    found = jnp.linalg.solve(alike, across / spread) / spread
    values, vectors = jnp.linalg.eigh(-0.5 * (found + jnp.swapaxes(found, -1, -2)))
    curvature = (vectors * jnp.maximum(values, 0.0)[:, None, :]) @ jnp.swapaxes(vectors, -1, -2)

    left = between.products[:, c, slope] + between.products[:, c, psi] @ curvature
    moved = between.products[:, c, c] + STILL * jnp.eye(acting)
    by_population = jnp.swapaxes(jnp.linalg.solve(moved, left), -1, -2)
    total = within.total + between.total
    mean = total[:, 1:] / jnp.maximum(total[:, :1], 1.0)
    at_psi, at_c, at_slope = mean[:, psi], mean[:, c], mean[:, slope]
    offset = at_slope + jnp.einsum("nab,nb->na", curvature, at_psi) - jnp.einsum("nab,nb->na", by_population, at_c)
    return View(curvature, offset, by_population)


def reaching(root, covariance):
    """A root (P, P) with longer axes where draws lie further apart than the curvature says: the geometric mean of both.

    covariance (P, P) : of the draws. A curvature is that of the steepest places: near 0, the logarithm of an SD lay
    five times as far apart as its metric, and moves that could have been longer were accepted nearly always. Axes are
    never made shorter, and at most by LONGER: chains that have not met yet lie far apart.
    """
    white = jax.scipy.linalg.solve(root, jax.scipy.linalg.solve(root, covariance).T)
    values, vectors = jnp.linalg.eigh(0.5 * (white + white.T))
    return root @ (vectors * jnp.clip(values, 1.0, LONGER**4) ** 0.25) @ vectors.T


def root_of(sums: Sums, least: float):
    """Square root (P, P) of the inverse curvature of a density, from sums of positions and slopes.

    The curvature is the geometric mean P = S^-1 # Y that makes P S P = Y, with S and Y the second moments of changes in
    position and slope: exact where slopes are linear, never negative, and too large rather than too small where they
    are not (a regression was up to 200 times too small in single directions, and the steps with it).

    least : of its eigenvalues; flatter counts as this
    """
    size = sums.products.shape[-1] // 2
    moved, turned = sums.products[:size, :size], sums.products[size:, size:]
    scale = jnp.sqrt(jnp.maximum(jnp.diagonal(moved), 1e-30))
    values, vectors = jnp.linalg.eigh(moved / scale / scale[:, None])
    values = jnp.maximum(values, 1e-8)
    half, inverse = ((vectors * values**power) @ vectors.T for power in (0.5, -0.5))
    values, vectors = jnp.linalg.eigh(half @ (turned * scale * scale[:, None]) @ half)
    middle = (vectors * jnp.sqrt(jnp.maximum(values, 0.0))) @ vectors.T
    values, vectors = jnp.linalg.eigh((inverse @ middle @ inverse) / scale / scale[:, None])
    return vectors * jnp.maximum(values, least) ** -0.5
