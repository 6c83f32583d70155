"""Was a lab reported in the wrong unit? Its value against ten times and a tenth of it, under what was expected.

With p the predictive density of a lab before it is learnt, on the natural scale:

    ln BF(too high) = ln p(y / 10) - ln 10 - ln p(y)        reported ten times too high
    ln BF(too low)  = ln p(10 y)   + ln 10 - ln p(y)        reported ten times too low

An alarm asks for confirmation where a Bayes factor is above 100: where p is right that befalls fewer than 1 lab in 100
of those rightly reported, whatever p is (Markov's inequality, for each of the two directions). With a normal p on the
log scale 95 % of tenfold errors are noticed up to an SD of 0.45; beyond that `power` says how many would be.

Source: Kass and Raftery (1995), J Am Stat Assoc 90:773 (the scale of Bayes factors); tenfold errors of laboratory
units are what domain experts fear most, see docs/surprise.md.
"""

from typing import NamedTuple

import numpy as np

from bayestwin.individual.residuals import log_pdf
from bayestwin.twin.particles import log_sum_exp

TENFOLD = 10.0
ALARM = np.log(100.0)  # ln Bayes factor
MEMBERS, VALUES = 400, 64  # of the predictive mixture, and of the values at which power is read


class Tenfold(NamedTuple):
    """ln Bayes factors of a report ten times too high and too low; power : the share of such errors that would be
    noticed, of the direction in which it is smaller."""

    high: float
    low: float
    power: float


def tenfold(observation, location, scale, joint, value: float, expected) -> Tenfold:
    """The two Bayes factors of one uncensored lab and the power to notice either error.

    Parameters
    ----------
    location, scale (N,) : of the members of the predictive mixture, on the error scale; joint (N,) : their weights
    value : the datum, above 0
    expected (VALUES,) : equally likely values of the predictive distribution
    """
    reported = np.array([value, value / TENFOLD, value * TENFOLD])
    own, lower, higher = _log_p(observation, location, scale, joint, reported)
    jacobian = np.log(TENFOLD)
    few = _few(joint)
    right = np.maximum(expected, 1e-300)
    thinned = (observation, location[few], scale[few], np.full(len(few), 1.0 / len(few)))
    wrong = [_log_p(*thinned, right * factor) for factor in (TENFOLD, 1.0 / TENFOLD)]
    here = _log_p(*thinned, right)
    noticed = [np.mean(here - sign * jacobian - there > ALARM) for sign, there in zip((1.0, -1.0), wrong)]
    return Tenfold(float(lower - jacobian - own), float(higher + jacobian - own), float(min(noticed)))


def _few(joint):
    """Members that stand for all, each with the same weight: MEMBERS of them, evenly through the cumulated weights."""
    cumulated = np.cumsum(joint) / joint.sum()
    at = (np.arange(MEMBERS) + 0.5) / MEMBERS
    return np.minimum(np.searchsorted(cumulated, at), len(joint) - 1)


def _log_p(observation, location, scale, joint, values):
    """ln of the predictive density on the natural scale at each of `values`, (V,)."""
    y = np.log(np.maximum(values, 1e-300)) if observation.log_scale else values
    jacobian = -y if observation.log_scale else 0.0
    with np.errstate(divide="ignore"):
        members = log_pdf((y[:, None] - location) / scale, observation.error.nu, xp=np) - np.log(scale) + np.log(joint)
    return log_sum_exp(members, axis=1) - np.log(joint.sum()) + jacobian
