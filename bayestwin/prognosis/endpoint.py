"""Time to progression or death, coded on a declared visit grid with assay error and a confirmed nadir.

Serological progression (IMWG 2016, see specification/endpoints.py): the first of two consecutive assessments, both at
least 25 % and the absolute amount above the confirmed nadir; the nadir is the lowest level reached or undercut by two
consecutive assessments since the treatment started, the baseline included. A treatment that starts after the data cut
starts a new count at its start; deaths while waiting count. Of a rule that counts only on some treatments, nadir and
rise are counted anew in each of their episodes (assessments.py).

Of one draw: T = min(serological visit, other progression, death). S(h | draw) = P(no serological progression by h)
exp(-H_other - H_death), the first factor averaged over assay errors. Where labs decide the treatment (policy.py) the
hazards depend on the assay errors too, and S is the mean over R paths of [no serological progression] exp(-H_r);
then S^2 is estimated without bias by (S_1 + .. + S_R)^2 less the squares, over R (R - 1).

Each way to end it has its own line (first_event.py). Mortality is never let fall below that of the general population
where the model names a life table (life_table.py).
"""

from typing import NamedTuple

import numpy as np

from bayestwin.individual.residuals import observed_with, standard_noise
from bayestwin.prognosis.first_event import first_events, value_at, values_at, ways_out
from bayestwin.prognosis.rises import exceeds


class EventTimes(NamedTuple):
    """Model time from the data cut; inf where it does not happen on the grid. P draws, L landmarks.

    event (P,) first of all; died (P,) death came first; progression (P,) ; survival, free (P, L) : mean of S(h) of
    progression-free survival and of freedom from progression; squared (P, L) : unbiased estimate of S(h)^2
    alive, alive_squared (P, L) : the same of overall survival; death (P,) its time
    first (P, L, E) : chance that each of the endpoint's `first_events` has come, as the first of all
    """

    event: np.ndarray
    died: np.ndarray
    progression: np.ndarray
    survival: np.ndarray
    squared: np.ndarray
    free: np.ndarray
    alive: np.ndarray | None = None
    alive_squared: np.ndarray | None = None
    death: np.ndarray | None = None
    first: np.ndarray | None = None


def code_progression(values, rule, *, first_valid: int, confirmations: int, episode=None) -> np.ndarray:
    """Index of the first of the assessments that establish progression, -1 if none.

    values : (..., V) assessments since the treatment started, the baseline first; first_valid : assessments before this
        one are history that is known not to have progressed
    episode : (..., V) or (V,) what each assessment belongs to: nadir, rise and confirmation lie in one episode, and
        where it is not a number nothing counts; None: all belong together
    """
    # assessments first: each is then one piece of memory for all draws (twice as fast, measured)
    v = np.ascontiguousarray(np.moveaxis(np.asarray(values, dtype=float), -1, 0))
    goes_on = np.ones((len(v) - 1, *(1,) * (v.ndim - 1)), dtype=bool)
    if episode is not None:
        e = np.moveaxis(np.broadcast_to(episode, np.shape(values)), -1, 0)
        goes_on = np.ascontiguousarray(e[1:] == e[:-1])  # not a number never equals itself
    found, lowest = np.full(v.shape[1:], -1), v[0]
    for i in range(1, len(v) - confirmations + 1):
        if i >= first_valid:
            confirmed = goes_on[i - 1 : i - 1 + confirmations].all(axis=0)
            for j in range(confirmations):
                confirmed = confirmed & exceeds(rule, v[i + j], lowest)
            found = np.where((found < 0) & confirmed, i, found)
        both = np.maximum(v[i], v[i - 1])
        lower = np.minimum(lowest, both)
        lowest = lower if episode is None else np.where(goes_on[i - 1], lower, v[i])
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


class Noise(NamedTuple):
    """What is left to chance in a row: assay (R, P, V) standard assay errors, luck (2, P) unit exponentials."""

    assay: np.ndarray
    luck: np.ndarray


def draw_noise(model, rule, rng, draws: int, visits: int, repeats: int = 8) -> Noise:
    """Noise of so many draws and visits: half the time of coding a row, so what shares it draws it once."""
    assay = standard_noise(model, model.observation_index[rule.output], rng, (repeats, draws, visits))
    return Noise(assay, rng.standard_exponential((2, draws)))


def event_times(
    model,
    rule,
    endpoint,
    outputs,
    hazards,
    sigma,
    times,
    *,
    history,
    start: float,
    landmarks,
    noise: Noise,
    episode=None,
    background=None,
    marker=None,
) -> EventTimes:
    """Code events for all draws under a treatment that does not depend on the labs to come.

    background : (V,) hazard integral of the general population from the data cut at `times`, or None; of different
        patients (P, V)
    outputs (P, V, K) latent, hazards (P, V, H) integrals from the data cut, times (V,) from the data cut
    history : observed values of the marker that the count goes on from (empty for a new treatment)
    start : when counting starts, time from the data cut (0 for a treatment that goes on)
    episode : (V,) beginning of each visit's episode, time from the data cut, for a rule with `counts_on`
    marker : the rule's own latent output where each repeat of the assay errors has one, (R, P, V); None: of `outputs`
    """
    latent = outputs[:, :, model.observation_index[rule.output]] if marker is None else marker
    seen = seen_of(model, rule.output, latent, sigma, noise.assay)
    how = {"history": history, "start": start, "landmarks": landmarks, "luck": noise.luck}
    return events_seen(
        model, rule, endpoint, seen, hazards, times, **how, episode=episode, background=background, ways=True
    )


