"""How far would a forecast move if visits had come because of how the patient did? A sensitivity analysis.

A twin takes visit times as ignorable. If they came with rate base exp(b x(t)), x the ln of the marker that progression
is read from, the times t_1 ... t_n speak of the course too. With the base rate unknown (prior 1/base),

    p(t_1 ... t_n | course)  is proportional to  exp(b sum of x(t_j)) / (integral of exp(b x(t)) dt)^n

and every particle is reweighted by it. b = 0 is the twin as it stands; b = 1 means visits twice as often at a doubled
marker. b cannot be learnt from one patient: it is declared, and the answer is a range over what is plausible.
Scheduled visits carry no such information, so this is an upper limit where some were scheduled.

Source: joint models of a marker and its visit process, e.g. Lin, Scharfstein and Rosenheck (2004) J R Stat Soc B 66:791
(memory).
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

from bayestwin.errors import ModelError
from bayestwin.individual import beginning
from bayestwin.prognosis.particles import forecast_draws
from bayestwin.prognosis.simulate import trajectories
from bayestwin.twin.particles import effective_size, normalised

FEWEST = 50.0  # effective particles under which a reweighted number is not given
GRID = 60


@dataclass(frozen=True)
class Moved:
    """A forecast under one strength b: weights (P,) summing to one, effective particles; None if too few are left."""

    strength: float
    weights: np.ndarray | None
    ess: float

    def mean(self, values) -> float:
        """Mean of values (P,) of the particles; not a number where too few are left."""
        return float("nan") if self.weights is None else float((self.weights * np.asarray(values)).sum())


def visit_log_likelihood(marker, times, at, strength: float) -> np.ndarray:
    """ln p(visit times | course) of every draw, up to a constant.

    marker (P, V) on the grid `times` (V,), even from the start of follow-up to its end; at (n,) visit times
    """
    x = np.log(np.maximum(np.asarray(marker, float), 1e-6))
    times, at = np.asarray(times, float), np.asarray(at, float)
    seen = np.stack([np.interp(at, times, row) for row in x])
    total = np.trapezoid(np.exp(strength * (x - x.mean())), times, axis=1)
    return strength * (seen - x.mean()).sum(axis=1) - len(at) * np.log(total)


def visit_sensitivity(twin, strengths, *, random_seed: int, fewest: float = FEWEST) -> tuple[Moved, ...]:
    """Weights of a twin's particles had its visits come at a rate that goes with the marker to these powers.

    The visits are the distinct times of the labs of the progression marker, from the beginning of the record on.
    Particles are in the order of the twin, so that draws of a forecast made of it may be averaged with these weights.

    Raises
    ------
    ModelError      no endpoint; fewer than two visits
    """
    model, record = twin.model, twin.record
    if model.progression is None:
        raise ModelError("visits are linked to the marker of an endpoint", subject=f"model {model.name}")
    rule = model.progression.rule_for(record.covariates)
    at = np.unique([lab.time for lab in record.labs if lab.output == rule.output])
    if len(at) < 2:
        raise ModelError(
            "a visit process needs visits", subject=f"patient {twin.key}", value=len(at), allowed="two or more"
        )
    times = np.linspace(beginning(record), twin.time, GRID)
    rng = np.random.default_rng([random_seed, twin.updates, 23])
    with jax.enable_x64(True):
        draws = forecast_draws(twin, twin.rho, rng)
        plan: Any = SimpleNamespace(record=record)
        outputs, _, ok = trajectories(twin, draws, plan, times, past=True, rng=rng)
    marker = outputs[:, :, model.observation_index[rule.output]]
    found = []
    for strength in strengths:
        gain = np.where(ok, visit_log_likelihood(np.where(ok[:, None], marker, 1.0), times, at, strength), -np.inf)
        log_weights = normalised(np.asarray(draws.log_weights) + gain, twin.islands)
        ess = effective_size(log_weights, twin.islands)
        weights = np.exp(np.asarray(log_weights)) / twin.islands
        found.append(Moved(float(strength), weights if ess >= fewest else None, float(ess)))
    return tuple(found)
