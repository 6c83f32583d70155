"""The report as one machine-readable document (`bayestwin.report/1`), which the pages are printed from.

    ReportInput -> warnings -> state -> (WITHHELD: every forecast removed) -> document -> JSON and HTML

Chances are 0 to 1 and unrounded, beside what was printed (`shown`). Null means "not computed", never zero. A
withheld document is built from an input that no longer holds a forecast, so nothing can leak through a template.
"""

import dataclasses
import hashlib
import json

from bayestwin.report import (
    json_change,
    json_comparisons,
    json_data,
    json_forecasts,
    json_page_1,
    json_patient,
    json_trust,
    json_warnings,
    tables,
)
from bayestwin.report import warnings as rules
from bayestwin.report.model import Change, ReportInput
from bayestwin.report.summaries import replace_texts
from bayestwin.report.wording import HEADER, NOT_RANDOMISED, Sayings, clean

SCHEMA = "bayestwin.report/1"


def report_id(inputs: ReportInput) -> str:
    """Twelve hex digits from the run's identity (data, model, seed), never from the study key."""
    return hashlib.sha256(f"{SCHEMA}|{inputs.identity}".encode()).hexdigest()[:12]


def file_stem(inputs: ReportInput) -> str:
    """bt_<id>_<date of generation>_v<report number>"""
    return f"bt_{report_id(inputs)}_{inputs.clock.generated[:10].replace('-', '')}_v{inputs.report_number}"


def prepare(inputs: ReportInput, *, failed: tuple[str, ...] = ()) -> tuple[ReportInput, tuple, str]:
    """Printable input, warnings and state; a withheld input comes back without any forecast.

    failed : names of page checks that failed before; they withhold the page (W-CHECK)
    """
    inputs = replace_texts(inputs, clean)
    warned = rules.evaluate(inputs)
    if failed:
        text = "the finished page failed its own checks (" + ", ".join(failed) + ")"
        warned += (rules.Warned("W-CHECK", rules.WITHHELD, text, text),)
    state = rules.state_of(warned)
    return (withhold(inputs) if state == rules.WITHHELD else inputs), warned, state


def withhold(inputs: ReportInput) -> ReportInput:
    """The input without any number about the future: data, reasons and provenance stay."""
    keep = ("name", "label", "role", "regimen", "assumption", "evidence", "tested_outside", "support")
    treatments = tuple(type(row)(**{name: getattr(row, name) for name in keep}) for row in inputs.treatments)
    labs = tuple(dataclasses.replace(lab, forecast_before=None, moved_chance=None) for lab in inputs.labs)
    numbers = dataclasses.replace(inputs.numbers, monte_carlo_error=())
    said = inputs.clock.statement_withheld or inputs.clock.statement
    return dataclasses.replace(
        inputs,
        treatments=treatments,
        labs=labs,
        numbers=numbers,
        clock=dataclasses.replace(inputs.clock, statement=said),
        comparisons=(),
        history=(),
        next_lab=None,
        comparators=(),
        data_effects=(),
        change=Change(
            previous=inputs.change.previous,
            previous_when=inputs.change.previous_when,
            version_changed=inputs.change.version_changed,
            reason="the forecast is withheld",
        ),
    )


def build_document(inputs: ReportInput, warned, state: str) -> dict:
    """Everything a page prints, from a prepared input."""
    sayings = Sayings()
    given = inputs.patient
    document = {
        "schema": SCHEMA,
        "report_id": report_id(inputs),
        "report_id_shown": report_id(inputs)[:8],
        "supersedes": inputs.supersedes or None,
        "intended_use": "research_only",
        "header": HEADER,
        "report_number": inputs.report_number,
        "report_number_shown": str(inputs.report_number),
        **json_trust.status(inputs, warned, state, sayings),
        "subject": {"study_key": given.study_key},
        "clock": json_patient.clock(inputs),
        "patient": json_patient.patient(inputs),
        "disease": {
            "diagnosis": given.diagnosis,
            "isotype": given.isotype,
            "measurable_by": given.measurable_by,
            "line": given.line,
            "refractory": list(given.refractory),
        },
        "labs": json_data.labs(inputs),
        "refused": json_data.refused(inputs),
        "events": [
            {"time": event.time, "label": event.label, "when": event.when or f"{inputs.clock.time_unit} {event.time:g}"}
            for event in sorted(inputs.events, key=lambda event: event.time)
        ],
        "endpoint": inputs.endpoint,
        "endpoint_reason": inputs.endpoint_reason,
        "treatments": json_forecasts.treatments(inputs, sayings),
        "comparisons": json_comparisons.comparisons(inputs, sayings),
        "change": json_change.change(inputs, sayings),
        "history": json_data.history(inputs),
        "trust": {
            "block_5": json_trust.block_5(inputs, warned, state, sayings),
            "numbers": json_trust.numbers_exact(inputs),
            "track_record": {"internal": dataclasses.asdict(inputs.track), "external": inputs.track.external or None},
        },
        "warnings": json_warnings.warning_rows(inputs, warned, state),
        "next_information": json_change.next_information(inputs, sayings),
        "comparators": json_change.comparators(inputs, sayings),
        "assumptions": list(inputs.assumptions),
        "facts": json_trust.facts(inputs),
        "provenance": json_trust.provenance(inputs),
        "not_randomised": NOT_RANDOMISED,
        "data_counts": json_data.data_counts(inputs),
    }
    document["surprises"] = json_data.surprises(inputs, sayings, bare=state == rules.WITHHELD)
    document["response_observed"] = document["patient"]["response_observed"]
    document["doubt_sentence"], document["doubt"] = json_page_1.doubt(document, sayings)
    document["courses"] = tables.course_tables(inputs)
    document["captions"] = tables.captions(inputs, document)
    document["reasons_missing"] = _missing(inputs, document, state)
    document["page_1"] = json_page_1.page_1(document, sayings)
    document["text"], document["files"] = sayings.entries, []
    return document


def _missing(inputs, document, state):
    """Why a block has nothing to print; a block never disappears."""
    given = inputs.block_reasons
    withheld = "withheld, see the status line" if state == rules.WITHHELD else ""
    fallback = {
        "2": "no earlier report and no prior forecast",
        "3": inputs.endpoint_reason or "no treatment with an event forecast was handed over",
        "4": "the shares of the doubt are not computed",
        "5": "",
        "6": "no planned lab was examined and no simple comparator was computed",
        "history": "no past forecast is stored",
        "surprise": "no lab has been forecast before it arrived",
        "pairs": "no pair was compared",
        "calibration": inputs.model.validated_on or "not tested",
    }
    texts = {name: withheld or given.get(name) or text for name, text in fallback.items()}
    return {name: text[:1].upper() + text[1:] for name, text in texts.items()}


def to_json(document: dict) -> str:
    """The document as text: sorted keys, no NaN, the same input gives the same bytes."""
    return json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n"
