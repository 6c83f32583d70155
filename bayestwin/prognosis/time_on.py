"""How long each treatment is given in the simulated futures of a schedule or a policy, and when it first changes.

A future is followed to progression, death or the horizon, whichever comes first: no treatment after progression is
modelled. What starts at the data cut itself is no change. The intervals are predictive: they hold what is not known of
the patient, the assay errors that led to each decision, and chance.
"""

from dataclasses import dataclass

import numpy as np

from bayestwin.prognosis.quantities import Estimate, estimate
from bayestwin.twin.monte_carlo import island_error, quantile_errors
from bayestwin.twin.surprise import weighted_quantiles

NO_TREATMENT = "none"


@dataclass(frozen=True, eq=False)
class TimeOnTreatment:
    """Draws of one row, P of them.

    treatments : X names, "none" where nothing is in force; share (P, X) of the time until progression, death or horizon
    first_change (P,) : months (time units without an endpoint) to the first change; inf where none comes before that
    """

    treatments: tuple[str, ...]
    share: np.ndarray
    first_change: np.ndarray

    def shares(self, weights, probability: float = 0.8) -> dict[str, tuple[float, float, float]]:
        """Treatment -> mean share and its predictive interval; weights (P,) sum to one."""
        tails = ((1 - probability) / 2, (1 + probability) / 2)
        found = {}
        for name, share in zip(self.treatments, self.share.T):
            low, high = weighted_quantiles(share, weights, tails)
            found[name] = (float((weights * share).sum()), float(low), float(high))
        return found

    def shares_mcse(self, log_weights, islands: int, probability: float = 0.8) -> dict[str, tuple[float, float, float]]:
        """Monte Carlo errors of `shares`: of the mean and of both ends."""
        tails = ((1 - probability) / 2, (1 + probability) / 2)
        found = {}
        for name, share in zip(self.treatments, self.share.T):
            low, high = quantile_errors(share, log_weights, islands, tails)
            found[name] = (island_error(share, log_weights, islands), float(low), float(high))
        return found

    def changed_by(self, log_weights, islands: int, time: float) -> Estimate:
        """Chance that treatment has changed by `time` (months)."""
        return estimate(self.first_change <= time, log_weights, islands)

    def quantiles(self, weights, probabilities=(0.1, 0.5, 0.9)) -> tuple[float, ...]:
        """Quantiles of the time to the first change; inf where there is none."""
        return step_quantiles(self.first_change, weights, probabilities)

    def quantiles_mcse(self, log_weights, islands: int, probabilities=(0.1, 0.5, 0.9)) -> tuple[float, ...]:
        """Monte Carlo errors of `quantiles`; inf where one seed may say a month and another none."""
        errors = quantile_errors(self.first_change, log_weights, islands, probabilities, step_quantiles)
        return tuple(map(float, errors))


def step_quantiles(values, weights, probabilities) -> tuple[float, ...]:
    """Quantiles of a weighted sample that may hold inf: always one of the values."""
    order = np.argsort(values)
    at = np.searchsorted(np.cumsum(weights[order]), probabilities)
    return tuple(float(values[order][min(i, len(order) - 1)]) for i in at)


def time_on_treatment(names, edges, on, until, per_month: float) -> TimeOnTreatment:
    """Sum up what was in force when.

    names : the model's treatments; edges (E + 1,) : times from the data cut, the first 0
    on (P, E) : index of the treatment in force from one edge to the next, -1 for none; until (P,) : end of each future
    """
    edges = np.asarray(edges, dtype=float)
    length = np.clip(np.minimum(edges[1:], until[:, None]) - edges[:-1], 0.0, None)
    used = [k for k in range(-1, len(names)) if (on == k).any()]
    whole = np.maximum(length.sum(axis=1), 1e-300)
    share = np.stack([(length * (on == k)).sum(axis=1) / whole for k in used], axis=1)
    changed = (on[:, 1:] != on[:, :-1]) & (edges[1:-1] < until[:, None])
    first = np.where(changed.any(axis=1), edges[1:-1][changed.argmax(axis=1)] if changed.shape[1] else np.inf, np.inf)
    return TimeOnTreatment(tuple(names[k] if k >= 0 else NO_TREATMENT for k in used), share, first / per_month)
