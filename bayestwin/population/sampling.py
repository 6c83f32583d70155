"""NUTS in blocks: one compiled program, chains side by side, R-hat and ESS shown while it runs.

NumPyro's own driver compiles again for every run and shows no convergence; its kernel is used here directly. Chains
are vectorised: `chain_method="parallel"` broke reverse-mode diffrax in these versions.
"""

import sys
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer import NUTS, init_to_median
from numpyro.infer.util import initialize_model


class Draws(NamedTuple):
    """Constrained samples by site (chain, draw, ...), and the sampler's statistics (chain, draw)."""

    samples: dict
    stats: dict


def run_nuts(
    program: Callable,
    *,
    key,
    chains: int,
    warmup: int,
    draws: int,
    target_accept: float,
    max_tree_depth: int,
    block: int = 25,
    climb: int = 0,
    progress=False,
) -> Draws:
    """Sample a NumPyro program with NUTS; float64 must be on.

    climb : so many steps of gradient ascent from the prior median before warm-up, for models whose warm-up would be
        spent far out; chains still start apart, each from its own point
    progress : False, True (a bar on stderr) or a callable(done, total, message)
    """
    kernel = NUTS(
        program,
        target_accept_prob=target_accept,
        max_tree_depth=max_tree_depth,
        init_strategy=init_to_median(num_samples=15),
    )
    report, close = reporter(progress, warmup + draws)
    report(0, "compiling")
    key_start, key_chains = jax.random.split(key)
    start = climbed_start(program, key_start, chains, climb) if climb else None
    state = kernel.init(jax.random.split(key_chains, chains), warmup, start, (), {})
    kept = ("z", "diverging", "energy", "num_steps", "accept_prob", "potential_energy")

    @jax.jit
    def advance(state):
        def step(state, _):
            state = kernel.sample(state, (), {})
            return state, {name: getattr(state, name) for name in kept}

        return jax.lax.scan(step, state, None, length=block)

    postprocess = jax.jit(jax.vmap(jax.vmap(kernel.postprocess_fn((), {}))))
    collected, done = [], 0
    while done < warmup + draws:
        state, piece = advance(state)
        done += block
        if done > warmup:
            collected.append(jax.tree.map(lambda a: np.swapaxes(np.asarray(a), 0, 1), piece))
        report(min(done, warmup + draws), progress_line(collected, done, warmup))
    close()
    stacked = jax.tree.map(lambda *a: np.concatenate(a, axis=1)[:, -draws:], *collected)
    samples = {k: np.asarray(v) for k, v in postprocess(jax.tree.map(jnp.asarray, stacked.pop("z"))).items()}
    stats = {
        "diverging": stacked["diverging"],
        "energy": stacked["energy"],
        "n_steps": stacked["num_steps"],
        "acceptance_rate": stacked["accept_prob"],
        "lp": -stacked["potential_energy"],
    }
    return Draws(samples, stats)


def climbed_start(program, key, chains: int, steps: int = 150, rate: float = 0.05):
    """Unconstrained starting points, one per chain, after some steps of Adam on the log density."""
    info = initialize_model(key, program, init_strategy=init_to_median(num_samples=15))
    keys = jax.random.split(key, chains)
    z = jax.tree.map(lambda a: jnp.stack([a + 0.1 * jax.random.normal(k, a.shape) for k in keys]), info.param_info.z)
    gradient = jax.jit(jax.vmap(jax.grad(info.potential_fn)))
    optimiser = numpyro.optim.Adam(rate)
    state = optimiser.init(z)
    for _ in range(steps):
        g = jax.tree.map(lambda a: jnp.clip(jnp.nan_to_num(a), -1e3, 1e3), gradient(optimiser.get_params(state)))
        state = optimiser.update(g, state)
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
    """(report, close) for a progress bar on stderr, a callable, or silence."""
    if callable(progress):
        return (lambda done, message: progress(done, total, message)), (lambda: None)
    if not progress:
        return (lambda done, message: None), (lambda: None)
    from tqdm import tqdm

    bar = tqdm(total=total, file=sys.stderr, unit="draw")

    def report(done, message):
        bar.set_postfix_str(message, refresh=False)
        bar.update(done - bar.n)

    return report, bar.close
