"""Where the moves of a twin are called: a patient just before a lab that reweighting cannot learn, and the steps there.

Simulated patients of eight visits (`bayestwin.evaluation.verification`): of draws around published values
(theophylline), of a model's own priors, of the relapsing model of the tests, and of the shipped myeloma population.
"""

# ruff: noqa: E402
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "twin"), str(ROOT / "tests" / "evaluation")]

import jax
import jax.numpy as jnp
import numpy as np
from level_model import as_population
from published_theophylline import published_draws
from relapsing_model import relapsing_population

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.evaluation.verification import simulated_patient
from bayestwin.individual import compile_record, with_seen
from bayestwin.population import load_population, prior_population
from bayestwin.specification import load_model, model_folder
from bayestwin.twin import smc, start_twin
from bayestwin.twin.compare import difference
from bayestwin.twin.mover import EVERY, EVERY_FEW, FEW_DRAWS, Cloud, Mover, _class_shares, _two_classes
from bayestwin.twin.newer import carried_through, seen_labs
from bayestwin.twin.particles import effective_draws, normalised, systematic
from bayestwin.twin.target import evaluator, old_likelihood

MYELOMA_LABS = ("m_protein", "involved_flc")
CASES = {  # patient and visit whose labs were learnt by rejuvenation, not by reweighting, in a run with 1,000 particles
    "theophylline_published": (1, 3),
    "two_compartment": (2, 3),
    "relapsing": (1, 3),
    "myeloma_car_t": (3, 7),
}


class Begun(NamedTuple):
    """A twin's particles at t = 0 of a bridge to the newer record: weighted, moved by nobody."""

    twin: Any
    data: Any
    cloud: Cloud
    log_weights: np.ndarray


class Stage(NamedTuple):
    """What is moved: mover, cloud resampled at t, and every so many sweeps a move between draws (0: none)."""

    mover: Mover
    cloud: Cloud
    t: float
    every: int


def population_of(name: str, folder: Path):
    """The population a case rests on."""
    if name == "theophylline_published":
        return as_population(load_model("theophylline"), published_draws())
    if name == "relapsing":
        return relapsing_population(folder / "relapsing")
    model = load_model(name)
    if name == "myeloma_car_t":
        return load_population(model_folder(model.folder) / "population.nc", model)
    return prior_population(model, draws=400, random_seed=1)


def begun(name: str, folder: Path, particles: int, seed: int = 1) -> Begun:
    """The twin of a case before its newer lab, with so many particles; float64 must be on."""
    population, (number, visit) = population_of(name, folder), CASES[name]
    draws = min(400, population.size)
    whole = simulated_patient(population, number, random_seed=1, population_draws=draws, visits=8)
    if name == "myeloma_car_t":
        whole = whole.with_labs(lab for lab in whole.labs if lab.output in MYELOMA_LABS)
    times = sorted({lab.time for lab in whole.labs})
    sizes = {"particles": particles, "islands": 8, "population_draws": draws}
    twin = start_twin(population, whole.known_at(times[visit - 1]), random_seed=seed, **sizes)
    return _towards(twin, whole.known_at(times[visit]))


def _towards(twin, record) -> Begun:
    change = difference(twin, record)
    twin, newer = carried_through(twin, record, change, NO_GRADIENT)
    known = seen_labs(twin.model, record, change)
    data = jax.tree.map(jnp.asarray, with_seen(compile_record(twin.model, record, finer=twin.finer), known))
    old = twin.particles
    pieces = evaluator(twin.model, NO_GRADIENT)(old.psi, old.draw, twin.population, data, twin.rho)
    cloud = Cloud(old.psi, old.draw, pieces, old_likelihood(pieces))
    gain = smc._height(cloud, 0.0) - np.asarray(newer.stands)
    log_weights, _ = smc._reweighted(old.log_weights, gain, twin.islands)
    return Begun(twin, data, cloud, log_weights)


def some_of(begun: Begun, particles: int, rng: np.random.Generator) -> Begun:
    """As many particles of a large twin, drawn by their weights: the twin of another run."""
    islands = begun.twin.islands
    own = np.asarray(begun.log_weights).reshape(islands, -1)
    weights = np.exp(own - own.max(axis=1, keepdims=True))
    size, count = own.shape[1], particles // islands
    picked = [k * size + rng.choice(size, count, p=w / w.sum()) for k, w in enumerate(weights)]
    kept = np.concatenate(picked)
    return begun._replace(cloud=smc._taken(begun.cloud, kept), log_weights=normalised(np.zeros(len(kept)), islands))


def mover_of(begun: Begun, seed: int) -> Mover:
    """The program's own moves towards the newer record."""
    twin = begun.twin
    about = twin.model, NO_GRADIENT, twin.population, begun.data, twin.rho, twin.islands
    return Mover(*about, False, jax.random.key(seed))


def stepped(cloud: Cloud, log_weights, t: float, islands: int):
    """The next t, and the weights (P,) there."""
    here = smc._height(cloud, t)
    t, gain, _ = smc._step(cloud, here, log_weights, t, islands, None)
    return t, smc._reweighted(log_weights, gain, islands)[0]


def stage_of(begun: Begun, seed: int, which: str) -> Stage:
    """The first stage of the bridge, or its last (t = 1), as the program comes to it; `which` is "first" or "last"."""
    mover, cloud, weights, t = mover_of(begun, seed), begun.cloud, begun.log_weights, 0.0
    islands, rng = mover.islands, np.random.default_rng(seed)
    while True:
        t, weights = stepped(cloud, weights, t, islands)
        cloud = smc._taken(cloud, systematic(rng, weights, islands))
        weights = normalised(np.zeros(len(weights)), islands)
        if t >= 1.0 or which == "first":
            break
        cloud = mover.move(cloud, weights, t, smc.STAGE_SWEEPS)
    mover._listen(cloud, t)
    few = effective_draws(mover.population.drawn(cloud.draw), weights) < FEW_DRAWS * mover.population.draws
    between = t >= 1.0 and (few or _two_classes(_class_shares(cloud).mean(axis=0)))
    return Stage(mover, cloud, t, 0 if not between else EVERY_FEW if few else EVERY)
