"""What bayestwin asks of a model that codes endpoints: the labs it uses, a record coded, scores at the start.

Called by `bayestwin.response_table`, `bayestwin response` and forecasts; criteria: imwg.py and progression.py.
"""

from math import isfinite

from bayestwin.errors import RecordError
from bayestwin.labs import LabSpec
from bayestwin.prognosis.observed_endpoints import Event
from bayestwin.prognosis.response import CodedRecord

from . import response_of_arrays as arrays
from .crs import CRS_LABS, crs_sentences
from .imwg import NAMES, SD, code
from .progression import CAUSES
from .record_visits import record_visits
from .scores import SCORE_LABS, score_sentences
from .stages import stage_sentences
from .treatments import ROWS
from .visits import Criteria
from .words import Words

DISEASE = ("myeloma",)
LIFE_TABLE = "germany_2020_2022"
# Covariate: levels for which the model is meant (card.md); reports withhold and virtual trials refuse others
INSIDE = {"isotype": ("IgG", "IgA", "light_chain")}
# Virtual trials: what the coding of simulated arms reads, and the coding itself
RESPONSE_OUTPUTS, RESPONSE_PARAMETERS = arrays.OUTPUTS, arrays.PARAMETERS
response_of_arrays = arrays.response_of_arrays
TREATMENT_CLASS = {name: row.group for name, row in ROWS.items()}  # whose trials speak of each other in a meta-analysis


def _lab(name, unit, high, label, **more):
    return LabSpec(name, unit, (0.0, high), positive=False, label=label, **more)


_FINDING = {"unit_required": False, "words": {"negative": 0.0, "positive": 1.0}}
_LESION = {"unit_required": False, "words": {"none": 0.0, "extramedullary": 1.0, "bone": 2.0}}
_LABS = (
    _lab("urine_m_protein", "mg/day", 50_000.0, "urine M-protein in 24 hours"),
    _lab("uninvolved_flc", "mg/L", 20_000.0, "uninvolved free light chains"),
    _lab("flc_kappa", "mg/L", 200_000.0, "free light chains kappa"),
    _lab("flc_lambda", "mg/L", 200_000.0, "free light chains lambda"),
    _lab("flc_ratio", "", 1e6, "free light chains kappa / lambda", unit_required=False),
    _lab("ife_serum", "", 1.0, "immunofixation, serum", **_FINDING),
    _lab("ife_urine", "", 1.0, "immunofixation, urine", **_FINDING),
    _lab("marrow_plasma_cells", "%", 100.0, "plasma cells in marrow"),
    _lab("marrow_clonal", "", 1.0, "clonal plasma cells in marrow", **_FINDING),
    _lab("plasmacytoma_spd", "cm2", 10_000.0, "plasmacytomas, sum of products of diameters"),
    _lab("plasmacytoma_lesions", "", 100.0, "plasmacytomas measured", unit_required=False),
    _lab("plasmacytoma_longest", "cm", 50.0, "longest diameter of the largest plasmacytoma"),
    _lab("plasmacytoma_short_axis", "cm", 50.0, "short axis of the largest plasmacytoma"),
    _lab("new_lesion", "", 2.0, "new lesion", **_LESION),
    _lab("circulating_plasma_cells", "cells/uL", 1e6, "circulating plasma cells"),
)
LABS = {lab.name: lab for lab in (*_LABS, *SCORE_LABS, *CRS_LABS)}
COVARIATES = {
    "light_chain": ("kappa", "lambda"),
    **dict.fromkeys(("lenalidomide_refractory", "plasma_cell_leukaemia", "del17p", "t_4_14", "gain_1q"), ("1",)),
}


def check_criteria(*, window: float = 3.0, baseline_at=None, **criteria) -> Criteria:
    """The criteria that these options make.

    Raises
    ------
    RecordError     an option that there is not, or a value that means nothing (a negative window)
    """
    unknown = [name for name in criteria if name not in Criteria.__dataclass_fields__]
    if unknown:
        allowed = ", ".join(("window", "baseline_at", *Criteria.__dataclass_fields__))
        raise RecordError("no such option of the criteria", value=unknown[0], allowed=f"one of {allowed}")
    if not (isfinite(window) and window >= 0.0):
        raise RecordError("the criteria cannot use this", place="window", value=window, allowed="0 or more days")
    if baseline_at is not None and not isfinite(baseline_at):
        raise RecordError("the criteria cannot use this", place="baseline_at", value=baseline_at, allowed="a day")
    return Criteria(**criteria)


def code_record(model, record, start, end, *, window: float = 3.0, baseline_at=None, **criteria) -> CodedRecord:
    """Response of a record from its start to `end`, see `record_visits`; further options are fields of `Criteria`."""
    rules = check_criteria(window=window, baseline_at=baseline_at, **criteria)
    found = record_visits(record, start, end, window=window, baseline_at=baseline_at)
    coded = code(found.visits, rules)
    words, worse = Words(found, coded, rules), coded.progressed
    measured = words.measured_by()

    def when(index) -> float | None:
        return float(found.times[index]) if index >= 0 else None

    progression = relapse = None
    if worse.at >= 0:
        kind = "extramedullary" if CAUSES[worse.cause] == "extramedullary disease" else "progression"
        progression = Event(when(worse.at), f"progression: {words.rise(int(worse.at))}", kind)
    if coded.relapse_at >= 0:
        relapse = Event(when(coded.relapse_at), "relapse from complete response", "relapse")
    return CodedRecord(
        tuple(words.assessment(i) for i in range(1, len(found.times))),
        " and ".join(f"{name} ({base})" for name, base in measured.items()) or "nothing measurable at baseline",
        tuple(measured),
        NAMES[int(coded.best)] if coded.best >= SD else "",
        when(coded.best_at),
        when(coded.response_at),
        when(coded.complete_at),
        progression,
        relapse,
        words.notes(record, start if baseline_at is None else min(baseline_at, start)),
    )


def features(model, record, start) -> tuple[str, ...]:
    """R-ISS and R2-ISS where something of them is known; under cells the scores before and cytokine release after."""
    cells = [t.name for t in model.treatments if t.cell_therapy]
    if not any(e.event == "infusion" and e.value in cells and e.time == start for e in record.events):
        return stage_sentences(record, start)
    return (*stage_sentences(record, start), *score_sentences(record, start), *crs_sentences(record, start))
