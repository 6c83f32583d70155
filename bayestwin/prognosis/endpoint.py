"""Time to progression or death, coded on a declared visit grid with assay error and a confirmed nadir.

Serological progression (IMWG 2016, see specification/endpoints.py): the first of two consecutive assessments, both at
least 25 % and the absolute amount above the confirmed nadir; the nadir is the lowest level reached or undercut by two
consecutive assessments since the treatment started, the baseline included. A treatment that starts after the data cut
starts a new count at its start; deaths while waiting count.

Of one draw: T = min(serological visit, other progression, death). S(h | draw) = P(no serological progression by h)
exp(-H_other - H_death), the first factor averaged over assay errors.
"""

from typing import NamedTuple

import numpy as np

from bayestwin.individual.residuals import draw_observation


class EventTimes(NamedTuple):
    """Model time from the data cut; inf where it does not happen on the grid. P draws, L landmarks.

    event (P,) first of all; died (P,) death came first; progression (P,) ; survival, free (P, L) : mean of S(h) of
    progression-free survival and of freedom from progression; squared (P, L) : unbiased estimate of S(h)^2
    """

    event: np.ndarray
    died: np.ndarray
    progression: np.ndarray
    survival: np.ndarray
    squared: np.ndarray
    free: np.ndarray


def code_progression(values, rule, *, first_valid: int, confirmations: int) -> np.ndarray:
    """Index of the first of the assessments that establish progression, -1 if none.

    values : (..., V) assessments since the treatment started, the baseline first; first_valid : assessments before this
        one are history that is known not to have progressed
    """
    v = np.asarray(values, dtype=float)
    pair = np.maximum(v[..., 1:], v[..., :-1])
    lowest = np.minimum.accumulate(np.concatenate([v[..., :1], pair], axis=-1), axis=-1)
    n = v.shape[-1]
    found = np.full(v.shape[:-1], -1)
    for i in range(max(1, first_valid), n - confirmations + 1):
        nadir = lowest[..., i - 1]
        confirmed = np.ones(v.shape[:-1], dtype=bool)
        for j in range(confirmations):
            rise = v[..., i + j] - nadir
            confirmed &= ((rise >= rule.absolute) & (rise >= rule.relative * nadir)) | (
                (nadir >= rule.high_nadir) & (rise >= rule.high_absolute)
            )
        found = np.where((found < 0) & confirmed, i, found)
    return found


def crossing(hazard, times, threshold) -> np.ndarray:
    """Time at which a hazard integral (P, V) reaches `threshold` (P,), linear between grid points; inf beyond."""
    grid = np.concatenate([[0.0], times])
    h = np.concatenate([np.zeros((len(hazard), 1)), hazard], axis=1)
    reached = h >= threshold[:, None]
    at = np.argmax(reached, axis=1)
    at = np.where(reached.any(axis=1), np.maximum(at, 1), 0)
    rows = np.arange(len(h))
    low, high = h[rows, np.maximum(at - 1, 0)], h[rows, at]
    share = np.clip((threshold - low) / np.maximum(high - low, 1e-300), 0.0, 1.0)
    return np.where(at > 0, grid[np.maximum(at - 1, 0)] + share * (grid[at] - grid[np.maximum(at - 1, 0)]), np.inf)


def event_times(
    model, rule, endpoint, outputs, hazards, sigma, times, *, history, start: float, landmarks, rng, repeats: int = 8
) -> EventTimes:
    """Code events for all draws.

    outputs (P, V, K) latent, hazards (P, V, H) integrals from the data cut, times (V,) from the data cut
    history : observed values of the marker since the current treatment started (empty for a new treatment)
    start : when counting starts, time from the data cut (0 for a treatment that goes on)
    """
    k = model.observation_index[rule.output]
    limit = model.observations[k].lower_limit
    base = hazards[:, :1] * 0.0
    counted = np.searchsorted(times, start - 1e-9)  # visits before the start belong to the waiting time
    names = list(model.hazard_names)
    other = (
        hazards[:, :, [names.index(h) for h in endpoint.progression_hazards]].sum(-1)
        if endpoint.progression_hazards
        else base[:, :, 0] + 0 * hazards[:, :, 0]
    )
    at_start = _value_at(other, times, start)
    other = np.maximum(other - at_start[:, None], 0.0)
    death = hazards[:, :, names.index(endpoint.death_hazard)] if endpoint.death_hazard else np.zeros(outputs.shape[:2])
    serological = np.empty((repeats, len(outputs)))
    for r in range(repeats):
        seen = draw_observation(model, k, rng, outputs[:, :, k], sigma[:, None, :])
        seen = np.maximum(seen, limit) if limit is not None else seen
        before = np.tile(np.asarray(history, dtype=float), (len(seen), 1)) if len(history) else np.empty((len(seen), 0))
        first = (
            counted if start > 0 else 0
        )  # the visit at the start is the baseline; what rose while waiting is not progression under it
        series = np.concatenate([before, seen[:, first:]], axis=1)
        found = code_progression(
            series, rule, first_valid=max(before.shape[1] - 1, 1), confirmations=endpoint.confirmations
        )
        position = found - before.shape[1] + first
        serological[r] = np.where(found >= 0, times[np.clip(position, 0, len(times) - 1)], np.inf)
    e1, e2 = rng.standard_exponential((2, len(outputs)))
    progression = np.minimum(
        serological[0],
        start + crossing(other[:, counted:], times[counted:] - start, e1) if counted < len(times) else np.inf,
    )
    dying = crossing(death, times, e2)
    event = np.minimum(progression, dying)
    marks = np.asarray(landmarks, dtype=float)
    not_yet = serological[:, :, None] > marks
    other_free = np.exp(-np.stack([_value_at(other, times, t) for t in marks], axis=1))
    alive = np.exp(-np.stack([_value_at(death, times, t) for t in marks], axis=1))
    survival = not_yet.mean(axis=0) * other_free * alive
    total, pairs = not_yet.sum(axis=0), repeats * (repeats - 1)
    squared = (total * (total - 1)) / pairs * (other_free * alive) ** 2
    return EventTimes(event, dying < progression, progression, survival, squared, not_yet.mean(axis=0) * other_free)


def _value_at(hazard, times, t):
    """Hazard integral (P, V) at time t, linear between grid points, zero at the data cut."""
    grid = np.concatenate([[0.0], times])
    h = np.concatenate([np.zeros((len(hazard), 1)), hazard], axis=1)
    k = int(np.clip(np.searchsorted(grid, t), 1, len(grid) - 1))
    share = np.clip((t - grid[k - 1]) / (grid[k] - grid[k - 1]), 0.0, 1.0)
    return h[:, k - 1] + share * (h[:, k] - h[:, k - 1])
