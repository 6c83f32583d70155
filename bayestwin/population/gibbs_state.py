"""What HMC within Gibbs carries from sweep to sweep, and what a move tells; see gibbs.py."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer.hmc_util import dual_averaging

from bayestwin.population.gibbs_jump import Mixture, Seen
from bayestwin.population.whitening import Sums, View

SLOPES_KEPT, SQUARES_KEPT = 0.8, 0.95  # of the ascent's moments, at each step
LONGEST = 1.8  # of a trajectory in whitened coordinates, where a quarter of a period is 1.57
DIVERGENT = 1000.0
SHARED = ("i", "tuning", "learning")  # fields of the state that do not lead with chains
_begin_averaging, average_step = dual_averaging()


class Likelihood(NamedTuple):
    """ln p of each patient's data (N,), its slopes in psi (N, D) and shared (N, J), what was solved for (N, ...)."""

    value: jax.Array
    by_psi: jax.Array
    by_shared: jax.Array
    solved: jax.Array


class Tuning(NamedTuple):
    """What warm-up learns: the view, square roots of the metrics, step sizes, the states of their averaging, and
    where patients may jump to."""

    view: View
    population: jax.Array
    centred: jax.Array
    observed: jax.Array
    steps: tuple
    averaging: tuple
    mixture: Mixture


class Ascent(NamedTuple):
    """First and second moments of the slopes in h and v (Adam), and the steps done."""

    h: tuple
    v: tuple
    done: jax.Array


class Phase(NamedTuple):
    """Which part of the run a sweep is in: climbing, learning and warming are truth values; rate : of the ascent."""

    climbing: jax.Array
    learning: jax.Array
    warming: jax.Array
    rate: jax.Array


class Learning(NamedTuple):
    """Sums since the last window: of each patient (N, ...) in moves of patients and of the population, of the
    population, of the centred move and of that of what is observed."""

    patients: Sums
    moved_along: Sums
    population: Sums
    centred: Sums
    observed: Sums


class GibbsState(NamedTuple):
    """State of the kernel; arrays lead with chains where there are several, `tuning` and `learning` never do.

    h (H,) in units of the prior's SD; z : unbounded sites, "z" (N, D) the non-centred effects
    seen : psi, and the moving coordinates of h
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
    seen: tuple[Seen, Seen]
    tuning: Any
    learning: Any
    rng_key: jax.Array


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


def ascended(ascent: Ascent, point, rate):
    """The moments with one more slope, and the steps in h and v that Adam takes (Kingma and Ba 2015)."""
    count = ascent.done + 1.0
    moved: list[tuple] = []
    steps: list = []
    for (mean, square), slope in ((ascent.h, point.by_h), (ascent.v, point.by_v)):
        mean = SLOPES_KEPT * mean + (1 - SLOPES_KEPT) * slope
        square = SQUARES_KEPT * square + (1 - SQUARES_KEPT) * slope**2
        moved.append((mean, square))
        size = jnp.sqrt(square / (1 - SQUARES_KEPT**count)) + 1e-8
        steps.append(rate * mean / (1 - SLOPES_KEPT**count) / size)
    return Ascent(moved[0], moved[1], count), *steps


def step_sizes(patients: int, step: float) -> tuple:
    """The same step size for every patient and the moves of the population, of what is centred and observed."""
    return tuple(jnp.full(shape, step, dtype=float) for shape in ((patients,), (), (), ()))


def restarted(patients: int, step: float) -> tuple:
    """States of the averaging of four kinds of step sizes."""
    found = []
    for shape in ((patients,), (), (), ()):
        x, mean, slope, count, _ = _begin_averaging()
        full = (jnp.broadcast_to(a, shape) for a in (x, mean, slope))
        found.append((*full, count, jnp.full(shape, np.log(3.0 * step))))
    return tuple(found)


def first_chain(state):
    """A state without its axis of chains, of the only one."""
    per_chain = {
        name: jax.tree.map(lambda a: a[0], value) for name, value in state._asdict().items() if name not in SHARED
    }
    return state._replace(**per_chain)


def with_chain_axis(state):
    """A state of one chain with an axis of chains."""
    per_chain = {
        name: jax.tree.map(lambda a: a[None], value) for name, value in state._asdict().items() if name not in SHARED
    }
    return state._replace(**per_chain)
