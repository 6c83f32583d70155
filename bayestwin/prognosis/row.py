"""One row of a forecast: simulated, coded into events, its courses drawn.

A treatment, and a schedule of treatments, is simulated once, to be read at the visits by several paths of assay errors.
A policy is followed path by path, because the labs of a path decide what is given in it.
"""

from typing import Any, NamedTuple

import numpy as np

from bayestwin.axes import DAYS_PER_MONTH
from bayestwin.dynamics import Accuracy
from bayestwin.prognosis.assessments import check_counts_on, marker_history, visit_episodes, visit_times
from bayestwin.prognosis.courses import courses
from bayestwin.prognosis.endpoint import (
    EventTimes,
    Noise,
    draw_noise,
    event_times,
    event_times_of_paths,
)
from bayestwin.prognosis.first_event import check_hazards
from bayestwin.prognosis.life_table import background_integral, life_table_of
from bayestwin.prognosis.moments import INFUSION, Moment, marks_of, moment_of, times_of, without_moments
from bayestwin.prognosis.never_started import chance_never, mixed
from bayestwin.prognosis.observed_endpoints import died_by
from bayestwin.prognosis.plan import Plan
from bayestwin.prognosis.policy import PATHS, Followed, follow_policy
from bayestwin.prognosis.progressed import PROGRESSED, progressed_already
from bayestwin.prognosis.result import TreatmentPrognosis
from bayestwin.prognosis.sequences import policy_visit
from bayestwin.prognosis.simulate import trajectories, with_repeats
from bayestwin.prognosis.time_on import TimeOnTreatment, time_on_treatment
from bayestwin.prognosis.unsolved import TooManyFailed, check_solved, lenders

DIED = "the patient has died"
OTHERWISE = 1000  # rows of those who never get the treatment have random numbers of their own


class Asked(NamedTuple):
    """What every row of one forecast shares; span and landmarks in the model's time unit and in months."""

    twin: Any
    endpoint: Any
    span: float
    landmarks: tuple[float, ...]
    per_month: float
    random_seed: int
    accuracy: Accuracy

    def rng(self, *what: int) -> np.random.Generator:
        """Random numbers of one purpose; the values of rho share theirs, so that their differences are quiet."""
        return np.random.default_rng([self.random_seed, self.twin.updates, *what])

    def background(self, times):
        """Hazard integral of the general population from the data cut at `times` (V,), or None."""
        days = DAYS_PER_MONTH / self.per_month
        table, twin = life_table_of(self.twin.model), self.twin
        return background_integral(table, twin.record.covariates, twin.time * days, np.asarray(times) * days)

    @property
    def rule(self):
        """The progression rule of this patient; None without an endpoint."""
        return None if self.endpoint is None else self.endpoint.rule_for(self.twin.record.covariates)


class Simulated(NamedTuple):
    """One simulated row: outputs (P, V, K) of one future per draw at `times` (V,) from the data cut, ok (P,).

    events : in months, None without an endpoint; time_on : of schedules and policies
    noise : what chance added, None where it cannot be shared with other draws
    """

    outputs: np.ndarray
    ok: np.ndarray
    times: np.ndarray
    events: EventTimes | None
    time_on: TimeOnTreatment | None
    noise: Noise | None = None


def forecast_row(asked: Asked, plan: Plan, number: int, draws, by_rho) -> TreatmentPrognosis:
    """Events and courses under one plan; by_rho : rho -> Draws, or None where too few are left of them."""
    twin = asked.twin
    if died_by(twin.record, twin.time):
        return TreatmentPrognosis(plan, DIED)
    if plan.refused:
        return TreatmentPrognosis(plan, plan.refused)
    if asked.endpoint is not None:
        check_counts_on(twin.model, asked.rule)
        check_hazards(twin.model, asked.endpoint)
        if progressed_already(twin, asked.rule, plan):
            return TreatmentPrognosis(plan, PROGRESSED)
    try:
        return _row_with_numbers(asked, plan, number, draws, by_rho)
    except TooManyFailed as failed:
        return TreatmentPrognosis(plan, failed.reason, solver_failures=failed.share)


