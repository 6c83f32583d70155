"""Draws of the population given published arms: NUTS in the coordinates of a Gauss-Newton approximation at the mode.

Chains go on in pieces of a few iterations, and trial and approximation are arguments of one compiled program, so that
leaving out one trial after the other compiles nothing anew.
"""

from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from .evidence_fit import Evidence, fitted_outcomes
from .treatments import ROWS

PIECE = 10  # iterations of NUTS between two reports
DEPTH = 4  # of its trees


class Approximation(NamedTuple):
    """A normal approximation: centre (n,), factor (n, n) with covariance factor factor', height at the centre, and
    which positions of z the evidence speaks of (n,)."""

    centre: np.ndarray
    factor: np.ndarray
    height: float
    moves: np.ndarray


def approximation(
    evidence: Evidence, trial: str = "", start: Approximation | None = None, *, steps: int = 200
) -> Approximation:
    """Mode by L-BFGS, covariance by Gauss-Newton; trial : left out; start : the approximation with all trials."""
    weights, both, row = evidence.without(trial), *_compiled(evidence)

    def downhill(x):
        value, gradient = both(x, weights)
        sound = np.isfinite(value) and np.isfinite(gradient).all()
        return (-float(value), -np.asarray(gradient)) if sound else (1e10, np.zeros(len(x)))

    z = np.zeros(evidence.layout.size)
    if start is not None:
        z[start.moves] = start.centre
    how = {"maxiter": steps, "maxcor": 30}
    found = minimize(downhill, z, jac=True, method="L-BFGS-B", bounds=[(-4.5, 4.5)] * len(z), options=how)
    count = sum(len(fitted_outcomes(arm)) for arm in evidence.arms)
    jacobian = np.stack([np.asarray(row(found.x, weights, one)) for one in np.eye(count)])
    moves = np.flatnonzero(np.abs(jacobian).max(axis=0) > 0) if start is None else start.moves
    jacobian = jacobian[:, moves]
    factor = np.linalg.cholesky(np.linalg.inv(np.eye(len(moves)) + jacobian.T @ jacobian))
    return Approximation(found.x[moves], factor, -float(found.fun), moves)


@lru_cache(maxsize=2)
def _compiled(evidence: Evidence):
    """Value and gradient of the log posterior, and one row of the Jacobian of the residuals."""

    def row(z, weights, direction):
        return jax.vjp(lambda x: evidence.residuals(x, weights), z)[1](direction)[0]

    return jax.jit(jax.value_and_grad(evidence.log_posterior)), jax.jit(row)


def sampled(
    evidence: Evidence, normal: Approximation, key, *, chains, trial: str = "", warmup: int, draws: int, report=print
):
    """NUTS in the coordinates of the approximation: z (chains, draws, size) and statistics (chains, draws).

    What the evidence says nothing of is drawn from its prior. chains : their numbers; one after the other, so that a
    few processes may share them.
    """
    size, moves, weights = evidence.layout.size, tuple(normal.moves.tolist()), evidence.without(trial)
    begin, advance = _nuts(evidence, moves)
    given = weights, jnp.asarray(normal.centre), jnp.asarray(normal.factor)
    key_start, key_rest, key = jax.random.split(key, 3)
    found, rest, stats = [], [], {}
    for chain in chains:
        rest.append(np.array(jax.random.normal(jax.random.fold_in(key_rest, chain), (draws, size))))
        x = 0.3 * jax.random.normal(jax.random.fold_in(key_start, chain), (len(moves),))
        z = jnp.zeros(size).at[normal.moves].set(given[1] + given[2] @ x)
        height, slope = _compiled(evidence)[0](z, weights)
        state = begin(jax.random.fold_in(key, chain), x, warmup, -height, -given[2].T @ slope[normal.moves])
        pieces = []
        for number in range(0, warmup + draws, PIECE):
            state, piece = advance(state, given)
            pieces.append({name: np.asarray(value) for name, value in piece.items()})
            if number % 50 == 0:
                steps = pieces[-1]["num_steps"].mean()
                report(f"  chain {chain}, {number + PIECE} of {warmup + draws}, {steps:.0f} steps", flush=True)
        joined = {
            name: np.concatenate([piece[name] for piece in pieces])[warmup : warmup + draws] for name in pieces[0]
        }
        found.append(joined.pop("z"))
        for name, value in joined.items():
            stats.setdefault(name, []).append(value)
    z = np.stack(rest)
    z[:, :, normal.moves] = normal.centre + np.stack(found) @ normal.factor.T
    return z, {name: np.stack(value) for name, value in stats.items()}


@lru_cache(maxsize=2)
def _nuts(evidence: Evidence, moves: tuple[int, ...]):
    """How a chain begins and goes on for `PIECE` iterations; trial and approximation are arguments of one program."""
    from numpyro.infer.hmc import hmc

    where = np.array(moves)

    def potential_of(*given):
        if not given:  # the height of the start is computed elsewhere
            return lambda x: 0.5 * x @ x
        weights, centre, factor = given
        return lambda x: (
            -evidence.log_posterior(jnp.zeros(evidence.layout.size).at[where].set(centre + factor @ x), weights)
        )

    start, step = hmc(potential_fn_gen=potential_of, algo="NUTS")

    def begin(key, x, warmup, height, slope):
        how = {"step_size": 0.5, "adapt_mass_matrix": False, "max_tree_depth": DEPTH, "target_accept_prob": 0.85}
        return start(x, warmup, rng_key=key, **how)._replace(potential_energy=height, z_grad=slope)

    @jax.jit
    def advance(state, given):
        def one(s, _):
            s = step(s, given)
            return s, {
                "z": s.z,
                "diverging": s.diverging,
                "energy": s.energy,
                "num_steps": s.num_steps,
                "accept_prob": s.accept_prob,
                "potential_energy": s.potential_energy,
            }

        return jax.lax.scan(one, state, None, length=PIECE)

    return begin, advance


def new_settings(evidence: Evidence, z, key) -> dict:
    """Population-level sites (chain, draw), each draw that of a setting like a further trial: its own departures of
    growth and of the resistant fractions are added."""
    shape = z.shape[:2]
    found = _by_draw(evidence.values, z)
    growth, fractions = jax.random.split(key)
    sites = {n: np.asarray(v) for n, v in found.items() if n not in ("tau_f", "tau_g", "trial_f", "trial_g")}
    sites["g_pop"] = sites["g_pop"] * np.exp(found["tau_g"] * np.asarray(jax.random.normal(growth, shape)))
    moved = np.asarray(jax.random.normal(fractions, (len(ROWS), *shape))) * np.asarray(found["tau_f"])
    for name, departure in zip(ROWS, moved):
        f = sites[f"f_{name}_pop"]
        sites[f"f_{name}_pop"] = 1.0 / (1.0 + (1.0 - f) / f * np.exp(-departure))
    return sites


def between_trials(evidence: Evidence, z) -> dict:
    """SDs between trials (chain, draw): tau_f of logit f of an arm, tau_g of ln g of a trial."""
    found = _by_draw(evidence.values, z)
    return {name: np.asarray(found[name]) for name in ("tau_f", "tau_g")}


def _by_draw(function, z):
    flat = jax.jit(jax.vmap(function))(jnp.asarray(z).reshape(-1, z.shape[-1]))
    return {name: np.asarray(value).reshape(*z.shape[:2], *value.shape[1:]) for name, value in flat.items()}
