"""What is said to have happened after a death: a day is left to a death known by its date, the rest is refused."""

from collections.abc import Sequence

from bayestwin.dosing import DoseEvent
from bayestwin.records.event_rows import proves_life
from bayestwin.records.placing import Placed
from bayestwin.records.record import ClinicalEvent, Lab
from bayestwin.records.refusal import Findings, RowRefused
from bayestwin.units import convert


def time_of_death(rows: Sequence) -> float | None:
    """When the patient died, None where no row says so."""
    return min((r.time for r in rows if isinstance(r, ClinicalEvent) and r.event == "death"), default=None)


def latest_after_death(death: float, time_unit: str) -> float:
    """Until when something may be said to have happened to one who died: a death known by its date counts from the
    first moment of that day."""
    return death + convert(1.0, "day", time_unit)


def _proves_life(body: Lab | DoseEvent | ClinicalEvent) -> bool:
    return isinstance(body, Lab) or (isinstance(body, ClinicalEvent) and proves_life(body))


def refuse_after_death(
    rows: list, death: float | None, sources: dict[int, Placed], time_unit: str, findings: Findings
) -> list:
    """Drop what is said to have happened more than a day after death.

    rows : bodies as believed now; sources : id of a body -> where it stands, for rows read now
    """
    if death is None:
        return rows
    kept, latest = [], latest_after_death(death, time_unit)
    for body in rows:
        source = sources.get(id(body))
        if source is None or body.time <= latest:
            if source is not None and body.time > death and _proves_life(body):
                findings.tally(
                    "labs and events within a day after the patient's death, which counts from the last of them"
                )
            kept.append(body)
            continue
        findings.refuse(
            source.draft.patient,
            source.draft.file,
            source.draft.row,
            RowRefused(
                "it is said to have happened after the patient's death",
                column="time",
                value=f"{body.time:.6g}",
                allowed=f"up to {latest:.6g}, a day after the death",
                next_step="Correct this time or the time of death.",
            ),
            source.draft.cells,
        )
    return kept
