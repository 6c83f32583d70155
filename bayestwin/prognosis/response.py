"""Observed response of one patient by the criteria of the model's folder; never a predicted one.

A folder in models/ that holds `endpoints.py` says how response is coded in its disease:

    LABS         output -> LabSpec of every lab the criteria use, besides those the model observes
    COVARIATES   covariate -> levels the criteria know, besides those of the model
    DISEASE      words by which a death of the disease is recorded
    LIFE_TABLE   name of the mortality below which no forecast may fall (life_table.py); optional
    code_record(model, record, start, end, **options) -> CodedRecord
    features(model, record, start) -> tuple of sentences; optional: scores at the start of treatment
    check_criteria(**options): optional; RecordError where an option is unknown or means nothing

`response_table` decides what is coded (from which treatment on, until when), and makes the endpoints.
"""

from dataclasses import dataclass, replace
from math import isfinite

from bayestwin.dynamics import treatment_starts
from bayestwin.errors import ModelError, RecordError
from bayestwin.individual import information_time
from bayestwin.prognosis import observed_endpoints as observed
from bayestwin.prognosis.observed_endpoints import Conventions, Event, Happened, TimeToEvent
from bayestwin.prognosis.table import table
from bayestwin.records.clocks import LONGEST_YEARS
from bayestwin.specification.load import model_part
from bayestwin.units import convert


@dataclass(frozen=True)
class Assessment:
    """One visit: category by the criteria, whether it is confirmed, what it rests on.

    evaluable : the visit shows that there was no progression
    """

    time: float
    category: str
    confirmed: bool
    evaluable: bool
    why: str


@dataclass(frozen=True)
class CodedRecord:
    """What a model's criteria say of one record.

    followed_by, measured_by : what is measurable at baseline, in words and as the names of the markers
    best : deepest confirmed category, "" where none is; times in the model's unit, None where there is none
    """

    assessments: tuple[Assessment, ...]
    followed_by: str
    measured_by: tuple[str, ...] = ()
    best: str = ""
    best_at: float | None = None
    response: float | None = None
    complete: float | None = None
    progression: Event | None = None
    relapse: Event | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ResponseTable:
    """Response and endpoints of one patient under one treatment.

    start, treatment : what is counted from; conventions : how events are censored; features : scores, in words
    """

    patient: str
    time_unit: str
    start: float
    treatment: str
    coded: CodedRecord
    endpoints: tuple[TimeToEvent, ...]
    conventions: Conventions
    features: tuple[str, ...] = ()

    @property
    def assessments(self) -> tuple[Assessment, ...]:
        """Visits since the start, in order of time."""
        return self.coded.assessments

    @property
    def best(self) -> str:
        """Deepest confirmed category, "" where none is confirmed."""
        return self.coded.best

    def endpoint(self, name: str) -> TimeToEvent | None:
        """The endpoint of that name, None where the patient has no beginning of it (DOR without a response)."""
        return next((e for e in self.endpoints if e.name == name), None)

    def to_frame(self):
        """One row per visit (pandas)."""
        return table([{**vars(a), "since_start": a.time - self.start} for a in self.assessments])

    def endpoints_to_frame(self):
        """One row per endpoint (pandas)."""
        return table([{**vars(e), "event": e.event, "duration": e.duration} for e in self.endpoints])

    def __str__(self):
        unit = self.time_unit
        since = f"{self.treatment} on {unit} {self.start:g}" if self.treatment else f"{unit} {self.start:g}"
        lines = [f"Observed response of {self.patient} since {since}, followed by {self.coded.followed_by}"]
        for a in self.assessments:
            sure = "confirmed" if a.confirmed else "not confirmed" if a.evaluable or a.category == "PD" else ""
            lines.append(f"  {unit} {a.time:>5g}  {a.category:<5}{sure:<14}{a.why}".rstrip())
        best = f"{self.best} on {unit} {self.coded.best_at:g}" if self.best else "none confirmed yet"
        lines.append(f"best confirmed response: {best}")
        for e in self.endpoints:
            ends = "event" if e.event else "censored"
            lines.append(f"{e.name}: {e.duration:g} {unit}s, {ends} on {unit} {e.time:g}: {e.reason}")
        lines += [f"note: {note}" for note in self.coded.notes] + list(self.features)
        return "\n".join(lines)


def response_schema(model):
    """What the readers may accept for the coding of response: the model's own labs and those of its criteria."""
    part, schema = _criteria(model), model.record_schema()
    known = {name: (*schema.levels.get(name, ()), *levels) for name, levels in getattr(part, "COVARIATES", {}).items()}
    levels = {**schema.levels, **{name: tuple(dict.fromkeys(each)) for name, each in known.items()}}
    covariates = {**{name: "" for name in known}, **schema.covariates}
    return replace(schema, labs={**part.LABS, **schema.labs}, levels=levels, covariates=covariates)


