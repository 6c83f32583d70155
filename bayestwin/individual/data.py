"""A patient's record as arrays: the timeline, the labs, and what event-free time says.

Event-free time is data: a patient is conditioned on being alive until last known alive (a lab drawn is proof of
life) and free of non-serological progression until the last assessment. Serological progression is derived from
labs that are already used and adds nothing. Of a hazard with integral H:

    alive until a                  -H_death(a)              died at t          ln h_death(t) - H_death(t)
    assessed free until a          -H_other(a)              progressed in (a, b] by imaging or symptoms
                                                            ln(exp(-H_other(a)) - exp(-H_other(b)))

H is the sum over all ways, and so is h, unless the record names the way (`Progression.recorded_as`): then h is that of
the way, and a progression in (a, b] counts with the share of the way in what the hazards gained there.
"""

from typing import Any, NamedTuple

import numpy as np

from bayestwin.dynamics import Timeline, build_timeline, happens, pad_timeline, treatment_starts
from bayestwin.errors import RecordError
from bayestwin.individual.missing import first_covariates, known_values
from bayestwin.individual.occasions import check_occasions
from bayestwin.individual.parameters import CovariateChanges, covariate_course, covariate_terms
from bayestwin.individual.residuals import BETWEEN, CENSORING
from bayestwin.records.after_death import latest_after_death
from bayestwin.records.event_rows import SAYS_NOTHING_BEFORE, proves_life
from bayestwin.records.record import covariate_changes

SEROLOGICAL = ("serological", "m_protein", "flc", "biochemical", "")


class PatientData(NamedTuple):
    """Arrays of one patient: N observations, G intervals, F covariate terms (then occasions), C response-class rows.

    index (N,) interval of each lab; output (N,), value (N,), censoring (N,) 0 none 1 left 2 right 3 between two limits;
    mask (N,)
    seen (N,) 1 for labs that the particles have learnt already (`with_seen`); rows stand in order of time
    alive (4,) : interval, known (0/1), died (0/1), of which way (from 1; 0: not named)
    other (5,) : interval free, known, interval progressed, progressed, in which way
    classes (C, X) rows of response classes to be summed over; relevant (X,) ; begin () time of the initial state
    changes : covariates and occasions that change in time, or None
    upper (N,) : upper end of the labs between two limits, whose lower end is `value`; None where no lab is one
    assay (N,) : `Observation.assay_of` each lab; None where the model tells no assays apart
    known (K,) : values of covariates that have a distribution (`known_values`), None without any
    """

    timeline: Timeline
    index: Any  # an array like the others; the name is also that of a method of tuple
    output: np.ndarray
    value: np.ndarray
    censoring: np.ndarray
    mask: np.ndarray
    seen: np.ndarray
    alive: np.ndarray
    other: np.ndarray
    terms: np.ndarray
    classes: np.ndarray
    relevant: np.ndarray
    changes: CovariateChanges | None = None
    upper: np.ndarray | None = None
    assay: np.ndarray | None = None
    known: Any = None


class Sizes(NamedTuple):
    """Lengths of one patient's arrays; None for the next power of two, or none where the patient needs none.

    cycles : steady states; jumps : of doses that move with the parameters; changes : of covariates; ranges : labs
    between two limits
    """

    observations: int
    intervals: int
    cycles: int | None = None
    jumps: int | None = None
    changes: int | None = None
    ranges: int | None = None


def information_time(record) -> float:
    """Time of the newest lab or informative event, a treatment that was given too, until which states and hazards
    are solved; doses, statements of covariates and whatever is only planned do not count, and what was seen before the
    beginning is no earlier than that."""
    times = [lab.time for lab in record.labs]
    times += [e.time for e in record.events if proves_life(e) or e.event == "death"]
    return max(*times, beginning(record)) if times else 0.0


def beginning(record) -> float:
    """Time of the initial state: the patient's time zero, or the earliest row that says something of the states or
    hazards if that is earlier; a biopsy or a visit before says nothing, and leaves the initial state where it is."""
    rows = [r.time for r in (*record.labs, *record.doses)]
    rows += [e.time for e in record.events if e.event not in SAYS_NOTHING_BEFORE]
    return min([0.0, *rows])


