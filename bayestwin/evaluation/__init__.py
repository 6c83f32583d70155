"""Is it right? Scores of predictions and the replay of a patient's labs."""

from bayestwin.evaluation.replay import COLUMNS, predictions_frame, replay, rest_of_course
from bayestwin.evaluation.scores import clustered_interval, coverage, score_predictions

__all__ = [
    "COLUMNS",
    "clustered_interval",
    "coverage",
    "predictions_frame",
    "replay",
    "rest_of_course",
    "score_predictions",
]
