"""Adaptive policies: each future is followed from visit to visit, and its own simulated labs decide what is given next.

    from visit to visit   dy/dt = f(t, y, psi, treatment in force in this future), solved to the next visit
    at a visit            lab = output with assay error, at its limit of quantification where it lies below
                          the first rule that fits names the treatment in force from now on

Every draw has its own history of treatments, and so has every path of assay errors: the whole policy is followed
`PATHS` times per draw, each time with fresh errors. The labs that decide are the labs that progression is coded from.
One compiled program serves every visit: the intervals between two visits are laid out as for any record (doses, drift
knots and steps included) and padded to one length; what differs between futures (treatment in force, its start, a jump
at the visit) is put in for each.
"""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import Accuracy, Timeline, build_timeline, pad_timeline, solve_patient, treatment_starts
from bayestwin.dynamics.layout import NEVER
from bayestwin.individual import covariate_course, covariate_terms, first_covariates, natural_values, outputs_at
from bayestwin.individual.residuals import draw_observation
from bayestwin.prognosis.assessments import MOMENT, episode_at
from bayestwin.prognosis.departures import at_the_cut, carried_on, scaling_of, with_departures
from bayestwin.prognosis.unsolved import lenders
from bayestwin.records.record import COVARIATE
from bayestwin.twin.target import hyper_of

PATHS = 4


class Followed(NamedTuple):
    """R paths of assay errors for P draws at V times: outputs (R, P, V, K), hazards (R, P, V, H) integrals, ok (P,).

    labs : output -> (R, P, V) as seen, of the outputs asked for; on (R, P, V) treatment in force until then, -1 none
    episode (R, P, V) beginning of the episode in force until then, model time; not a number outside of one
    """

    outputs: np.ndarray
    hazards: np.ndarray
    ok: np.ndarray
    labs: dict
    on: np.ndarray
    episode: np.ndarray


class _Doing:
    """What each of N futures is being given: current (N,), since (N,), started (N, X), episode (N,), jumped (N,)."""

    def __init__(self, model, plan, now: float, applied: bool, counts_on, futures: int):
        starts = [s for s in treatment_starts(model, plan.record) if s[0] <= now + 2 * MOMENT]
        started = np.full(len(model.treatments), NEVER)
        for time, name in starts:
            started[model.treatment_names.index(name)] = time
        current, since = (model.treatment_names.index(starts[-1][1]), starts[-1][0]) if starts else (-1, now)
        self.names, self.counts_on = model.treatment_names, counts_on
        self.current, self.since = np.full(futures, current), np.full(futures, since)
        self.started = np.tile(started, (futures, 1))
        self.episode = np.full(futures, episode_at(starts, counts_on, np.inf))
        # what the policy starts jumps now; so does what the record starts at the data cut, unless the state holds it
        self.jumped = np.full(futures, float(plan.new or (current >= 0 and since == now and not applied)))

    def switch(self, chosen, time: float) -> None:
        """Futures go over to the treatment `chosen` (N,), -1 or the one in force for no change."""
        switched = (chosen >= 0) & (chosen != self.current)
        rows = np.flatnonzero(switched)
        self.started[rows, chosen[rows]] = time
        counts = np.isin(chosen, [self.names.index(name) for name in self.counts_on])
        begun = np.where(np.isnan(self.episode), time, self.episode)
        self.episode = np.where(switched, np.where(counts, begun, np.nan), self.episode)
        self.current, self.since = np.where(switched, chosen, self.current), np.where(switched, time, self.since)
        self.jumped = switched.astype(float)

    @property
    def active(self):
        """One where a treatment is in force, (N, X)."""
        return (self.current[:, None] == np.arange(len(self.names))).astype(float)


def follow_policy(
    twin, draws, plan, times, decides, read, *, counts_on, paths: int, rng, accuracy: Accuracy
) -> Followed:
    """Follow every draw under `plan.policy`.

    times (V,) : from the data cut, increasing; decides (V,) : whether the rules are read there
    read : outputs measured at every time; counts_on : treatments whose uninterrupted episodes are followed
    """
    model, policy, now = twin.model, plan.policy, twin.time
    futures = paths * len(draws.draw)
    lanes = _lanes(twin, draws, paths)
    sigma = np.tile(np.asarray(twin.population.sigma)[draws.draw], (paths, 1))
    scaling = {
        name: np.tile(value, paths) for name, value in scaling_of(model, twin.population, draws.psi, draws.draw).items()
    }
    doing = _Doing(model, plan, now, twin.applied, counts_on, futures)
    found: dict[str, list] = {name: [] for name in ("outputs", "hazards", "on", "episode", *read)}
    fine = np.ones(futures, dtype=bool)
    state = lanes.pop("state")
    departure, last = at_the_cut(model, state, rng), 0.0
    state = state[:, : len(model.states) + len(model.hazards)]
    before = np.asarray(state)[:, len(model.states) :]
    every = accuracy._replace(gradient=True)  # a plain scan: the futures differ in what happens when
    for visit, template in enumerate(_templates(model, plan.record, now, times, twin.applied)):
        given = (jnp.asarray(a) for a in (doing.active, doing.started, doing.jumped))
        outputs, state, ok = _to_next_visit(model, every, template, *given, state, **lanes)
        outputs, hazards = np.asarray(outputs), np.asarray(state)[:, len(model.states) :] - before
        departure, last = carried_on(model, departure, times[visit] - last, sigma, rng), times[visit]
        outputs = with_departures(model, outputs, departure, sigma, scaling)
        fine &= np.asarray(ok)
        labs = {name: _as_seen(model, name, rng, outputs, sigma) for name in read}
        now_on = {"on": doing.current, "episode": doing.episode}
        for name, values in {"outputs": outputs, "hazards": hazards, **now_on, **labs}.items():
            found[name].append(values)
        chosen = _chosen(model, policy, doing, labs, now + times[visit]) if decides[visit] else np.full(futures, -1)
        doing.switch(chosen, now + times[visit])
    whole = {name: _by_path(values, paths) for name, values in found.items()}
    labs = {name: whole.pop(name) for name in read}
    return _borrowed(Followed(ok=fine.reshape(paths, -1).all(axis=0), labs=labs, **whole), draws.draw, rng)


