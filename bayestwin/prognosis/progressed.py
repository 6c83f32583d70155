"""Whether the record already holds what a row would forecast: progression under the treatment in force.

Three things say so: the marker of the progression rule, coded as a forecast codes it; a progression in the record's
events; and the disease's own criteria where the model's folder has them (response.py), which read every marker,
marrow and imaging. A treatment that has not started counts anew and is not asked.
"""

import numpy as np

from bayestwin.dynamics import treatment_starts
from bayestwin.prognosis.assessments import marker_history
from bayestwin.prognosis.endpoint import code_progression
from bayestwin.prognosis.observed_endpoints import recorded_progression
from bayestwin.prognosis.response import codes_response, response_table

PROGRESSED = "progression under this treatment is already in the record"


def progressed_already(twin, rule, plan) -> bool:
    """True where the record holds a progression since the treatment in force began."""
    if plan.new:
        return False
    return _by_marker(twin, rule, plan) or _by_event(twin, plan) or _by_criteria(twin, plan)


def _by_marker(twin, rule, plan) -> bool:
    """A confirmed rise of the rule's marker."""
    history = marker_history(twin.model, rule, twin.record, plan, twin.time)
    confirmations = twin.model.progression.confirmations
    if len(history) <= confirmations:
        return False
    return bool(code_progression(np.array(history), rule, first_valid=1, confirmations=confirmations) >= 0)


def _by_event(twin, plan) -> bool:
    """A progression in events.csv."""
    said = recorded_progression(twin.record, plan.start)
    return said is not None and said.time <= twin.time


def _by_criteria(twin, plan) -> bool:
    """A progression by the criteria of the model's folder."""
    started = any(time == plan.start for time, _ in treatment_starts(twin.model, twin.record))
    if not started or not codes_response(twin.model):
        return False
    return response_table(twin.model, twin.record, start=plan.start).coded.progression is not None
