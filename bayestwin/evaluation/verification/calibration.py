"""Simulation-based calibration through the updates: where does the truth of a simulated patient lie in his posterior?

    (psi*, m*) ~ population draws      labs ~ p(labs | psi*, m*)      a twin learns them visit by visit
    PIT of a quantity f = sum of weights with f(psi, m) < f(psi*, m*), ties shared out at random

Over many patients the PIT of every f is uniform if, and for enough different f only if, the posterior is right.
Quantities: each individual parameter, each residual error, the response class of every treatment that was started, the
log-likelihood of all that was learnt (which notices what single parameters do not: Modrak et al. 2023), and where the
model has an endpoint the chance S(h) to be event-free at every landmark under the treatment in force. S(h) of a draw
holds random assay errors of its own; the truth's is made in the same way, so their ranks are uniform all the same.

The knowledge range is asked too. Of the population draw m* that the patient was drawn from, a twin that knows m* gives
the chance p* = P(T > h | m*, labs); the 80 % knowledge range of the first twin, which does not, should hold p* in 80 of
100 patients.

Sources: Talts et al. (2018), arXiv:1804.06788; Modrak et al. (2023), Bayesian Analysis 20:461.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.evaluation.verification.follow import follow, last
from bayestwin.evaluation.verification.moments import scale_label
from bayestwin.individual import compile_record
from bayestwin.prognosis import forecast
from bayestwin.prognosis.plan import current_treatment
from bayestwin.prognosis.quantities import LEVELS
from bayestwin.twin import rebuild_twin
from bayestwin.twin.particles import Particles
from bayestwin.twin.state import PASS
from bayestwin.twin.target import class_weights, evaluator, log_target

LIKELIHOOD = "log-likelihood"


def calibration_rows(
    population,
    record,
    truth,
    *,
    random_seed: int,
    particles: int = 1000,
    islands: int = 8,
    population_draws: int = 400,
    chances: bool = True,
    knowledge: bool = False,
) -> list[dict]:
    """Lead a twin through the labs of a simulated patient and look where his truth lies.

    Parameters
    ----------
    record, truth : from `simulated_with_truth`, of the same population and number of population draws
    chances : also forecast the treatment in force; knowledge : also ask the knowledge range of that, which costs a
        second twin, from scratch

    Returns
    -------
    list of dicts     one per quantity: kind (parameter, residual, likelihood, class, chance, knowledge), pit, truth,
        verdict; knowledge rows also hold what each range covered
    """
    sizes: dict[str, Any] = {"particles": particles, "islands": islands, "population_draws": population_draws}
    population = population.thinned(population_draws)  # the truth is one of these, and no rung takes others
    rng = np.random.default_rng([random_seed, 2])
    twin = last(follow(population, record, random_seed=int(rng.integers(2**32)), **sizes))
    about = {"patient": record.key, "labs": len(record.labs), "verdict": twin.info.verdict, "ess": twin.ess}
    about["seconds"] = float(sum(info.seconds for info in twin.history))
    true = true_twin(twin, truth)
    rows = [_row(name, kind, own, value, twin.weights, rng) for name, kind, own, value in _quantities(twin, true)]
    rows += _class_rows(twin, truth, rng)
    if chances and twin.info.verdict == PASS and twin.model.progression is not None:
        rows += _chance_rows(population, twin, true, truth, rng, sizes if knowledge else None)
    return [about | row for row in rows]


def true_twin(twin, truth):
    """The twin with nothing but the truth in it: one particle per island, in the response class that is true."""
    model = twin.model
    with jax.enable_x64(True):
        psi, draw = jnp.tile(truth.psi, (twin.islands, 1)), jnp.full(twin.islands, truth.draw)
        data = jax.tree.map(jnp.asarray, compile_record(model, twin.record, finer=twin.finer))
        pieces = evaluator(model, NO_GRADIENT)(psi, draw, twin.population, data, twin.rho)
        even = jnp.zeros(twin.islands)
        made = Particles(psi, draw, even, pieces.rows.sum(-1), pieces.alive, pieces.other, pieces.log_class, pieces.end)
    return replace(twin, particles=made)


def in_its_class(true, response_class: int):
    """The true twin with every other response class made impossible."""
    labs = np.array(true.particles.labs)
    labs[:, np.arange(labs.shape[1]) != response_class] = -np.inf
    with jax.enable_x64(True):
        return replace(true, particles=true.particles._replace(labs=jnp.asarray(labs)))


def pit(values, weights, truth: float, rng: np.random.Generator) -> float:
    """Weight below the truth, and a random part of what is equal to it."""
    values = np.asarray(values)
    return float(weights[values < truth].sum() + rng.random() * weights[values == truth].sum())


def _row(name, kind, values, truth, weights, rng) -> dict:
    return {"quantity": name, "kind": kind, "truth": float(truth), "pit": pit(values, weights, truth, rng)}


def _quantities(twin, true):
    """(name, kind, values (P,), truth) of parameters, residual errors and the log-likelihood."""
    model, own, one = twin.model, twin.particles, true.particles
    for d, name in enumerate(model.individual_names):
        yield scale_label(model, name), "parameter", np.asarray(own.psi[:, d]), float(one.psi[0, d])
    sigma = np.asarray(twin.population.sigma)
    for r, name in enumerate(model.residual_parameters):
        if np.ptp(sigma[:, r]) > 0:
            yield name, "residual", sigma[np.asarray(own.draw), r], sigma[int(one.draw[0]), r]
    if twin.record.labs:
        with jax.enable_x64(True):
            heights = [
                np.asarray(log_target(0.0, p.log_class, 0.0, p.labs + p.alive + p.other, 1.0)) for p in (own, one)
            ]
        yield LIKELIHOOD, "likelihood", heights[0], heights[1][0]


def _class_rows(twin, truth, rng) -> list[dict]:
    """Where the true response class lies: its chance shared out at random, responders first."""
    rows, chance, found = twin.class_rows, class_weights(twin.particles), []
    for k, cls in enumerate(twin.model.response_classes):
        if rows[:, k].any():
            none = float(twin.weights @ (chance * (rows[:, k] > 0)).sum(axis=1))
            is_none = bool(rows[truth.response_class, k])
            low, width = (1.0 - none, none) if is_none else (0.0, 1.0 - none)
            line = {"quantity": f"response to {cls.treatment}", "kind": "class", "truth": float(is_none)}
            found.append(line | {"pit": low + rng.random() * width})
    return found


def _chance_rows(population, twin, true, truth, rng, sizes) -> list[dict]:
    """Chances at the landmarks under the treatment in force; with `sizes` the knowledge range too."""
    current = current_treatment(twin.model, twin.record, twin.time)
    if current is None:
        return []
    seeds = [int(s) for s in rng.integers(2**31, size=4)]
    found = _forecast(twin, current[1], seeds[0])
    if found.rows[0].events is None:  # progressed already: there is nothing to forecast
        return []
    exact = _forecast(in_its_class(true, truth.response_class), current[1], seeds[1])
    values, own = found.rows[0].events.survival, exact.rows[0].events.survival[0]
    rows = [
        _row(f"P(T > {month} months)", "chance", values[:, k], own[k], found.weights, rng)
        for k, month in enumerate(found.landmarks)
    ]
    if sizes is None:
        return rows
    known, info = rebuild_twin(
        population_of_draw(population, truth.draw, sizes["population_draws"]),
        twin.record,
        random_seed=seeds[2],
        **(sizes | {"population_draws": 2}),
    )
    if info.verdict != PASS:
        return rows
    informed = _forecast(known, current[1], seeds[3])
    return rows + [_knowledge_row(found, informed, current[1], month, rng) for month in found.landmarks]


def _forecast(twin, treatment, seed):
    return forecast(twin, [treatment], random_seed=seed, over_rho=False)


def _knowledge_row(found, informed, treatment, month, rng) -> dict:
    """Does the knowledge range hold the chance that a twin gives who knows the population draw?"""
    chance, truth = found.chance(treatment, month), informed.chance(treatment, month)
    line = {"quantity": f"knowledge of P(T > {month} months)", "kind": "knowledge", "truth": truth.value}
    line |= {"truth_error": truth.mcse, "pit": float("nan"), "reason": chance.reason, "chance": chance.value}
    if chance.knowledge is None:
        return line
    for level in LEVELS:
        low, high = chance.knowledge[level]
        line[f"covered_{100 * level:.0f}"] = float(low <= truth.value <= high)
    low, high = chance.knowledge[0.8]
    return line | {"low_80": low, "high_80": high}


def population_of_draw(population, position: int, population_draws: int):
    """The population that knows which of its draws is true: that one, twice."""
    _, taken = population.hyper_draws(population_draws)
    posterior = population.posterior
    draws = posterior.sizes["draw"]
    chain, draw = divmod(int(taken[position % len(taken)]), draws)
    tree = population.tree.copy()
    tree["posterior"] = posterior.isel(chain=[chain], draw=[draw, draw])
    for name in [n for n in tree.children if n != "posterior"]:
        del tree[name]
    return replace(population, tree=tree)


__all__ = ["LIKELIHOOD", "calibration_rows", "population_of_draw", "true_twin"]
