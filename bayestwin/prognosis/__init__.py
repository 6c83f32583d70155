"""The future under each treatment: trajectories, progression, survival, and treatments side by side."""

from bayestwin.prognosis.compare import PairComparison, TreatmentComparison, compare_treatments
from bayestwin.prognosis.forecast import forecast
from bayestwin.prognosis.observed_endpoints import Conventions
from bayestwin.prognosis.printed import course_table
from bayestwin.prognosis.quantities import Chance
from bayestwin.prognosis.response import ResponseTable, response_schema, response_table
from bayestwin.prognosis.result import Prognosis, TreatmentPrognosis
from bayestwin.prognosis.save import load_prognosis, save_prognosis
from bayestwin.prognosis.trials import VirtualTrial, virtual_trial

__all__ = [
    "Chance",
    "Conventions",
    "PairComparison",
    "Prognosis",
    "ResponseTable",
    "TreatmentComparison",
    "TreatmentPrognosis",
    "VirtualTrial",
    "compare_treatments",
    "course_table",
    "forecast",
    "load_prognosis",
    "response_schema",
    "response_table",
    "save_prognosis",
    "virtual_trial",
]
