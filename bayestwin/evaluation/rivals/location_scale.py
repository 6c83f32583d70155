"""Scores of a location-scale forecast: one lab against a normal or Student-t distribution, exactly.

On the output's error scale (ln for log-normal outputs) the forecast is location + scale T, T standard normal or
Student-t, F its distribution function, z = (y - location) / scale. With

    G(z) = integral of F(x)^2 dx from -infinity to z
    CRPS / scale = G(z) + G(-z)          of a lab with a value
                 = G(-z)                 of a lab below its limit y: the forecast with all that lies below y put at y
                 = G(z)                  of a lab above its limit y
                 = G(z) + G(-z_upper)    of a lab between two limits: the forecast between them put at one point

    normal         G(z) = z F^2 + 2 f F - F(sqrt(2) z) / sqrt(pi)
    Student-t      G(z) = z F^2 + 2 h F - 2 (integral of h f up to z),   h(x) = f(x) (nu + x^2) / (nu - 1),   nu > 1

where h f is again a Student-t density, with 2 nu - 1 degrees of freedom. The log score is the density of the datum
as measured (with the 1/y of ln y), of a censored lab the log of its probability; the PIT of a censored lab is drawn
uniformly in its interval.

Sources: Gneiting and Raftery (2007), JASA 102:359; Jordan, Krueger and Lerch (2019), J Stat Softw 90(12).
"""

from functools import partial
from math import gamma, log, pi, sqrt
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.individual.residuals import log_between, log_cdf, log_pdf
from bayestwin.labs import TINY
from bayestwin.twin.surprise import QUANTILES, Surprise, pit_of


class Forecast(NamedTuple):
    """Distribution of one lab on its error scale; `nu` None: normal; `ok` False: it could not be computed."""

    location: float
    scale: float
    nu: float | None = None
    ok: bool = True


def on_error_scale(observation, value: float) -> float:
    """A value of the observation on its error scale: ln where errors are log-normal, else as it is."""
    return log(max(value, TINY)) if observation.log_scale else value


def score_lab(observation, lab, forecast: Forecast, rng: np.random.Generator) -> Surprise:
    """One lab against its forecast.

    observation : Observation of the lab's output; rng : for the PIT of a censored lab, drawn from for every lab

    Returns
    -------
    Surprise      quantiles on the natural scale; mean, sd, crps on the error scale. The SD is infinite for nu <= 2
    """
    location, scale, nu, _ = forecast
    y, u = on_error_scale(observation, lab.value), rng.random()
    upper = y if lab.upper is None else on_error_scale(observation, lab.upper)
    with jax.enable_x64(True):
        density, below, above = (float(x) for x in _logs((y - location) / scale, nu))
        between, below_upper = (float(x) for x in _logs_between((y - location) / scale, (upper - location) / scale, nu))
    jacobian = y if observation.log_scale else 0.0
    scores = {"none": density - log(scale) - jacobian, "left": below, "right": above, "interval": between}
    quantiles = location + scale * _standard_quantiles(nu)
    return Surprise(
        lab_id=lab.lab_id,
        output=lab.output,
        time=lab.time,
        known_time=lab.known_time,
        value=lab.value,
        censoring=lab.censoring,
        scale="ln" if observation.log_scale else "natural",
        quantiles=dict(zip(QUANTILES, (float(q) for q in (np.exp(quantiles) if observation.log_scale else quantiles)))),
        mean=float(location),
        sd=float(scale) * standard_deviation(nu),
        crps=crps(location, scale, nu, y, lab.censoring, upper),
        log_score=scores[lab.censoring],
        pit=pit_of([float(np.exp(below)), float(np.exp(below_upper))], lab.censoring, u),
        upper=lab.upper,
    )


def crps(
    location: float, scale: float, nu: float | None, y: float, censoring: str = "none", upper: float | None = None
) -> float:
    """Continuous ranked probability score of one observation, on the scale of y; y is the limit of a censored one.

    censoring : "none", "left" (below y), "right" (above y) or "interval" (between y and `upper`)
    """
    highest = upper if upper is not None and censoring == "interval" else y
    below = 0.0 if censoring == "left" else squared_cdf_integral((y - location) / scale, nu)
    above = 0.0 if censoring == "right" else squared_cdf_integral((location - highest) / scale, nu)
    return float(scale * (below + above))


def squared_cdf_integral(z: float, nu: float | None) -> float:
    """G(z): integral of F^2 from -infinity to z, F of the standard normal (nu None) or Student-t."""
    from scipy.special import ndtr, stdtr

    if nu is None:
        density = np.exp(-0.5 * z * z) / sqrt(2.0 * pi)
        return max(float(z * ndtr(z) ** 2 + 2.0 * density * ndtr(z) - ndtr(sqrt(2.0) * z) / sqrt(pi)), 0.0)
    if nu <= 1.0:
        return _by_quadrature(z, nu)
    cdf, weight = stdtr(nu, z), _t_constant(nu) * nu / (nu - 1.0)
    h = weight * (1.0 + z * z / nu) ** (0.5 * (1.0 - nu))
    other = 2.0 * nu - 1.0
    factor = weight * _t_constant(nu) * sqrt(nu / other) / _t_constant(other)
    return max(float(z * cdf**2 + 2.0 * h * cdf - 2.0 * factor * stdtr(other, z * sqrt(other / nu))), 0.0)


def standard_deviation(nu: float | None) -> float:
    """SD of the standard normal (nu None) or Student-t."""
    return 1.0 if nu is None else sqrt(nu / (nu - 2.0)) if nu > 2.0 else float("inf")


def _t_constant(nu):
    """Height of the Student-t density at zero."""
    return gamma(0.5 * (nu + 1.0)) / gamma(0.5 * nu) / sqrt(nu * pi)


def _by_quadrature(z, nu):
    """G(z) where the closed form needs more than one degree of freedom (the Cauchy)."""
    from scipy.integrate import quad
    from scipy.special import stdtr

    far, near = (quad(lambda x: stdtr(nu, x) ** 2, a, b, epsabs=1e-12)[0] for a, b in ((-np.inf, -1.0), (-1.0, z)))
    return far + near


def _standard_quantiles(nu):
    from scipy.special import ndtri, stdtrit

    return ndtri(QUANTILES) if nu is None else stdtrit(nu, QUANTILES)


@partial(jax.jit, static_argnums=1)
def _logs(z, nu):
    """ln f(z), ln F(z), ln(1 - F(z)) of the standard distribution."""
    z = jnp.asarray(z, dtype=float)
    return log_pdf(z, nu), log_cdf(z, nu), log_cdf(-z, nu)


@partial(jax.jit, static_argnums=2)
def _logs_between(z, upper, nu):
    """ln(F(upper) - F(z)), ln F(upper) of the standard distribution."""
    z, upper = jnp.asarray(z, dtype=float), jnp.asarray(upper, dtype=float)
    return log_between(z, upper, nu), log_cdf(upper, nu)
