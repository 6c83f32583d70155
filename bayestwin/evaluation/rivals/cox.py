"""Cox's proportional hazards: partial likelihood, Breslow's ties and Breslow's cumulative baseline hazard.

    hazard(t | x) = h0(t) exp(beta' x)                      r_j = exp(beta' x_j), R(t) those at risk just before t

    ln L(beta) = sum over events i of  beta' x_i - ln (sum of r_j over R(t_i))        - ridge |beta|^2 / 2
    H0(t)      = sum over event times up to t of  events / (sum of r_j over R)

A ridge (a normal prior of SD 1 / sqrt(ridge) on the coefficients) keeps them finite where few events are told apart
completely by many covariates.

Sources: Cox (1972), J R Stat Soc B 34:187; Breslow (1974), Biometrics 30:89; Therneau and Grambsch (2000), Modeling
Survival Data, appendix E (the worked example of the tests).
"""

from typing import NamedTuple

import numpy as np

from bayestwin.errors import FitError

MOST_STEPS = 50


class Cox(NamedTuple):
    """coefficients (K,); times (E,) of events in order, hazard (E,) cumulative baseline at them; log_likelihood."""

    coefficients: np.ndarray
    times: np.ndarray
    hazard: np.ndarray
    log_likelihood: float

    def survival(self, x, time: float) -> np.ndarray:
        """P(no event until `time`) for covariates x (N, K)."""
        before = np.searchsorted(self.times, time, side="right")
        hazard = self.hazard[before - 1] if before else 0.0
        return np.exp(-hazard * np.exp(np.asarray(x) @ self.coefficients))


def fit_cox(time, event, x, *, ridge: float = 0.0) -> Cox:
    """Fit by Newton's method.

    Parameters
    ----------
    time (N,), event (N,) : end of follow-up, and 1 where it was an event; x (N, K) covariates
    ridge : float           penalty; 0 is Cox's own estimate

    Raises
    ------
    FitError                no event, or no maximum (a covariate that tells the events apart completely, without ridge)
    """
    time, event, x = np.asarray(time, float), np.asarray(event, bool), np.asarray(x, float)
    if not event.any():
        raise FitError("no event in the training patients", subject="Cox model", next_step="Train on more patients.")
    beta = np.zeros(x.shape[1])
    value, slope, information = partial_likelihood(beta, time, event, x, ridge)
    for _ in range(MOST_STEPS):
        if np.abs(slope).max(initial=0.0) < 1e-8:
            break
        step, share = np.linalg.lstsq(information, slope, rcond=None)[0], 1.0
        while share > 1e-8:
            found = partial_likelihood(beta + share * step, time, event, x, ridge)
            if found[0] >= value:
                break
            share /= 2.0
        beta, (value, slope, information) = beta + share * step, found
    if not np.abs(slope).max(initial=0.0) < 1e-4 or np.abs(beta).max(initial=0.0) > 15.0:
        raise FitError(
            "the partial likelihood has no maximum",
            subject="Cox model",
            value=[round(float(b), 2) for b in beta],
            next_step="Use a ridge, or leave the covariate out that tells the events apart completely.",
        )
    times, deaths, at_risk = _risk_sums(beta, time, event, x)[:3]
    return Cox(beta, times, np.cumsum(deaths / at_risk), float(value))


def partial_likelihood(beta, time, event, x, ridge: float = 0.0):
    """ln L, its gradient (K,) and minus its second derivative (K, K) at beta."""
    times, deaths, s0, s1, s2 = _risk_sums(beta, time, event, x)
    mean = s1 / s0[:, None]
    value = (x[event] @ beta).sum() - (deaths * np.log(s0)).sum() - 0.5 * ridge * beta @ beta
    slope = x[event].sum(axis=0) - (deaths[:, None] * mean).sum(axis=0) - ridge * beta
    spread = s2 / s0[:, None, None] - mean[:, :, None] * mean[:, None, :]
    return value, slope, (deaths[:, None, None] * spread).sum(axis=0) + ridge * np.eye(len(beta))


def _risk_sums(beta, time, event, x):
    """Event times, events at each, and sums over those at risk of r, r x and r x x'."""
    order = np.argsort(-time, kind="stable")
    r = np.exp(x[order] @ beta)
    s0, s1 = np.cumsum(r), np.cumsum(r[:, None] * x[order], axis=0)
    s2 = np.cumsum(r[:, None, None] * x[order][:, :, None] * x[order][:, None, :], axis=0)
    times, deaths = np.unique(time[event], return_counts=True)
    # the last of those whose follow-up reaches the event time
    at = np.searchsorted(-time[order], -times, side="right") - 1
    return times, deaths, s0[at], s1[at], s2[at]