def _row_with_numbers(asked: Asked, plan: Plan, number: int, draws, by_rho) -> TreatmentPrognosis:
    twin = asked.twin
    found = simulated_row(asked, plan, number, draws)
    shown = np.ones(len(found.times), dtype=bool) if asked.endpoint is None else found.times <= 18.5 * asked.per_month
    sigma = np.asarray(twin.population.sigma)[draws.draw]
    drawn = courses(
        twin.model,
        found.outputs[:, shown],
        found.ok,
        sigma,
        twin.time + found.times[shown],
        draws,
        twin.islands,
        asked.rng(2, number),
        record=twin.record,
    )
    failed = float((~found.ok).mean())
    events, moments = _with_all_who_set_out(asked, plan, number, draws, found)
    survival: dict[float, Any] = {}
    for rho, other in by_rho.items():
        again = events
        if other is not None and other is not draws:
            one = simulated_row(asked, plan, number, other, found.noise)
            again, _ = _with_all_who_set_out(asked, plan, number, other, one)
        survival[rho] = None if other is None else (again.survival, other.log_weights)
    return TreatmentPrognosis(plan, "", events, drawn, survival or None, failed, found.time_on, moments)


def _with_all_who_set_out(asked: Asked, plan: Plan, number: int, draws, found) -> tuple[Any, dict[str, Moment] | None]:
    """Events at the landmarks of all who set out on this row, those who never get it inside, and its moments ahead."""
    times = times_of(plan, asked.twin.time)
    if asked.endpoint is None or not (times or plan.otherwise):
        return found.events, None
    marks = [m * asked.per_month for m in asked.landmarks]
    chance, given, all_of_them = np.zeros(len(found.ok)), found.events, found.events
    if plan.otherwise is not None:
        chance = chance_never(asked.twin, draws, asked.twin.model.treatment(plan.treatments[0]), 1.0)
        rest = simulated_row(asked, plan.otherwise, OTHERWISE + number, draws, marks=marks_of(times, marks)).events
        luck = asked.rng(6, number).random(len(chance))
        all_of_them = mixed(given, rest, 1.0 - (1.0 - chance) ** plan.waits, luck)
    found_moments, infused = {}, plan.start - asked.twin.time
    for k, (name, at) in enumerate(times.items()):
        ahead = plan.waits * (infused - at) / infused  # waits that are left from there on
        still = (1.0 - chance) ** (plan.waits - ahead)
        seen = (
            given
            if name == INFUSION or plan.otherwise is None
            else mixed(given, rest, 1.0 - (1.0 - chance) ** ahead, luck)
        )
        found_moments[name] = moment_of(seen, k, at, marks, asked.span, asked.per_month, still)
    return without_moments(all_of_them, len(marks)), found_moments or None


def simulated_row(asked: Asked, plan: Plan, number: int, draws, noise: Noise | None = None, marks=None) -> Simulated:
    """Every draw to the horizon under one plan, with its events.

    noise : that of the same row with other draws; marks : times of S(h) from the data cut (default: the landmarks, and
    what is counted from the plan's moments)
    """
    if plan.policy is not None:
        return _followed(asked, plan, number, draws)
    if asked.endpoint is None:
        times = np.linspace(0.0, asked.span, 61)
        outputs, _, ok = trajectories(
            asked.twin,
            draws,
            plan,
            asked.twin.time + times,
            past=False,
            rng=asked.rng(5, number),
            accuracy=asked.accuracy,
        )
        check_solved(ok)
        return Simulated(outputs, ok, times, None, _time_on_schedule(asked, plan, None, len(ok)))
    if marks is None:
        marks = marks_of(times_of(plan, asked.twin.time), [m * asked.per_month for m in asked.landmarks])
    return _fixed(asked, plan, number, draws, noise, marks)


