"""The name of a row: what makes two rows speak of the same lab, dose or event.

A lab is named by its lab_id, else by output and time; a dose by compartment and time; an event by its name and
time, and where there may be several at once (`SEVERAL`) its value; a death by being one.
"""

from bayestwin.dosing import DoseEvent
from bayestwin.records.placing import Placed
from bayestwin.records.record import COVARIATE, IN_ROW, ClinicalEvent, Lab, covariate_in
from bayestwin.records.refusal import Findings, RowRefused

Body = Lab | DoseEvent | ClinicalEvent
SEVERAL = ("progression", "imaging", "transfusion", "other")  # events of which one moment may hold two, told by value


def own_name(body: Body, copy: int, routes) -> str:
    """The name of a row that brings none."""
    again = f"#{copy}" if copy > 1 else ""
    if isinstance(body, Lab):
        return f"{body.output}@{body.time:.9g}{again}"
    if isinstance(body, DoseEvent):
        return f"dose {routes.get(body.target, body.target)}@{body.time:.9g}{again}"
    if body.event == "death":
        return "death"
    if body.event in (COVARIATE, IN_ROW):
        return f"covariate {covariate_in(body.value)[0]}@{body.time:.9g}"
    many = body.value if body.event in SEVERAL else ""
    return f"event {body.event}@{body.time:.9g} {many}"


def spoken(body: Body) -> str:
    """What messages call a row: what it is and when, never its value."""
    what = body.output if isinstance(body, Lab) else "dose" if isinstance(body, DoseEvent) else body.event
    return f"{what} at {body.time:g}"


def with_clear_names(placed: list[Placed], earlier: list[Lab], findings: Findings) -> list[Placed]:
    """Rows whose name says one thing only; labs with an ambiguous one are refused."""
    now = [p.body for p in placed if isinstance(p.body, Lab) and p.draft.status != "retracted"]
    outputs: dict[str, set[str]] = {}
    named_at = set()
    for one in (*earlier, *now):
        if one.lab_id:
            outputs.setdefault(one.lab_id, set()).add(one.output)
            if not named_by_time(one):
                named_at.add(_where(one))
    before = {lab.lab_id for lab in earlier}
    unnamed_before = {_where(lab) for lab in earlier if named_by_time(lab)}
    clear = []
    for p in placed:
        lab, problem = p.body, None
        if not isinstance(lab, Lab):
            clear.append(p)
            continue
        if lab.lab_id and len(outputs.get(lab.lab_id, ())) > 1:
            problem = RowRefused(
                "one lab_id stands for two outputs",
                column="lab_id",
                value=lab.lab_id,
                allowed="one lab_id per measured value",
                next_step="Give each value its own lab_id (specimen and output, say), or none.",
            )
        elif not lab.lab_id and _where(lab) in named_at:
            problem = RowRefused(
                "another row gives this output and time a lab_id; whether both are one measurement is not said",
                column="lab_id",
                allowed="a lab_id",
                next_step="Say the lab_id in that row.",
            )
        elif lab.lab_id and lab.lab_id not in before and _where(lab) in unnamed_before:
            problem = RowRefused(
                "the earlier record has this output and time without a lab_id",
                column="lab_id",
                value=lab.lab_id,
                allowed="no lab_id, as before",
                next_step="Leave lab_id empty, or withdraw the earlier row first.",
            )
        if problem:
            findings.refuse(p.draft.patient, p.draft.file, p.draft.row, problem, p.draft.cells)
        else:
            clear.append(p)
    return clear


def _where(lab: Lab) -> tuple[str, float]:
    return lab.output, round(lab.time, 9)


def named_by_time(lab: Lab) -> bool:
    """True for the names that `own_name` gives."""
    return lab.lab_id.partition("#")[0] == own_name(lab, 1, {})
