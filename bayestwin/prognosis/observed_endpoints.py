"""Progression-free survival, time to progression, duration of response and survival of one observed patient.

    PFS  start to progression or death of any cause
    TTP  start to progression; a death without it is censored on its day
    DOR  first PR or better (confirmed) to progression or death of the disease; other deaths are censored (or count)
    DFS  first CR (confirmed) to relapse from it, progression or death
    OS   start to death of any cause; censored when last known alive

and on lines of their own progression by extramedullary disease, and death of infection without progression before it.
Without an event the first four are censored at the last adequate assessment. Conventions that differ between trials
are switches (`Conventions`). Sources and marks: docs/endpoints.md.
"""

from dataclasses import dataclass
from typing import NamedTuple

from bayestwin.errors import RecordError

OUTSIDE = ("extramedullary", "plasmacytoma", "soft tissue", "imaging")
INFECTION = ("infect", "sepsis", "septic", "pneumonia", "covid")
OF_DISEASE = ("progression", "progressive disease", "underlying disease")  # "disease" only as the whole cause


class Event(NamedTuple):
    """Something that ends an endpoint; kind: progression, extramedullary, relapse, death, infection, disease."""

    time: float
    why: str
    kind: str


@dataclass(frozen=True)
class Conventions:
    """What trials decide differently.

    new_therapy : "censor" PFS, TTP, DOR and DFS at the last assessment before a next therapy, or "ignore" it
    missed_visits : censor what is found after so many missed visits of `visit_every`; 0: never
    deaths_end_response : "disease" (deaths of the disease, and those of unknown cause) or "any"
    """

    new_therapy: str = "censor"
    missed_visits: int = 0
    visit_every: float = 28.0
    deaths_end_response: str = "disease"

    def __post_init__(self):
        for name, allowed in (("new_therapy", ("censor", "ignore")), ("deaths_end_response", ("disease", "any"))):
            if getattr(self, name) not in allowed:
                raise RecordError(
                    "this convention is not known", place=name, value=getattr(self, name), allowed=" or ".join(allowed)
                )
        if self.missed_visits < 0 or self.visit_every <= 0:
            raise RecordError(
                "visits cannot be counted like this",
                place="missed_visits, visit_every",
                value=(self.missed_visits, self.visit_every),
                allowed="0 or more visits, and more than 0 between them",
            )


@dataclass(frozen=True)
class TimeToEvent:
    """One endpoint of one patient: from `start` to `time`, an event or censored there (kind ""), and why."""

    name: str
    start: float
    time: float
    kind: str
    reason: str

    @property
    def event(self) -> bool:
        """False where it is censored."""
        return bool(self.kind)

    @property
    def duration(self) -> float:
        """Time from the start, in the model's unit."""
        return self.time - self.start


@dataclass(frozen=True)
class Happened:
    """What the endpoints of one patient are made of.

    adequate : times of assessments that could have told progression; alive : last known alive
    response, complete : times of the first confirmed PR or better and CR or better
    """

    start: float
    adequate: tuple[float, ...] = ()
    progression: Event | None = None
    death: Event | None = None
    relapse: Event | None = None
    alive: float = 0.0
    next_therapy: tuple[float, str] | None = None
    response: float | None = None
    complete: float | None = None


def recorded_progression(record, start: float) -> Event | None:
    """The first progression in the record's events after `start`."""
    found = [e for e in record.events if e.event == "progression" and e.time > start]
    if not found:
        return None
    kind = "extramedullary" if _one_of(found[0].value, OUTSIDE) else "progression"
    return Event(found[0].time, f"progression as recorded ({found[0].value or 'kind not given'})", kind)


def recorded_death(record, disease_words=()) -> Event | None:
    """Death as the record has it, with its cause as kind: infection, disease (or not given) or death."""
    found = [e for e in record.events if e.event == "death"]
    if not found:
        return None
    cause = found[0].value.strip()
    kind = "infection" if _one_of(cause, INFECTION) else "death"
    of_disease = cause.lower() in ("", "disease") or _one_of(cause, (*OF_DISEASE, *disease_words))
    kind = "disease" if of_disease and kind == "death" else kind
    return Event(found[0].time, f"death ({cause or 'cause not given'})", kind)


def died_by(record, now: float) -> bool:
    """True where the record holds a death by `now`: there is nothing to forecast."""
    return any(e.event == "death" and e.time <= now for e in record.events)


