"""The reference of the proof: 100,000 and more independent weighted draws of one patient's posterior.

Importance sampling shares nothing with the sequential code but the target: no resampling, no moves, no islands, no
stored state. A small from-scratch twin of its own seed shows where the posterior lies; a mixture is fitted to it and
refitted to weighted draws of its own (`mixture`), and the best of these mixtures proposes the draws of the reference,
none of which was used in fitting. A proposal can only be wasteful, not wrong: what it is is divided out.

    weight = p(psi | m) / M  sum over classes P(class | psi, m) p(labs, events | psi, m, class)  /  q(psi, m)

Draws are added until their effective number is ENOUGH of the particles asked for and k-hat is under 0.7, MORE times as
many at most. Accepted is a sample with such a k-hat and an effective number of LEAST of the particles asked for; else
the reference is the from-scratch twin in independent runs of at most 20,000 particles by tempered SMC.

Source: Owen and Zhou (2000), Journal of the American Statistical Association 95:135 (the defensive mixture); Vehtari et
al. (2024), JMLR 25:72 (k-hat).
"""

import time as clock
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.evaluation.verification.mixture import (
    POWER,
    SHARP,
    WIDE,
    Chart,
    common_chart,
    first_mixture,
    population_chart,
)
from bayestwin.evaluation.verification.moments import INDEPENDENT
from bayestwin.individual import compile_record
from bayestwin.twin import rebuild_twin
from bayestwin.twin.laplace import normals_by_draw, room_for
from bayestwin.twin.particles import LARGEST_K, Particles, effective_draws, log_prior_of, log_sum_exp, pareto_k
from bayestwin.twin.state import PASS, WITHHELD
from bayestwin.twin.target import class_weights, evaluator, full_likelihood, log_target

RUN, ISLANDS = 20_000, 8  # draws solved at a time; of the fallback particles of one run at most
PILOT = 8_000  # particles of the twin that shows where the posterior lies
ROUNDS = 4  # of fitting the proposal
ENOUGH, LEAST, MORE = 0.5, 0.2, 4  # effective draws and draws, per particle asked for
COMMON = 0.05  # chance of a response class from which on its approximation is a chart


@dataclass(frozen=True)
class Reference:
    """runs : twins that together are the sample; verdict, reasons; refused : why importance sampling was, or nothing"""

    runs: tuple
    refused: str = ""

    @property
    def verdict(self) -> str:
        """PASS where every run does."""
        return PASS if all(run.info.verdict == PASS for run in self.runs) else WITHHELD

    @property
    def effective(self) -> float:
        """Effective number of independent draws; of the fallback that of weights alone."""
        if self.runs[0].info.path != INDEPENDENT:
            return float(sum(run.ess for run in self.runs))
        weights = np.concatenate([run.weights for run in self.runs])
        return float(weights.sum() ** 2 / (weights**2).sum())


def reference_of(population, record, particles: int, population_draws: int, random_seed: int) -> Reference:
    """The reference of a record, with at least so many draws (particles)."""
    seeds = [int(s) for s in np.random.default_rng([random_seed, 4]).integers(2**32, size=2 + _runs(particles))]
    found, why = independent_draws(population, record, particles, population_draws, seeds[0])
    if not why:
        return Reference(found)
    return Reference(tuple(reference_runs(population, record, particles, population_draws, seeds[1:])), why)


def reference_runs(population, record, particles: int, population_draws: int, seeds) -> list:
    """Independent from-scratch twins that together have about so many particles."""
    count = _runs(particles)
    each = ISLANDS * int(np.ceil(particles / count / ISLANDS))
    how: dict[str, Any] = {"particles": each, "islands": ISLANDS, "population_draws": population_draws}
    return [rebuild_twin(population, record, random_seed=seed, **how)[0] for seed in seeds[:count]]


def independent_draws(population, record, particles: int, population_draws: int, random_seed: int):
    """Twins whose particles are independent draws, all weights together summing to one; and why they are refused."""
    begin = clock.perf_counter()
    size = ISLANDS * int(np.ceil(min(RUN, particles) / ISLANDS))
    how: dict[str, Any] = {"islands": ISLANDS, "population_draws": population_draws, "random_seed": random_seed}
    pilot, _ = rebuild_twin(population, record, particles=min(PILOT, size), **how)
    with jax.enable_x64(True):
        target, rng = Target(pilot), np.random.default_rng([random_seed, 5])
        proposal = _fitted(target, pilot, size, rng)
        parts, log_weights = [], np.zeros(0)
        while len(log_weights) < MORE * particles:
            psi, draw = proposal.drawn(rng, size)
            made, height, _ = target.at(psi, draw)
            parts.append(made)
            log_weights = np.append(log_weights, height - log_sum_exp(proposal.log_terms(psi, draw), axis=0))
            enough = len(log_weights) >= particles and _effective(log_weights) >= ENOUGH * particles
            if enough and not _why_refused(log_weights, particles):
                break
        runs = _as_twins(pilot, parts, log_weights, clock.perf_counter() - begin)
    return runs, _why_refused(log_weights, particles)


