"""Labs and doses of one time: which came first, in event tables by their rows, in tidy files by the column `order`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from math import inf, isclose

from bayestwin.dosing import DoseEvent
from bayestwin.records.placing import Placed
from bayestwin.records.record import ClinicalEvent, Lab
from bayestwin.records.refusal import Findings


def settle_ties(
    placed: list[Placed], lagged: Callable[[str], bool] = lambda target: False, earlier: Sequence[DoseEvent] = ()
) -> list[Placed]:
    """Order numbers of labs and doses of one time.

    lagged : True for targets whose doses arrive later by a parameter of the model
    earlier : doses of an earlier record, which may still arrive

    The first dose, or doses in a row, get 0, the next 2 and so on; a lab between them gets the odd number in
    between, a lab before all of them -1. Without a said sequence a lab comes first (a trough): in an event table too,
    where a dose of that time stands in another file. A dose that resets or settles the whole state, and the one after
    it, begin a new number: their order matters. A lab of a tidy file that says a place after the dose stands after all
    doses of its time in the earlier record too, and gets 1 where none is known: an additional or lagged dose may arrive
    then, and a dose may become known later. In an event table a lab at the time of an additional or lagged dose of
    an earlier row is written after it, and gets 0 in the place of -1; so does one after a dose whose lag is a
    parameter, since it might arrive then.
    """
    before = _doses_before(placed)

    def sequence(p: Placed) -> tuple[float, int, int, bool]:
        is_dose, table, row = isinstance(p.body, DoseEvent), p.draft.table, p.draft.row
        if table:
            return (-1.0 if not is_dose and before[id(p)] == 0 else inf, table, row, is_dose)
        said = p.draft.sequence
        return (said if said is not None else 0.0 if is_dose else -1.0, 0, 0, is_dose)

    unique, again = _repeated(placed, before)
    timed = sorted(unique, key=lambda p: (p.body.time, *sequence(p)))
    doses = [*earlier, *(p.body for p in timed if isinstance(p.body, DoseEvent))]
    settled = [p for p in placed if isinstance(p.body, ClinicalEvent)]
    for _, together in groupby(timed, key=lambda p: p.body.time):
        block, after_dose = -1, False
        for p in together:
            is_dose = isinstance(p.body, DoseEvent)
            alone = is_dose and (p.body.reset or p.body.ss > 0)
            if is_dose and (alone or not after_dose):
                block += 1
            after_dose = is_dose and not alone
            order = 2 * block + (0 if is_dose else 1)
            if order < 0 and p.draft.table and _sent_to(p.body.time, doses, lagged):
                order = 0
            if not is_dose and not p.draft.table and (p.draft.sequence or 0) > 0:
                order = max([order, 1, *(d.order + 1 for d in earlier if isclose(d.time, p.body.time, rel_tol=1e-12))])
            for one in (p, *again.get(id(p), ())):
                if not isinstance(one.body, ClinicalEvent):
                    settled.append(replace(one, body=replace(one.body, order=order)))
    return settled


def _doses_before(placed: list[Placed]) -> dict[int, int]:
    """How many doses of its time stand above a row in its own event table, by id."""
    found: dict[int, int] = {}
    given: dict[tuple[int, float], int] = {}
    for p in sorted(placed, key=lambda p: p.draft.row):
        where = p.draft.table, p.body.time
        found[id(p)] = given.get(where, 0)
        given[where] = found[id(p)] + isinstance(p.body, DoseEvent)
    return found


def _repeated(placed: list[Placed], before: dict[int, int]) -> tuple[list[Placed], dict[int, list[Placed]]]:
    """Labs and doses once each, and by the id of such a row those that repeat it in another event table.

    Tables overlap; a lab is repeated where it follows as many doses of its time there, and they must not count twice.
    """
    once: list[Placed] = []
    again: dict[int, list[Placed]] = {}
    first: dict[tuple, Placed] = {}
    for p in sorted(placed, key=lambda p: (p.draft.table, p.draft.row)):
        if isinstance(p.body, ClinicalEvent):
            continue
        what = repr(p.body), None if isinstance(p.body, DoseEvent) else before[id(p)]
        twin = first.setdefault(what, p) if p.draft.table else p
        if twin.draft.table == p.draft.table:
            once.append(p)
        else:
            again.setdefault(id(twin), []).append(p)
    return once, again


def _sent_to(time: float, doses: Sequence[DoseEvent], lagged: Callable[[str], bool]) -> bool:
    """True where an additional or lagged dose of an earlier time arrives at `time`, or might."""
    for dose in doses:
        if dose.time < time and lagged(dose.target):
            return True
        if dose.time < time and (dose.addl or dose.lag):
            if any(isclose(one.time + one.lag, time, rel_tol=1e-12) for one in dose.expanded()):
                return True
    return False


def note_troughs_of_steady_states(rows: Sequence, sources: dict[int, Placed], findings: Findings) -> None:
    """Say which labs stand before a dose with ss = 1 of a tidy file: the steady state begins with that dose.

    rows : bodies as believed now; sources : id of a body -> where it stands, for rows read now
    """
    settling = [r for r in rows if isinstance(r, DoseEvent) and r.ss == 1]
    for lab in (r for r in rows if isinstance(r, Lab) and r.order < 0 and settling):
        for dose in (d for d in settling if isclose(d.time, lab.time, rel_tol=1e-12)):
            new = [p for p in (sources.get(id(lab)), sources.get(id(dose))) if p is not None]
            if new and not any(p.draft.table for p in new):
                findings.tally(
                    "labs at the time of a dose with ss = 1 stand before it and so before the steady state, which "
                    "begins with the dose (a trough of it: write the dose one ii earlier, with ss = 1 and addl = 1; a "
                    "lab after the dose: order = 1)"
                )
