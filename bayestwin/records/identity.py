"""Which rows are believed: duplicates, corrections, withdrawals, contradictions.

Versions of one name form a chain in the order in which they became known: the same value again is a duplicate (in
another file of the same reading it is known already), another value that became known later a correction, `retracted`
a withdrawal. Two values that became known together contradict each other, and both are refused: which is right is not
guessed. A correction and a withdrawal that became known together agree that the earlier value is wrong: it goes, and
the correction is refused.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import isclose

from bayestwin.records.chains import RANK, Version, chains_of
from bayestwin.records.contradictions import DUPLICATE, contradicted, refuse, with_what_is_meant
from bayestwin.records.names import Body, own_name, with_clear_names
from bayestwin.records.placing import Placed
from bayestwin.records.record import COVARIATE, IN_ROW, ClinicalEvent, Lab, PatientRecord, Superseded, covariate_in
from bayestwin.records.refusal import Findings
from bayestwin.records.same import same

# Of rows, to a snapshot: labs, doses, events, changes of covariates, one covariate in the rows of event tables
Kind = type | str | tuple[str, str]


@dataclass
class Believed:
    """What one patient's rows come to. rows : believed now; past : believed once; unchanged : known already; absent :
    withdrawn since a snapshot lacks them"""

    rows: list[Body] = field(default_factory=list)
    past: list[Superseded] = field(default_factory=list)
    sources: dict[int, Placed] = field(default_factory=dict)
    unchanged: int = 0
    absent: list[Body] = field(default_factory=list)


def believe(
    placed: Iterable[Placed],
    base: PatientRecord | None,
    snapshot_of: Mapping[Kind, float],
    routes,
    findings: Findings,
    held: Collection[Kind] = (),
) -> Believed:
    """Current and past rows of one patient.

    base : the record these rows are put onto, if any
    snapshot_of : kind of row -> known_time from which a row absent here is withdrawn; held : kinds of which a row was
        refused, so that nothing is withdrawn
    """
    result, chains = Believed(), chains_of(base, routes)
    placed, aside = list(placed), set(findings.set_aside)
    file_chains: dict[str, list[Version]] = {}
    earlier = [v.body for chain in chains.values() for v in chain if isinstance(v.body, Lab)]
    for p in with_clear_names(placed, earlier, findings):
        body = p.body
        if isinstance(body, Lab) and body.lab_id:
            name = body.lab_id
        else:
            name = own_name(body, p.draft.copy, routes)
            body = replace(body, lab_id=name) if isinstance(body, Lab) else body
        key = f"lab {name}" if isinstance(body, Lab) else name
        p = p if body is p.body else replace(p, body=body)
        version = Version(p.known, None if p.draft.status == "retracted" else body, p, RANK[p.draft.status])
        kind = _kind(body)
        if isinstance(kind, tuple) and kind in snapshot_of and key in chains:
            version = _instead(version, snapshot_of[kind])
        file_chains.setdefault(key, []).append(version)
    file_chains = with_what_is_meant(file_chains, chains, findings)
    unclear = findings.set_aside - aside
    held = {*held, *(_kind(p.body) for p in placed if (p.draft.file, p.draft.row) in unclear)}
    for key, versions in chains.items():
        known = next((_kind(v.body) for v in versions if v.body is not None), None)
        if known in snapshot_of and key not in file_chains and versions[-1].body is not None:
            if known in held:
                findings.tally(
                    "rows of the earlier record that are absent from the snapshot were kept, since rows of their "
                    "patient and kind were refused and may be these"
                )
                continue
            result.absent.append(versions[-1].body)
            versions.append(Version(snapshot_of[known], None))
            findings.tally("rows of the earlier record that are absent from the snapshot were withdrawn")
    for key in [*chains, *(k for k in file_chains if k not in chains)]:
        _follow(chains.get(key, []), file_chains.get(key, []), result, findings)
    return result


def _instead(v: Version, since: float) -> Version:
    """What a snapshot says of a covariate takes the place of what was said at that time: its rows have one clock."""
    known = max(v.known, since)
    return replace(v, known=known, body=replace(v.body, known_time=known) if v.body else None, rank=RANK["corrected"])


def _kind(row: Body) -> Kind:
    if isinstance(row, ClinicalEvent) and row.event == IN_ROW:
        return IN_ROW, covariate_in(row.value)[0]
    return COVARIATE if isinstance(row, ClinicalEvent) and row.event == COVARIATE else type(row)


def _follow(before: list[Version], new: list[Version], result: Believed, findings: Findings) -> None:
    """Walk the versions of one name in the order in which they became known."""
    new = _dated_last(before, new)
    fresh = [v for v in new if not _known_already(v, before)]
    result.unchanged += sum(_counts(v) for v in new) - sum(_counts(v) for v in fresh)
    steps = [v for v in fresh if not any(_rivals(v, w) for w in (*before, *fresh))]
    for v in fresh:
        if v not in steps:
            contradicted(v, next(w for w in (*before, *fresh) if _rivals(v, w)), findings)
    current: Version | None = None
    said_by: set[str] = set()  # files of this reading that say what is believed
    for v in sorted((*before, *steps), key=_in_order):
        body, believed = v.body, current.body if current else None
        if body is None and believed is None:
            refuse(
                v,
                "there is nothing to withdraw",
                "status",
                "a row that was known before",
                "Check name and time of the row that is meant.",
                findings,
            )
            continue
        if body is not None and believed is not None and _same(v, believed):
            if v.placed and v.placed.draft.file not in said_by:  # files that overlap are no mistake
                said_by.add(v.placed.draft.file)
                result.unchanged += _counts(v)
                continue
            refuse(
                v,
                DUPLICATE,
                "value",
                "each row once",
                "Remove it; two equal measurements of one time need two lab_ids.",
                findings,
            )
            continue
        # One withdrawn the moment it became known is kept too: sent again without its withdrawal it stays withdrawn.
        if believed is not None and (v.known > believed.known_time or body is None):
            result.past.append(Superseded(believed, v.known))
            if body is not None:
                _note_moved(v, current, findings)
        current = v if body is not None else None
        said_by = {v.placed.draft.file} if v.placed else set()
    if current is not None and current.body is not None:
        result.rows.append(current.body)
        if current.placed:
            result.sources[id(current.body)] = current.placed


def _counts(v: Version) -> int:
    """1 for a version that is a row, 0 for what a row says beside its dose or lab."""
    return int(v.placed is None or v.placed.draft.said is None)


def _rivals(v: Version, w: Version) -> bool:
    """True if `v` contradicts `w`: other value, known at the same time, and no status that puts one after the other;
    or a correction of what `w` withdraws at that time.

    Two deaths at different times, neither with a known_time, do so too: that the later one became known later would
    be read from the very thing they disagree on. (Of one lab_id the later time is a correction, and noted.)
    """
    if w is v or v.body is None:
        return False
    if w.body is None:
        corrects = v.placed is not None and v.placed.draft.status == "corrected"
        return corrects and isclose(v.known, w.known, abs_tol=1e-9)
    if not isclose(v.known, w.known, abs_tol=1e-9) and not (_undated_death(v) and _undated_death(w)):
        return False
    return (v.rank == w.rank or (w.placed is None and v.rank == 0)) and not _same(v, w.body)


def _undated_death(v: Version) -> bool:
    """True for a death of which nothing says when it became known."""
    return isinstance(v.body, ClinicalEvent) and v.body.event == "death" and _undated(v)


def _undated(v: Version) -> bool:
    return v.placed.draft.known is None if v.placed else isclose(v.known, v.body.time, abs_tol=1e-9)


def _note_moved(v: Version, current: Version, findings: Findings) -> None:
    """Say that a lab_id used again at another time took an earlier lab away, where nobody declared a correction."""
    a, b = current.body, v.body
    moved = isinstance(a, Lab) and isinstance(b, Lab) and not isclose(a.time, b.time, abs_tol=1e-9)
    if moved and v.placed and v.placed.draft.status == "final" and _undated(v) and _undated(current):
        findings.tally(
            f"{v.placed.draft.file}: a lab_id is given again at another time, without known_time and status, which is "
            "read as a correction of the earlier row; two measurements need two lab_ids"
        )


def _in_order(v: Version) -> tuple:
    """As they became known; equal ones by content, so that file order does not matter."""
    return v.known, v.rank, repr(v.body), v.placed.draft.row if v.placed else 0


def _dated_last(before: list[Version], new: list[Version]) -> list[Version]:
    """A correction or withdrawal without known_time became known no earlier than what it speaks of: a correction of the
    value first reported, a withdrawal of any."""
    values = [v for v in (*before, *new) if v.body is not None]
    result = []
    for v in new:
        latest = max((w.known for w in values if w.rank <= 0 or v.body is None), default=float("-inf"))
        if v.rank > 0 and v.placed and v.placed.draft.known is None and v.known < latest:
            v = replace(v, known=latest, body=replace(v.body, known_time=latest) if v.body else None)
        result.append(v)
    return result


def _same(v: Version, body: Body) -> bool:
    """The same value, and of a row that says its `order` the same side of the doses of its time."""
    said = v.placed.draft.sequence if v.placed and not v.placed.draft.table else None
    if said is not None and isinstance(body, Lab) and (said > 0) != (body.order > 0):
        return False
    return same(v.body, body)


def _known_already(v: Version, before: list[Version]) -> bool:
    """True if the earlier record holds this version."""
    if not before:
        return False
    if v.body is None:
        return before[-1].body is None
    if before[-1].body is not None and _same(v, before[-1].body):
        return True
    return any(w.body is not None and _same(v, w.body) and isclose(v.known, w.known, abs_tol=1e-9) for w in before)