def vital_facts(model, record) -> dict:
    """Times of what is known of the hazards: alive, death, free of other progression, other progression.

    A patient with labs or events on the day of death lived until the last of them: a date is the first moment of a day.
    """
    events = record.events
    deaths = [e.time for e in events if e.event == "death"]
    if len(set(deaths)) > 1:
        raise RecordError(
            "two deaths",
            subject=f"patient {record.key}",
            place="events",
            value=deaths,
            next_step="Retract one of them.",
        )
    alive = [lab.time for lab in record.labs] + [e.time for e in events if proves_life(e)]
    facts = {"alive": max(alive, default=0.0), "death": deaths[0] if deaths else None}
    latest = latest_after_death(deaths[0], model.time_unit) if deaths else np.inf
    if deaths and deaths[0] < facts["alive"] <= latest:
        facts["death"] = facts["alive"]
    if facts["alive"] > latest:
        raise RecordError(
            "something was recorded after death",
            subject=f"patient {record.key}",
            place="labs or events",
            value=facts["alive"],
            allowed=f"times up to {latest:g}, a day after the death",
            next_step="Correct the date of death or retract the later row.",
        )
    seen = sorted(e.time for e in events if e.event == "progression" and e.value.strip().lower() not in SEROLOGICAL)
    assessed = [e.time for e in events if e.event == "assessed" and (not seen or e.time < seen[0])]
    facts["free"] = max(assessed, default=None)
    facts["progressed"] = seen[0] if seen else None
    return facts


def ways_named(model, record) -> tuple[int, int]:
    """Which way to die, and to progress without a rise, the record names: position from 1, 0 where it names none."""
    endpoint = model.progression
    if endpoint is None:
        return 0, 0
    deaths = [e for e in record.events if e.event == "death"]
    seen = [e for e in record.events if e.event == "progression" and e.value.strip().lower() not in SEROLOGICAL]

    def of(events, hazards) -> int:
        way = endpoint.way_of(hazards, min(events, key=lambda e: e.time).value) if events else None
        return 0 if way is None else way + 1

    return of(deaths, endpoint.death_hazards), of(seen, endpoint.progression_hazards)


def informative_labs(model, record) -> list:
    """The labs that the model learns from, in order of time: of its outputs, and not derived from others of them.

    A lab that is not known at any time (`known_time` infinite), only asked for, is none that others are derived from.
    """
    index, known = model.observation_index, [lab for lab in record.labs if lab.output in model.observation_index]
    if not any(model.observations[index[lab.output]].derived_from for lab in known):
        return known

    def derived(lab) -> bool:
        of = model.observations[index[lab.output]]
        near = (o for o in known if o.output in of.derived_from and o.known_time < float("inf"))
        return any(abs(o.time - lab.time) <= of.derived_within for o in near)

    return [lab for lab in known if not derived(lab)]


def compile_record(
    model, record, *, resume_at: float | None = None, resumed: bool = False, sizes=None, finer: int = 1
) -> PatientData:
    """Arrays of a record; with `resume_at` only what came later than that time (the state there is known).

    resumed : that state already contains the doses and treatment starts of `resume_at` itself

    sizes : Sizes to pad to, or as many of its numbers; None for the next bucket
    finer : so many times shorter are the model's fixed steps

    Raises
    ------
    RecordError      the record does not fit into `sizes`, or contradicts itself; names the patient and the size
    """
    check_occasions(model, record)
    known = known_values(model, record)
    start = beginning(record) if resume_at is None else resume_at
    end = max(information_time(record), start)
    labs = [lab for lab in informative_labs(model, record) if resume_at is None or lab.time > resume_at]
    _check_counted(model, record, labs)
    facts, ways = vital_facts(model, record), ways_named(model, record)
    asked = [(lab.time, lab.order if lab.order >= 0 else False) for lab in labs]
    marks = {k: facts[k] for k in ("alive", "death", "free", "progressed")}
    if marks["death"] is not None:
        marks["alive"] = None
    points = {
        k: (t, False) for k, t in marks.items() if t is not None and (t >= start if resume_at is None else t > start)
    }
    timeline, where = build_timeline(
        model,
        record,
        start=start,
        end=end,
        asked=[*asked, *points.values()],
        resumed=resumed,
        finer=finer,
        origin=beginning(record),
    )
    place = dict(zip(points, where[len(asked) :]))
    if sizes is None:
        sizes = Sizes(bucket(len(labs), (32, 128, 512, 2048)), bucket(len(timeline.start)))
    else:
        sizes = Sizes(*(None if size is None else int(size) for size in sizes))
        _check_sizes(model, record, labs, timeline, sizes)
    n = sizes.observations

    def padded(values, dtype):
        return np.concatenate([np.asarray(values, dtype=dtype), np.zeros(n - len(labs), dtype=dtype)])

    ranges = _between(labs)
    started = {name for _, name in treatment_starts(model, record)}
    relevant = np.array([float(c.treatment in started) for c in model.response_classes])
    return PatientData(
        timeline=pad_timeline(timeline, sizes.intervals, sizes.cycles, sizes.jumps),
        index=padded(where[: len(labs)], int),
        output=padded([model.observation_index[lab.output] for lab in labs], int),
        value=padded([lab.value for lab in labs], float),
        censoring=padded([CENSORING[lab.censoring] for lab in labs], int),
        mask=padded(np.ones(len(labs)), float),
        seen=np.zeros(n),
        alive=np.array(
            [
                place.get("death", place.get("alive", 0)),
                float("alive" in place or "death" in place),
                float(marks["death"] is not None),
                ways[0],
            ]
        ),
        other=np.array(
            [
                place.get("free", 0),
                float("free" in place),
                place.get("progressed", 0),
                float("progressed" in place),
                ways[1],
            ]
        ),
        terms=covariate_terms(model, first_covariates(model, record), f"patient {record.key}"),
        classes=class_rows(relevant),
        relevant=relevant,
        changes=covariate_course(model, record, sizes.changes),
        upper=padded([lab.upper or 0.0 for lab in labs], float) if ranges or sizes.ranges else None,
        assay=padded([_assay(model, lab) for lab in labs], int) if model.tells_assays_apart else None,
        known=known,
    )


