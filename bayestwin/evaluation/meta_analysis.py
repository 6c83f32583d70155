"""What other trials of a class let one expect of a new arm: a Bayesian random-effects meta-analysis of one share.

    y_i ~ Normal(theta_i, s_i)    theta_i ~ Normal(mu, tau)    mu ~ Normal(0, 2)    tau ~ HalfNormal(0.5)

on the logit scale, y_i the published share of trial i (arms of one trial are taken together first), s_i its standard
error. Given tau everything is normal, so tau is integrated over a grid. A new arm of n patients is theta_new ~ Normal(
mu, tau), seen with binomial error. It is the rival of a virtual trial: it knows how the class did, and neither what
is given nor to whom. With one trial it is wide, with none it is the prior.

Source: Roever (2020), J Stat Software 93(6); the prior of tau is his for log odds ratios of which little is known.
"""

from typing import NamedTuple

import numpy as np

MU_SD, TAU_SCALE = 2.0, 0.5
TAUS = np.linspace(0.0, 3.0, 601)[1:]
LEAST = 0.005  # shares nearer to 0 or 1 have no logit to speak of
Z95 = 1.959963984540054


class Study(NamedTuple):
    """A share on the logit scale with its standard error; trial : whose it is."""

    trial: str
    logit: float
    error: float


def study_of(trial: str, outcome, n: int) -> Study:
    """A published share: its standard error from its interval, else binomial, doubled where it is from memory."""
    p = float(np.clip(outcome.value, LEAST, 1.0 - LEAST))
    error = 1.0 / np.sqrt(n * p * (1.0 - p))
    if outcome.low is not None and outcome.high is not None:
        low, high = (_logit(np.clip(end, LEAST / 5.0, 1.0 - LEAST / 5.0)) for end in (outcome.low, outcome.high))
        error = (high - low) / (2.0 * Z95)
    return Study(trial, float(_logit(p)), float(error * (2.0 if outcome.mark == "memory" else 1.0)))


def by_trial(studies) -> list[Study]:
    """One study per trial: arms of a trial weighted by their precision."""
    found = []
    for trial in dict.fromkeys(study.trial for study in studies):
        mine = [study for study in studies if study.trial == trial]
        weight = np.array([1.0 / study.error**2 for study in mine])
        mean = float(weight @ [study.logit for study in mine] / weight.sum())
        found.append(Study(trial, mean, float(weight.sum() ** -0.5)))
    return found


class Pooled(NamedTuple):
    """Posterior on a grid of tau: its weights (G,), mean and SD of mu given each (G,)."""

    weight: np.ndarray
    mean: np.ndarray
    sd: np.ndarray


def pooled(studies) -> Pooled:
    """The posterior of mu and tau given the studies."""
    y, s = np.array([x.logit for x in studies]), np.array([x.error for x in studies])
    variance = s**2 + TAUS[:, None] ** 2
    precision = (1.0 / variance).sum(axis=1) + MU_SD**-2
    mean = (y / variance).sum(axis=1) / precision
    log_p = -0.5 * (np.log(variance).sum(axis=1) + (y**2 / variance).sum(axis=1))
    log_p = log_p - 0.5 * np.log(precision) + 0.5 * precision * mean**2 - 0.5 * (TAUS / TAU_SCALE) ** 2
    weight = np.exp(log_p - log_p.max())
    return Pooled(weight / weight.sum(), mean, precision**-0.5)


def new_arms(studies, n: int, *, rng: np.random.Generator, draws: int = 4000) -> np.ndarray:
    """Shares that a new arm of n patients may show, (draws,)."""
    found = pooled(studies)
    at = rng.choice(len(TAUS), draws, p=found.weight)
    theta = found.mean[at] + np.hypot(found.sd[at], TAUS[at]) * rng.standard_normal(draws)
    return rng.binomial(n, 1.0 / (1.0 + np.exp(-theta))) / n


def _logit(p):
    return np.log(p) - np.log1p(-p)
