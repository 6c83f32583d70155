"""Figures: arrays in, matplotlib axes out. Notebook and report call the same functions, so they cannot differ.

Every function takes `ax=None`, returns the Axes (with `data=True` also the plotted table), needs no pyplot and
leaves the caller's rcParams as they were. matplotlib is imported when a figure is made, not before.
"""

from bayestwin.plots.calibration import plot_coverage, plot_coverage_by_labs_learnt, plot_pit
from bayestwin.plots.doubt import plot_doubt
from bayestwin.plots.forecast_history import plot_forecast_history
from bayestwin.plots.forecast_scores import plot_forecasts, plot_score_by_horizon, plot_score_differences
from bayestwin.plots.individual import plot_individual
from bayestwin.plots.marker_course import plot_marker_course
from bayestwin.plots.surprise import plot_surprise
from bayestwin.plots.time_to_event import plot_time_to_event_dots

__all__ = [
    "plot_coverage",
    "plot_coverage_by_labs_learnt",
    "plot_doubt",
    "plot_forecast_history",
    "plot_forecasts",
    "plot_individual",
    "plot_marker_course",
    "plot_pit",
    "plot_score_by_horizon",
    "plot_score_differences",
    "plot_surprise",
    "plot_time_to_event_dots",
]
