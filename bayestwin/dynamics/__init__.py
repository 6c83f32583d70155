"""Dynamics: timelines of doses and treatments, and the one place that solves the model's equations."""

from bayestwin.dynamics.names import Doing, named_state, parameters_at
from bayestwin.dynamics.solve import NO_GRADIENT, Accuracy, Solution, initial_values, solve_patient
from bayestwin.dynamics.timeline import (
    Timeline,
    build_timeline,
    happens,
    pad_timeline,
    treatment_starts,
)

__all__ = [
    "NO_GRADIENT",
    "Accuracy",
    "Doing",
    "Solution",
    "Timeline",
    "build_timeline",
    "happens",
    "initial_values",
    "named_state",
    "pad_timeline",
    "parameters_at",
    "solve_patient",
    "treatment_starts",
]
