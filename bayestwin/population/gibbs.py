"""Patients in parallel, the population between them: HMC within Gibbs for hierarchical models, as a NumPyro kernel.

A sweep alternates, in the coordinates of whitening.py (h population, v patients, about independent of each other):

    patients     HMC on v given h; every patient accepts by itself, with a step size of its own
    jump         each patient to where any chain has been in warm-up: from one mode to another (gibbs_jump.py)
    population   HMC on h given v: psi moves along, so that typical values, SDs and all that is solved for move far
    centred      before each, HMC on what does not act on the labs given psi: needs no equations solved
    observed     first of all, HMC on residual errors and chances of classes given psi and the predictions: nor does it
    exchange     then patients change their response class at the same predictions (gibbs_exchange.py): nor does it

Centred and population interweave two parameterisations and observed adds the sufficient one (Yu and Meng 2011, J
Comput Graph Stat 20:531). Each leaves the joint density of joint.py invariant: nothing is approximated. Views, metrics,
step sizes and where patients jump to are learnt in warm-up, from all chains together, and kept afterwards.

HMC: Neal (2011), Handbook of MCMC, chapter 5; step sizes: dual averaging of NumPyro.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer.mcmc import MCMCKernel
from numpyro.util import is_prng_key

from bayestwin.population.devices import shared_out
from bayestwin.population.gibbs_centred import centred_move
from bayestwin.population.gibbs_density import Density
from bayestwin.population.gibbs_exchange import exchange_move
from bayestwin.population.gibbs_jump import no_mixture, nothing_seen, seen_too
from bayestwin.population.gibbs_observed import observed_move
from bayestwin.population.gibbs_solved import JUMP, PATIENTS, POPULATION, solved_move
from bayestwin.population.gibbs_state import (
    Ascent,
    GibbsState,
    Learning,
    Likelihood,
    Phase,
    Tuning,
    first_chain,
    restarted,
    step_sizes,
    with_chain_axis,
)
from bayestwin.population.gibbs_warmup import met, relearnt, settled, stepped
from bayestwin.population.joint import Joint
from bayestwin.population.whitening import blind

CLIMB = 0.12  # share of warm-up spent on finding where the density is high
JUMPING = 0.55  # share of warm-up after which patients jump between modes
WINDOWS = (CLIMB, 0.22, 0.35, JUMPING, 0.8)  # shares of warm-up after which views and metrics are learnt anew
FASTEST, SLOWEST = 0.1, 0.005  # steps of the ascent, in prior SDs


class PatientwiseHMC(MCMCKernel):
    """HMC within Gibbs for a `Joint`.

    Parameters
    ----------
    joint : Joint
    patients_steps, population_steps, centred_steps, observed_steps : int     leapfrog steps of each move
    target_accept : float    of each move; of patients' own moves a third of the rejections that this leaves
    """

    def __init__(
        self,
        joint: Joint,
        *,
        patients_steps: int = 4,
        population_steps: int = 5,
        centred_steps: int = 6,
        observed_steps: int = 6,
        target_accept: float = 0.8,
        postprocess=None,
    ):
        self.density = Density(joint)
        self.steps = np.array([patients_steps, 1, population_steps])
        self.centred_steps, self.observed_steps = centred_steps, observed_steps
        self.target_accept = target_accept
        self.postprocess = postprocess

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
        self.climb, self.jumping = int(CLIMB * num_warmup), int(JUMPING * num_warmup)
        single = is_prng_key(rng_key)
        keys, start = (jax.tree.map(lambda a: jnp.asarray(a)[None], x) if single else x for x in (rng_key, init_params))
        state = self._begun(
            keys, {name: value for name, value in start.items() if name != "z"}, jnp.asarray(start["z"])
        )
        return first_chain(state) if single else state

    def _begun(self, keys, population, z) -> GibbsState:
        """The state of every chain before the first sweep.

        The equations are not solved for here, so that they are compiled once: where a move begins without a density
        it is taken wherever it arrives, in the first sweep by all patients.
        """
        joint = self.density.joint
        h = jax.vmap(lambda one: jax.flatten_util.ravel_pytree(one)[0] / joint.prior_sd)(population)
        n, d = z.shape[1:]
        view = blind(n, d, len(self.density.acting))
        places = self.density.moving, self.density.passive, self.density.observing
        moving, passive, observing = (jnp.eye(len(own)) for own in places)
        shapes = jax.eval_shape(joint.likelihood, z[0], jax.eval_shape(joint.shared, h[0]))
        none = jnp.zeros(len(h))
        return GibbsState(
            i=jnp.asarray(0),
            h=h,
            z=self.density.sites(h, z),
            likelihood=Likelihood(
                jnp.full(z.shape[:2], -np.inf, dtype=float), *(jnp.zeros((len(h), *one.shape)) for one in shapes[1:])
            ),
            potential_energy=none,
            energy=none,
            num_steps=none.astype(int),
            accept_prob=none,
            patients_accept=none,
            diverging=none.astype(bool),
            ascent=Ascent(tuple(jnp.zeros((2, *h.shape))), tuple(jnp.zeros((2, *z.shape))), none),
            seen=jax.tree.map(
                lambda a: jnp.zeros((len(h), *a.shape)), (nothing_seen(n, d), nothing_seen(len(self.density.moving)))
            ),
            tuning=Tuning(
                view, moving, passive, observing, step_sizes(n, 0.1), restarted(n, 0.1), no_mixture(len(h), n, d)
            ),
            learning=self.density.nothing_learnt(h[0], z[0]),
            rng_key=keys,
        )

    def sample(self, state, model_args, model_kwargs):
        """One sweep of every chain."""
        single = is_prng_key(state.rng_key)
        if single:
            state = with_chain_axis(state)
        climbing, warming = state.i < self.climb, state.i < self.warmup
        rate = SLOWEST + (FASTEST - SLOWEST) * (1.0 - state.i / max(self.climb, 1))
        phase = Phase(climbing, warming & (state.i >= self.climb // 2), warming, rate)
        keys = jax.vmap(partial(jax.random.split, num=2))(state.rng_key)
        sweep = shared_out(jax.vmap(self._sweep, (None, None, 0, 0, 0, 0, 0, 0)), len(state.h), shared=2)
        moved, learnt, accepted = sweep(
            state.tuning, phase, keys[:, 1], state.h, state.z["z"], state.likelihood, state.ascent, state.seen
        )
        h, z, likelihood, ascent, seen, potential, energy, diverging = moved
        accepts = jax.tree.map(lambda a: a.mean(0), accepted)
        tuning, learning, seen = self._learnt(state, phase, learnt, seen, accepts)
        state = GibbsState(
            i=state.i + 1,
            h=h,
            z=self.density.sites(h, z),
            likelihood=likelihood,
            potential_energy=potential,
            energy=energy,
            num_steps=jnp.full(len(h), self.steps.sum()),
            accept_prob=accepted[1],
            patients_accept=accepted[0].mean(-1),
            diverging=diverging,
            ascent=ascent,
            seen=seen,
            tuning=tuning,
            learning=learning,
            rng_key=keys[:, 0],
        )
        return first_chain(state) if single else state

    def _learnt(self, state, phase, learnt, seen, accepted):
        """Tuning and sums after a sweep, in which all chains learnt and have seen this, and accepted so much."""
        learning, i = jax.tree.map(lambda old, new: old + new.sum(0), state.learning, learnt), state.i + 1
        adapt = partial(stepped, target=self.target_accept)
        tuning = jax.lax.cond(phase.warming & ~phase.climbing, adapt, lambda t, a: t, state.tuning, accepted)
        ended = jnp.isin(i, self.ends) & phase.warming
        anew = partial(relearnt, acting=len(self.density.acting), tied=self.density.tied)
        tuning, learning = jax.lax.cond(ended, anew, lambda t, s, _: (t, s), tuning, learning, seen[1])
        ended = (ended | (i == self.warmup)) & (seen[0].sweeps[0] > 0)
        tuning = jax.lax.cond(ended & (i >= self.jumping), met, lambda t, s: t, tuning, seen[0])
        seen = jax.tree.map(lambda a: jnp.where(ended, 0.0, a), seen)
        return settled(tuning, i == self.warmup), learning, seen

    def _sweep(self, tuning, phase, key, h, z, likelihood, ascent, seen):
        """What is observed, then patients, jumps and the population, each after a centred move, of one chain."""
        density = self.density

        def both(carry, kind):
            h, z, likelihood, ascent, learnt, key = carry
            key, key_centred, key_solved = jax.random.split(key, 3)
            h, z, centred = centred_move(density, self.centred_steps, tuning, key_centred, h, z, phase)
            h, z, likelihood, ascent, found = solved_move(
                density, self.steps, tuning, key_solved, kind, h, z, likelihood, ascent, phase
            )
            learnt = jax.tree.map(jnp.add, learnt, Learning(*found.sums, centred.sums, nothing.observed))
            return (h, z, likelihood, ascent, learnt, key), (found._replace(sums=()), centred.accept)

        key, key_observed = jax.random.split(key)
        nothing = density.nothing_learnt(h, z)
        h, likelihood, observed = observed_move(
            density, self.observed_steps, tuning, key_observed, h, z, likelihood, phase
        )
        if density.exchanging:
            key, key_classes = jax.random.split(key)
            move = partial(exchange_move, density, self.centred_steps, tuning, key_classes)
            h, z = jax.lax.cond(phase.climbing, lambda h, z, *_: (h, z), move, h, z, likelihood, phase)
        carry = (h, z, likelihood, ascent, nothing._replace(observed=observed.sums), key)
        (h, z, likelihood, ascent, learnt, _), (found, centred) = jax.lax.scan(
            both, carry, np.array([PATIENTS, JUMP, POPULATION])
        )
        accepted = (found.accept[PATIENTS], found.accept[POPULATION].mean(), centred.mean(), observed.accept)
        potential = -likelihood.value.sum() + 0.5 * (z**2).sum() - density.log_prior(h)
        energy = potential + found.kinetic.sum()
        means, scale = density.individual(h)
        weight = (phase.warming & ~phase.climbing).astype(float)
        seen = (
            seen_too(seen[0], means + z @ scale.T, weight),
            seen_too(seen[1], density.bent.q(h)[density.moving], weight),
        )
        return (h, z, likelihood, ascent, seen, potential, energy, found.diverging.any()), learnt, accepted
