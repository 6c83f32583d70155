"""What no lab shows directly: states of the past, and the labs that would come if states were given by hand.

    past_course     states of a twin's particles at past times, with their weights: how much of the burden is left
    labs_if         labs from the data cut on had some states been set there to given values, everything else as the
                    twin holds it: the same equations, clearances and assay errors, no second derivation

The second answers questions of the kind "what would M-protein do if every myeloma cell had died today"; it is no
forecast of any treatment.
"""

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

from bayestwin.dynamics import NO_GRADIENT, Accuracy
from bayestwin.errors import FitError, ModelError
from bayestwin.individual import beginning
from bayestwin.individual.residuals import draw_observation
from bayestwin.prognosis.particles import forecast_draws
from bayestwin.prognosis.result import QUANTILES
from bayestwin.prognosis.simulate import past_states, trajectories
from bayestwin.twin.monte_carlo import island_error, quantile_errors
from bayestwin.twin.surprise import weighted_quantiles


@dataclass(frozen=True, eq=False)
class PastCourse:
    """States of a twin's particles: state -> (P, T) at `times` (T,), weights (P,) summing to one."""

    times: np.ndarray
    states: dict[str, np.ndarray]
    weights: np.ndarray
    log_weights: np.ndarray
    islands: int

    def at(self, time: float) -> SimpleNamespace:
        """The states of one of the times by name, each (P,)."""
        k = int(np.flatnonzero(self.times == time)[0])
        return SimpleNamespace(**{name: values[:, k] for name, values in self.states.items()})

    def chance(self, holds) -> tuple[float, float]:
        """Posterior probability of what `holds` (P,) says of every particle, and its Monte Carlo error."""
        value = np.asarray(holds, dtype=float)
        return float((self.weights * value).sum()), island_error(value, self.log_weights, self.islands)


@dataclass(frozen=True, eq=False)
class ImposedLabs:
    """Labs (P, T) of one output at `times` (T,), assay error inside, under states given by hand; weights (P,).

    log_weights (P,), islands : for the Monte Carlo errors
    """

    output: str
    times: np.ndarray
    labs: np.ndarray
    weights: np.ndarray
    log_weights: np.ndarray | None = None
    islands: int = 0

    def quantiles(self, probabilities=QUANTILES) -> np.ndarray:
        """Predictive quantiles, (len(probabilities), T)."""
        found = [weighted_quantiles(self.labs[:, t], self.weights, probabilities) for t in range(len(self.times))]
        return np.stack(found, axis=1)

    def quantiles_mcse(self, probabilities=QUANTILES) -> np.ndarray:
        """Monte Carlo errors of `quantiles`, (len(probabilities), T)."""
        exact = (self.log_weights, self.islands, probabilities)
        return np.stack([quantile_errors(labs, *exact) for labs in self.labs.T], axis=1)

    def share_above(self, time: float, value: float) -> float:
        """How many of these labs at one of the times are `value` or more; ties count half."""
        drawn = self.labs[:, int(np.flatnonzero(self.times == time)[0])]
        return float((self.weights * ((drawn > value) + 0.5 * (drawn == value))).sum())


def past_course(twin, times, *, random_seed: int, accuracy: Accuracy = NO_GRADIENT) -> PastCourse:
    """States of a twin's particles at past times.

    times : increasing, from the patient's beginning to the data cut

    Raises
    ------
    FitError      the twin is withheld
    ModelError    a time before the patient's beginning or after the data cut
    """
    _passed(twin)
    times, begin = np.asarray(times, dtype=float), beginning(twin.record)
    if times.min() < begin:
        raise ModelError(
            "states of the past begin with the patient's first row",
            subject=f"patient {twin.key}",
            value=f"{times.min():g} {twin.model.time_unit}",
            allowed=f"at least {begin:g}",
        )
    if times.max() > twin.time:
        raise ModelError(
            "states of the past end at the data cut",
            subject=f"patient {twin.key}",
            value=f"{times.max():g} {twin.model.time_unit}",
            allowed=f"at most {twin.time:g}",
            next_step="Ask a forecast for what comes after it.",
        )
    with jax.enable_x64(True):
        draws = forecast_draws(twin, twin.rho, np.random.default_rng([random_seed, twin.updates, 21]))
        states, ok = past_states(twin, draws, times, accuracy=accuracy)
    weights, log_weights = _weights(twin, draws, ok)
    named = {name: states[:, :, k] for k, name in enumerate(twin.model.states)}
    return PastCourse(times, named, weights, log_weights, twin.islands)


def labs_if(
    twin, states: dict[str, float], output: str, times, *, random_seed: int, accuracy: Accuracy = NO_GRADIENT
) -> ImposedLabs:
    """Labs of one output had these states had these values at the data cut.

    Parameters
    ----------
    states : state -> value, in the model's own coordinates; all others stay what the twin holds them to be
    times : increasing, from the data cut on, in the model's time unit

    Raises
    ------
    FitError      the twin is withheld
    ModelError    no such state or output; a time before the data cut
    """
    _passed(twin)
    model, times = twin.model, np.asarray(times, dtype=float)
    for name, known in (*((s, model.states) for s in states), (output, tuple(model.observation_index))):
        if name not in known:
            raise ModelError(
                "the model has no such name", subject=f"model {model.name}", value=name, allowed=", ".join(known)
            )
    if times.min() < twin.time:
        raise ModelError(
            "states are given at the data cut and act from there on",
            subject=f"patient {twin.key}",
            value=f"{times.min():g} {model.time_unit}",
            allowed=f"at least {twin.time:g}",
        )
    rng = np.random.default_rng([random_seed, twin.updates, 22])
    given = np.array(twin.particles.state)
    for name, value in states.items():
        given[:, :, model.states.index(name)] = value
    other = replace(twin, particles=twin.particles._replace(state=given))
    with jax.enable_x64(True):
        draws = forecast_draws(other, twin.rho, rng)
        plan: Any = SimpleNamespace(record=twin.record)
        outputs, _, ok = trajectories(other, draws, plan, times, past=False, rng=rng, accuracy=accuracy)
    k = model.observation_index[output]
    sigma = np.asarray(twin.population.sigma)[draws.draw]
    labs = draw_observation(model, k, rng, outputs[:, :, k], sigma[:, None, :])
    lowest = max(model.observations[k].plausible[0], 0.0)
    return ImposedLabs(output, times, np.maximum(labs, lowest), *_weights(twin, draws, ok), twin.islands)


def _weights(twin, draws, ok) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the draws that were solved, summing to one, and the logarithms of all, -inf where none was."""
    log_weights = np.where(ok, np.asarray(draws.log_weights), -np.inf)
    weights = np.exp(log_weights) / twin.islands
    return weights / weights.sum(), log_weights


def _passed(twin) -> None:
    if twin.info.verdict != "PASS":
        raise FitError(
            "this twin is withheld, and nothing is read from it: " + "; ".join(twin.info.reasons),
            subject=f"patient {twin.key}",
            next_step="Rebuild it with more particles.",
        )
