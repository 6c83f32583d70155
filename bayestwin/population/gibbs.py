"""Patients in parallel, the population between them: HMC within Gibbs for hierarchical models, as a NumPyro kernel.

A sweep alternates, in the coordinates of whitening.py (h population, v patients, about independent of each other):

    patients     HMC on v given h; every patient accepts by itself, with a step size of its own
    population   HMC on h given v: psi moves along, so that typical values, SDs and all that acts on the labs move far
    centred      before each, HMC on what does not act on the labs given psi: needs no equations solved

The first two interweave two parameterisations and the third adds the sufficient one (Yu and Meng 2011, J Comput Graph
Stat 20:531). Each leaves the joint density of joint.py invariant: nothing is approximated. Views, metrics and
step sizes are learnt in warm-up, from all chains together, and kept afterwards.

HMC: Neal (2011), Handbook of MCMC, chapter 5; step sizes: dual averaging of NumPyro.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from numpyro.infer.hmc_util import dual_averaging
from numpyro.infer.mcmc import MCMCKernel
from numpyro.util import is_prng_key

from bayestwin.population.joint import Joint
from bayestwin.population.whitening import Sums, View, blind, noted, nothing_yet, placed, root_of, viewed

PATIENTS, POPULATION = 0, 1
CLIMB = 0.12  # share of warm-up spent on finding where the density is high
WINDOWS = (CLIMB, 0.22, 0.35, 0.55, 0.8)  # shares of warm-up after which views and metrics are learnt anew
LONGEST = 1.8  # of a trajectory in whitened coordinates, where a quarter of a period is 1.57
DIVERGENT = 1000.0
FAR = 50.0  # a point less likely by this than where the move began teaches nothing
FASTEST, SLOWEST = 0.1, 0.005  # steps of the ascent, in prior SDs
FLATTEST = 0.25  # curvature of the population's density, in units of the prior's
_da_begin, _da_update = dual_averaging()


class Likelihood(NamedTuple):
    """ln p of each patient's data (N,) and its slopes in psi (N, D) and shared (N, J)."""

    value: jax.Array
    by_psi: jax.Array
    by_shared: jax.Array


class Tuning(NamedTuple):
    """What warm-up learns: the view, square roots of the metrics, step sizes and the states of their averaging."""

    view: View
    population: jax.Array
    centred: jax.Array
    steps: tuple
    averaging: tuple


class Ascent(NamedTuple):
    """First and second moments of the slopes in h and v (Adam), and the steps done."""

    h: tuple
    v: tuple
    count: jax.Array


class Phase(NamedTuple):
    """Which part of the run a sweep is in: climbing, learning and warming are truth values; rate : of the ascent."""

    climbing: jax.Array
    learning: jax.Array
    warming: jax.Array
    rate: jax.Array


class Learning(NamedTuple):
    """Sums since the last window: of each patient (N, ...) in moves of patients and of the population, of the
    population, of the centred move."""

    patients: Sums
    moved_along: Sums
    population: Sums
    centred: Sums


class GibbsState(NamedTuple):
    """State of the kernel; arrays lead with chains where there are several, `tuning` and `learning` never do.

    h (H,) in units of the prior's SD; z : unbounded sites, "z" (N, D) the non-centred effects
    """

    i: jax.Array
    h: jax.Array
    z: dict
    likelihood: Likelihood
    potential_energy: jax.Array
    energy: jax.Array
    num_steps: jax.Array
    accept_prob: jax.Array
    patients_accept: jax.Array
    diverging: jax.Array
    ascent: Any
    tuning: Any
    learning: Any
    rng_key: jax.Array


