"""Residual errors: density, distribution function and draws of one observation given its prediction.

Each error model is a location and a scale on the error scale (ln for log-normal, else natural), with a standard
normal or Student-t shape (what is counted or graded: discrete.py):

    left-censored at L     ln F((L - location) / scale)          right-censored: ln (1 - F)
    between L and U        ln (F((U - location) / scale) - F((L - location) / scale))
    otherwise              ln f((y - location) / scale) - ln scale        (- ln y for log-normal: density of y)

Log distribution functions are computed as such, never as the log of a distribution function, so that a value far
beyond its limit keeps a gradient. Normal: log_ndtr. Student-t (integer degrees of freedom):
a finite sum, with its tail series beyond. Between two limits: ln F(b) + ln(1 - exp(ln F(a) - ln F(b))) in the tail that
is nearer (Maechler 2012, "Accurately computing log(1 - exp(-|a|))"); where F hardly grows from a to b, so that the
difference would lose its digits, the density integrated by Gauss-Legendre nodes.
"""

from functools import partial
from math import lgamma

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, logsumexp
from jax.scipy.stats import norm

from bayestwin.errors import ModelError
from bayestwin.individual.discrete import draw_discrete, log_probability, mean_and_variance
from bayestwin.labs import TINY
from bayestwin.specification.observations import Combined, LogNormalError, Proportional

NONE, LEFT, RIGHT, BETWEEN = 0, 1, 2, 3  # as in PatientData.censoring
CENSORING = {"none": NONE, "left": LEFT, "right": RIGHT, "interval": BETWEEN}  # as in Lab.censoring
SHORT = 0.5  # growth of ln F under which an interval is integrated
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)


def location_and_scale(model, k: int, prediction, sigma, *, assay=None, xp=jnp):
    """Location and scale of output k on its error scale; sigma (..., R) in the model's order.

    assay : `Observation.assay_of` each lab, a number or (N,) along the last axis of `prediction`; None: no factors
    xp : the array library, jax.numpy or numpy
    """
    observation = model.observations[k]
    if assay is not None and observation.assay_bias:
        # what its laboratory reads of it
        prediction = prediction * _assay_factor(model, k, "assay_bias", sigma, assay, xp)
    location, scale = _of_the_error(model, k, prediction, sigma, xp)
    if assay is not None:
        scale = scale * _assay_factor(model, k, "assay_scale", sigma, assay, xp)
    return location, scale


def _assay_factor(model, k: int, kind: str, sigma, assay, xp):
    """Factor on the scale or the prediction of output k in each assay; sigma (..., R), assay () or (N,), result (...)
    or (..., N). A number beyond those of the output (a row of another one) takes the last."""
    observation, names = model.observations[k], list(model.residual_parameters)
    said = (observation.assay_level(kind, level) for level in observation.assay_levels)
    at = [0, *(0 if level is None else 1 + names.index(f"{kind}_{level}_{observation.output}") for level in said)]
    factors = xp.concatenate([xp.ones((*xp.shape(sigma)[:-1], 1)), sigma], axis=-1)[..., np.array(at)]
    return xp.take(factors, assay, axis=-1, mode="clip")


def _of_the_error(model, k: int, prediction, sigma, xp):
    """Location and scale of output k as its error model says."""
    observation = model.observations[k]
    if observation.discrete:
        raise ModelError(
            "what is counted or graded has no location and scale",
            subject=f"model {model.name}",
            place=f"observation {observation.output}",
            value=observation.distribution,
            allowed="an output that is measured, with an error model",
        )
    names = list(model.residual_parameters)
    named = {name: sigma[..., names.index(name)] for name in observation.residual_parameters}
    own = {name.split("_")[1]: value for name, value in named.items() if name.startswith("sigma_")}
    error = observation.error
    if isinstance(error, LogNormalError):
        safe = xp.maximum(prediction, TINY)
        scale = own["log"] if error.low is None else xp.sqrt(own["log"] ** 2 + (own["low"] / (own["low"] + safe)) ** 2)
        return xp.log(safe), scale
    if isinstance(error, Proportional):
        return prediction, xp.maximum(own["prop"] * xp.abs(prediction), TINY)
    if isinstance(error, Combined):
        return prediction, xp.sqrt(own["add"] ** 2 + (own["prop"] * prediction) ** 2)
    return prediction, own["add"] * xp.ones_like(prediction)