def last_known_alive(record, start: float) -> float:
    """The latest time at which something was measured on or known of the living patient.

    Cells that are planned (their time lies after it became known) are no proof of life.
    """
    seen = ("assessed", "progression", "last_known_alive", "imaging", "transfusion")
    seen_once_done = ("leukapheresis", "infusion")
    times = [e.time for e in record.events if e.event in seen]
    times += [e.time for e in record.events if e.event in seen_once_done and e.time <= e.known_time]
    return max([start, *(lab.time for lab in record.labs), *times])


def recorded_assessments(record, start: float) -> tuple[float, ...]:
    """Times after `start` at which the record says that no progression was found."""
    return tuple(e.time for e in record.events if e.event == "assessed" and e.time > start)


def endpoints(found: Happened, rules: Conventions = Conventions()) -> tuple[TimeToEvent, ...]:
    """Every endpoint that the record has a beginning of."""
    worse, death, start = found.progression, found.death, found.start
    pfs = _until("PFS", found, start, (worse, death), rules)
    ended = [pfs, _with_death_as_end("TTP", found, start, (worse,), rules)]
    if found.response is not None:
        counts = death is not None and (rules.deaths_end_response == "any" or death.kind == "disease")
        ended.append(_with_death_as_end("DOR", found, found.response, (worse, death if counts else None), rules))
    if found.complete is not None:
        ended.append(_until("DFS", found, found.complete, (found.relapse, worse, death), rules))
    alive = TimeToEvent("OS", start, max(found.alive, start), "", "last known alive")
    ended.append(alive if death is None else TimeToEvent("OS", start, death.time, death.kind, death.why))
    ended.append(_own_line("extramedullary progression", pfs, "extramedullary"))
    ended.append(_own_line("death of infection", pfs, "infection"))
    return tuple(ended)


def _until(name, found: Happened, start: float, happening, rules: Conventions) -> TimeToEvent:
    """The first of what may happen; the last adequate assessment where that is not known."""
    first = min([e for e in happening if e is not None and e.time >= start], default=None, key=lambda e: e.time)
    limit = found.next_therapy if rules.new_therapy == "censor" else None
    if first is not None and (limit is None or first.time <= limit[0]):
        seen = max([t for t in found.adequate if start < t < first.time], default=start)
        if not _missed(first, seen, rules):
            return TimeToEvent(name, start, first.time, first.kind, first.why)
        return TimeToEvent(name, start, seen, "", f"{rules.missed_visits} or more visits missed before: {first.why}")
    until = float("inf") if limit is None else limit[0]
    seen = max([t for t in found.adequate if start < t <= until], default=start)
    said = "last adequate assessment" if seen > start else "no adequate assessment"
    return TimeToEvent(name, start, seen, "", said + (f" before the next therapy ({limit[1]})" if limit else ""))


def _with_death_as_end(name, found: Happened, start: float, happening, rules: Conventions) -> TimeToEvent:
    """As `_until`; a death that is none of what may happen censors on its day, unless visits were missed before it."""
    ended, death = _until(name, found, start, happening, rules), found.death
    limit = found.next_therapy[0] if found.next_therapy and rules.new_therapy == "censor" else float("inf")
    worse = found.progression is not None and death is not None and found.progression.time <= death.time
    if ended.event or death is None or death.time > limit or worse:
        return ended
    if _missed(death, max([t for t in found.adequate if start < t < death.time], default=start), rules):
        return ended
    return TimeToEvent(name, start, death.time, "", death.why)


def _own_line(name: str, pfs: TimeToEvent, kind: str) -> TimeToEvent:
    """One way to end progression-free survival by itself; another way that came first is no event of this line."""
    if pfs.kind == kind:
        return TimeToEvent(name, pfs.start, pfs.time, pfs.kind, pfs.reason)
    return TimeToEvent(name, pfs.start, pfs.time, "", f"first came: {pfs.reason}" if pfs.event else pfs.reason)


def _missed(event: Event, seen: float, rules: Conventions) -> bool:
    """True where too many scheduled visits lie between the last adequate assessment and the event.

    Progression is found at a visit, so that the visit itself was not missed; a death may come between two.
    """
    steps = (event.time - seen) / rules.visit_every
    missed = int(steps) if event.kind in ("death", "disease", "infection") else round(steps) - 1
    return 0 < rules.missed_visits <= missed


def _one_of(text: str, words) -> bool:
    return any(word in text.lower() for word in words)
