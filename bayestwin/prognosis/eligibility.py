"""Whether the evidence of a treatment holds for a patient at the time at which it would start.

What counts is what the record says by then: covariates as last said, and what earlier treatments make of them
(`Treatment.sets`, and `Treatment.refractory` where the disease progressed under them or within 60 days of their end,
as recorded or as the model's folder codes it); a plan that lies ahead changes nothing. A rule that counts lines of
therapy adds those begun since the number was last said; a pause (`Treatment.pause`) is none. What is begun between
leukapheresis and the cells bridges to them and is no line; for the cells themselves nothing is that was begun since the
patient set out for the leukapheresis.
"""

from typing import Any, NamedTuple

from bayestwin.dynamics import treatment_starts
from bayestwin.individual import beginning
from bayestwin.prognosis.observed_endpoints import recorded_progression
from bayestwin.prognosis.response import codes_response, response_table
from bayestwin.records.record import said_last
from bayestwin.units import convert

REFRACTORY = 60.0  # days after the end of a treatment within which a progression is one under it: IMWG


def eligibility(model, treatment, record, now: float, *, set_out: float | None = None) -> tuple[str, tuple[str, ...]]:
    """(rules the patient is outside of at `now`, or ""; rules that could not be checked).

    set_out : of cells whose leukapheresis stands in no record, when the patient sets out for it; None: at `now`
    """
    seen, since = said_last(record, now)
    begun = [(time, name) for time, name in treatment_starts(model, record) if time <= now]
    for _, name in begun:
        seen.update(dict(model.treatment(name).sets))
    why = {}
    asked = {rule.covariate for rule in treatment.eligibility}
    for one in refractory_to(model, record, begun, now, asked):
        if one.time >= since.get(one.covariate, beginning(record)):  # what was said later holds
            seen[one.covariate], why[one.covariate] = one.value, one.why
    if treatment.cell_therapy:  # decided when the patient set out for it; what is begun on the way holds the myeloma
        taken = cells_taken(model, record, now)
        set_out = set_out if taken is None else taken - treatment.to_leukapheresis
        begun = [(time, name) for time, name in begun if set_out is None or time < set_out]
    lines = _lines(model, record, begun)
    for rule in treatment.eligibility:
        if rule.counts_lines and isinstance(value := seen.get(rule.covariate), int | float):
            said = since.get(rule.covariate, beginning(record))
            seen[rule.covariate] = value + sum(time >= said for time in lines)
    checks = [(str(rule), rule.check(seen)) for rule in treatment.eligibility]
    rules = zip(treatment.eligibility, checks)
    outside = "; ".join(text + why.get(rule.covariate, "") for rule, (text, ok) in rules if ok is False)
    why_not = f"outside the evidence, which asks for: {outside}" if outside else ""
    return why_not, tuple(text for text, ok in checks if ok is None)


class Refractory(NamedTuple):
    """A covariate as a progression makes it: since when, its value, and in words."""

    covariate: str
    time: float
    value: Any
    why: str


def refractory_to(model, record, begun, now: float, asked) -> list[Refractory]:
    """What progressions by `now` make of the covariates asked for; begun : (time, treatment) of what has started."""
    found = []
    later = [time for time, _ in begun[1:]]
    for (start, name), following in zip(begun, [*later, float("inf")]):
        known = model.treatment(name)
        made = [(covariate, value) for covariate, value in known.refractory if covariate in asked]
        if not made:  # nothing is coded for what no rule asks
            continue
        end = min(following, float("inf") if known.lasts is None else start + known.lasts)
        said, coded = recorded_progression(record, start), None
        if codes_response(model):
            coded = response_table(model, record, start=start).coded.progression
        times = [one.time for one in (said, coded) if one is not None]
        within = end + convert(REFRACTORY, "day", model.time_unit)
        time = min((t for t in times if t <= min(now, within)), default=None)
        if time is not None:
            words = f" (progression under {known.label}, {model.time_unit} {time:g})"
            found += [Refractory(covariate, time, value, words) for covariate, value in made]
    return found


def _lines(model, record, begun) -> list[float]:
    """When lines of therapy began. Cells infused again are no other, a pause is none, nor is what goes on after it
    unless the disease progressed since it was begun, as recorded."""
    found: list[float] = []
    last, since, paused = None, 0.0, False
    for time, name in begun:
        if model.treatment(name).pause:
            paused = True
            continue
        progressed = recorded_progression(record, since) if paused else None
        goes_on = name == last and (progressed is None or progressed.time > time)
        if not goes_on and not _bridges(model, record, time, name):
            found.append(time)
        since = since if goes_on else time
        last, paused = name, False
    return found


def _bridges(model, record, time: float, name: str) -> bool:
    """True for what is begun after a leukapheresis whose cells have not come yet."""
    return not model.treatment(name).cell_therapy and cells_taken(model, record, time) is not None


def cells_taken(model, record, by: float) -> float | None:
    """The last leukapheresis by then whose cells have not come yet; None where no cells are on their way."""
    taken = _last(record, "leukapheresis", by)
    cells = (t for t, n in treatment_starts(model, record) if model.treatment(n).cell_therapy)
    return None if taken is None or any(taken <= t <= by for t in cells) else taken


def _last(record, event: str, by: float) -> float | None:
    """When an event happened last, up to a time."""
    return max((e.time for e in record.events if e.event == event and e.time <= by), default=None)