def log_cdf(x, nu):
    """ln F(x) of the standard normal (nu None) or Student-t with integer nu."""
    return log_ndtr(x) if nu is None else _t_log_cdf(jnp.asarray(x, dtype=float), int(nu))


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _t_log_cdf(x, nu):
    lower = _t_log_lower_tail(-jnp.abs(x), nu)
    return jnp.where(x < 0, lower, jnp.log1p(-jnp.exp(lower)))


@_t_log_cdf.defjvp
def _t_log_cdf_jvp(nu, primals, tangents):
    (x,), (dx,) = primals, tangents
    value = _t_log_cdf(x, nu)
    return value, jnp.exp(log_pdf(x, nu) - value) * dx


def _t_log_lower_tail(x, nu: int):
    """ln F(x) for x <= 0: the finite trigonometric sum (Abramowitz and Stegun 26.7.3, 26.7.4), and four terms of the
    tail series beyond 12 sqrt(nu), where the sum would lose its digits."""
    far = x < -12.0 * np.sqrt(nu)
    theta = jnp.arctan(-jnp.where(far, -1.0, x) / np.sqrt(nu))
    cos2, odd = jnp.cos(theta) ** 2, nu % 2 == 1
    term = jnp.cos(theta) if odd else jnp.ones_like(theta)
    total = jnp.zeros_like(theta)
    for k in range(3 if odd else 2, nu, 2):
        total += term
        term = term * cos2 * (k - 1) / k
    total = total + (term if nu > 1 else 0.0)
    area = 2 / np.pi * (theta + jnp.sin(theta) * total) if odd else jnp.sin(theta) * total
    near = jnp.log(0.5 * jnp.maximum(1.0 - area, 1e-300))
    t = -jnp.where(far, x, -1e3)
    constant = lgamma((nu + 1) / 2) - lgamma(nu / 2) - 0.5 * np.log(nu * np.pi) + (nu + 1) / 2 * np.log(nu)
    series, coefficient = jnp.zeros_like(t), 1.0
    for j in range(4):
        series += coefficient * (nu / t**2) ** j / (nu + 2 * j)
        coefficient *= -((nu + 1) / 2 + j) / (j + 1)
    return jnp.where(far, constant - nu * jnp.log(t) + jnp.log(series), near)


def log_pdf(x, nu, *, xp=jnp):
    """ln f(x) of the standard normal (nu None) or Student-t; xp : the array library, jax.numpy or numpy."""
    if nu is None:
        return norm.logpdf(x) if xp is jnp else -0.5 * (x**2 + np.log(2.0 * np.pi))
    return lgamma((nu + 1) / 2) - lgamma(nu / 2) - 0.5 * np.log(nu * np.pi) - (nu + 1) / 2 * xp.log1p(x**2 / nu)


def log_between(a, b, nu):
    """ln (F(b) - F(a)) of the standard normal (nu None) or Student-t, a < b."""
    nearer = a + b > 0  # the upper tail: by symmetry taken as the lower one
    a, b = jnp.where(nearer, -b, a), jnp.where(nearer, -a, b)
    high = log_cdf(b, nu)
    growth = high - log_cdf(a, nu)
    short = growth < SHORT
    growth = jnp.where(short, 1.0, growth)  # an unused branch still sends gradients: give it a harmless number
    long = high + jnp.where(growth > np.log(2.0), jnp.log1p(-jnp.exp(-growth)), jnp.log(-jnp.expm1(-growth)))
    half = 0.5 * jnp.maximum(b - a, 1e-300)
    nodes = [log_pdf(0.5 * (a + b) + half * x, nu) + np.log(w) for x, w in zip(_NODES, _WEIGHTS)]
    return jnp.where(short, logsumexp(jnp.stack(nodes), axis=0) + jnp.log(half), long)