def _fixed(asked: Asked, plan: Plan, number: int, draws, noise: Noise | None, marks) -> Simulated:
    """A treatment or a schedule: solved at the visits and more often soon after a start."""
    twin = asked.twin
    wait = max(plan.start - twin.time, 0.0) if plan.new else 0.0
    visits = visit_times(asked.endpoint, wait, asked.span)
    soon = np.arange(3.5, 32.0, 3.5) * asked.per_month / DAYS_PER_MONTH
    early = np.concatenate([soon, wait + soon])
    times = np.unique(np.concatenate([visits, early[early < asked.span]]))
    ahead, rng = twin.time + times, asked.rng(5, number)
    outputs, hazards, ok = trajectories(twin, draws, plan, ahead, past=False, rng=None, accuracy=asked.accuracy)
    check_solved(ok)
    at = np.searchsorted(times, visits)
    if noise is None:
        noise = draw_noise(twin.model, asked.rule, asked.rng(3, number), len(ok), len(visits))
    marker = twin.model.observation_index[asked.rule.output]
    outputs, paths = with_repeats(twin, draws, outputs, ahead, marker, at, len(noise.assay), rng)
    known = np.asarray(twin.particles.state)[np.arange(len(draws.draw)), draws.known]
    first_hazard = len(twin.model.states)
    hazards = hazards - known[:, None, first_hazard : first_hazard + len(twin.model.hazards)]
    if not ok.all():
        take = lenders(ok, draws.draw, asked.rng(7, number))
        outputs, hazards, paths = outputs[take], hazards[take], paths[:, take]
    events = event_times(
        twin.model,
        asked.rule,
        asked.endpoint,
        outputs[:, at],
        hazards[:, at],
        np.asarray(twin.population.sigma)[draws.draw],
        visits,
        start=wait,
        noise=noise,
        episode=visit_episodes(twin.model, asked.rule, plan, twin.time, visits),
        background=asked.background(visits),
        history=_history(asked, plan),
        landmarks=marks,
        marker=paths,
    )
    events = _in_months(asked, events)
    return Simulated(outputs, ok, times, events, _time_on_schedule(asked, plan, events, len(ok)), noise)


def _followed(asked: Asked, plan: Plan, number: int, draws) -> Simulated:
    """A policy: visited as often as it says and as the endpoint says, decided at its own visits."""
    twin, model, rule = asked.twin, asked.twin.model, asked.rule
    every = policy_visit(model, plan.policy)
    deciding = every * np.arange(1, int(asked.span // every) + 1)
    visits = np.array([asked.span]) if rule is None else visit_times(asked.endpoint, 0.0, asked.span)
    times = np.unique(np.round(np.concatenate([deciding, visits]), 9))
    rng = asked.rng(3, number)
    read = [] if rule is None else [rule.output]
    followed = follow_policy(
        twin,
        draws,
        plan,
        times,
        np.isin(times, np.round(deciding, 9)),
        tuple(dict.fromkeys(read + [r.output for r in plan.policy.rules if r.output])),
        counts_on=() if rule is None else rule.counts_on,
        paths=1 if rule is None else PATHS,
        rng=rng,
        accuracy=asked.accuracy,
    )
    check_solved(followed.ok)
    events = None if rule is None else _events_of_paths(asked, plan, followed, visits, times, rng)
    time_on = _time_on(asked, [0.0, *times], followed.on[0], events)
    return Simulated(followed.outputs[0], followed.ok, times, events, time_on)


def _events_of_paths(asked: Asked, plan: Plan, followed: Followed, visits, times, rng) -> EventTimes:
    """Events of a policy, coded at the endpoint's visits from the labs that decided."""
    at, rule = np.searchsorted(times, np.round(visits, 9)), asked.rule
    events = event_times_of_paths(
        asked.twin.model,
        rule,
        asked.endpoint,
        followed.labs[rule.output][:, :, at],
        followed.hazards,
        visits,
        times,
        rng=rng,
        episode=followed.episode[:, :, at] - asked.twin.time if rule.counts_on else None,
        background=asked.background(times),
        history=_history(asked, plan),
        landmarks=[m * asked.per_month for m in asked.landmarks],
    )
    return _in_months(asked, events)


def _history(asked: Asked, plan: Plan) -> list[float]:
    """What the coding of events goes on from."""
    return marker_history(asked.twin.model, asked.rule, asked.twin.record, plan, asked.twin.time)


def _in_months(asked: Asked, events: EventTimes) -> EventTimes:
    months = {name: getattr(events, name) / asked.per_month for name in ("event", "progression", "death")}
    return events._replace(**months)


def _time_on_schedule(asked: Asked, plan: Plan, events, count: int) -> TimeOnTreatment | None:
    """Time on each treatment of a schedule, the same in all draws until they progress; None for other rows."""
    if not plan.sequence:
        return None
    names = asked.twin.model.treatment_names
    on = np.array([names.index(name) if name else -1 for _, name in plan.sequence])
    edges = [*(time - asked.twin.time for time, _ in plan.sequence), asked.span]
    return _time_on(asked, edges, np.broadcast_to(on, (count, len(on))), events)


def _time_on(asked: Asked, edges, on, events) -> TimeOnTreatment:
    """As `time_on_treatment`, to progression, death or the horizon."""
    until = np.full(len(on), asked.span) if events is None else np.minimum(events.event * asked.per_month, asked.span)
    unit = 1.0 if asked.endpoint is None else asked.per_month
    return time_on_treatment(asked.twin.model.treatment_names, edges, on, until, unit)