class PatientwiseHMC(MCMCKernel):
    """HMC within Gibbs for a `Joint`.

    Parameters
    ----------
    joint : Joint
    patients_steps, population_steps, centred_steps : int     leapfrog steps of each move
    target_accept : float                                     of each move
    """

    def __init__(
        self,
        joint: Joint,
        *,
        patients_steps: int = 4,
        population_steps: int = 5,
        centred_steps: int = 6,
        target_accept: float = 0.8,
        postprocess=None,
    ):
        self.joint = joint
        self.steps = np.array([patients_steps, population_steps])
        self.centred_steps = centred_steps
        self.target_accept = target_accept
        self.postprocess = postprocess
        self.acting = np.flatnonzero(joint.acting)
        self.passive = np.flatnonzero(~joint.acting)

    sample_field = "z"
    default_fields = ("z", "diverging")

    def get_diagnostics_str(self, state):
        """For a progress bar."""
        return f"{float(jnp.mean(state.accept_prob)):.2f} accepted"

    def postprocess_fn(self, model_args, model_kwargs):
        """Unbounded sites to natural ones."""
        return self.postprocess or (lambda z: z)

    def init(self, rng_key, num_warmup, init_params, model_args, model_kwargs):
        """init_params : unbounded sites and "z", with chains where `rng_key` has them."""
        self.warmup = int(num_warmup)
        self.ends = np.unique([int(share * num_warmup) for share in WINDOWS if int(share * num_warmup) > 0])
        self.climb = int(CLIMB * num_warmup)
        single = is_prng_key(rng_key)
        keys, start = (jax.tree.map(lambda a: jnp.asarray(a)[None], x) if single else x for x in (rng_key, init_params))
        population = {name: value for name, value in start.items() if name != "z"}
        h = jax.vmap(lambda one: jax.flatten_util.ravel_pytree(one)[0] / self.joint.prior_sd)(population)
        z = jnp.asarray(start["z"])
        n, d, j, c = *z.shape[1:], h.shape[1], len(self.acting)
        # Not solved for here, so that the equations are compiled once: where a move begins without a density it is
        # taken wherever it arrives, in the first sweep by all patients.
        seen = jax.eval_shape(self.joint.shared, h[0]).shape[0]
        likelihood = Likelihood(
            jnp.full(z.shape[:2], -np.inf, dtype=float), jnp.zeros(z.shape), jnp.zeros((*z.shape[:2], seen))
        )
        tuning = Tuning(
            blind(n, d, c),
            jnp.eye(j),
            jnp.eye(j - c),
            step_sizes(n, 0.1),
            restarted(n, 0.1),
        )
        learning = self._nothing(h[0], z[0])
        none = jnp.zeros(len(h))
        state = GibbsState(
            jnp.asarray(0),
            h,
            self._sites(h, z),
            likelihood,
            none,
            none,
            none.astype(int),
            none,
            none,
            none.astype(bool),
            Ascent(*(tuple(jnp.zeros((2, *x.shape))) for x in (h, z)), none),
            tuning,
            learning,
            keys,
        )
        return _first(state) if single else state

    def sample(self, state, model_args, model_kwargs):
        """One sweep of every chain."""
        single = is_prng_key(state.rng_key)
        if single:
            state = _with_axis(state)
        climbing, warming = state.i < self.climb, state.i < self.warmup
        rate = SLOWEST + (FASTEST - SLOWEST) * (1.0 - state.i / max(self.climb, 1))
        phase = Phase(climbing, warming & (state.i >= self.climb // 2), warming, rate)
        keys = jax.vmap(partial(jax.random.split, num=2))(state.rng_key)
        moved, learnt, accepted = jax.vmap(partial(self._sweep, state.tuning, phase))(
            keys[:, 1], state.h, state.z["z"], state.likelihood, state.ascent
        )
        learning = jax.tree.map(lambda old, new: old + new.sum(0), state.learning, learnt)
        i = state.i + 1
        tuning = jax.lax.cond(
            warming & ~climbing,
            self._stepped,
            lambda t, a: t,
            state.tuning,
            jax.tree.map(lambda a: a.mean(0), accepted),
        )
        ended = jnp.isin(i, self.ends) & warming
        tuning, learning = jax.lax.cond(ended, self._relearnt, lambda t, s: (t, s), tuning, learning)
        last = i == self.warmup
        steps = tuple(
            jnp.where(last & (a[3] > 0), jnp.minimum(jnp.exp(a[1]), LONGEST), s)
            for a, s in zip(tuning.averaging, tuning.steps)
        )
        tuning = tuning._replace(steps=steps)
        h, z, likelihood, ascent, potential, energy, diverging = moved
        state = GibbsState(
            i,
            h,
            self._sites(h, z),
            likelihood,
            potential,
            energy,
            jnp.full(len(h), self.steps.sum()),
            accepted[1],
            accepted[0].mean(-1),
            diverging,
            ascent,
            tuning,
            learning,
            keys[:, 0],
        )
        return _first(state) if single else state

    # ---- densities

    def _log_prior(self, h):
        return self.joint.log_prior(h * self.joint.prior_sd)

    def _sites(self, h, z):
        return jax.vmap(lambda one: self.joint.sites(one * self.joint.prior_sd))(h) | {"z": z}

    def _parts(self, view, h, v):
        """psi, shared, ln p(h) and each patient's ln p(z) with Jacobian, from whitened coordinates."""
        natural = h * self.joint.prior_sd
        means, scale = self.joint.individual(natural)
        place = placed(view, means, scale, h[self.acting])
        z = place.z(v)
        own = -0.5 * (z**2).sum(-1) + place.log_jacobian()
        return (means + z @ scale.T, self.joint.shared(natural), self._log_prior(h), own), z

    def _point(self, view, h, v, likelihood=None):
        """Density and slopes at (h, v); the likelihood is solved for where it is not given."""
        (psi, shared, log_prior, own), back, z = jax.vjp(partial(self._parts, view), h, v, has_aux=True)
        if likelihood is None:
            likelihood = Likelihood(*self.joint.likelihood(psi, shared))
        by_psi, by_shared = (jnp.nan_to_num(a, posinf=0.0, neginf=0.0) for a in likelihood[1:])
        slope = back((by_psi, by_shared.sum(0), jnp.ones(()), jnp.ones(own.shape)))
        own = jnp.where(jnp.isfinite(likelihood.value), own + likelihood.value, -jnp.inf)
        return Point(z, psi, likelihood, log_prior, own, *slope)

    # ---- moves of one chain

    def _sweep(self, tuning, phase, key, h, z, likelihood, ascent):
        def both(carry, kind):
            h, z, likelihood, ascent, learnt, key = carry
            key, key_centred, key_solved = jax.random.split(key, 3)
            h, z, centred = self._centred_move(tuning, key_centred, h, z, phase)
            h, z, likelihood, ascent, found = self._solved_move(
                tuning, key_solved, kind, h, z, likelihood, ascent, phase
            )
            learnt = jax.tree.map(jnp.add, learnt, Learning(*found.sums, centred.sums))
            return (h, z, likelihood, ascent, learnt, key), (found._replace(sums=()), centred.accept)

        carry = (h, z, likelihood, ascent, self._nothing(h, z), key)
        (h, z, likelihood, ascent, learnt, _), (found, centred) = jax.lax.scan(
            both, carry, np.array([PATIENTS, POPULATION])
        )
        accepted = (found.accept[PATIENTS], found.accept[POPULATION].mean(), centred.mean())
        potential = -likelihood.value.sum() + 0.5 * (z**2).sum() - self._log_prior(h)
        energy = potential + found.kinetic.sum()
        return (h, z, likelihood, ascent, potential, energy, found.diverging.any()), learnt, accepted

    def _nothing(self, h, z):
        n, d, j, c = *z.shape, h.shape[0], len(self.acting)
        mine = nothing_yet((n,), d + c, d)
        return Learning(mine, mine, nothing_yet((), j, j), nothing_yet((), j - c, j - c))

    def _solved_move(self, tuning, key, kind, h, z, likelihood, ascent, phase):
        """Patients given the population, or the population given v; every leapfrog step solves the equations."""
        view, root = tuning.view, tuning.population
        keys = jax.random.split(key, 4)
        means, scale = self.joint.individual(h * self.joint.prior_sd)
        v = placed(view, means, scale, h[self.acting]).v(z)
        start = self._point(view, h, v, likelihood)
        patients, population = (kind == PATIENTS).astype(float), (kind == POPULATION).astype(float)
        count = jnp.asarray(self.steps)[kind]
        jitter = jax.random.uniform(keys[0], (), minval=0.7, maxval=1.3)
        step_v, step_h = (jnp.minimum(e, LONGEST / count) * jitter for e in tuning.steps[:2])
        step_v, step_h = patients * step_v[:, None], population * step_h
        p_v, p_h = jax.random.normal(keys[1], v.shape) * patients, jax.random.normal(keys[2], h.shape) * population

        def step(_, carry):
            h, v, p_h, p_v, point, sums, ascent = carry
            p_h, p_v = p_h + 0.5 * step_h * (point.by_h @ root), p_v + 0.5 * step_v * point.by_v
            ascent, up_h, up_v = ascended(ascent, point, phase.rate)
            h = h + jnp.where(phase.climbing, up_h, step_h * (root @ p_h))
            v = v + jnp.where(phase.climbing, up_v, step_v * p_v)
            point = self._point(view, h, v)
            p_h, p_v = p_h + 0.5 * step_h * (point.by_h @ root), p_v + 0.5 * step_v * point.by_v
            sums = jax.lax.cond(phase.learning, self._noted, lambda s, *_: s, sums, point, h, population, begin)
            return h, v, p_h, p_v, point, sums, ascent

        begin = (start, h)
        carry = (h, v, p_h, p_v, start, self._nothing(h, z)[:3], ascent)
        new_h, _, q_h, q_v, end, sums, ascent = jax.lax.fori_loop(0, count, step, carry)
        own = end.own - 0.5 * (q_v**2).sum(-1) - (start.own - 0.5 * (p_v**2).sum(-1))
        whole = own.sum() + end.log_prior - start.log_prior - 0.5 * ((q_h**2).sum() - (p_h**2).sum())
        gain = jnp.where(kind == PATIENTS, own, whole)
        gain = jnp.where(phase.climbing, jnp.where(jnp.isfinite(end.own), 0.0, -jnp.inf), gain)
        gain = jnp.where(jnp.isnan(gain), -jnp.inf, gain)
        draw = jax.random.uniform(keys[3], gain.shape)
        taken = jnp.log(jnp.where(kind == PATIENTS, draw, draw[0])) < gain
        h = jnp.where(((kind == POPULATION) & taken[0]) | phase.climbing, new_h, h)
        z = jnp.where(taken[:, None], end.z, z)
        likelihood = Likelihood(
            jnp.where(taken, end.likelihood.value, likelihood.value),
            *(jnp.where(taken[:, None], a, b) for a, b in zip(end.likelihood[1:], likelihood[1:])),
        )
        kinetic = 0.5 * ((p_v**2).sum() + (p_h**2).sum())
        found = Found(sums, jnp.exp(jnp.minimum(gain, 0.0)), kinetic, (gain < -DIVERGENT).any())
        return h, z, likelihood, ascent, found

    def _noted(self, sums, point, h, population, begin):
        """The sums with one more point, left out for patients far less likely there than at the start of the move."""
        start, h_start = begin
        fine = (point.own > start.own - FAR) & jnp.isfinite(start.own)
        likely = fine.all() & (point.own.sum() + point.log_prior > start.own.sum() + start.log_prior - FAR)

        def seen(point, h):
            c = jnp.broadcast_to(h[self.acting], (len(point.psi), len(self.acting)))
            return jnp.concatenate([point.psi, c], -1), point.likelihood.by_psi

        new, old = (jax.tree.map(lambda a: jnp.where(fine[:, None], a, 0.0), seen(*x)) for x in ((point, h), begin))
        mine = noted(*new, old, fine.astype(float))
        patients, along = (jax.tree.map(lambda a, s=share: a * s, mine) for share in (1.0 - population, population))
        whole = noted(h, point.by_h, (h_start, start.by_h), population * likely)
        return jax.tree.map(jnp.add, sums, (patients, along, whole))

    def _centred_move(self, tuning, key, h, z, phase):
        """Coordinates that do not act on the labs, given psi; nothing is solved."""
        if not len(self.passive):
            return h, z, Found(self._nothing(h, z).centred, jnp.ones(()), jnp.zeros(()), jnp.asarray(False))
        means, scale = self.joint.individual(h * self.joint.prior_sd)
        psi = means + z @ scale.T

        def back(h):
            means, scale = self.joint.individual(h * self.joint.prior_sd)
            return solve_triangular(scale, (psi - means).T, lower=True).T, jnp.log(jnp.diagonal(scale)).sum()

        @jax.value_and_grad
        def density(x):
            z, log_scale = back(h.at[self.passive].set(x))
            return self._log_prior(h.at[self.passive].set(x)) - 0.5 * (z**2).sum() - len(psi) * log_scale

        keys, root = jax.random.split(key, 3), tuning.centred
        step = jnp.minimum(tuning.steps[2], LONGEST / self.centred_steps)
        step = step * jax.random.uniform(keys[0], (), minval=0.7, maxval=1.3)
        x, p = h[self.passive], jax.random.normal(keys[1], (len(self.passive),))
        start, slope = density(x)
        begin = (x, slope)

        def leapfrog(_, carry):
            x, p, _, slope, sums = carry
            p = p + 0.5 * step * (slope @ root)
            x = x + step * (root @ p)
            value, slope = density(x)
            fine = jnp.isfinite(value) & jnp.isfinite(slope).all()
            slope = jnp.where(fine, slope, 0.0)
            p = p + 0.5 * step * (slope @ root)
            known = fine & phase.learning & ~phase.climbing & (value > start - FAR)
            more = noted(x, slope, begin, known.astype(float))
            return x, p, value, slope, jax.tree.map(jnp.add, sums, more)

        carry = (x, p, start, slope, self._nothing(h, z).centred)
        new, q, value, _, sums = jax.lax.fori_loop(0, self.centred_steps, leapfrog, carry)
        gain = value - start - 0.5 * ((q**2).sum() - (p**2).sum())
        gain = jnp.where(jnp.isfinite(gain), gain, -jnp.inf)
        taken = (jnp.log(jax.random.uniform(keys[2])) < gain) & ~phase.climbing
        moved = h.at[self.passive].set(jnp.where(taken, new, x))
        z = jnp.where(taken, back(moved)[0], z)
        return moved, z, Found(sums, jnp.exp(jnp.minimum(gain, 0.0)), jnp.zeros(()), gain < -DIVERGENT)

    # ---- warm-up

    def _stepped(self, tuning, accepted):
        averaging = tuple(_da_update(self.target_accept - a, s) for a, s in zip(accepted, tuning.averaging))
        steps = tuple(jnp.minimum(jnp.exp(a[0]), LONGEST) for a in averaging)
        return tuning._replace(averaging=averaging, steps=steps)

    def _relearnt(self, tuning, learning):
        """New view and metrics from the window's sums, which start anew."""
        n = len(tuning.view.offset)
        view = viewed(learning.patients, learning.moved_along, len(self.acting))
        population, centred = (root_of(sums, FLATTEST) for sums in (learning.population, learning.centred))
        found = tuning._replace(
            view=view,
            population=population,
            centred=centred,
            steps=step_sizes(n, 0.3),
            averaging=restarted(n, 0.3),
        )
        fine = jax.tree.map(lambda a: jnp.isfinite(a).all(), (view, population, centred))
        fine = jnp.all(jnp.array(jax.tree.leaves(fine)))
        return jax.tree.map(lambda a, b: jnp.where(fine, a, b), found, tuning), jax.tree.map(jnp.zeros_like, learning)


def ascended(ascent: Ascent, point, rate):
    """The moments with one more slope, and the steps in h and v that Adam takes (Kingma and Ba 2015)."""
    count, moved, steps = ascent.count + 1.0, [], []
    for (mean, square), slope in ((ascent.h, point.by_h), (ascent.v, point.by_v)):
        mean, square = 0.8 * mean + 0.2 * slope, 0.95 * square + 0.05 * slope**2
        moved.append((mean, square))
        steps.append(rate * (mean / (1 - 0.8**count)) / (jnp.sqrt(square / (1 - 0.95**count)) + 1e-8))
    return Ascent(*moved, count), *steps


class Point(NamedTuple):
    """A point of the chain: z, psi, likelihood, ln p(h), each patient's density (N,), slopes in h and v."""

    z: jax.Array
    psi: jax.Array
    likelihood: Likelihood
    log_prior: jax.Array
    own: jax.Array
    by_h: jax.Array
    by_v: jax.Array


class Found(NamedTuple):
    """What a move tells: sums for learning, acceptance, kinetic energy at its start, divergence."""

    sums: Any
    accept: jax.Array
    kinetic: jax.Array
    diverging: jax.Array


def step_sizes(patients: int, step: float) -> tuple:
    """The same step size for every patient, the population and the centred move."""
    return tuple(jnp.full(shape, step, dtype=float) for shape in ((patients,), (), ()))


def restarted(patients: int, step: float) -> tuple:
    """States of the averaging of three kinds of step sizes."""
    found = []
    for shape in ((patients,), (), ()):
        x, mean, slope, count, _ = _da_begin()
        full = (jnp.broadcast_to(a, shape) for a in (x, mean, slope))
        found.append((*full, count, jnp.full(shape, np.log(3.0 * step))))
    return tuple(found)


def _first(state):
    per_chain = {
        name: jax.tree.map(lambda a: a[0], value) for name, value in state._asdict().items() if name not in SHARED
    }
    return state._replace(**per_chain)


def _with_axis(state):
    per_chain = {
        name: jax.tree.map(lambda a: a[None], value) for name, value in state._asdict().items() if name not in SHARED
    }
    return state._replace(**per_chain)


SHARED = ("i", "tuning", "learning")
