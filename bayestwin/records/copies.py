"""Rows of event tables that share kind and time: which speak of one dose or lab, and which of two.

An event table names its rows by nothing but what they say, so two different doses of one time are two doses, and an
equal row is the same one again, in whichever of the tables it stands. All tables of a reading count as one; rows of an
earlier record are recognised by what they say. Where the record holds a row at that time which the tables leave out, a
row that says otherwise contradicts it: it may be the same dose corrected, and which is right is not guessed.
Doses of tidy files that a column `order` tells apart are recognised in the same way.
"""

from collections.abc import Iterable
from dataclasses import replace

from bayestwin.dosing import DoseEvent
from bayestwin.records.event_doses import overlapping_resets
from bayestwin.records.names import Body, named_by_time, own_name
from bayestwin.records.placing import Placed
from bayestwin.records.record import Lab, PatientRecord
from bayestwin.records.refusal import Findings, RowRefused
from bayestwin.records.same import same
from bayestwin.records.tables import Row


def with_copies(placed: Iterable[Placed], base: PatientRecord | None, routes, findings: Findings) -> list[Placed]:
    """Rows of event tables with their number among those of one kind and time; a second reset of a time is refused."""
    groups: dict[str, list[Placed]] = {}
    tidy: dict[str, list[Placed]] = {}
    found = []
    for p in _one_reset(list(placed), base, findings):
        if p.draft.table and isinstance(p.body, Lab | DoseEvent):
            groups.setdefault(own_name(p.body, 1, routes), []).append(p)
        elif isinstance(p.body, DoseEvent):
            tidy.setdefault(own_name(p.body, 1, routes), []).append(p)
        else:
            found.append(p)
    earlier = _copies_of(base, routes)
    for name, group in groups.items():
        found += _numbered(group, earlier.get(name, {}))
    for name, group in tidy.items():
        found += _as_before(group, earlier.get(name, {}), findings)
    return found


def _as_before(group: list[Placed], known: dict[int, Body], findings: Findings) -> list[Placed]:
    """Doses of tidy files of one compartment and time, told apart by `order`, with their numbers in the earlier record.

    The record keeps their sequence and not the column, so they are recognised by what they say. A row without `order`
    speaks of the first dose left, a correction or withdrawal of the only one left; another value that became known
    later may be either a correction or another dose, and is refused.
    """
    copies: dict[int, list[Placed]] = {}
    for p in group:
        copies.setdefault(p.draft.copy, []).append(p)
    if not known or (len(known) == 1 and set(copies) == {1}):
        return group
    numbers: dict[int, int] = {}
    for copy, rows in sorted(copies.items()):
        free = (n for n in known if n not in numbers.values())
        said = next((n for n in free if any(same(p.body, known[n]) for p in rows)), 0)
        if said:
            numbers[copy] = said
    found = []
    for copy, rows in sorted(copies.items()):
        left = [n for n in known if n not in numbers.values()]
        new = max([*known, *numbers.values()]) + 1
        if copy not in numbers and copy > 1 and left and _may_correct(rows, [known[n] for n in left]):
            for p in rows:
                _refuse_unclear(p, findings)
            continue
        speaks_of_known = copy == 1 or any(p.draft.status != "final" for p in rows)
        number = numbers.setdefault(copy, left[0] if left and speaks_of_known else new)
        found += [replace(p, draft=replace(p.draft, copy=number)) for p in rows]
    return found


def _may_correct(rows: list[Placed], left: list[Body]) -> bool:
    """True where nothing says whether rows correct a dose of the earlier record, and which, or are another dose."""
    if any(p.draft.status != "final" for p in rows):
        return len(left) > 1
    return any(p.known > dose.known_time + 1e-9 for p in rows for dose in left)


def _refuse_unclear(p: Placed, findings: Findings) -> None:
    draft = p.draft
    problem = RowRefused(
        "the earlier record has another dose into this compartment at this time, and whether this row corrects it is "
        "not said",
        column="order",
        allowed="status = corrected or retracted where one dose is meant, or all doses of this time in one file",
        next_step="Say status = corrected, or send the other doses of this time too.",
    )
    findings.refuse(draft.patient, draft.file, draft.row, problem, draft.cells)
    findings.holes[draft.patient] = None


def _copies_of(base: PatientRecord | None, routes) -> dict[str, dict[int, Body]]:
    """Name without number -> number -> row of the earlier record."""
    found: dict[str, dict[int, Body]] = {}
    if base is None:
        return found
    for dose in base.doses:
        mine = found.setdefault(own_name(dose, 1, routes), {})
        mine[len(mine) + 1] = dose
    for lab in base.labs:
        if named_by_time(lab):
            name, _, number = lab.lab_id.rpartition("#") if "#" in lab.lab_id else (lab.lab_id, "", "1")
            found.setdefault(name, {})[int(number)] = lab
    return found


def _numbered(group: list[Placed], known: dict[int, Body]) -> list[Placed]:
    """Each row of one name with its number; known : number -> row of the earlier record."""
    if len(group) == 1 and not known:
        return group
    said = dict(known)
    numbers: list[int] = [0] * len(group)
    for exactly in (True, False):  # what stands at the same place among the rows of its time goes first
        for k, p in enumerate(group):
            free = {n: one for n, one in known.items() if exactly or n not in numbers}
            if not numbers[k]:
                numbers[k] = next((n for n, one in free.items() if _equal(p.body, one, exactly)), 0)
    for k, p in enumerate(group):
        if not numbers[k]:
            mine = [n for j, n in enumerate(numbers) if n and j != k and _equal(group[j].body, p.body, True)]
            left_out = [n for n in known if n not in numbers]
            numbers[k] = [*mine, *left_out, max(said, default=0) + 1][0]
            said.setdefault(numbers[k], p.body)
    return [replace(p, draft=replace(p.draft, copy=n)) for p, n in zip(group, numbers)]


def _equal(a: Body, b: Body, exactly: bool) -> bool:
    """The same value; `exactly`: and, of a lab, at the same place among the doses of its time."""
    placed_alike = not (exactly and isinstance(a, Lab) and isinstance(b, Lab)) or a.order == b.order
    return same(a, b) and placed_alike


def _one_reset(placed: list[Placed], base: PatientRecord | None, findings: Findings) -> list[Placed]:
    """Without the resets that overlap another one of their time."""
    resets = {round(d.time, 9): d for d in (base.doses if base is not None else ()) if d.reset}
    kept = []
    for p in placed:
        if p.draft.table and isinstance(p.body, DoseEvent) and p.body.reset:
            first = resets.setdefault(round(p.body.time, 9), p.body)
            if first is not p.body and not (same(first, p.body) and first.target == p.body.target):
                draft = p.draft
                row = Row(draft.file, draft.row, dict(draft.cells))
                findings.refuse(draft.patient, draft.file, draft.row, overlapping_resets(row), draft.cells)
                findings.holes[draft.patient] = None
                continue
        kept.append(p)
    return kept
