"""Figures: arrays in, matplotlib axes out. Notebook and report call the same functions, so they cannot differ.

Every function takes `ax=None`, returns the Axes (with `data=True` also the plotted table), needs no pyplot and
leaves the caller's rcParams as they were. matplotlib is imported when a figure is made, not before.
"""

from bayestwin.plots.calibration import plot_coverage, plot_coverage_by_labs_learnt, plot_pit
from bayestwin.plots.calibration_by_quantity import plot_sbc
from bayestwin.plots.chance_ladder import plot_chance_ladder
from bayestwin.plots.clearance import plot_clearance
from bayestwin.plots.doubt import plot_doubt
from bayestwin.plots.forecast_history import plot_forecast_history
from bayestwin.plots.forecast_scores import plot_forecasts, plot_score_by_horizon, plot_score_differences
from bayestwin.plots.goodness_of_fit import (
    plot_covariate_effects,
    plot_goodness_of_fit,
    plot_individual_fits,
    plot_observed_predicted,
    plot_residuals,
    plot_spaghetti,
)
from bayestwin.plots.individual import plot_individual
from bayestwin.plots.marker_course import plot_marker_course
from bayestwin.plots.predictive_checks import plot_event_vpc, plot_npde, plot_random_effects, plot_vpc
from bayestwin.plots.surprise import plot_surprise
from bayestwin.plots.time_to_event import plot_time_to_event_dots
from bayestwin.plots.virtual_trial import plot_published_outcomes, plot_trial_curves

__all__ = [
    "plot_chance_ladder",
    "plot_clearance",
    "plot_covariate_effects",
    "plot_coverage",
    "plot_coverage_by_labs_learnt",
    "plot_doubt",
    "plot_event_vpc",
    "plot_forecast_history",
    "plot_forecasts",
    "plot_goodness_of_fit",
    "plot_individual",
    "plot_individual_fits",
    "plot_marker_course",
    "plot_npde",
    "plot_observed_predicted",
    "plot_pit",
    "plot_published_outcomes",
    "plot_random_effects",
    "plot_residuals",
    "plot_sbc",
    "plot_score_by_horizon",
    "plot_score_differences",
    "plot_spaghetti",
    "plot_surprise",
    "plot_time_to_event_dots",
    "plot_trial_curves",
    "plot_vpc",
]
