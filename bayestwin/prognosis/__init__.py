"""The future under each treatment: trajectories, progression, survival, and treatments side by side."""

from bayestwin.prognosis.compare import PairComparison, TreatmentComparison, compare_treatments
from bayestwin.prognosis.forecast import forecast
from bayestwin.prognosis.quantities import Chance
from bayestwin.prognosis.result import Prognosis, TreatmentPrognosis
from bayestwin.prognosis.save import load_prognosis, save_prognosis

__all__ = [
    "Chance",
    "PairComparison",
    "Prognosis",
    "TreatmentComparison",
    "TreatmentPrognosis",
    "compare_treatments",
    "forecast",
    "load_prognosis",
    "save_prognosis",
]