def _chosen(model, policy, doing, labs, time: float) -> np.ndarray:
    """Treatment that the first fitting rule names in each future, -1 where none fits."""
    chosen = np.full(len(doing.current), -1)
    for rule in policy.rules:
        fits = time - doing.since >= rule.least_time(model.time_unit) - 2 * MOMENT
        if rule.while_on:
            fits &= doing.current == model.treatment_names.index(rule.while_on)
        if rule.below is not None:
            fits &= labs[rule.output] <= rule.below
        if rule.above is not None:
            fits &= labs[rule.output] >= rule.above
        chosen = np.where((chosen < 0) & fits, model.treatment_names.index(rule.treatment), chosen)
    return chosen


def _as_seen(model, name: str, rng, outputs, sigma) -> np.ndarray:
    """A lab of every future (N,), at its limit of quantification where it lies below."""
    k = model.observation_index[name]
    limit = model.observations[k].lower_limit
    seen = draw_observation(model, k, rng, outputs[:, k], sigma)
    return seen if limit is None else np.maximum(seen, limit)


def _lanes(twin, draws, paths: int) -> dict:
    """What every future is solved with; the same for all visits."""
    state = np.asarray(twin.particles.state)[np.arange(len(draws.draw)), draws.known]
    many = {"psi": draws.psi, "draw": draws.draw, "rows": draws.class_rows, "state": state}
    lanes = {name: jnp.asarray(np.concatenate([np.asarray(a)] * paths)) for name, a in many.items()}
    terms = jnp.asarray(covariate_terms(twin.model, first_covariates(twin.model, twin.record)))
    changes = jax.tree.map(jnp.asarray, covariate_course(twin.model, twin.record, cut=twin.time))
    return {**lanes, "population": twin.population, "terms": terms, "changes": changes}


def _templates(model, record, now: float, times, applied: bool) -> list[Timeline]:
    """Intervals from visit to visit without any treatment start, `jump` marking where one would stand."""
    changes = tuple(e for e in record.events if e.event == COVARIATE)
    doses_only = replace(record, events=changes, labs=())
    edges = [now, *(now + times)]
    lines = []
    for k, (start, end) in enumerate(zip(edges, edges[1:])):
        # with doses that move, a place after those that happen to arrive on the day of the visit
        asked = [(end, False), (start, True)] if model.dosing else [(end, False)]
        line, _ = build_timeline(model, doses_only, start=start, end=end, asked=asked, resumed=applied and k == 0)
        first = int(np.argmax(line.end > line.start))  # after the doses of the visit
        lines.append(line._replace(jump=np.eye(len(line.start))[first]))
    longest = -4 * (-max(len(line.start) for line in lines) // 4)
    return [jax.tree.map(jnp.asarray, pad_timeline(line, longest)) for line in lines]


@partial(jax.jit, static_argnums=(0, 1))
def _to_next_visit(
    model, accuracy, template, active, started, jumped, state, *, psi, draw, rows, population, terms, changes
):
    """Outputs (N, K), state (N, S + H) and ok (N,) at the end of the template."""
    count = len(template.start)

    def one(on, since, jump, y0, p, d, r):
        values = natural_values(model, p, hyper_of(population, d), terms, r, changes)
        line = template._replace(
            active=jnp.broadcast_to(on, (count, len(on))),
            started=jnp.broadcast_to(since, (count, len(since))),
            jump=template.jump * jump,
        )
        solution = solve_patient(model, values, y0, line, accuracy)
        outputs = outputs_at(model, values, line, solution, jnp.array([count - 1]))
        return outputs[0], solution.last, solution.ok

    return jax.vmap(one)(active, started, jumped, state, psi, draw, rows)


def _by_path(values: list, paths: int) -> np.ndarray:
    """(V, N, ...) -> (R, P, V, ...)."""
    stacked = np.stack(values, axis=1)
    return stacked.reshape(paths, len(stacked) // paths, *stacked.shape[1:])


def _borrowed(followed: Followed, draw, rng) -> Followed:
    """Draws with a failed solve borrow the numbers of others (unsolved.py)."""
    if followed.ok.all():
        return followed
    take = lenders(followed.ok, draw, rng)
    labs = {name: values[:, take] for name, values in followed.labs.items()}
    arrays = {name: getattr(followed, name)[:, take] for name in ("outputs", "hazards", "on", "episode")}
    return followed._replace(labs=labs, **arrays)
