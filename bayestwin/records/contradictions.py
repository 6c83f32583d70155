"""Versions of a name that are not believed: refused with the row or the reading that says otherwise."""

from collections.abc import Mapping
from math import isclose

from bayestwin.dosing import DoseEvent
from bayestwin.records.chains import RANK, Version, meant_by
from bayestwin.records.names import Body
from bayestwin.records.record import COVARIATE, IN_ROW, ClinicalEvent, Lab, covariate_in
from bayestwin.records.refusal import Findings, RowRefused
from bayestwin.records.same import same

DUPLICATE = "the row is a duplicate"


def refuse(version: Version, reason: str, column: str, allowed: str, next_step: str, findings: Findings) -> None:
    """Set one version aside; a dose so lost leaves a hole, a duplicate does not."""
    if version.placed is None:  # rows of the earlier record were accepted once
        return
    draft, body = version.placed.draft, version.placed.body
    if column == "value" and draft.said is None:
        column = _says(body, draft.cells)
    problem = RowRefused(reason, column=column, allowed=allowed, next_step=next_step)
    findings.refuse(draft.patient, draft.file, draft.row, problem, draft.cells, whole=draft.said is None)
    if isinstance(body, DoseEvent) and reason != DUPLICATE:
        findings.holes[draft.patient] = None


def _says(body: Body, cells: Mapping[str, str]) -> str:
    """The column in which two rows of one name differ."""
    if isinstance(body, DoseEvent):
        return "amount" if "amount" in cells else "amt"
    if isinstance(body, Lab):
        return "value" if "value" in cells else "dv"
    return "time" if body.event == "death" else "value" if cells.get("value") else "event"


def contradicted(v: Version, other: Version, findings: Findings) -> None:
    """Refuse a version that another one of the same known_time contradicts."""
    a, b = v.body, other.body
    if b is None:
        by = f"{other.placed.draft.file} row {other.placed.draft.row}" if other.placed else "the earlier record"
        return refuse(
            v,
            f"{by} withdraws what this row corrects, and nothing says which became known later",
            "status",
            "a correction or a withdrawal at one known_time",
            "It counts as withdrawn. If the corrected value holds, give its row a later known_time.",
            findings,
        )
    if isinstance(a, ClinicalEvent) and isinstance(b, ClinicalEvent) and a.event in (COVARIATE, IN_ROW):
        (name, here), (_, there) = covariate_in(a.value), covariate_in(b.value)
        where = f"{other.placed.draft.file} row {other.placed.draft.row}" if other.placed else "the earlier record"
        return refuse(
            v,
            f"{name} is {here} here and {there} in {where}, at one time",
            v.placed.draft.column if v.placed else "",
            "one value of a covariate at one time",
            "Correct the row that is wrong; a change needs a time of its own, a correction a later known_time.",
            findings,
        )
    if isinstance(a, Lab) and isinstance(b, Lab) and not isclose(a.time, b.time, abs_tol=1e-9):
        return refuse(
            v,
            f"another row gives this lab_id the time {b.time:.6g}, and nothing says which became known later",
            "lab_id",
            "one lab_id per measured value",
            "Give each measurement its own lab_id, or none. If one row corrects the other, say status = corrected or a "
            "later known_time.",
            findings,
        )
    if isinstance(a, Lab) and isinstance(b, Lab) and same(a, b):
        return refuse(
            v,
            "another row of this lab stands on the other side of the doses of its time, and nothing says which became "
            "known later",
            "order",
            "one order per name and known_time",
            "If one corrects the other, give it a later known_time or status = corrected.",
            findings,
        )
    return refuse(
        v,
        "another row says otherwise, and nothing says which became known later",
        "value",
        "one value per name and known_time",
        "If one corrects the other, give it a later known_time or status = corrected"
        + ("; two measurements need two lab_ids." if isinstance(v.body, Lab) else "."),
        findings,
    )


def with_what_is_meant(
    new: dict[str, list[Version]], chains: dict[str, list[Version]], findings: Findings
) -> dict[str, list[Version]]:
    """Corrections and withdrawals of an event under the name of the one that they can mean; a correction that may mean
    a lab or dose at another place of its time, or one of several events, is refused.
    """
    found: dict[str, list[Version]] = {}
    for key, versions in new.items():
        meant = meant_by(key, chains, new)
        if meant and len(meant) == 1 and isinstance(versions[0].placed.body, ClinicalEvent):
            key, meant = meant[0], None
        for v in versions:
            if meant and v.rank == RANK["corrected"]:
                refuse(v, *_UNCLEAR, findings)
            else:
                found.setdefault(key, []).append(v)
    return found


_UNCLEAR = (
    "it corrects something at this time, and which is not said: what is known there stands at another place (order) or "
    "says something else",
    "status",
    "order and value as in the row that it corrects, which it then follows",
    "Withdraw the row that is wrong as it was written (status = retracted), and send the right one without status.",
)
