"""Rivals of the moves of `bayestwin.twin.moves`: random walk, Langevin and Hamiltonian proposals, for all particles.

    random walk    x' = x + s e                                       e ~ N(0, I)
    Langevin       x' = x + s^2/2 g(x) + s e                          g the slope of ln target
    Hamiltonian    L leapfrog steps of length s u from (x, e), u ~ U(0.8, 1.2)

x are whitened coordinates, so that the identity is the metric. Each is accepted by Metropolis and Hastings; `correct`
False leaves that out, to see that a check of invariance fails. Only `look` knows the target:
look(x) -> Seen (height, slope, anything else that was found at x).

Sources: Roberts and Rosenthal (1998), JRSS B 60:255 (Langevin, acceptance 0.574); Neal (2011), Handbook of MCMC, 5
(Hamiltonian, 0.65); Roberts, Gelman and Gilks (1997), Annals of Applied Probability 7:110 (random walk, 0.234).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

PILOT = 10  # moves that find the length of a step


class Seen(NamedTuple):
    """At x (P, D): height (P,) of ln target, -inf where there is none; slope (P, D); found : whatever else."""

    height: Any
    slope: Any
    found: Any = ()


class Kernel(NamedTuple):
    """propose(key, x, seen, look, step) -> x', ln of the ratio of proposal densities (P,), what was seen at x'

    goal : usual acceptance; first : of dimension D, a step to begin with; sloped : needs slopes; looks : in one move
    """

    name: str
    propose: Callable
    goal: float
    first: Callable[[int], float]
    sloped: bool
    looks: int = 1


def random_walk(key, x, seen, look, step):
    new = x + step * jax.random.normal(key, x.shape)
    return new, jnp.zeros(len(x)), look(new)


def langevin(key, x, seen, look, step):
    noise = jax.random.normal(key, x.shape)
    new = x + 0.5 * step**2 * seen.slope + step * noise
    there = look(new)
    back = (x - new - 0.5 * step**2 * there.slope) / step
    return new, 0.5 * (noise**2 - back**2).sum(-1), there


def hamiltonian(key, x, seen, look, step, *, leaps: int):
    key_momentum, key_step = jax.random.split(key)
    momentum = jax.random.normal(key_momentum, x.shape)
    own = step * jax.random.uniform(key_step, (len(x), 1), minval=0.8, maxval=1.2)
    new, there, p = x, seen, momentum + 0.5 * own * seen.slope
    for number in range(leaps):
        new = new + own * p
        there = look(new)
        p = p + (1.0 if number < leaps - 1 else 0.5) * own * there.slope
    return new, 0.5 * (momentum**2 - p**2).sum(-1), there


KERNELS = (
    Kernel("random walk", random_walk, 0.234, lambda d: 2.38 / d**0.5, False),
    Kernel("Langevin", langevin, 0.574, lambda d: 1.65 / d ** (1 / 6), True),
    *(
        Kernel(f"Hamiltonian, {n}", partial(hamiltonian, leaps=n), 0.7, lambda d: 1.3 / d**0.25, True, n)
        for n in (3, 5, 10)
    ),
)


def moved(kernel: Kernel, key, x, seen: Seen, look, step, *, correct: bool = True):
    """One move of every particle: x, what is seen there, and the mean chance of acceptance."""
    key_propose, key_accept = jax.random.split(key)
    new, ratio, there = kernel.propose(key_propose, x, seen, look, step)
    gain = there.height - seen.height + ratio
    gain = jnp.where(jnp.isfinite(there.height) & jnp.isfinite(gain), gain, -jnp.inf)
    chance = jnp.exp(jnp.minimum(gain, 0.0)) if correct else jnp.where(jnp.isfinite(gain), 1.0, 0.0)
    take = jax.random.uniform(key_accept, chance.shape) < chance

    def pick(a, b):
        return jnp.where(take.reshape(-1, *([1] * (a.ndim - 1))), a, b)

    return pick(new, x), jax.tree.map(pick, there, seen), float(chance.mean())


def tuned(kernel: Kernel, key, x, seen: Seen, look) -> float:
    """A length of step with about the usual acceptance, from a pilot whose moves are thrown away."""
    step = kernel.first(x.shape[1])
    for number in range(PILOT):
        x, seen, rate = moved(kernel, jax.random.fold_in(key, number), x, seen, look, step)
        step *= float(jnp.exp((2.0 - number / PILOT) * (rate - kernel.goal)))
    return step
