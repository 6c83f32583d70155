"""Many cohorts of one design fitted side by side in one compiled program: for calibration and recovery.

The program is that of `fit_population` (`population_program`), its sampler NUTS; data sets are lanes of one batch, so
that a model is compiled once and small cohorts share what an operation costs by itself. All cohorts must fill arrays of
the same shape: the same numbers of patients, labs and intervals, as cohorts simulated from one design do. A lane waits
for the longest trajectory of its batch.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer.hmc import hmc
from numpyro.infer.util import constrain_fn, potential_energy

from bayestwin.dynamics import Accuracy
from bayestwin.errors import FitError
from bayestwin.population.hyper import vector_sites, with_derived
from bayestwin.population.program import population_program
from bayestwin.population.sampling import scattered
from bayestwin.population.stacks import stack_cohort
from bayestwin.population.start_values import unconstrained_medians

BLOCK = 25


class Fits(NamedTuple):
    """Draws of B data sets: samples, site -> (B, chain, draw, ...) of population-level sites; diverging (B, chain,
    draw); steps (B, chain, draw) leapfrog steps."""

    samples: dict
    diverging: np.ndarray
    steps: np.ndarray


class How(NamedTuple):
    """How the sampler runs; the same for every data set of a study."""

    chains: int = 2
    warmup: int = 300
    draws: int = 300
    target_accept: float = 0.9
    max_tree_depth: int = 8
    centred: bool = False
    rho: float = 0.0
    accuracy: Accuracy = Accuracy()


def fit_alike(model, cohorts, *, random_seed: int, how: How = How()) -> Fits:
    """Fit several cohorts of one design with NUTS, side by side.

    Parameters
    ----------
    cohorts : sequence of Cohort     B of them; further calls with as many cohorts of this design compile nothing
    random_seed : int                decides every random number

    Raises
    ------
    FitError      the cohorts do not fill arrays of one shape, or the density of one is not finite where chains start
    """
    with jax.enable_x64(True):
        stacked = [stack_cohort(model, cohort, by_length=False)[0] for cohort in cohorts]
        shapes = {str(jax.tree.map(np.shape, groups)) for groups in stacked}
        if len(shapes) > 1:
            raise FitError(
                "the cohorts are not of one design",
                subject=f"model {model.name}",
                value=f"{len(shapes)} shapes of arrays",
                allowed="cohorts with the same numbers of patients, labs and doses",
                next_step="Fit them one after the other with fit_population.",
            )
        starts = [unconstrained_medians(model, groups, rho=how.rho, centred=how.centred) for groups in stacked]
        keys = jax.random.split(jax.random.key(random_seed), (len(cohorts), 2))
        lanes = jax.tree.map(
            lambda *a: jnp.stack(a), *[scattered(s, jax.random.split(k[0], how.chains)) for s, k in zip(starts, keys)]
        )
        groups = jax.tree.map(lambda *a: jnp.stack([jnp.asarray(x) for x in a]), *stacked)
        run = _runner(model, how)
        state = run.begin(jax.vmap(lambda k: jax.random.split(k, how.chains))(keys[:, 1]), lanes, groups)
        if not np.isfinite(np.asarray(state.potential_energy)).all():
            raise FitError("the density is not finite where the chains start", subject=f"model {model.name}")
        kept: list[Any] = []
        for number in range(-(-(how.warmup + how.draws) // BLOCK)):
            state, piece = run.advance(state, groups)
            if (number + 1) * BLOCK > how.warmup:
                kept.append(jax.tree.map(np.asarray, piece))
        z, diverging, steps = jax.tree.map(lambda *a: np.concatenate(a, axis=2)[:, :, -how.draws :], *kept)
        one = jax.tree.map(lambda a: a[0], groups)
        return Fits(run.natural(z, one), diverging, steps)


class _Runner(NamedTuple):
    begin: Any
    advance: Any
    natural: Any


@lru_cache(maxsize=8)
def _runner(model, how: How) -> _Runner:
    """Compiled once per model, settings and shapes."""

    def program(groups):
        population_program(model, groups, rho=how.rho, centred=how.centred, accuracy=how.accuracy)

    def potential_of(groups):
        return lambda z: potential_energy(program, (groups,), {}, z)

    init, sample = hmc(potential_fn_gen=potential_of, algo="NUTS")

    def begun(key, z, groups):
        steps = {"max_tree_depth": how.max_tree_depth, "target_accept_prob": how.target_accept}
        return init(z, how.warmup, model_args=(groups,), rng_key=key, **steps)

    def of_chains(function):
        return jax.vmap(jax.vmap(function, in_axes=(0, 0, None)), in_axes=(0, 0, 0))

    @jax.jit
    def advance(state, groups):
        def step(state, _):
            moved = jax.vmap(jax.vmap(lambda s, g: sample(s, model_args=(g,)), in_axes=(0, None)))(state, groups)
            z = {name: value for name, value in moved.z.items() if name not in ("z", "psi")}
            return moved, (z, moved.diverging, moved.num_steps)

        state, found = jax.lax.scan(step, state, None, length=BLOCK)
        return state, jax.tree.map(lambda a: jnp.moveaxis(a, 0, 2), found)

    def natural(z, groups):
        """Population-level sites on their own scale."""
        prior = lambda: population_program(model, [], rho=how.rho)  # noqa: E731
        flat = {k: v.reshape(-1, *v.shape[3:]) for k, v in z.items()}
        found = jax.jit(lambda z: constrain_fn(prior, (), {}, z, batch_ndims=1))(flat)
        shape = next(iter(z.values())).shape[:3]
        found = {k: v for k, v in with_derived(model, found).items() if k not in vector_sites(model)}
        return {k: np.asarray(v).reshape(*shape, *np.shape(v)[1:]) for k, v in found.items()}

    return _Runner(jax.jit(of_chains(begun)), advance, natural)