def _check_counted(model, record, labs) -> None:
    """Raise RecordError for a lab of what is counted or graded that is none of its values, or lies beyond a limit."""
    for k in model.discrete:
        observation = model.observations[k]
        spec = observation.lab_spec
        for lab in (lab for lab in labs if lab.output == observation.output):
            if lab.censoring != "none" or not spec.is_possible(lab.value):
                raise RecordError(
                    "this is no value of what is counted or graded",
                    subject=f"patient {record.key}",
                    place=f"{lab.output} at {lab.time:g}",
                    value=f"{lab.value:g}" + (f", {lab.censoring}-censored" if lab.censoring != "none" else ""),
                    allowed=spec.possible(),
                    next_step="Correct the lab or leave it out.",
                )


def _assay(model, lab) -> int:
    return model.observations[model.observation_index[lab.output]].assay_of(lab)


def _between(labs) -> int:
    """How many labs lie between two limits."""
    return sum(CENSORING[lab.censoring] == BETWEEN for lab in labs)


def _check_sizes(model, record, labs, timeline: Timeline, sizes: Sizes) -> None:
    """Raise RecordError for the first size that is smaller than what the record needs."""
    cycles = 0 if timeline.resets is None else len(timeline.resets.cycles.row)
    jumps = 0 if timeline.moving is None else len(timeline.moving.arrivals.given)
    changes = len({time for time, _, _ in covariate_changes(record, model.acting_covariates)})
    needed = Sizes(len(labs), len(timeline.start), cycles, jumps, changes, _between(labs))
    for name, size, least in zip(Sizes._fields, sizes, needed):
        if size is not None and size < least:
            raise RecordError(
                f"the record does not fit into arrays of this many {name}",
                subject=f"patient {record.key}",
                place="sizes",
                value=size,
                allowed=f"{least} or more",
                next_step="Take the sizes of all records that are stacked (padded_alike).",
            )


def used_sizes(data: PatientData) -> Sizes:
    """What a patient needs, without padding; steady states as they are padded already."""
    line, cycles, jumps = data.timeline, 0, 0
    real = happens(line)
    if line.resets is not None:
        real |= (line.resets.restart > 0) | (line.resets.put > 0)
        cycles = len(line.resets.cycles.row)
    if line.moving is not None:
        real |= np.isfinite(line.moving.order)
        jumps = int(np.isfinite(line.moving.arrivals.order).sum())
    intervals = int(max(np.flatnonzero(real).max(initial=0), data.index.max(initial=0))) + 1
    changes = 0 if data.changes is None else int(np.isfinite(data.changes.times).sum())
    ranges = int((data.censoring == BETWEEN).sum())
    return Sizes(max(int(data.mask.sum()), 1), intervals, cycles, max(jumps, 1), changes, ranges)


def padded_alike(model, records, compiled) -> list[PatientData]:
    """Arrays of several records in the least shape that holds them all, to be stacked.

    compiled : `compile_record` of each, in any shape
    """
    sizes = Sizes(*np.max([used_sizes(data) for data in compiled], axis=0).tolist())
    return [compile_record(model, record, sizes=sizes) for record in records]


def with_seen(data: PatientData, known) -> PatientData:
    """The same data with the labs marked that are learnt already; known : one truth value per lab, in order."""
    known = np.asarray(known, dtype=float)
    return data._replace(seen=np.pad(known, (0, len(data.mask) - len(known))))


def class_rows(relevant) -> np.ndarray:
    """All combinations of responder and non-responder over the treatments that were started, (C, X)."""
    rows = [np.zeros(len(relevant), dtype=int)]
    for k in np.flatnonzero(relevant):
        rows = rows + [row + np.eye(len(relevant), dtype=int)[k] for row in rows]
    return np.array(rows, dtype=int)


def bucket(n: int, sizes=(64, 128, 256, 512, 1024, 2048)) -> int:
    """The next padded size, so that few programs are compiled; without gradients padding costs memory, not time."""
    return next((s for s in sizes if s >= n), n)
