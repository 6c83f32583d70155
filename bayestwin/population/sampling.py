"""Kernels in blocks: one compiled program, chains side by side, R-hat and ESS shown while it runs.

NumPyro's own driver compiles again for every run and shows no convergence; its kernels are used here directly. Chains
are vectorised, and shared out among the devices there are (devices.py).
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer import NUTS
from numpyro.infer.util import ParamInfo, constrain_fn, potential_energy

from bayestwin.population.devices import compiled, on_all, shared_out
from bayestwin.population.first_effects import searched_effects
from bayestwin.population.gibbs import PatientwiseHMC


class Draws(NamedTuple):
    """Constrained samples by site (chain, draw, ...), and the sampler's statistics (chain, draw)."""

    samples: dict
    stats: dict


STATISTICS = {
    "diverging": "diverging",
    "energy": "energy",
    "n_steps": "num_steps",
    "acceptance_rate": "accept_prob",
    "lp": "potential_energy",
}  # name in a result -> field of a kernel's state


def run_nuts(
    program: Callable,
    start: Callable,
    *,
    key,
    chains: int,
    warmup: int,
    target_accept: float,
    max_tree_depth: int,
    climb: int = 0,
    **how,
) -> Draws:
    """Sample a NumPyro program with NUTS; float64 must be on.

    start : one key per chain -> unbounded value of every site, with a leading axis of chains
    climb : so many steps of gradient ascent before warm-up, for models whose warm-up would be spent far out
    how : as for `in_blocks`
    """

    def potential(z):
        return potential_energy(program, (), {}, z)

    kernel = NUTS(potential_fn=potential, target_accept_prob=target_accept, max_tree_depth=max_tree_depth)

    def sweep(state):
        return kernel.sample(state, (), {})

    def begin():
        key_start, key_chains = jax.random.split(key)
        value_and_gradient = jax.jit(jax.vmap(jax.value_and_grad(potential)))
        z = start(jax.random.split(key_start, chains))
        if climb:
            z = climbed(value_and_gradient, z, climb)
        begin = ParamInfo(z, *value_and_gradient(z))
        if not all(np.isfinite(np.asarray(a)).all() for a in jax.tree.leaves(begin)):
            raise RuntimeError("the log density or its gradient is not finite at the prior medians")
        keys = jax.random.split(key_chains, chains)
        return jax.jit(lambda keys, begin: kernel.init(keys, warmup, begin))(keys, begin)

    return in_blocks(shared_out(sweep, chains), begin, program, chains=chains, warmup=warmup, **how)


def run_gibbs(
    joint,
    program: Callable,
    start: Callable,
    *,
    key,
    chains: int,
    warmup: int,
    target_accept: float,
    search: bool = True,
    **how,
):
    """Sample a `Joint` with HMC within Gibbs; float64 must be on.

    search : the patients begin where `searched_effects` finds their labs likely, not where `start` has them
    program : the same model, non-centred, without its labs: what turns unbounded sites into natural ones
    """
    kernel = PatientwiseHMC(joint, target_accept=target_accept)

    def sweep(state):
        return kernel.sample(state, (), {})

    def begin():
        key_start, key_chains = jax.random.split(key)
        z = start(jax.random.split(key_start, chains))
        if search:
            z = searched_effects(joint, z, jax.random.fold_in(key, 1))
        return kernel.init(jax.random.split(key_chains, chains), warmup, z, (), {})

    def check(state):
        if not np.isfinite(np.asarray(state.likelihood.value)).all():
            raise RuntimeError("the log density of a patient is not finite near the prior medians")

    return in_blocks(sweep, begin, program, chains=chains, warmup=warmup, check=check, **how)


