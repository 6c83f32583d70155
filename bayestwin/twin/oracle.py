"""The oracle: a twin rebuilt from the population posterior and the whole record, with no stored state.

It is the reference in tests, the way back when information was taken away, and the last rung of the ladder.
"""

import time as clock
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import NO_GRADIENT, Accuracy
from bayestwin.errors import FitError, refuse_other, refuse_seed
from bayestwin.individual import compile_record, information_time, informative_labs
from bayestwin.population.possible import refuse_impossible
from bayestwin.twin.check import judge
from bayestwin.twin.few_draws import FEWEST_DRAWS
from bayestwin.twin.grid import carried, told
from bayestwin.twin.particles import normalised, population_for
from bayestwin.twin.smc import bridge
from bayestwin.twin.state import CUT, Twin

AT_LEAST = 8  # particles of each population draw in an island of a cut posterior
MOST_PARTICLES = 1_000_000  # a rebuild takes four times as many; more fit in no memory


def rebuild_twin(
    population,
    record,
    *,
    particles: int = 4000,
    islands: int = 8,
    population_draws: int = 400,
    random_seed: int,
    rho=None,
    feedback: bool = True,
    accuracy: Accuracy = NO_GRADIENT,
    reasons: tuple[str, ...] = (),
):
    """The twin from the population posterior and the whole record, by tempered SMC.

    feedback : False for the cut posterior, the mean over population draws m of p(psi | m, labs): the labs do not weigh
        the draws. Each island holds each draw as often, AT_LEAST times or more, so that there are fewer of them

    Returns
    -------
    Twin, UpdateInfo

    Raises
    ------
    FitError                    the patient was in the fitted cohort, whose labs the population has learnt; islands of
                                unequal size
    """
    begin = clock.perf_counter()
    refuse_strangers("rebuild_twin", population, record, random_seed)
    refuse_uneven(particles, islands, record, population_draws)
    refuse_impossible(population)
    if population.knows(record):
        raise FitError(
            "this patient was in the fitted cohort: from scratch the labs would count twice",
            subject=f"patient {record.key}",
            next_step="Fit without this patient, or start from the joint fit.",
        )
    rho = population.rho if rho is None else rho
    model = population.model
    if not model.individual_names:
        raise FitError(
            "nothing varies between patients in this model, so there is no twin to make of one",
            subject=f"model {model.name}",
            place=f"patient {record.key}",
            allowed="a model with between=... for at least one parameter",
            next_step="Use the population posterior itself.",
        )
    with jax.enable_x64(True):
        key_start, key_bridge = jax.random.split(jax.random.key(random_seed))
        if not feedback:
            population_draws = draws_in_each_island(particles, islands, min(population_draws, population.size))
            reasons = (CUT, *reasons)
        hyper, _ = population.hyper_draws(population_draws)
        pop = population_for(model, hyper, compile_record(model, record).terms)
        psi, draw = from_population(key_start, pop, particles, islands=1 if feedback else islands)
        data, pieces, finer = carried(model, record, psi, draw, pop, rho, accuracy)
        even = normalised(np.zeros(particles), islands)
        made, info = bridge(
            model,
            psi,
            draw,
            even,
            pop,
            data,
            key=key_bridge,
            islands=islands,
            rho=rho,
            from_scratch=True,
            pieces=pieces,
            feedback=feedback,
            accuracy=accuracy,
        )
        counts: dict[str, Any] = {
            "population_draws": pop.draws,
            "new_labs": len(record.labs),
            "most_draws": lambda: population.size if feedback else 0,
        }
        reasons = (*reasons, *told(model, finer))
        info = judge(model, made, info, islands, "oracle", reasons, started=data.relevant, **counts)
        info = replace(info, seconds=clock.perf_counter() - begin)
    twin = first_twin(population, record, made, pop, islands, rho, random_seed, info)
    return replace(twin, feedback=feedback, finer=finer), info


def refuse_strangers(function: str, population, record, random_seed) -> None:
    """Raises ArgumentError where these are no population, record and seed."""
    source = "a PopulationPosterior: fit_population(...) or load_population(path)"
    refuse_other(population, f"{function}, population", source, "posterior", "hyper_draws")
    refuse_record(function, record)
    refuse_seed(random_seed, function)


def refuse_record(function: str, record) -> None:
    """Raises ArgumentError where this is no record of one patient."""
    one = 'a PatientRecord: read_records(...).cohort["P-001"]'
    refuse_other(record, f"{function}, record", one, "key", "labs", "doses")


def refuse_uneven(particles: int, islands: int, record, population_draws: int = 1) -> None:
    """Raises FitError where so many particles make no islands of equal size, or there cannot be so many."""
    asked = {"particles": particles, "islands": islands, "population draws": population_draws}
    for name, number in asked.items():
        least = 2 if name == "islands" else 1  # the Monte Carlo error is that between islands
        whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
        if not (whole and least <= number <= MOST_PARTICLES):
            raise FitError(
                f"there cannot be so many {name}",
                subject=f"patient {record.key}",
                place=name,
                value=number,
                allowed=f"a whole number from {least} to {MOST_PARTICLES:,}",
            )
    if particles % islands:
        raise FitError(
            "islands must be of equal size",
            subject=f"patient {record.key}",
            value=f"{particles} particles, {islands} islands",
            allowed="a multiple of the islands",
            next_step=f"Take {particles // islands * islands or islands} particles.",
        )


def first_twin(population, record, particles, draws, islands, rho, random_seed, info) -> Twin:
    """A twin that has learnt `record` and nothing before; draws : the `Population` its particles rest on."""
    model, seen = population.model, population.hash
    now, applied = information_time(record), start_applied(model, record)
    return Twin(model, record, particles, draws, now, applied, islands, rho, seen, random_seed, 0, (info,))


def draws_in_each_island(particles: int, islands: int, at_most: int) -> int:
    """How many population draws each island can hold, each AT_LEAST times and equally often.

    Raises
    ------
    FitError        fewer than FEWEST_DRAWS of those that there are
    """
    size = particles // islands
    least = max(AT_LEAST, -(-size // at_most))
    found = next((size // each for each in range(least, size + 1) if size % each == 0), 0)
    if found < min(FEWEST_DRAWS, at_most):
        raise FitError(
            f"a cut posterior of so many particles would rest on {found} population draws",
            place="particles",
            value=particles,
            allowed=f"a multiple of {int(AT_LEAST * FEWEST_DRAWS * islands)}",
            next_step=f"Take 4000, or any other multiple; each island holds every draw {AT_LEAST} times or more.",
        )
    return found


def from_population(key, population, particles: int, *, islands: int = 1):
    """psi (P, D) drawn from the population and the draw (P,) each belongs to; every draw is used equally often.

    islands : each of so many parts of the particles uses every draw equally often
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    mean, scale = np.asarray(population.mean), np.asarray(population.scale)
    own = [rng.permutation(np.arange(particles // islands) % population.draws) for _ in range(islands)]
    draw = population.with_level(np.concatenate(own), rng)
    noise = rng.standard_normal((particles, mean.shape[1]))
    return jnp.asarray(mean[draw] + np.einsum("pde,pe->pd", scale[draw], noise)), jnp.asarray(draw)


def start_applied(model, record) -> bool:
    """True where a lab of the newest time that the model learns from was drawn after the doses of that time."""
    newest = information_time(record)
    return any(lab.time == newest and lab.order >= 0 for lab in informative_labs(model, record))
