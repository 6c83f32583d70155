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
from bayestwin.evaluation.scores import coverage
from bayestwin.prognosis import load_prognosis
from bayestwin.report.gather_history import main_row, past_forecast, row_chances
from bayestwin.report.inputs import gather_report_input
from bayestwin.report.model import PastForecast, TrackRecord
from bayestwin.report.write import make_report
from bayestwin.store.outcomes import PUBLISHED, Outcome

WITHHELD = "WITHHELD"
FEWEST = 5  # labs that came after forecasts, before a report says how these held


def patient_report(twins, twin, prognosis, past, rebuild_damaged, as_of=None):
    """The report in memory, checked, and (inside, n): new labs within the 80 % range of the forecast before.

    past : outcomes of the patient, oldest first; twins : reads stored twins
    """
    basis = twins.basis
    published = [o for o in past if o.status == PUBLISHED]
    before = published[-1] if published else None
    previous = None
    if before is not None and before.basis == basis.name:
        try:
            with twins.store.files.at_hand(before.objects["prognosis"], ".nc") as path:
                previous = (twins[before.objects["twin"]], load_prognosis(path, basis.model))
        except StoreError:
            if not rebuild_damaged:
                raise  # else block 2 has the number of the last report alone
    since = (0, 0) if previous is None else _inside_80(*previous, twin.record)
    counts = [since, *(o.facts.get("inside_80", o.facts.get("held", (0, 0))) for o in published)]  # held: its old name
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
    inside, number = (sum(column) for column in zip(*counts))
    return make_report(replace(inputs, track=track_record(inside, number))), list(since)


def withheld_because(document: dict) -> str:
    """Why a report is withheld, in the words of its own reasons, which hold no forecast number."""
    why = [f"{r['code']}: {r['text']}" for r in document["reasons"] if r["severity"] == WITHHELD]
    return f"the report is withheld ({'; '.join(why)})"


def _inside_80(twin, prognosis, record) -> tuple[int, int]:
    """How many labs that came since lie within the 80 % range of this forecast, and of how many."""
    seen = {(lab.lab_id, lab.time) for lab in twin.record.labs}
    rows = [row for row in score_kept(prognosis, record) if (row["lab_id"], row["time"]) not in seen]
    return int(coverage([row["pit"] for row in rows], 0.8).sum()), len(rows)


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