def response_table(model, record, *, start=None, conventions: Conventions = Conventions(), **criteria) -> ResponseTable:
    """Categories by visit, best confirmed response, and time to each endpoint with its reason.

    Parameters
    ----------
    model : Model             one whose folder holds response criteria
    record : PatientRecord    labs in the model's units, read with `response_schema(model)`
    start : str or float      count from this treatment (its latest start) or this time; None: the latest treatment that
                              is no pause
    conventions : Conventions how a next therapy, missed visits and deaths are counted
    **criteria                options of the model's criteria (myeloma: serum_measurable, mr_plasmacytoma, window)

    Raises
    ------
    ModelError                the model has no criteria
    RecordError               no treatment has started, or not the one named; a time that is none of this record's
    """
    part = _criteria(model)
    starts = _started(model, record)
    time, treatment = _start(model, record, starts, start)
    therapies = [one for one in starts if not model.treatment(one[1]).pause]
    following = next(((t, name) for t, name in therapies if t > time and name != treatment), None)
    until = float("inf") if following is None else following[0]
    coded = part.code_record(model, record, time, until, **criteria)
    whole = coded  # what ends an endpoint and shows that nothing did; response is always that before the next therapy
    if conventions.new_therapy == "ignore" and following is not None:
        whole = part.code_record(model, record, time, float("inf"), **criteria)
    worse, relapse = coded.progression or whole.progression, coded.relapse or whole.relapse
    said = observed.recorded_progression(record, time)
    if said is not None and said.time < min(until, float("inf") if worse is None else worse.time):
        before = part.code_record(model, record, time, said.time, **criteria)  # no response after progression
        known = ("best", "best_at", "response", "complete", "relapse")
        coded, relapse = replace(coded, **{name: getattr(before, name) for name in known}), before.relapse
    seen = [a.time for a in whole.assessments if a.evaluable]
    found = Happened(
        time,
        tuple(sorted({*seen, *observed.recorded_assessments(record, time)})),
        min([e for e in (worse, said) if e is not None], default=None, key=lambda e: e.time),
        observed.recorded_death(record, getattr(part, "DISEASE", ())),
        relapse,
        observed.last_known_alive(record, time),
        following,
        coded.response,
        coded.complete,
    )
    features = part.features(model, record, time) if hasattr(part, "features") else ()
    ended = observed.endpoints(found, conventions)
    return ResponseTable(record.key, model.time_unit, time, treatment, coded, ended, conventions, features)


def check_criteria(model, options) -> None:
    """Refuse options of the model's criteria that it has not, before any record is coded.

    Raises
    ------
    ModelError      the model has no criteria
    RecordError     an option that there is not, or a value that means nothing
    """
    part = _criteria(model)
    if hasattr(part, "check_criteria"):
        part.check_criteria(**options)


def codes_response(model) -> bool:
    """True for a model whose folder holds response criteria."""
    return model_part(model, "endpoints") is not None


def disease_words(model) -> tuple[str, ...]:
    """The words by which the model's folder knows a death of its disease; () where it has no criteria."""
    return tuple(getattr(model_part(model, "endpoints"), "DISEASE", ()))


def inside_levels(model) -> dict[str, tuple[str, ...]]:
    """Covariate -> the levels for which the model is meant, as its folder says; {} where it says nothing."""
    return dict(getattr(model_part(model, "endpoints"), "INSIDE", {}))


def _criteria(model):
    """The part of the model that codes response."""
    part = model_part(model, "endpoints")
    if part is None:
        raise ModelError(
            "this model has no response criteria",
            subject=f"model {model.name}",
            allowed="a model whose folder holds endpoints.py (myeloma_car_t)",
            next_step="See docs/endpoints.md for what such a file says.",
        )
    return part


def _started(model, record) -> list[tuple[float, str]]:
    """Treatment starts without the planned ones: after the newest lab or event, and later than they became known."""
    now = information_time(record)
    done = {(e.time, e.value) for e in record.events if e.time <= max(now, e.known_time)}
    return [start for start in treatment_starts(model, record) if start in done]


def _start(model, record, starts, wanted) -> tuple[float, str]:
    """(time, treatment) that is counted from."""
    if isinstance(wanted, int | float):
        _refuse_no_start(model, record, float(wanted))
        return float(wanted), next((name for t, name in reversed(starts) if t == wanted), "")
    mine = [one for one in starts if wanted in (None, one[1])]
    if wanted is None:  # a pause is no therapy: the response is that to what was given before it
        mine = [one for one in mine if not model.treatment(one[1]).pause] or mine
    if mine:
        return mine[-1]
    raise RecordError(
        "no treatment has started" if wanted is None else "this treatment has not started",
        subject=f"patient {record.key}",
        place="events",
        value=wanted,
        allowed=", ".join(dict.fromkeys(name for _, name in starts)) or "a line_of_therapy or an infusion",
        next_step="Record the start of treatment (a later one than is known yet is a plan), or name a time to count "
        "from.",
    )


def _refuse_no_start(model, record, time: float) -> None:
    """RecordError for a time to count from after which nothing is known, or which lies in no patient's life."""
    if isfinite(time) and abs(time) <= convert(LONGEST_YEARS, "year", model.time_unit) and time <= record.last_time:
        return
    raise RecordError(
        "nothing is known after this time" if time > record.last_time else "this is no time to count from",
        subject=f"patient {record.key}",
        place="start",
        value=time,
        allowed=f"up to {record.last_time:g}, the patient's newest row, within {LONGEST_YEARS} years of time zero",
        next_step="Count from an earlier time." if time > record.last_time else "",
    )