def in_blocks(
    sweep: Callable,
    begin: Callable,
    program: Callable,
    *,
    chains: int,
    warmup: int,
    draws: int,
    most: int | None = None,
    enough: Callable[[Draws], bool] | None = None,
    check: Callable = lambda state: None,
    block: int = 25,
    saved=None,
    progress=False,
) -> Draws:
    """Run a kernel block by block.

    sweep : state of all chains -> the next one
    begin : the state of all chains before warm-up; check : of the state after the first block, may raise
    draws : kept of each chain; where they are not `enough`, as many again, up to `most`
    saved : SavedRun to go on from and to keep every block in, or None
    progress : False, True (a bar on stderr) or a callable(done, total, message)
    """
    report, close = reporter(progress, warmup + draws)
    report(0, "compiling")

    @partial(compiled, chains=chains)
    def advance(state):
        def step(state, _):
            state = sweep(state)
            return state, {name: getattr(state, name) for name in ("z", *STATISTICS.values())}

        return jax.lax.scan(step, state, None, length=block)

    postprocess = jax.jit(lambda z: constrain_fn(program, (), {}, z, batch_ndims=2))
    state, collected, done, wanted = begin(), [], 0, draws
    if saved is not None:
        state, collected, done = saved.restored(state, warmup)
    state = on_all(state, chains)
    while True:
        while done < warmup + wanted:
            state, piece = jax.block_until_ready(advance(state))  # else progress runs ahead of the work
            if not done:
                check(state)
            done += block
            piece = jax.tree.map(lambda a: np.swapaxes(np.asarray(a), 0, 1), piece) if done > warmup else None
            if piece is not None:
                collected.append(piece)
            if saved is not None:
                saved.keep(state, piece, done)
            report(min(done, warmup + wanted), progress_line(collected, done, warmup), warmup + wanted)
        found = as_draws(collected, wanted, postprocess)
        if enough is None or most is None or wanted + draws > most or enough(found):
            close()
            return found
        wanted += draws


def as_draws(collected, draws: int, postprocess) -> Draws:
    """The last so many draws of each chain, constrained, and the sampler's statistics."""
    stacked = jax.tree.map(lambda *a: np.concatenate(a, axis=1)[:, -draws:], *collected)
    samples = {k: np.asarray(v) for k, v in postprocess(jax.tree.map(jnp.asarray, stacked.pop("z"))).items()}
    stats = {name: stacked[field] for name, field in STATISTICS.items()}
    return Draws(samples, stats | {"lp": -stats["lp"]})


def scattered(start: dict, keys, spread: float = 0.1):
    """One starting point per key, `spread` away from `start`."""

    def one(key):
        leaves, tree = jax.tree.flatten(start)
        noise = jax.random.split(key, len(leaves))
        return tree.unflatten([a + spread * jax.random.normal(k, jnp.shape(a)) for a, k in zip(leaves, noise)])

    return jax.jit(jax.vmap(one))(keys)


def climbed(value_and_gradient, z, steps: int = 150, rate: float = 0.05):
    """The same points after some steps of Adam on the log density."""
    optimiser = numpyro.optim.Adam(rate)
    state = optimiser.init(z)
    for _ in range(steps):
        _, slope = value_and_gradient(optimiser.get_params(state))
        state = optimiser.update(jax.tree.map(lambda a: jnp.clip(jnp.nan_to_num(a), -1e3, 1e3), slope), state)
    return optimiser.get_params(state)


def progress_line(collected, done, warmup) -> str:
    """Worst split R-hat and smallest ESS of the population-level sites so far."""
    if done <= warmup:
        return "warm-up"
    z = {k: np.concatenate([p["z"][k] for p in collected], axis=1) for k in collected[0]["z"] if k not in ("z", "psi")}
    if next(iter(z.values())).shape[1] < 20:
        return "sampling"
    with np.errstate(all="ignore"):
        rhat = max(float(np.nanmax(split_gelman_rubin(v))) for v in z.values())
        ess = min(float(np.nanmin(effective_sample_size(v))) for v in z.values())
    divergent = sum(int(p["diverging"].sum()) for p in collected)
    return f"R-hat {rhat:.3f}, ESS {ess:.0f}, divergences {divergent}"


def reporter(progress, total):
    """(report, close) for a progress bar on stderr, a callable, or silence; a run that grows tells its new total."""
    if callable(progress):
        return (lambda done, message, now=None: progress(done, now or total, message)), (lambda: None)
    if not progress:
        return (lambda done, message, now=None: None), (lambda: None)
    from tqdm import tqdm

    bar = tqdm(total=total, file=sys.stderr, unit="draw")

    def report(done, message, now=None):
        bar.total = now or total
        bar.set_postfix_str(message, refresh=False)
        bar.update(done - bar.n)

    return report, bar.close
