"""The report of one patient's new twin, beside what was published of the patient before.

Block 2, history and track record come from published reports; of one that rests on another population or model its
number alone is comparable, so that the bridge names the change of version.
"""

import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from bayestwin.errors import StoreError
from bayestwin.evaluation.kept_forecasts import score_kept
from bayestwin.evaluation.predictions import UPPER
from bayestwin.evaluation.scores import coverage
from bayestwin.prognosis import load_prognosis
from bayestwin.report.gather_history import main_row, past_forecast, row_chances
from bayestwin.report.inputs import gather_report_input
from bayestwin.report.model import PastForecast, TrackRecord
from bayestwin.report.write import make_report
from bayestwin.store.outcomes import PUBLISHED, Outcome

WITHHELD = "WITHHELD"
FEWEST = 5  # labs that came after forecasts, before a report says how these held
SCORED = "scored_80"  # fact of an outcome: its new labs, scored by the report before
SAID = ("lab_id", "time", "observed", "limit_flag", UPPER)


def patient_report(twins, twin, prognosis, past, rebuild_damaged, as_of=None):
    """The report in memory, checked, and rows of new labs scored by the forecast before (`_scored_since`).

    past : outcomes of the patient, oldest first; twins : reads stored twins
    """
    basis = twins.basis
    published = [o for o in past if o.status == PUBLISHED]
    before = published[-1] if published else None
    same_basis, last = before is not None and before.basis == basis.name, None
    if before is not None:
        try:
            last = (twins[before.objects["twin"]], _prognosis(twins, before))
        except StoreError:
            if same_basis and not rebuild_damaged:
                raise  # else block 2 has the number of the last report alone
    previous = last if same_basis else None
    since = [] if last is None else _scored_since(*last, twin.record)
    main = main_row(prognosis) if basis.model.progression is not None else None
    history = () if main is None else tuple(_past(o, twin, basis, prognosis, main.plan.name) for o in published)
    inputs = gather_report_input(
        twin,
        prognosis,
        population=basis.population,
        previous=previous,
        history=history,
        report_number=1 + len(published),
        generated=generated_at(),
        as_of=as_of,
        version_changed=before is not None and before.basis != basis.name,
    )
    inside, number = held_so_far(twins, published, twin.record, since)
    return make_report(replace(inputs, track=track_record(inside, number))), since


def withheld_because(document: dict) -> str:
    """Why a report is withheld, in the words of its own reasons, which hold no forecast number."""
    why = [f"{r['code']}: {r['text']}" for r in document["reasons"] if r["severity"] == WITHHELD]
    return f"the report is withheld ({'; '.join(why)})"


def _prognosis(twins, outcome: Outcome):
    with twins.store.files.at_hand(outcome.objects["prognosis"], ".nc") as path:
        return load_prognosis(path, twins.basis.model)


def _scored_since(twin, prognosis, record) -> list[dict]:
    """Labs that came since with what they said (SAID) and whether within the 80 % range of this forecast (`inside`)."""
    seen = {(lab.lab_id, lab.time) for lab in twin.record.labs}
    return [row for row in _scored(prognosis, record) if (row["lab_id"], row["time"]) not in seen]


def _scored(prognosis, record) -> list[dict]:
    rows = score_kept(prognosis, record)
    return [
        {name: row.get(name) for name in SAID} | {"inside": bool(coverage(row["pit"], 0.8)), "output": row["output"]}
        for row in rows
    ]


def _says(row, lab) -> bool:
    """Whether a lab still says what it said when it was scored."""
    return lab.output == row["output"] and (lab.value, lab.censoring, lab.upper) == tuple(row[k] for k in SAID[2:])


def held_so_far(twins, published, record, since=()) -> tuple[int, int]:
    """How many labs of the record lay within the 80 % range of the report before them, and of how many.

    A lab that was corrected since is scored afresh by that report's forecast; one that was retracted does not count.

    published : outcomes with a report, oldest first; since : rows of labs that came after the last of them
    """
    labs = {(lab.lab_id, lab.time): lab for lab in record.labs}
    inside, number = sum(row["inside"] for row in since), len(since)
    for before, outcome in zip((None, *published), published):
        rows = outcome.facts.get(SCORED)
        if rows is None:  # old stores kept their number alone
            held, of = outcome.facts.get("inside_80", outcome.facts.get("held", (0, 0)))  # held: its old name
            inside, number = inside + held, number + of
            continue
        standing = [(row, labs[row["lab_id"], row["time"]]) for row in rows if (row["lab_id"], row["time"]) in labs]
        changed = {(lab.lab_id, lab.time) for row, lab in standing if not _says(row, lab)}
        counted = [row for row, lab in standing if _says(row, lab)]
        if changed and before is not None:
            try:
                afresh = _scored(_prognosis(twins, before), record)
            except StoreError:  # what cannot be scored does not count
                afresh = []
            counted += [row for row in afresh if (row["lab_id"], row["time"]) in changed]
        inside, number = inside + sum(row["inside"] for row in counted), number + len(counted)
    return inside, number


def track_record(inside: int, number: int) -> TrackRecord:
    """How the forecasts of one patient held, with Wilson's 90 % interval; not tested under FEWEST labs."""
    if number < FEWEST:
        return TrackRecord()
    share, z2 = inside / number, 1.6449**2
    centre, half = share + z2 / (2 * number), np.sqrt(z2 * (share * (1 - share) / number + z2 / (4 * number**2)))
    low, high = ((centre + sign * half) / (1 + z2 / number) for sign in (-1, 1))
    return TrackRecord("of this patient", number, share, (float(max(low, 0.0)), float(min(high, 1.0))))


def generated_at() -> str:
    """The time printed on a report: now, or SOURCE_DATE_EPOCH where reports must come out byte for byte the same."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def main_chance(prognosis) -> dict[str, Any]:
    """12-month chance of the row the report speaks of, for lists; of every row, for the history of later reports."""
    row, chances = main_row(prognosis), row_chances(prognosis)
    if row is None or row.plan.name not in chances:
        return {}
    chance, low, high, _ = chances[row.plan.name]
    knowledge = None if low is None else [low, high]
    return {"treatment": row.plan.name, "chance": chance, "knowledge": knowledge, "chances": chances}


def _past(outcome: Outcome, twin, basis, prognosis, treatment: str) -> PastForecast:
    """What an earlier report gave for this treatment; outcomes of old stores kept one row, without its error."""
    facts, same = outcome.facts, outcome.basis == basis.name
    chances = facts.get("chances")
    if chances is None:
        own = [facts.get("chance"), *(facts.get("knowledge") or (None, None)), None]
        chances = {} if facts.get("chance") is None else {facts["treatment"]: own}
    return past_forecast(
        basis.model,
        facts["time"],
        chances,
        treatment,
        twin.record.time_zero,
        version=f"population {outcome.basis[:8]}",
        population_hash=prognosis.population_hash if same else outcome.basis,
        data_hash=outcome.state_hash,
    )