class Target:
    """The twin's target over (psi, population draw), in the terms of a twin that stands at it."""

    def __init__(self, twin):
        self.twin, self.population = twin, twin.population
        self.data = jax.tree.map(jnp.asarray, compile_record(twin.model, twin.record, finer=twin.finer))
        self.evaluate = evaluator(twin.model, NO_GRADIENT)

    def pieces(self, psi, draw):
        """The likelihood of particles (P, D) of these population draws (P,)."""
        return self.evaluate(jnp.asarray(psi), jnp.asarray(draw), self.population, self.data, self.twin.rho)

    def at(self, psi, draw):
        """Particles, ln target and ln prior (P,), both less D / 2 ln 2 pi."""
        psi, draw = jnp.asarray(psi), jnp.asarray(draw)
        found = self.pieces(psi, draw)
        log_prior = log_prior_of(psi, draw, self.population) - np.log(len(self.population.log_det))
        height = np.asarray(log_target(log_prior, found.log_class, 0.0, full_likelihood(found), 1.0))
        made = (found.rows.sum(-1), found.alive, found.other, found.log_class, found.end)
        return (
            Particles(psi, draw, jnp.zeros(len(psi)), *made),
            np.where(np.isfinite(height), height, -np.inf),
            np.asarray(log_prior),
        )


def _fitted(target: Target, pilot, size: int, rng):
    """The mixture that did best of those fitted to the pilot and to weighted draws."""
    psi, draw = np.asarray(pilot.particles.psi), np.asarray(pilot.particles.draw)
    own = common_chart(psi, pilot.weights, len(target.population.log_det))
    charts, shares = [population_chart(target.population), own], []
    for chart, share in _approximate(target, pilot):
        shares.append((len(charts), share))
        charts.append(chart)
    mixture = first_mixture(charts, psi, draw, pilot.weights, rng, steady=shares)
    best: tuple[float, Any] = (0.0, None)
    for _ in range(ROUNDS):
        psi, draw = mixture.drawn(rng, size)
        _, height, log_prior = target.at(psi, draw)
        log_proposal = log_sum_exp(mixture.log_terms(psi, draw), axis=0)
        best = max(best, (_effective(height - log_proposal), mixture), key=lambda found: found[0])
        if not np.isfinite(height).any():
            break
        for kind, power in ((SHARP, 1.0), (WIDE, POWER)):
            weights = _capped(log_prior + power * (height - log_prior) - log_proposal)
            mixture = mixture.refitted(psi, draw, weights, kind)
    return best[1] or mixture


def _approximate(target: Target, pilot) -> list[tuple[Chart, np.ndarray]]:
    """The normal approximation of every population draw as a chart, and how often it proposes each draw (M,); one for
    each response class that is alive."""
    psi, draw, pop = pilot.particles.psi, pilot.particles.draw, target.population
    pieces = target.pieces(psi, draw)
    classes = pieces.log_class.shape[-1]
    if not room_for(psi, classes):
        return []
    key = jax.random.key(pilot.random_seed)
    found = normals_by_draw(pilot.model, target.evaluate, psi, draw, pieces, pop, target.data, pilot.rho, key)
    parts = [np.asarray(a) for a in (found.centre, found.factor, found.whiten, found.log_det)]
    alive = np.flatnonzero(pilot.weights @ class_weights(pilot.particles) > COMMON)
    by_class = [a.reshape(-1, classes, *a.shape[1:]) for a in parts]
    share = np.exp(np.asarray(found.log_share)).reshape(-1, classes)
    return [(Chart(*(a[:, c] for a in by_class)), share[:, c]) for c in alive]


def _as_twins(pilot, parts, log_weights, seconds: float) -> tuple:
    """One twin for every part, its weights those in the whole sample."""
    found, begin = [], 0
    log_weights = log_weights - log_sum_exp(log_weights, axis=0)
    told = replace(pilot.info, path=INDEPENDENT, verdict=PASS, reasons=(), seconds=seconds / len(parts))
    told = replace(told, ess=_effective(log_weights), pareto_k=pareto_k(log_weights), unique_particles=len(log_weights))
    for made in parts:
        own = log_weights[begin : begin + len(made.psi)]
        made = made._replace(log_weights=jnp.asarray(own))
        info = replace(told, ess_population_draws=effective_draws(made.draw, own))
        found.append(replace(pilot, particles=made, islands=1, size=0, history=(info,)))
        begin += len(own)
    return tuple(found)


def _capped(log_weights) -> np.ndarray:
    """Weights that sum to one, none so large that it would carry a fit."""
    weights = np.exp(log_weights - log_sum_exp(log_weights, axis=0))
    weights = np.minimum(weights, 1.0 / np.sqrt(len(weights)))
    return weights / weights.sum()


def _why_refused(log_weights, particles: int) -> str:
    k, size = pareto_k(log_weights), _effective(log_weights)
    if k < LARGEST_K and size >= LEAST * particles:
        return ""
    return f"importance sampling: k-hat {k:.2f}, {size:.0f} effective of {len(log_weights)} draws"


def _effective(log_weights) -> float:
    """Effective number of draws."""
    if not np.isfinite(log_weights).any():
        return 0.0
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / (weights**2).sum())


def _runs(particles: int) -> int:
    return int(np.ceil(particles / RUN))
