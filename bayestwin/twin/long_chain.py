"""NUTS on one patient: the last rung before a twin is withheld, where tempering failed though there is one mode.

The target is the oracle's, individual parameters psi beside a population draw m,

    p(psi, m | record)  proportional to  p(psi | m) sum over classes of P(class | psi, m) p(record | psi, m, class)

One chain per island, from a particle of the failed oracle. Each step moves psi by NUTS with m held, then m by the two
moves of the particles (`moves`: psi kept; standardised effects kept), so that no target is made smoother than it is. A
chain becomes an island: the spread of chain means is then an honest Monte Carlo error, however slowly they mix. Two
modes are not NUTS's business: it is not asked where both response classes are alive, and chains that disagree
(split R-hat) withhold the twin.

Source: Hoffman and Gelman (2014), JMLR 15:1593; Gelman et al. (2013), Bayesian Data Analysis, 11.4 (split R-hat).
"""

import time as clock
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer.hmc import hmc

from bayestwin.dynamics import NO_GRADIENT, Accuracy
from bayestwin.individual import class_likelihood, compile_record
from bayestwin.twin.check import SMALLEST_ESS, judge
from bayestwin.twin.moves import accept, fitted_gaussian, propose
from bayestwin.twin.particles import Particles, log_share_of, normalised, unique_particles
from bayestwin.twin.smc import BridgeInfo
from bayestwin.twin.state import PASS, WITHHELD
from bayestwin.twin.target import class_weights, evaluator, full_likelihood, hyper_of

WARMUP, FEWEST_DRAWS, BLOCK = 300, 250, 25
DEPTH, TARGET = 6, 0.9
FORWARD = 12  # individual parameters up to which slopes are taken forward
LARGEST_RHAT = 1.05
ONE_CLASS = 0.99  # share of the likelier response class from which on there is one mode
DRAW_MOVES = (1, 2)  # kinds of moves.propose that change the population draw


class Chains(NamedTuple):
    """psi (K, N, D) and draw (K, N) of K chains after warm-up; diverging (K, N)."""

    psi: np.ndarray
    draw: np.ndarray
    diverging: np.ndarray


