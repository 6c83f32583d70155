"""Is it right? Scores of predictions, the replay of a patient's labs, and the rivals that go through the same labs."""

from bayestwin.evaluation.panels import Panel, panels
from bayestwin.evaluation.predictions import COLUMNS, predictions_frame, treatment_at
from bayestwin.evaluation.replay import replay, rest_of_course
from bayestwin.evaluation.scores import clustered_interval, coverage, score_predictions
from bayestwin.evaluation.selected_markers import selected_markers

__all__ = [
    "COLUMNS",
    "Panel",
    "clustered_interval",
    "coverage",
    "panels",
    "predictions_frame",
    "replay",
    "rest_of_course",
    "score_predictions",
    "selected_markers",
    "treatment_at",
]
