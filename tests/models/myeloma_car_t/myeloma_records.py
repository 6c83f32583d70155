"""Records and visits from the short notation of imwg_cases.toml."""

from dataclasses import fields

import numpy as np

from bayestwin.prognosis.observed_endpoints import Conventions
from bayestwin.prognosis.response import response_table
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.specification import load_model
from bayestwin.specification.load import model_part

MYELOMA = load_model("myeloma_car_t")
MODEL = (model_part(MYELOMA, "imwg"), model_part(MYELOMA, "visits"))
OUTPUTS = {
    "m": "m_protein",
    "u": "urine_m_protein",
    "i": "involved_flc",
    "un": "uninvolved_flc",
    "k": "flc_kappa",
    "l": "flc_lambda",
    "ifs": "ife_serum",
    "ifu": "ife_urine",
    "bm": "marrow_plasma_cells",
    "clonal": "marrow_clonal",
    "spd": "plasmacytoma_spd",
    "n": "plasmacytoma_lesions",
    "long": "plasmacytoma_longest",
    "short": "plasmacytoma_short_axis",
    "new": "new_lesion",
    "pc": "circulating_plasma_cells",
}
FINDINGS = {"+": 1.0, "-": 0.0, "none": 0.0, "extramedullary": 1.0, "bone": 2.0}
CONVENTIONS = ("new_therapy", "missed_visits", "visit_every", "deaths_end_response")


def lab_of(key, day, value, number):
    """One lab in the notation of the table."""
    censoring = "left" if str(value).startswith("<") else "none"
    known = FINDINGS.get(value, value) if censoring == "none" else value[1:]
    return Lab(f"L{number}", OUTPUTS[key], float(day), float(known), float(day), censoring=censoring)


def record_of(case):
    """The patient of a case."""
    rows = [(key, v["day"], v[key]) for v in case["visits"] for key in v if key in OUTPUTS]
    events = case.get("events", [{"day": 0, "event": "line_of_therapy", "value": "teclistamab"}])
    return PatientRecord(
        "Case",
        labs=tuple(lab_of(*row, number) for number, row in enumerate(rows)),
        events=tuple(ClinicalEvent(e["event"], float(e["day"]), float(e["day"]), e.get("value", "")) for e in events),
        covariates=case.get("covariates", {}),
    )


def code(case):
    """The response table of a case."""
    options = dict(case.get("options", {}))
    conventions = Conventions(**{k: options.pop(k) for k in CONVENTIONS if k in options})
    return response_table(MYELOMA, record_of(case), conventions=conventions, **options)


def visits_of(case):
    """The arrays of a case from its start on."""
    record = record_of(case)
    start = max(e.time for e in record.events if e.event in ("line_of_therapy", "infusion"))
    return model_part(MYELOMA, "record_visits").record_visits(record, start).visits


def wide(many):
    """Visits of several patients as one array (patients, visits), filled up with visits of which nothing is known."""
    _, visits = MODEL
    longest = max(v.serum.shape[-1] for v in many)

    def filled(values):
        return np.concatenate([values, np.full(longest - len(values), np.nan)])

    return visits.Visits(
        **{f.name: np.stack([filled(getattr(v, f.name)) for v in many]) for f in fields(visits.Visits)}
    )
