"""From a twin and its prognosis to a `ReportInput` of plain values.

With the `gather_*` modules beside it the only place of this room that reaches into lower ones.
"""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime

from bayestwin.errors import StoreError
from bayestwin.prognosis.courses import is_followed
from bayestwin.records.clocks import parse_as_of
from bayestwin.records.refusal import shown_key
from bayestwin.report import model as page
from bayestwin.report.gather_change import change_since
from bayestwin.report.gather_clock import clock_entry, day_text
from bayestwin.report.gather_data import course_events, lab_ledger, output_entry, refused_entry
from bayestwin.report.gather_forecasts import assumption_lines, comparison_entries, treatment_entry
from bayestwin.report.gather_patient import model_facts, numerical_check, patient_entry

__all__ = ["day_text", "gather_report_input"]


def gather_report_input(
    twin,
    prognosis,
    *,
    population=None,
    previous=None,
    refusals=(),
    history=(),
    report_number=1,
    generated=None,
    as_of=None,
    supersedes="",
    version_changed=False,
) -> page.ReportInput:
    """Everything one report needs, as plain values.

    Parameters
    ----------
    twin, prognosis : the patient's twin and the forecast made from it
    population : PopulationPosterior for the convergence figures, or None
    previous : (twin, prognosis) of the last report, for block 2; None for a first report
    refusals : refused rows beside those the twin has noted
    history : past forecasts of the main row (page.PastForecast, see gather_history), oldest first
    generated : ISO UTC time of the report, default now
    as_of : day (ISO text, date or datetime) on which it is to be read, of a record with dates: how old its labs are
        then; default the day of `generated`. A retrospective report of an old record needs it.
    version_changed : the last report, of which nothing else is at hand, was of another model or population
    """
    _belong_together(twin, prognosis)
    as_of = "" if as_of is None else parse_as_of(as_of).date().isoformat()
    model, record, now = twin.model, twin.record, prognosis.now
    generated = generated or datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    seeds = (("twin", twin.random_seed), ("forecast", prognosis.random_seed))
    identity = json.dumps(
        [twin.record.data_hash, model.hash, twin.population_hash, seeds, prognosis.names, report_number]
    )
    endpoint, change = model.progression, change_since(twin, prognosis, previous, history)
    return page.ReportInput(
        identity=hashlib.sha256(identity.encode()).hexdigest(),
        report_number=report_number,
        supersedes=supersedes,
        clock=clock_entry(twin, prognosis, generated, as_of),
        patient=patient_entry(twin, now),
        model=model_facts(twin, population, seeds),
        numbers=numerical_check(twin, population, prognosis),
        outputs=tuple(
            output_entry(model, record, o, now) for o in model.observations if is_followed(model, record, o.output)
        ),
        labs=lab_ledger(twin, previous),
        events=course_events(model, record, now),
        refused=tuple(refused_entry(r) for r in twin.with_refusals(refusals).refusals),
        treatments=tuple(treatment_entry(prognosis, row, model, record) for row in prognosis.rows),
        comparisons=comparison_entries(prognosis, previous) if endpoint is not None else (),
        endpoint="progression or death" if endpoint is not None else "",
        endpoint_reason="" if endpoint is not None else "this model has no event endpoint",
        change=replace(change, version_changed=change.version_changed or version_changed),
        history=tuple(history),
        fit_p=None,
        comparators=(
            page.Comparator("Linear extrapolation of the marker", None, reason="not computed in this version"),
            page.Comparator("R-ISS or MyCARe group", None, reason="not computed in this version"),
        )
        if endpoint is not None
        else (),
        assumptions=assumption_lines(twin, prognosis),
        block_reasons={"6": "The lab expected to narrow the range most is not computed in this version."}
        | _no_forecast(prognosis),
    )


def _no_forecast(prognosis) -> dict[str, str]:
    """Why block 3 is empty, where every row was refused for one reason (the patient has died)."""
    reasons = {row.refused for row in prognosis.rows}
    return {"3": reasons.pop()} if len(reasons) == 1 and "" not in reasons else {}


def _belong_together(twin, prognosis) -> None:
    """A forecast is printed only with the twin it was made from."""
    for what, theirs, own in (
        ("of another patient", prognosis.patient, twin.key),
        ("made with another model", prognosis.model.hash[:12], twin.model.hash[:12]),
        ("of another state of this patient's record", prognosis.twin_hash[:12], twin.record.data_hash[:12]),
        ("made from another population posterior", prognosis.population_hash[:12], twin.population_hash[:12]),
    ):
        if theirs != own:
            raise StoreError(
                f"the prognosis is {what}",
                subject=f"patient {twin.key}",
                place="report",
                value=shown_key(theirs) if own == twin.key else theirs,
                allowed=own,
                next_step="Forecast again from this twin.",
            )