def seen_of(model, output: str, latent, sigma, noise) -> np.ndarray:
    """Labs of one output as they are reported, (R, P, V), from latent (P, V) or (R, P, V), sigma (P, S) and standard
    noise (R, P, V)."""
    k = model.observation_index[output]
    limit = model.observations[k].lower_limit
    seen = observed_with(model, k, latent, sigma[:, None, :], noise)
    return np.maximum(seen, limit) if limit is not None else seen


def events_seen(
    model, rule, endpoint, seen, hazards, times, *, history, start, landmarks, luck, episode=None, background=None, ways
) -> EventTimes:
    """Events from R paths of labs of the marker (R, P, V), as in `event_times`.

    luck (2, P) : unit exponentials; ways : whether to say which way came first
    """
    counted = np.searchsorted(times, start - 1e-9)  # visits before the start belong to the waiting time
    # the visit at the start is the baseline; what rose while waiting is not progression under it
    skipped = counted if start > 0 and episode is None else 0
    others, deaths = ways_out(model, endpoint, hazards, background)
    others = np.maximum(others - value_at(others, times, start)[:, None], 0.0)
    other, death = others.sum(axis=-1), deaths.sum(axis=-1)
    repeats = len(seen)
    serological = np.stack([_serological(path, times, rule, endpoint, history, skipped, episode) for path in seen])
    e1, e2 = luck
    progression = np.minimum(
        serological[0],
        start + crossing(other[:, counted:], times[counted:] - start, e1) if counted < len(times) else np.inf,
    )
    dying = crossing(death, times, e2)
    marks = np.asarray(landmarks, dtype=float)
    not_yet = serological[:, :, None] > marks
    other_free, alive = (np.exp(-values_at(h, times, marks)) for h in (other, death))
    survival = not_yet.mean(axis=0) * other_free * alive
    first = None
    if ways:
        first = first_events(np.concatenate([others, deaths], axis=-1), times, serological, marks).mean(axis=0)
    total, pairs = not_yet.sum(axis=0), repeats * (repeats - 1)
    squared = (total * (total - 1)) / pairs * (other_free * alive) ** 2
    free = not_yet.mean(axis=0) * other_free
    event, died = np.minimum(progression, dying), dying < progression
    return EventTimes(event, died, progression, survival, squared, free, alive, alive**2, dying, first)


def event_times_of_paths(
    model, rule, endpoint, seen, hazards, visits, times, *, history, episode, landmarks, rng, background=None
) -> EventTimes:
    """Code events where the labs themselves decided the treatment, R paths of assay errors for each draw.

    seen (R, P, N) simulated labs of the marker at `visits` (N,); hazards (R, P, V, H) integrals at `times` (V,), both
    from the data cut; episode : (R, P, N) beginning of each visit's episode or None; the rest as in `event_times`
    """
    repeats, draws, count = seen.shape
    flat_hazards = hazards.reshape(repeats * draws, len(times), hazards.shape[-1])
    others, deaths = ways_out(model, endpoint, flat_hazards, background)
    other, death = others.sum(axis=-1), deaths.sum(axis=-1)
    flat = None if episode is None else episode.reshape(-1, count)
    serological = _serological(seen.reshape(-1, count), visits, rule, endpoint, history, 0, flat)
    e1, e2 = rng.standard_exponential((2, draws))  # events of the first path only
    progression = np.minimum(serological[:draws], crossing(other[:draws], times, e1))
    dying = crossing(death[:draws], times, e2)
    marks = np.asarray(landmarks, dtype=float)
    other_free, alive = (np.exp(-values_at(h, times, marks)) for h in (other, death))
    free = ((serological[:, None] > marks) * other_free).reshape(repeats, draws, -1)
    alive = alive.reshape(free.shape)
    each = free * alive
    first = first_events(np.concatenate([others, deaths], axis=-1), times, serological[None], marks)[0]
    return EventTimes(
        np.minimum(progression, dying),
        dying < progression,
        progression,
        each.mean(axis=0),
        _square(each),
        free.mean(axis=0),
        alive.mean(axis=0),
        _square(alive),
        dying,
        first.reshape(repeats, draws, *first.shape[1:]).mean(axis=0),
    )


def _square(each) -> np.ndarray:
    """Unbiased estimate of the square of the mean over the R paths (R, ...)."""
    return (each.sum(axis=0) ** 2 - (each**2).sum(axis=0)) / (len(each) * (len(each) - 1))


def _serological(seen, times, rule, endpoint, history, first, episode) -> np.ndarray:
    """Time of the first of the assessments (N, V) that establish progression, inf where none do, (N,)."""
    if first >= seen.shape[1]:  # counting starts beyond the last visit
        return np.full(len(seen), np.inf)
    seen, before = seen[:, first:], np.tile(np.asarray(history, dtype=float), (len(seen), 1))
    if episode is not None:
        episode = np.broadcast_to(episode, seen.shape)
        begun = np.where(episode[:, :1] < 0, episode[:, :1], np.nan)  # only one that began before the cut has a history
        episode = np.concatenate([np.repeat(begun, before.shape[1], axis=1), episode], axis=1)
    found = code_progression(
        np.concatenate([before, seen], axis=1),
        rule,
        first_valid=max(before.shape[1] - endpoint.confirmations + 1, 1),
        confirmations=endpoint.confirmations,
        episode=episode,
    )
    position = found - before.shape[1] + first
    return np.where(found >= 0, times[np.clip(position, 0, len(times) - 1)], np.inf)