def long_chains(
    model,
    population,
    data,
    rho,
    psi,
    draw,
    *,
    draws: int,
    warmup: int = WARMUP,
    random_seed: int,
    centre=None,
    factor=None,
    accuracy: Accuracy = NO_GRADIENT,
) -> Chains:
    """NUTS on psi and Metropolis on the population draw, K chains side by side; float64 must be on.

    Parameters
    ----------
    population : Population     of M draws, as a twin rests on; data : PatientData of the whole record
    psi (K, D), draw (K,)       where the chains start
    centre (D,), factor (D, D)  mean and Cholesky factor of a first guess of the posterior: the scale of the steps
    accuracy : Accuracy         of the solver; slopes of up to FORWARD parameters by forward mode, which needs no more
                                than a solve without a gradient, of more by reverse mode
    """
    size = psi.shape[1]
    forward = size <= FORWARD
    accuracy = accuracy._replace(gradient=False)
    sloped = accuracy if forward else accuracy._replace(gradient=True)
    centre = jnp.zeros(size) if centre is None else jnp.asarray(centre)
    factor = jnp.eye(size) if factor is None else jnp.asarray(factor)
    data = jax.tree.map(jnp.asarray, data)
    evaluate = evaluator(model, accuracy)

    def potential_of(m):
        def potential(z):
            at = centre + factor @ z
            found = class_likelihood(model, at, hyper_of(population, m), data, rho=rho, accuracy=sloped)
            white = population.whiten[m] @ (at - population.mean[m])
            height = logsumexp(found.log_class + found.rows.sum(-1) + found.alive + found.other)
            return 0.5 * (white**2).sum() + population.log_det[m] - log_share_of(m, population) - height

        return potential

    init_kernel, sample_kernel = hmc(potential_fn_gen=potential_of, algo="NUTS")

    def begun(key, z, m):
        steps = {"max_tree_depth": DEPTH, "target_accept_prob": TARGET, "forward_mode_differentiation": forward}
        return init_kernel(z, warmup, model_args=(m,), rng_key=key, **steps)

    def height_and_slope(z, m):
        potential = potential_of(m)
        return (potential(z), jax.jacfwd(potential)(z)) if forward else jax.value_and_grad(potential)(z)

    def redrawn(key, psi, draw):
        pieces = evaluate(psi, draw, population, data, rho)
        for kind in DRAW_MOVES:
            key, first, second = jax.random.split(key, 3)
            new_psi, new_draw, ratio = propose(kind, first, psi, draw, population, centre, factor, 0.0)
            proposed = evaluate(new_psi, new_draw, population, data, rho)
            old = jnp.zeros_like(pieces.alive)
            psi, draw, pieces, *_ = accept(
                second, (psi, draw, pieces, old), (new_psi, new_draw, proposed), ratio, jnp.ones(()), from_scratch=True
            )
        return psi, draw

    @jax.jit
    def advance(state, draw, key):
        def step(carry, key):
            state, draw = carry
            state = jax.vmap(lambda s, m: sample_kernel(s, model_args=(m,)))(state, draw)
            psi, draw = redrawn(key, centre + state.z @ factor.T, draw)
            z = jax.scipy.linalg.solve_triangular(factor, (psi - centre).T, lower=True).T
            height, slope = jax.vmap(height_and_slope)(z, draw)
            state = state._replace(z=z, potential_energy=height, z_grad=slope)
            return (state, draw), (psi, draw, state.diverging)

        return jax.lax.scan(step, (state, draw), jax.random.split(key, BLOCK))

    key_start, key_steps = jax.random.split(jax.random.key(random_seed))
    z = jax.scipy.linalg.solve_triangular(factor, (jnp.asarray(psi) - centre).T, lower=True).T
    draw = jnp.asarray(draw)
    state = jax.jit(jax.vmap(begun))(jax.random.split(key_start, len(z)), z, draw)
    kept = []
    for number in range(-(-(warmup + draws) // BLOCK)):
        (state, draw), piece = advance(state, draw, jax.random.fold_in(key_steps, number))
        kept.append(jax.tree.map(lambda a: np.swapaxes(np.asarray(a), 0, 1), piece))
    return Chains(*(np.concatenate(part, axis=1)[:, -draws:] for part in zip(*kept)))


def by_long_chains(twin, failed, *, random_seed: int, accuracy: Accuracy):
    """The failed oracle `twin` drawn anew by NUTS: (Twin, UpdateInfo); `failed` itself where NUTS was not asked.

    accuracy : as of the other rungs
    """
    begin = clock.perf_counter()
    old, model, islands = twin.particles, twin.model, twin.islands
    why_not = _not_for_nuts(twin)
    if why_not:
        info = replace(failed, reasons=(*failed.reasons, f"NUTS was not asked: {why_not}"))
        return replace(twin, history=(info,)), info
    data = jax.tree.map(jnp.asarray, compile_record(model, twin.record, finer=twin.finer))
    rng = np.random.default_rng([random_seed, 5])
    weights = np.exp(np.asarray(old.log_weights)).reshape(islands, -1)
    picked = [k * weights.shape[1] + rng.choice(weights.shape[1], p=w / w.sum()) for k, w in enumerate(weights)]
    sd = np.sqrt(np.einsum("mde,mde->md", *2 * [np.asarray(twin.population.scale)])).mean(axis=0)
    centre, factor = fitted_gaussian(old.psi, old.log_weights, islands, sd)
    keep = twin.asked_size // islands
    chains = long_chains(
        model,
        twin.population,
        data,
        twin.rho,
        np.asarray(old.psi)[picked],
        np.asarray(old.draw)[picked],
        draws=max(keep, FEWEST_DRAWS),
        random_seed=random_seed,
        centre=centre,
        factor=factor,
        accuracy=accuracy,
    )
    thinned = np.linspace(0, chains.psi.shape[1] - 1, keep).round().astype(int)
    psi, draw = (jnp.asarray(a[:, thinned].reshape(islands * keep, *a.shape[2:])) for a in (chains.psi, chains.draw))
    pieces = evaluator(model, accuracy)(psi, draw, twin.population, data, twin.rho)
    log_weights = jnp.asarray(normalised(np.zeros(len(psi)), islands))
    end = (pieces.alive, pieces.other, pieces.log_class, pieces.end)
    particles = Particles(psi, draw, log_weights, pieces.rows.sum(-1), *end)
    lost = float((~np.isfinite(np.asarray(full_likelihood(pieces))).any(axis=1)).mean())
    evidence = np.full(islands, failed.log_evidence)  # NUTS has none of its own: the oracle's stands
    check = BridgeInfo(failed.stages, failed.moves, failed.acceptance, 0.0, unique_particles(psi), evidence, lost)
    counts = {"population_draws": twin.population.draws, "new_labs": failed.new_labs}
    info = judge(model, particles, check, islands, "NUTS", (), started=np.asarray(data.relevant), **counts)
    info = replace(info, log_evidence_error=failed.log_evidence_error, pareto_k=float("-inf"))
    info = _mixed(info, chains, "; ".join(failed.reasons))
    info = replace(info, seconds=clock.perf_counter() - begin)
    return replace(twin, particles=particles, history=(info,)), info


def _not_for_nuts(twin) -> str:
    """Why NUTS is not asked; "" where it is."""
    if not np.isfinite(twin.weights).all():
        return "no particle explains the record"
    if twin.info.few_draws:
        return "its chains would rest on the same population draws"
    if twin.particles.log_class.shape[-1] > 1:
        share = float((twin.weights @ class_weights(twin.particles)).max())
        if share < ONE_CLASS:
            return f"two response classes are alive (the likelier at {share:.2f})"
    return ""


def _mixed(info, chains: Chains, why: str):
    """The verdict with what the chains themselves say: R-hat, effective draws, divergences; why : NUTS was asked."""
    rhat = np.asarray(split_gelman_rubin(chains.psi))
    ess = np.asarray(effective_sample_size(chains.psi))
    worst, least, size = float(np.nanmax(rhat)), float(np.nanmin(ess)), chains.psi.shape[0] * chains.psi.shape[1]
    failed, needed = [], min(SMALLEST_ESS, 0.1 * size)
    if not worst <= LARGEST_RHAT:
        failed.append(f"chains of NUTS disagree (R-hat {worst:.2f} above {LARGEST_RHAT})")
    if not least >= needed:
        failed.append(f"ESS {least:.0f} of NUTS under {needed:.0f}")
    if chains.diverging.mean() > 0.01:
        failed.append(f"{1000 * chains.diverging.mean():.2g} in 1,000 steps of NUTS diverged")
    said = f"NUTS in {chains.psi.shape[0]} chains (R-hat {worst:.3f}), because {why}"
    verdict = WITHHELD if failed or info.verdict != PASS else PASS
    return replace(info, verdict=verdict, ess=least, reasons=(said, *info.reasons, *failed))
