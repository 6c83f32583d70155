"""The joint density in the coordinates of HMC within Gibbs: h, the population in prior SDs, and v, patients whitened.

    ln p(h, v) = ln p(h) + sum over patients of [ln Normal(z_i; 0, I) - ln det L_i + ln p(labs_i | psi_i, shared(h))]

with z_i of v_i as in whitening.py. A point holds the density, patient by patient, and its slopes in h and v.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from bayestwin.population.gibbs_state import Learning, Likelihood, Point
from bayestwin.population.joint import Joint
from bayestwin.population.reflection import reflection
from bayestwin.population.whitening import noted, nothing_yet, placed

FAR = 50.0  # a point less likely by this than where the move began teaches nothing


class Density:
    """A `Joint` at (h, v) under a view of each patient's likelihood.

    observing, acting, passive : places of the population coordinates that act on the labs and on nothing that is
        solved for, on what is solved for, and through psi only; moving : of all that are not observing
    chances : places of those observing that are chances of response classes
    bent : coordinates of the population's own move, in which an SD may pass 0 (reflection.py)
    tied : 1 for two moving coordinates that may go together, 0 where one of them has a sign that is drawn
    exchanging : whether any patient may change his response class by an exchange of roles (gibbs_exchange.py)
    """

    def __init__(self, joint: Joint):
        self.joint = joint
        self.acting = np.flatnonzero(joint.acting & ~joint.observing)
        self.passive = np.flatnonzero(~joint.acting)
        self.observing = np.flatnonzero(joint.observing)
        self.moving = np.flatnonzero(~joint.observing)
        self.chances = np.flatnonzero(np.zeros_like(joint.observing) if joint.chances is None else joint.chances)
        spreads = np.flatnonzero(joint.spreads & ~joint.acting)
        self.bent = reflection(spreads, joint.prior_median, joint.prior_sd)
        single = np.isin(self.moving, spreads)
        self.tied = np.eye(len(single)) + ~(single[:, None] | single) * (1.0 - np.eye(len(single)))
        self.exchanging = joint.roles is not None

    def log_prior(self, h):
        """ln p(h)."""
        return self.joint.log_prior(h * self.joint.prior_sd)

    def individual(self, h):
        """Means (N, D) and scale (D, D) of psi given the population."""
        return self.joint.individual(h * self.joint.prior_sd)

    def z(self, h, psi):
        """Effects (N, D) of individual parameters psi (N, D)."""
        means, scale = self.individual(h)
        return solve_triangular(scale, (psi - means).T, lower=True).T

    def given_solved(self, h, psi, solved):
        """ln p of each patient's data, (N,), from what was solved for at this psi."""
        return self.joint.given_solved(psi, self.joint.shared(h * self.joint.prior_sd), solved)

    def sites(self, h, z):
        """Unbounded sites of every chain."""
        return jax.vmap(lambda one: self.joint.sites(one * self.joint.prior_sd))(h) | {"z": z}

    def v(self, view, h, z):
        """Whitened coordinates of effects z."""
        means, scale = self.individual(h)
        return placed(view, means, scale, h[self.acting]).v(z)

    def _parts(self, view, h, v):
        """psi, shared, ln p(h) and each patient's ln p(z) with Jacobian, from whitened coordinates."""
        natural = h * self.joint.prior_sd
        means, scale = self.joint.individual(natural)
        place = placed(view, means, scale, h[self.acting])
        z = place.z(v)
        own = -0.5 * (z**2).sum(-1) + place.log_jacobian()
        return (means + z @ scale.T, self.joint.shared(natural), self.log_prior(h), own), z

    def point(self, view, h, v, likelihood=None) -> Point:
        """Density and slopes at (h, v); the likelihood is solved for where it is not given."""
        (psi, shared, log_prior, own), back, z = jax.vjp(partial(self._parts, view), h, v, has_aux=True)
        if likelihood is None:
            likelihood = Likelihood(*self.joint.likelihood(psi, shared))
        by_psi, by_shared = (jnp.nan_to_num(a, posinf=0.0, neginf=0.0) for a in likelihood[1:3])
        slope = back((by_psi, by_shared.sum(0), jnp.ones(()), jnp.ones(own.shape)))
        own = jnp.where(jnp.isfinite(likelihood.value), own + likelihood.value, -jnp.inf)
        return Point(z, psi, likelihood, log_prior, own, *slope)

    def nothing_learnt(self, h, z) -> Learning:
        """Sums over no points."""
        n, d, c = z.shape[0], z.shape[1], len(self.acting)
        mine = nothing_yet((n,), d + c, d)
        sizes = (len(places) for places in (self.moving, self.passive, self.observing))
        return Learning(mine, mine, *(nothing_yet((), size, size) for size in sizes))

    def learnt(self, sums, point, q, population, begin):
        """The sums with one more point, left out for patients far less likely there than at the start of the move.

        q : coordinates of the population, bent; population : 1 in a move of the population, 0 in one of patients
        begin : the point and q where it began
        """
        start, q_start = begin
        fine = (point.own > start.own - FAR) & jnp.isfinite(start.own)
        likely = fine.all() & (point.own.sum() + point.log_prior > start.own.sum() + start.log_prior - FAR)

        def seen(point, q):
            c = jnp.broadcast_to(q[self.acting], (len(point.psi), len(self.acting)))
            return jnp.concatenate([point.psi, c], -1), point.likelihood.by_psi

        new, old = (jax.tree.map(lambda a: jnp.where(fine[:, None], a, 0.0), seen(*x)) for x in ((point, q), begin))
        mine = noted(*new, old, fine.astype(float))
        patients, along = (jax.tree.map(lambda a, s=share: a * s, mine) for share in (1.0 - population, population))
        here, there = ((x[self.moving], self.by_q(p, x)) for p, x in ((point, q), (start, q_start)))
        whole = noted(*here, there, population * likely)
        return jax.tree.map(jnp.add, sums, (patients, along, whole))

    def by_q(self, point, q):
        """Slope in the moving coordinates of the population, bent."""
        return self.bent.slope(q, point.by_h)[self.moving]
