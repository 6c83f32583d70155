"""Paths of serially correlated departures under a forecast: what the mechanism does not say goes on into the future.

    forward     x at the data cut ~ Normal(mean, variance) of the twin's state, then exact Ornstein-Uhlenbeck steps
    backward    x at past times given all labs: forward filter, backward sampling

A departure is part of what a marker does, not of its assay: paths are added to the outputs on the error scale, and
courses, events and policies then read the outputs as they would without it.

Source: Fruehwirth-Schnatter (1994), J Time Series Analysis 15:183 (forward filter, backward sampling).
"""

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.individual.residuals import CENSORING, location_and_scale, on_error_scale
from bayestwin.individual.serial import Rows, aged, filtered, loading_of, sd_and_time


def with_departures(model, outputs, departures, sigma, scaling):
    """Outputs (..., K) with departures (..., W) added on their error scales; sigma (..., R)."""
    found = np.array(outputs)
    for w, k in enumerate(model.serial):
        x = departures[..., w] * loading_of(model, k, np.maximum(outputs[..., k], 0.0), sigma, scaling)
        found[..., k] = found[..., k] * np.exp(x) if model.observations[k].log_scale else found[..., k] + x
    return found


def scaling_of(model, population, psi, draw) -> dict:
    """Natural values (P,) of the parameters that scale a departure, by name; psi (P, D), draw (P,)."""
    found = {}
    names = {model.observations[k].error.serial.scaled_by for k in model.serial} - {None}
    typical = np.asarray(population.typical)[draw]
    for name in names:
        varies = name in model.individual_names
        at = (psi, model.individual_names) if varies else (typical, model.parameter_names)
        found[name] = np.exp(np.asarray(at[0])[:, at[1].index(name)])
    return found


def at_the_cut(model, state, rng) -> np.ndarray:
    """One value of every departure per future, (N, W), from states (N, S + H + 2 W)."""
    own = np.asarray(state)[:, len(model.states) + len(model.hazards) :]
    mean_and_variance = own.reshape(len(state), len(model.serial), 2)
    noise = rng.standard_normal(mean_and_variance.shape[:2])
    return mean_and_variance[..., 0] + np.sqrt(np.maximum(mean_and_variance[..., 1], 0.0)) * noise


def carried_on(model, now, duration: float, sigma, rng) -> np.ndarray:
    """Departures (N, W) after `duration` from those now (N, W); sigma (N, R)."""
    found = np.empty_like(now)
    for w, k in enumerate(model.serial):
        mean, variance = aged(now[:, w], 0.0, duration, *sd_and_time(model, k, sigma), xp=np)
        found[:, w] = mean + np.sqrt(np.maximum(variance, 0.0)) * rng.standard_normal(len(now))
    return found


def along_labs(model, labs, predicted, sigma, scaling, rng) -> np.ndarray:
    """Predictions (N, L) of labs in order of time, with a new path of every departure in each of N rows."""
    if not model.serial:
        return predicted
    sds = np.stack([next(sd_and_time(model, k, sigma)) for k in model.serial], axis=-1)
    now, before, found = sds * rng.standard_normal(sds.shape), labs[0].time, np.array(predicted)
    for n, lab in enumerate(labs):
        now, before = carried_on(model, now, lab.time - before, sigma, rng), lab.time
        k = model.observation_index[lab.output]
        outputs = np.ones((len(predicted), len(model.observations)))
        outputs[:, k] = predicted[:, n]
        found[:, n] = with_departures(model, outputs, now, sigma, scaling)[:, k]
    return found


def future_departures(twin, draws, times, rng) -> np.ndarray:
    """Departures (P, V, W) at `times` (V,) after the twin's own time, increasing, in the model's time."""
    model, sigma = twin.model, np.asarray(twin.population.sigma)[draws.draw]
    state = np.asarray(twin.particles.state)[np.arange(len(draws.draw)), draws.known]
    now, found, before = at_the_cut(model, state, rng), [], twin.time
    for time in times:
        now, before = carried_on(model, now, float(time) - before, sigma, rng), float(time)
        found.append(now)
    return np.stack(found, axis=1)


