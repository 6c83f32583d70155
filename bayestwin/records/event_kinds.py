"""What kind of row an event table's row is: EVID, or AMT where there is none; and whether both agree."""

from bayestwin.records.cells import whole
from bayestwin.records.refusal import RowRefused
from bayestwin.records.table_censoring import filled
from bayestwin.records.tables import Row

OBSERVATION, DOSE, OTHER, RESET, RESET_AND_DOSE, OLD_DOSE = 0, 1, 2, 3, 4, 101
GIVES = (DOSE, RESET, RESET_AND_DOSE)


def kind_of(row: Row, findings) -> int:
    """EVID as one of 0 to 4; RowRefused where it is not known or contradicts AMT or MDV."""
    evid = whole(row, "evid") if row["evid"] not in ("", ".") else guessed_kind(row)
    if evid not in (OBSERVATION, DOSE, OTHER, RESET, RESET_AND_DOSE, OLD_DOSE):
        raise RowRefused(
            "this kind of row is not known",
            column="evid",
            value=row["evid"],
            allowed="0, 1, 2, 3, 4 or 101",
            next_step="Correct EVID.",
        )
    _agrees(row, evid)
    if evid == OLD_DOSE:
        findings.tally(f"{row.file}: EVID 101, as old files write it, is read as a dose (EVID 1)")
        return DOSE
    return evid


def guessed_kind(row: Row) -> int | None:
    """The kind of row; from AMT where EVID is empty, None where it cannot be read."""
    try:
        if row["evid"] not in ("", "."):
            return whole(row, "evid")
        return DOSE if filled(row, "amt") else OBSERVATION
    except RowRefused:
        return None


def may_be_a_dose(row: Row) -> bool:
    """True unless the row says for certain that nothing was given; a refused row of this kind leaves a dose history
    with a hole."""
    return guessed_kind(row) not in (OBSERVATION, OTHER) or row["amt"].strip("0.") != ""


def _agrees(row: Row, evid: int) -> None:
    """Refuse a row whose EVID, AMT and MDV contradict each other: which one is right is not guessed."""
    if evid in (OBSERVATION, OTHER) and filled(row, "amt"):
        raise RowRefused(
            f"EVID {evid} says that nothing was given, and AMT says how much",
            column="amt",
            value=row["amt"],
            allowed=f"0 or empty where EVID is {evid}",
            next_step="Write EVID 1 if the dose was given, else AMT 0.",
        )
    if filled(row, "mdv") not in (0.0, 1.0):
        raise RowRefused(
            "this MDV is not known",
            column="mdv",
            value=row["mdv"],
            allowed="0 or 1",
            next_step="Write 1 where DV is to be ignored, else 0.",
        )
