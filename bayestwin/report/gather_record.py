"""What differs between two records of one patient, counted for block 2."""

from dataclasses import dataclass, replace

from bayestwin.prognosis.plan import current_treatment


@dataclass(frozen=True)
class RecordChanges:
    """Labs by what happened to them (late: new, its specimen older than the last report's data cut); the rest in words.

    treatment : "treatment started" or ""; rows : doses, events or covariates that are not as they were
    """

    new: int = 0
    late: int = 0
    corrected: int = 0
    retracted: int = 0
    treatment: str = ""
    rows: int = 0

    def causes(self) -> tuple[tuple[str, str], ...]:
        """(cause of a bridge step, what happened) in fixed order, only what happened."""
        counted = ((self.late, "late"), (self.corrected, "corrected"), (self.retracted, "retracted"))
        amended = ", ".join(f"{number} {word}" for number, word in counted if number)
        rows = f"{self.rows} new or changed {'row' if self.rows == 1 else 'rows'} of doses, events or covariates"
        doses = self.treatment or (rows if self.rows else "")
        labs = f"{self.new} new {'lab' if self.new == 1 else 'labs'}" if self.new else ""
        return tuple((cause, text) for cause, text in (("labs", labs), ("amended", amended), ("doses", doses)) if text)


def lab_name(lab) -> tuple:
    """What names a lab of one patient: its id, else what was measured when."""
    return (lab.lab_id,) if lab.lab_id else (lab.output, lab.time)


def is_changed(old, new) -> bool:
    """True where a lab says another thing than before; when it became known is not looked at."""
    return replace(old, known_time=0.0, status="") != replace(new, known_time=0.0, status="")


def record_changes(model, old, new, *, cut: float, now: float) -> RecordChanges:
    """Differences of two records. cut : data cut of the last report; now : of this one."""
    before, after = ({lab_name(lab): lab for lab in record.labs} for record in (old, new))
    arrived = [lab for name, lab in after.items() if name not in before]
    late = sum(lab.time < cut for lab in arrived)
    started = current_treatment(model, new, now)
    rows = _rows(old) ^ _rows(new)
    return RecordChanges(
        new=len(arrived) - late,
        late=late,
        corrected=sum(name in before and is_changed(before[name], lab) for name, lab in after.items()),
        retracted=len(before.keys() - after.keys()),
        treatment="treatment started" if started and started != current_treatment(model, old, now) else "",
        rows=len({name for name, _ in rows}),
    )


def _rows(record) -> set[tuple]:
    """(name, content) of every dose, event and covariate; when it became known is not looked at."""
    doses = {(("dose", d.time, d.target, d.order), repr(replace(d, known_time=0.0))) for d in record.doses}
    events = {(("event", e.event, e.time), repr(replace(e, known_time=0.0, status=""))) for e in record.events}
    return doses | events | {(("covariate", name), repr(value)) for name, value in record.covariates.items()}
