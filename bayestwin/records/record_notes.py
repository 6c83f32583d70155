"""What is said of whole records once they are read: nothing is refused, and nothing is taken in without a word."""

from bayestwin.labs import OCCASION, RecordSchema
from bayestwin.records import event_rows
from bayestwin.records.record import PatientRecord, covariate_changes
from bayestwin.records.refusal import Findings, shown_cell, shown_key
from bayestwin.units import convert

FOUR_WEEKS = 28.0  # days


def note_products(records: dict[str, PatientRecord], findings: Findings) -> None:
    """Say whose labs name a product that the record never gives: without its infusion nothing dates them."""
    without: dict[str, list[str]] = {}
    for key, record in records.items():
        given = {e.value for e in record.events if e.event in event_rows.STARTS_TREATMENT}
        given |= {d.treatment for d in record.doses}
        for product in dict.fromkeys(lab.product for lab in record.labs if lab.product):
            if product not in given:
                without.setdefault(product, []).append(shown_key(key))
    for product, keys in without.items():
        findings.note(
            f"labs of product {shown_cell(product)} without its infusion in events.csv, so nothing says when it was "
            f"given: {_patients(keys)}."
        )


def note_lines_begun_again(records: dict[str, PatientRecord], findings: Findings) -> None:
    """Say whose line of therapy is begun again while it is in force: it goes on since its first start."""
    found: dict[str, list[str]] = {}
    for key, record in records.items():
        starts = [(e.event, e.value) for e in record.events if e.event in event_rows.STARTS_TREATMENT]
        again = {now[1] for before, now in zip(starts, starts[1:]) if now == before and now[0] == "line_of_therapy"}
        for name in sorted(again):
            found.setdefault(name, []).append(shown_key(key))
    for name, keys in found.items():
        findings.note(
            f"line of therapy {shown_cell(name)} begun again while it is in force, so it goes on since its first start "
            f"(where it was stopped between, say what was begun then, or observation): {_patients(keys)}."
        )


def note_lines_of_cells(records: dict[str, PatientRecord], schema: RecordSchema, findings: Findings) -> None:
    """Say whose line of therapy is a cell product of which no infusion is recorded: nothing was given yet."""
    found: dict[str, list[str]] = {}
    for key, record in records.items():
        given = {e.value for e in record.events if e.event == "infusion"}
        lines = dict.fromkeys(e.value for e in record.events if e.event == "line_of_therapy")
        for name in lines:
            if name in schema.infused and name not in given:
                found.setdefault(name, []).append(shown_key(key))
    for name, keys in found.items():
        findings.note(
            f"line of therapy {shown_cell(name)} without its infusion, with which cells begin, so it counts as not "
            f"given: {_patients(keys)}."
        )


def note_cells_twice(records: dict[str, PatientRecord], time_unit: str, findings: Findings) -> None:
    """Say who was infused twice with one product within four weeks: more likely one infusion under two dates."""
    within, keys = convert(FOUR_WEEKS, "day", time_unit), []
    for key, record in records.items():
        given = sorted((e.value, e.time) for e in record.events if e.event == "infusion")
        if any(a == b and t - s < within for (a, s), (b, t) in zip(given, given[1:])):
            keys.append(shown_key(key))
    if keys:
        findings.note(
            "one product infused twice within four weeks, taken as two infusions (if one date corrects the other, "
            f"retract the wrong row): {_patients(keys)}."
        )


def note_starts_together(records: dict[str, PatientRecord], schema: RecordSchema, findings: Findings) -> None:
    """Say who begins two treatments at one time: a pause comes first and cells last, so that these hold."""
    keys = []
    for key, record in records.items():
        begun = (e for e in record.events if e.event == "infusion" or e.event == "line_of_therapy")
        starts = {(e.time, e.value) for e in begun if (e.event == "infusion") == (e.value in schema.infused)}
        if len({time for time, _ in starts}) < len(starts):
            keys.append(shown_key(key))
    if keys:
        findings.note(
            "two treatments begin at one time: the line of therapy is taken as the first and the infusion of cells, "
            "which then holds, as the second (if it was the other way round, give the line a later time): "
            f"{_patients(keys)}."
        )


def note_never_said(records: dict[str, PatientRecord], schema: RecordSchema, findings: Findings) -> None:
    """Say of how many patients nothing says a covariate that acts on a parameter, and what is taken instead."""
    instead: dict[str, dict[str, int]] = {
        "integrated over the model's distribution": {},
        "as on the average of patients": {},
        "at the model's reference": {},
    }
    over, average, reference = instead.values()
    for record in records.values():
        said = {*record.covariates, *(name for _, name, _ in covariate_changes(record, schema.effects))}
        for name in (name for name in schema.effects if name not in said):
            counted = over if name in schema.distributed else average if name in schema.averaged else reference
            counted[name] = counted.get(name, 0) + 1
    for words, counts in instead.items():
        named = {f"{name} (which is 1)" if name == OCCASION else name: count for name, count in counts.items()}
        each = ", ".join(f"{name} ({count} of {len(records)} patients)" for name, count in named.items())
        if each:
            findings.note(f"not said, so {words}: {each}.")


def _patients(keys: list[str]) -> str:
    """The first eight keys, and how many more there are."""
    more = f" and {len(keys) - 8} more" if len(keys) > 8 else ""
    return f"patient{'s' * (len(keys) > 1)} {', '.join(keys[:8])}{more}"