def past_departures(twin, draws, times, outputs, rng) -> np.ndarray:
    """Departures (P, V, W) at past `times` (V,) given all labs, whose times are among them; outputs (P, V, K)."""
    model, sigma = twin.model, np.asarray(twin.population.sigma)[draws.draw]
    found = np.empty((*outputs.shape[:2], len(model.serial)))
    scaling = {
        name: value[:, None] for name, value in scaling_of(model, twin.population, draws.psi, draws.draw).items()
    }
    for w, k in enumerate(model.serial):
        observation = model.observations[k]
        labs = [lab for lab in twin.record.labs if lab.output == observation.output]
        loading = loading_of(model, k, np.maximum(outputs[:, :, k], 0.0), sigma[:, None, :], scaling)
        at = np.searchsorted(times, [lab.time for lab in labs])
        y = np.array([float(on_error_scale(observation, lab.value)[0]) for lab in labs])
        upper = [lab.value if lab.upper is None else lab.upper for lab in labs]
        highest = np.array([float(on_error_scale(observation, value)[0]) for value in upper])
        # a lab stands before the asked time that it shares
        order = np.argsort([*(lab.time for lab in labs), *times], kind="stable")
        asked, ones = np.zeros((len(outputs), len(times))), np.ones(len(times))
        known = [
            location_and_scale(model, k, outputs[:, i, k], sigma, assay=observation.assay_of(lab), xp=np)
            for i, lab in zip(at, labs)
        ]
        nothing = np.empty((len(outputs), 0))
        location, scale = (np.stack(part, axis=1) for part in zip(*known)) if labs else (nothing, nothing)
        above = np.concatenate([highest - location, asked + 1.0], axis=1)[:, order]
        rows = Rows(
            np.concatenate([times[at], times])[order],
            np.concatenate([y - location, asked], axis=1)[:, order],
            np.concatenate([scale, asked + 1.0], axis=1)[:, order],
            np.concatenate([loading[:, at], asked + 1.0], axis=1)[:, order],
            np.concatenate([[CENSORING[lab.censoring] for lab in labs], 0 * ones]).astype(int)[order],
            np.concatenate([np.ones(len(labs)), 0 * ones])[order],
            None if not any(lab.censoring == "interval" for lab in labs) else above,
        )
        sd, time = (np.asarray(a) for a in sd_and_time(model, k, sigma))
        path = _sampled_backward(_filter_all(rows, sd, time), rows.time, time, rng)
        found[:, :, w] = path[:, np.argsort(order)[len(labs) :]]
    return found


@jax.jit
def _filter_all(rows: Rows, sd, time):
    """The filter of every draw from before the first row: means and variances (P, R) each."""
    axes = Rows(None, 0, 0, 0, None, None, None if rows.above is None else 0)

    def one(own, s, tau):
        return filtered(own, own.time[0], jnp.zeros(()), s**2, s, tau)

    return jax.vmap(one, in_axes=(axes, 0, 0))(jax.tree.map(jnp.asarray, rows), sd, time)


def _sampled_backward(passed, times, tau, rng) -> np.ndarray:
    """One path (P, R) given everything learnt."""
    mean, variance, before, spread = (
        np.asarray(a) for a in (passed.mean, passed.variance, passed.mean_before, passed.variance_before)
    )
    path = np.empty_like(mean)
    noise = rng.standard_normal(mean.shape)
    path[:, -1] = mean[:, -1] + np.sqrt(np.maximum(variance[:, -1], 0.0)) * noise[:, -1]
    for j in range(mean.shape[1] - 2, -1, -1):
        gain = variance[:, j] * np.exp(-(times[j + 1] - times[j]) / tau) / spread[:, j + 1]
        centre = mean[:, j] + gain * (path[:, j + 1] - before[:, j + 1])
        left = np.maximum(variance[:, j] - gain**2 * spread[:, j + 1], 0.0)
        path[:, j] = centre + np.sqrt(left) * noise[:, j]
    return path
