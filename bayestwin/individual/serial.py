"""Serially correlated departures of the labs from the mechanism, summed out by a scalar Kalman filter.

Of one output, on its error scale, with labs at t_1 <= t_2 <= ...:

    y_j = location_j + l_j x(t_j) + scale_j e_j   x Ornstein-Uhlenbeck: SD s, correlation exp(-|dt| / tau); l loading
    between labs     m <- phi m,    v <- s^2 + phi^2 (v - s^2),    phi = exp(-dt / tau)
    at a lab         S = l^2 v + scale^2,  K = l v / S,  g = y - location (or limit - location)
      measured       ln p = ln Normal(g; l m, S);    m <- m + K (g - l m),    v <- (1 - K l) v
      y < L          ln p = ln Phi(a), a = (g - l m) / sqrt(S);  h = phi(a) / Phi(a)
                     m <- m - K sqrt(S) h,    v <- (1 - K l) v + K^2 S (1 - a h - h^2)
      L < y < U      ln p = ln (Phi(b) - Phi(a)), b of U;  h = (phi(b) - phi(a)) / p
                     a h above becomes (b phi(b) - a phi(a)) / p

For measured labs this is exact, whatever the order of arrival, since the labs are taken in order of time. After a
censored lab the normal (m, v) stands for the skewed truth by its first two moments (assumed-density filtering); how far
that is off is in docs/statistical_model.md, section 5. `smoothed` conditions each time on later labs too.

Sources: Karlsson, Beal and Sheiner (1995), J Pharmacokinet Biopharm 23:651; Rauch, Tung and Striebel (1965), AIAA J
3:1445; Minka (2001), PhD thesis, section 3.2 (assumed-density filtering).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr
from jax.scipy.stats import norm

from bayestwin.individual.residuals import BETWEEN, NONE, RIGHT, location_and_scale, log_between, on_error_scale

LARGEST_LOADING = 3.0


class Rows(NamedTuple):
    """Rows in order of time, N of them: time, gap (datum or limit minus location), scale, loading, censoring, learn
    (0 or 1); above, the gap of the upper limit of rows between two, None where no row is.

    A row that is not learnt lets time pass and is predicted only.
    """

    time: Any
    gap: Any
    scale: Any
    loading: Any
    censoring: Any
    learn: Any
    above: Any = None


class Filtered(NamedTuple):
    """log_p (N,) of each learnt row given the learnt rows before it, 0 else; mean, variance of x before and after each
    row, (N,) each; end_mean, end_variance () after the last row, at its time."""

    log_p: jax.Array
    mean_before: jax.Array
    variance_before: jax.Array
    mean: jax.Array
    variance: jax.Array


def sd_and_time(model, k: int, sigma):
    """SD and correlation time of output k's departure; sigma (..., R) in the model's order."""
    names, output = list(model.residual_parameters), model.observations[k].output
    return (sigma[..., names.index(f"{what}_{output}")] for what in ("serial_sd", "serial_time"))


def loading_of(model, k: int, prediction, sigma, values):
    """What a departure of output k is multiplied with at this prediction; 1 unless the model file gives `low` or
    `scaled_by`.

    values : name -> natural value of the patient's parameters, which broadcast against `prediction`
    """
    observation = model.observations[k]
    serial = observation.error.serial
    found = 1.0 + 0.0 * prediction
    if serial.low is not None:
        low = sigma[..., list(model.residual_parameters).index(f"serial_low_{observation.output}")]
        found = (low + prediction) / (low / LARGEST_LOADING + prediction)
    return found if serial.scaled_by is None else found * values[serial.scaled_by]


def beginning_of(model, sigma):
    """Mean and variance of every departure before any lab, (2 W,)."""
    parts = [jnp.stack([jnp.zeros(()), next(sd_and_time(model, k, sigma)) ** 2]) for k in model.serial]
    return jnp.concatenate(parts) if parts else jnp.zeros(0)


def aged(mean, variance, duration, sd, time, *, xp=jnp):
    """Mean and variance after `duration` without labs."""
    share = xp.exp(-duration / time)
    return share * mean, sd**2 + share**2 * (variance - sd**2)


def learnt(mean, variance, gap, scale, loading, censoring, above=None):
    """(log_p, mean, variance) given one row; one compiled branch for measured rows, one for rows beyond a limit and,
    where any is, one for rows between two."""
    total = loading**2 * variance + scale**2
    root, gain, ahead = jnp.sqrt(total), loading * variance / total, gap - loading * mean

    def measured():
        return norm.logpdf(ahead / root) - jnp.log(root), mean + gain * ahead, (1.0 - gain * loading) * variance

    def limited():
        sign = jnp.where(censoring == RIGHT, -1.0, 1.0)
        a = sign * ahead / root
        log_p = log_ndtr(a)
        h = jnp.exp(norm.logpdf(a) - log_p)
        shrink = jnp.clip(1.0 - a * h - h**2, 0.0, 1.0)
        left = (1.0 - gain * loading) * variance + gain**2 * total * shrink
        return log_p, mean - sign * gain * root * h, left

    def between():
        # rows that have no upper limit get a harmless one
        a = ahead / root
        b = jnp.where(censoring == BETWEEN, (above - loading * mean) / root, a + 1.0)
        log_p = log_between(a, b, None)
        at_a, at_b = (jnp.exp(norm.logpdf(x) - log_p) for x in (a, b))
        middle = jnp.clip(at_a - at_b, a, b)
        shrink = jnp.clip(1.0 + a * at_a - b * at_b - middle**2, 0.0, 1.0)
        left = (1.0 - gain * loading) * variance + gain**2 * total * shrink
        return log_p, mean + gain * root * middle, left

    return (measured, limited) if above is None else (measured, limited, between)


def filtered(rows: Rows, start_time, mean, variance, sd, time, count=None) -> Filtered:
    """Run the filter from (mean, variance) at `start_time`.

    count : number of real rows, at the front; None for a loop over all of them that can be differentiated
    """

    def step(carry, row):
        (m, v, now), (t, gap, scale, loading, censoring, learn, above) = carry, row
        m, v = aged(m, v, t - now, sd, time)
        kinds = learnt(m, v, gap, scale, loading, censoring, above)
        kind = jnp.where(censoring == NONE, 0, jnp.where(censoring == BETWEEN, 2, 1))
        if count is None:
            # a branch that is not taken still sends gradients: all are finite
            found = [one() for one in kinds]
            both = jax.tree.map(lambda *parts: jnp.select([kind == n for n in range(len(parts))], parts), *found)
            log_p, new_m, new_v = jax.tree.map(lambda new, old: jnp.where(learn > 0, new, old), both, (0.0 * m, m, v))
        else:
            which = jnp.where(learn > 0, 1 + kind, 0)
            log_p, new_m, new_v = jax.lax.switch(which, (lambda: (0.0 * m, m, v), *kinds))
        return (new_m, new_v, t), Filtered(log_p, m, v, new_m, new_v)

    carry = mean, variance, jnp.asarray(start_time, dtype=float)
    if count is None:
        return jax.lax.scan(step, carry, rows)[1]

    def one(i, carried):
        carry, found = carried
        carry, out = step(carry, jax.tree.map(lambda a: a[i], rows))
        return carry, jax.tree.map(lambda kept, new: kept.at[i].set(new), found, out)

    nothing = jnp.zeros(rows.time.shape) + 0.0 * (rows.gap[0] + mean + sd)  # depends on the particle, as in solve.py
    carry = jax.tree.map(lambda a: a + 0.0 * nothing[0], carry)
    return jax.lax.fori_loop(0, count, one, (carry, Filtered(*[nothing] * 5)))[1]


def after_last(found: Filtered, rows: Rows, start_time, mean, variance, count, end_time, sd, time):
    """Mean and variance at `end_time`, (2,); rows beyond `count` are padding."""
    some, last = count > 0, jnp.maximum(count - 1, 0)
    m, v = jnp.where(some, found.mean[last], mean), jnp.where(some, found.variance[last], variance)
    since = jnp.where(some, rows.time[last], start_time)
    return jnp.stack(aged(m, v, end_time - since, sd, time))


def smoothed(found: Filtered, rows: Rows, sd, time, count):
    """Mean and variance of x at each row given all learnt rows, (N, 2); not for gradients."""

    def one(back, carried):
        i = count - 2 - back
        share = jnp.exp(-(rows.time[i + 1] - rows.time[i]) / time)
        gain = found.variance[i] * share / found.variance_before[i + 1]
        m = found.mean[i] + gain * (carried[i + 1, 0] - found.mean_before[i + 1])
        v = found.variance[i] + gain**2 * (carried[i + 1, 1] - found.variance_before[i + 1])
        return carried.at[i].set(jnp.stack([m, v]))

    return jax.lax.fori_loop(0, jnp.maximum(count - 1, 0), one, jnp.stack([found.mean, found.variance], axis=-1))


def serial_terms(model, data, predicted, values, sigma, start, *, gradient: bool):
    """What the filters of all serially correlated outputs say of one patient's rows.

    predicted (N,); values : name -> natural value
    start (2 W,) : mean and variance of each departure where the data begin

    Returns
    -------
    log_p (N,), seen (N,)     of rows of these outputs, 0 for others: given all rows before, given those seen before
    departure (N, 2)          mean and variance of what is added at each row given the rows seen; zero for others
    end (2 W,)                where the data end, everything learnt
    """
    line, count = data.timeline, data.mask.sum().astype(int)
    times = jnp.where(data.mask > 0, line.end[data.index], line.end[-1])
    log_p = seen = jnp.zeros(data.value.shape)
    departure, ends = jnp.zeros((len(data.value), 2)), []
    for w, k in enumerate(model.serial):
        own = (data.output == k) & (data.mask > 0)
        # an unused branch still sends gradients: give it a harmless prediction and datum
        harmless = jnp.where(own, predicted, 1.0)
        location, scale = location_and_scale(model, k, harmless, sigma, assay=data.assay)
        loading = loading_of(model, k, jnp.maximum(harmless, 0.0), sigma, values)
        y, jacobian = on_error_scale(model.observations[k], jnp.where(own, data.value, 1.0))
        above = None
        if data.upper is not None:
            higher = jnp.where(own & (data.censoring == BETWEEN), data.upper, 1.0)
            above = on_error_scale(model.observations[k], higher)[0] - location
        rows = Rows(times, y - location, scale + 0.0 * times, loading, data.censoring, own.astype(float), above)
        sd, time = sd_and_time(model, k, sigma)
        begin = line.start[0], start[2 * w], start[2 * w + 1]
        extra = jnp.where(own & (data.censoring == NONE), jacobian, 0.0)
        whole = filtered(rows, *begin, sd, time, None if gradient else count)
        log_p = log_p + whole.log_p + extra
        ends.append(after_last(whole, rows, *begin, count, line.end[-1], sd, time))
        # what was expected of a row is not differentiated
        rows, begin, sd, time = jax.lax.stop_gradient((rows._replace(learn=rows.learn * data.seen), begin, sd, time))
        known = filtered(rows, *begin, sd, time, count)
        seen = seen + known.log_p + extra * data.seen
        x = smoothed(known, rows, sd, time, count)
        departure = jnp.where(own[:, None], x * jnp.stack([rows.loading, rows.loading**2], axis=-1), departure)
    return log_p, seen, departure, jnp.concatenate(ends)
