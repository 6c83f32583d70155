"""One patient's record: labs, doses and clinical events, each with two clocks.

`time` says when something happened, `known_time` when it became known; both in the model's time unit
from the patient's own time zero. Records are tuples of frozen rows, so that two records can be
compared row by row: an update is the difference between the record a twin has seen and the newer one.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bayestwin.dosing import DoseEvent
from bayestwin.errors import RecordError
from bayestwin.records.first_values import (
    AT_FIRST,
    COVARIATE,
    IN_ROW,
    SAID,
    covariate_in,
    first_values,
    from_beginning,
)
from bayestwin.records.refusal import shown_key


@dataclass(frozen=True)
class Lab:
    """One measured value, in the model's unit.

    censoring : "none", "left" (below `limit`) or "right" (above `limit`); `value` is then the limit; "interval"
        (between `value` and `limit`)
    order : -1 before doses of the same time (a trough, the default), +1 after
    """

    lab_id: str
    output: str
    time: float
    value: float
    known_time: float
    censoring: str = "none"
    limit: float | None = None
    laboratory: str = ""
    product: str = ""
    status: str = "final"
    order: int = -1

    def __post_init__(self):
        if self.censoring == "interval" and not (self.limit is not None and self.value < self.limit):
            raise RecordError(
                "an interval needs a lower end in `value` and a higher one in `limit`",
                subject=f"lab {self.lab_id or self.output}",
                value=f"{self.value} to {self.limit}",
                allowed="value < limit",
            )

    @property
    def upper(self) -> float | None:
        """Upper end of a lab that is known to lie between two limits; its lower end is `value`."""
        return self.limit if self.censoring == "interval" else None

    @property
    def level(self) -> float:
        """The lab as one number: its value or limit, the middle of an interval."""
        return self.value if self.upper is None else 0.5 * (self.value + self.upper)


@dataclass(frozen=True)
class ClinicalEvent:
    """Something that happened: see formats.md, events.csv, for the allowed names."""

    event: str
    time: float
    known_time: float
    value: str = ""
    status: str = "final"


def covariate_event(name: str, value: float | str, event: str = COVARIATE) -> ClinicalEvent:
    """The event of what is said of a covariate, its times left at 0."""
    return ClinicalEvent(event, 0.0, 0.0, f"{name} = {value!r}" if isinstance(value, float) else f"{name} = {value}")


@dataclass(frozen=True)
class Superseded:
    """A row that was believed from its `known_time` until `until`, when it was corrected or withdrawn."""

    row: Lab | DoseEvent | ClinicalEvent
    until: float


@dataclass(frozen=True)
class PatientRecord:
    """All that is known of one patient, under a study key.

    labs, doses, events : sorted by time; retracted rows are already gone, corrections applied
    covariates : name -> number or word at the first record; a missing covariate is absent. What is said of it later are
        events, of which `covariate_changes` gives those that change something
    past : rows once believed and no longer; only `known_at` looks at them, two records that differ
        in nothing else are equal
    """

    key: str
    labs: tuple[Lab, ...] = ()
    doses: tuple[DoseEvent, ...] = ()
    events: tuple[ClinicalEvent, ...] = ()
    covariates: Mapping[str, Any] = field(default_factory=dict)
    time_zero: str = ""
    past: tuple[Superseded, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self):
        object.__setattr__(self, "labs", tuple(sorted(self.labs, key=lambda r: (r.time, r.output, r.lab_id))))
        object.__setattr__(self, "doses", tuple(sorted(self.doses, key=lambda r: (r.time, r.order))))
        object.__setattr__(self, "events", tuple(sorted(self.events, key=lambda r: (r.time, r.event))))
        object.__setattr__(self, "covariates", {name: _plain(value) for name, value in self.covariates.items()})

    def known_at(self, known_time: float) -> "PatientRecord":
        """The record as it stood at `known_time`: later rows are left out, later corrections undone.

        A first value that only a statement gives goes with that statement; patients.csv has no clock.
        """
        believed = [s.row for s in self.past if s.row.known_time <= known_time < s.until]
        believed += [r for r in self.labs if r.known_time <= known_time]
        believed += [r for r in self.doses if r.known_time <= known_time]
        believed += [r for r in self.events if r.known_time <= known_time]
        labs = tuple(r for r in believed if isinstance(r, Lab))
        doses = tuple(r for r in believed if isinstance(r, DoseEvent))
        events = [r for r in believed if isinstance(r, ClinicalEvent) and r.event != AT_FIRST]
        covariates, first, twice = first_values(from_beginning(self), (*labs, *doses), events)
        for name in twice:
            said = covariate_event(name, covariates[name], AT_FIRST)
            events.append(replace(said, time=first, known_time=first))
        return replace(
            self,
            labs=labs,
            doses=doses,
            events=tuple(events),
            covariates=covariates,
            past=tuple(s for s in self.past if s.until <= known_time),
        )

    def with_labs(self, labs) -> "PatientRecord":
        """The same patient with another set of labs, which have no past."""
        return replace(self, labs=tuple(labs), past=tuple(s for s in self.past if not isinstance(s.row, Lab)))

    @property
    def last_time(self) -> float:
        """Time of the newest lab, dose start or event that has happened; 0 for an empty record."""
        times = [r.time for rows in (self.labs, self.doses, self.events) for r in rows]
        return max(times, default=0.0)

    @property
    def data_hash(self) -> str:
        """SHA-256 over every row and covariate, independent of file order; a covariate said again counts once."""
        body = {
            "labs": [asdict(r) for r in self.labs],
            "doses": [_dose_content(r) for r in self.doses],
            "events": [asdict(r) for r in _changing(self)],
            "covariates": {k: self.covariates[k] for k in sorted(self.covariates)},
        }
        return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()


def _plain(value):
    """A number of numpy or jax as one of Python, which the rooms that read covariates tell from words."""
    return value.item() if getattr(value, "shape", None) == () else value


def covariate_changes(record: PatientRecord, names: Iterable[str]) -> list[tuple[float, str, float | str]]:
    """(time, covariate, value from then on) of the covariates named, in order of time; without repetitions."""
    found = ((e.time, *covariate_in(e.value)) for e in record.events if e.event in SAID)
    reached, changes = dict(record.covariates), []
    for time, name, value in sorted((one for one in found if one[1] in names), key=lambda one: one[:2]):
        if reached.get(name) != value:
            changes.append((time, name, value))
        reached[name] = value
    return changes


def said_last(record: PatientRecord, now: float) -> tuple[dict[str, float | str], dict[str, float]]:
    """(covariates as they were said last by a time, when those that were said anew by then were).

    A `covariate` row says something anew though it repeats the value; a column of an event table only where it changes.
    """
    seen, since = dict(record.covariates), {}
    for e in sorted(record.events, key=lambda e: e.time):
        if e.event in SAID and e.time <= now:
            name, value = covariate_in(e.value)
            if e.event == COVARIATE or seen.get(name) != value:
                since[name] = e.time
            seen[name] = value
    return seen, since


def _changing(record: PatientRecord) -> list[ClinicalEvent]:
    """The events, rows of event tables only where they change a covariate, as the change that they are."""
    if not any(e.event in (IN_ROW, AT_FIRST) for e in record.events):
        return list(record.events)
    said = {covariate_in(e.value)[0] for e in record.events if e.event == IN_ROW}
    changes = {(time, name) for time, name, _ in covariate_changes(record, said)}
    kept = [
        replace(e, event=COVARIATE) if e.event == IN_ROW else e
        for e in record.events
        if e.event != AT_FIRST and (e.event != IN_ROW or (e.time, covariate_in(e.value)[0]) in changes)
    ]
    return sorted(kept, key=lambda e: (e.time, e.event, e.value))


def _dose_content(dose: DoseEvent) -> dict[str, Any]:
    """A dose for the hash; what it does not use is left out, so that hashes outlive the language of doses."""
    later = {"rate": 0.0, "lag": 0.0, "bioavailability": 1.0, "reset": False, "modelled": ""}
    return {k: v for k, v in asdict(dose).items() if k not in later or v != later[k]}


@dataclass(frozen=True)
class Cohort:
    """Several patients under distinct study keys, in file order."""

    patients: tuple[PatientRecord, ...]
    name: str = ""

    def __post_init__(self):
        keys = [p.key for p in self.patients]
        twice = sorted({k for k in keys if keys.count(k) > 1})
        if twice:
            raise RecordError(
                "a study key stands for two patients",
                subject=f"patient {shown_key(twice[0])}",
                next_step="Give every patient a key of their own.",
            )

    def __iter__(self) -> Iterator[PatientRecord]:
        return iter(self.patients)

    def __len__(self) -> int:
        return len(self.patients)

    @property
    def keys(self) -> tuple[str, ...]:
        """Study keys in order."""
        return tuple(p.key for p in self.patients)

    def __getitem__(self, key: str) -> PatientRecord:
        for patient in self.patients:
            if patient.key == key:
                return patient
        raise RecordError(
            "no such patient",
            subject=f"patient {shown_key(key)}",
            allowed=f"one of {', '.join(map(shown_key, self.keys[:8]))}",
            next_step="Check the key against patients.csv.",
        )

    @property
    def data_hash(self) -> str:
        """SHA-256 over the patients' hashes."""
        return hashlib.sha256("".join(f"{p.key}:{p.data_hash}" for p in self.patients).encode()).hexdigest()
