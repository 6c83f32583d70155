"""The covariance of one marker in one patient, for the Gaussian process rival; values and times scaled by the caller.

    y(t) = mean(treatment, time since its start) + c + s t + g_x u + a_x z(w(t)) + n e,      e ~ Normal(0, 1)

c and s (level and slope) belong to the patient, g_x (slope in u = ln(1 + time since the start)) to the patient and the
treatment x; z is an Ornstein-Uhlenbeck process, or the smoother Matern-3/2, in a time w that runs faster after a
switch of treatment:

    dw/dt = r_x (1 + b_x exp(-(time since the switch) / l_x))

Marker and patient vary most in the weeks after a switch; without this the process must choose between those weeks and
the calm months. All of c, s, g are independent and normal. Which of the terms are used is a `Terms`.

Source: Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, sections 2.2, 4.2; warped time: their
section 4.2.3.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np


class Terms(NamedTuple):
    """Which terms are used, 1.0 or 0.0 each.

    smooth : Matern-3/2 instead of Ornstein-Uhlenbeck; slope, treatment_slope : s and g_x
    process_by_treatment : a_x differs between treatments
    """

    smooth: float = 0.0
    slope: float = 0.0
    treatment_slope: float = 0.0
    process_by_treatment: float = 0.0


class Sizes(NamedTuple):
    """Hyper-parameters, logarithms; X treatments (with "", none yet).

    level, slope, noise, process, curve () : SDs; curve : of the coefficients of the mean
    treatment_slope, process_by (X,) : SD, and what a treatment adds to `process`
    rate, burst, calm (X,) : r, b and l of warped time
    """

    level: np.ndarray
    slope: np.ndarray
    noise: np.ndarray
    process: np.ndarray
    curve: np.ndarray
    treatment_slope: np.ndarray
    process_by: np.ndarray
    rate: np.ndarray
    burst: np.ndarray
    calm: np.ndarray


class Points(NamedTuple):
    """Where a marker was, or will be, measured: N labs, E episodes of treatment.

    time (N,) since the record's beginning; treatment (N,) position in the list of treatments; since (N,) its start
    spent (N, E) time in each episode up to the lab; which (E,) the treatment of each episode
    basis (N, B) : of the mean
    """

    time: np.ndarray
    treatment: np.ndarray
    since: np.ndarray
    spent: np.ndarray
    which: np.ndarray
    basis: np.ndarray


def first_guess(treatments: int, process_rate: float) -> Sizes:
    """Where the search starts: values of SD 1, the process forgotten after about 1 / process_rate."""
    flat, each = np.log, np.zeros(treatments)
    one = {"level": flat(0.4), "slope": flat(0.3), "noise": flat(0.2), "process": flat(0.8), "curve": flat(1.0)}
    by = {"treatment_slope": each + flat(0.2), "process_by": each}
    warped = {"rate": each + flat(process_rate), "burst": each, "calm": each}
    return Sizes(**{name: np.asarray(value, dtype=float) for name, value in (one | by | warped).items()})


def covariance(sizes: Sizes, terms: Terms, points: Points, *, xp=jnp):
    """Covariance of the marker without noise and without doubt about the mean, (N, N)."""
    same = points.treatment[:, None] == points.treatment[None, :]
    found = xp.exp(2.0 * sizes.level) + terms.slope * xp.exp(2.0 * sizes.slope) * _outer(points.time)
    bent = xp.exp(sizes.treatment_slope)[points.treatment] * xp.log1p(points.since)
    found = found + terms.treatment_slope * same * _outer(bent)
    w = warped_time(sizes, points, xp=xp)
    gap = xp.abs(w[:, None] - w[None, :])
    rough, smooth = xp.exp(-gap), (1.0 + np.sqrt(3.0) * gap) * xp.exp(-np.sqrt(3.0) * gap)
    sd = xp.exp(sizes.process + terms.process_by_treatment * sizes.process_by[points.treatment])
    return found + _outer(sd) * (rough + terms.smooth * (smooth - rough))


def noise_variance(sizes: Sizes, *, xp=jnp):
    """Variance of the noise; a trace is added so that equal labs leave the covariance regular."""
    return xp.exp(2.0 * sizes.noise) + 1e-6


def warped_time(sizes: Sizes, points: Points, *, xp=jnp):
    """Time as the process feels it: r (d + b l (1 - exp(-d / l))) summed over the episodes, (N,)."""
    rate, burst, calm = (xp.exp(a)[points.which] for a in (sizes.rate, sizes.burst, sizes.calm))
    return (rate * (points.spent - burst * calm * xp.expm1(-points.spent / calm))).sum(-1)


def _outer(a):
    return a[:, None] * a[None, :]