def log_likelihood_of(
    model, k: int, prediction, value, censoring, sigma, *, upper=None, assay=None, form: str = "either"
):
    """ln p(observation | prediction) of output k; arrays broadcast. Censored rows carry their limit as `value`.

    upper : upper end of the rows that lie between two limits, whose lower end is `value`; None where there are none
    assay : as for `location_and_scale`
    form : "density" where no row is censored, "limit" where all are beyond one limit, "between" where all are between
        two, to compute only that
    """
    if model.observations[k].discrete:
        return log_probability(model, k, prediction, value, sigma)
    location, scale = location_and_scale(model, k, prediction, sigma, assay=assay)
    return log_density(model.observations[k], location, scale, value, censoring, upper=upper, form=form)


def log_density(observation, location, scale, value, censoring, *, upper=None, form: str = "either"):
    """ln p(value) of an observation with this location and scale on its error scale; `upper`, `form` as above."""
    y, jacobian = on_error_scale(observation, value)
    x = (y - location) / scale
    nu = observation.error.nu
    if upper is not None and form in ("either", "between"):
        above = (on_error_scale(observation, upper)[0] - location) / scale
        # rows that have no upper end get a harmless one
        between = log_between(x, jnp.where(censoring == BETWEEN, above, x + 1.0), nu)
        if form == "between":
            return between
        return jnp.where(censoring == BETWEEN, between, log_density(observation, location, scale, value, censoring))
    exact = log_pdf(x, nu) - jnp.log(scale) + jacobian if form != "limit" else None
    beyond = log_cdf(jnp.where(censoring == RIGHT, -x, x), nu) if form != "density" else None
    return exact if beyond is None else beyond if exact is None else jnp.where(censoring == NONE, exact, beyond)


def on_error_scale(observation, value):
    """A datum on the error scale, and what its density gains when read on the natural scale: -ln y there, else 0."""
    if observation.log_scale:
        safe = jnp.maximum(value, TINY)
        return jnp.log(safe), -jnp.log(safe)
    return value, jnp.zeros(jnp.shape(value))


def departed(location, scale, departure, *, xp=jnp):
    """Location and scale with a normal departure (..., 2) of known mean and variance added; None changes nothing."""
    if departure is None:
        return location, scale
    return location + departure[..., 0], xp.sqrt(scale**2 + departure[..., 1])


def draw_observation(model, k: int, rng: np.random.Generator, prediction, sigma, departure=None, assay=None):
    """A simulated value of output k, not censored; NumPy arrays, `sigma` broadcasts against `prediction` but for its
    last axis.

    departure : mean and variance of a serially correlated departure, (..., 2), or None where there is none
    assay : as for `location_and_scale`
    Proportional noise may leave the positive axis, as the model says.
    """
    if model.observations[k].discrete:
        return draw_discrete(model, k, rng, prediction, sigma)
    location, scale = location_and_scale(model, k, np.asarray(prediction), np.asarray(sigma), assay=assay, xp=np)
    location, scale = departed(location, scale, departure, xp=np)
    noise = standard_noise(model, k, rng, np.broadcast_shapes(np.shape(location), np.shape(scale)))
    return _as_measured(model, k, location + scale * noise)


def standard_noise(model, k: int, rng: np.random.Generator, shape) -> np.ndarray:
    """Residual errors of output k with location 0 and scale 1."""
    nu = model.observations[k].error.nu
    return rng.standard_normal(shape) if nu is None else rng.standard_t(nu, shape)


def observed_with(model, k: int, prediction, sigma, noise) -> np.ndarray:
    """As `draw_observation`, from standard noise (..., shape of the predictions) drawn before."""
    location, scale = location_and_scale(model, k, np.asarray(prediction), np.asarray(sigma), xp=np)
    return _as_measured(model, k, location + scale * noise)


def as_reported(model, k: int, prediction, sigma) -> np.ndarray:
    """What is expected of a lab of output k, as it would be reported: of one that is counted or graded its mean, of
    any other the prediction itself."""
    if model.observations[k].discrete:
        return mean_and_variance(model, k, prediction, sigma)[0]
    return np.asarray(prediction)


def _as_measured(model, k: int, y) -> np.ndarray:
    """A value of output k from the error scale."""
    return np.exp(y) if model.observations[k].log_scale else y
