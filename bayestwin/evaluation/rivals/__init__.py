"""Rival forecasters: what the twin has to beat, on the same labs and by the same scores.

Each is fitted on training patients and follows a patient panel by panel like the twin (`rival_rows`):

    last_value         last value carried forward with a Gaussian step
    gaussian_process   the training patients' mean course by treatment and a Gaussian process around it
    own_map            our own model at the mode of the patient's parameters

For events: `fit_landmark_cox`, whose chances of event-free time are scored by `event_scores` and beside the twin's by
`compare_events`.
"""

from bayestwin.errors import FitError
from bayestwin.evaluation.rivals.event_scores import compare_events, event_rows, event_scores
from bayestwin.evaluation.rivals.gaussian_process import GaussianProcess, fit_gaussian_process
from bayestwin.evaluation.rivals.landmark_cox import LandmarkCox, fit_landmark_cox
from bayestwin.evaluation.rivals.last_value import LastValue, fit_last_value
from bayestwin.evaluation.rivals.location_scale import Forecast, crps, score_lab
from bayestwin.evaluation.rivals.own_map import OwnMap, fit_own_map
from bayestwin.evaluation.rivals.rival import Rival, rival_rows

RIVALS = {"last_value": fit_last_value, "gaussian_process": fit_gaussian_process, "own_map": fit_own_map}


def fit_rivals(
    model, population, cohort, *, names=tuple(RIVALS), reveal_until: float | None = None
) -> dict[str, Rival]:
    """Fit rivals by name.

    Parameters
    ----------
    population : PopulationPosterior     for `own_map`, fitted on the same training patients; None without it
    cohort : Cohort                      the training patients
    reveal_until : float                 as the rivals will be asked (`rival_rows`)

    Raises
    ------
    FitError                             an unknown name; a rival that could not be fitted
    """
    unknown = [name for name in names if name not in RIVALS]
    if unknown:
        raise FitError("no such rival", value=unknown[0], allowed=f"one of {', '.join(RIVALS)}")
    if len(model.discrete) == len(model.observations):
        raise FitError(
            "rivals forecast what is measured, and this model only counts or grades",
            subject=f"model {model.name}",
            value=", ".join(o.output for o in model.observations),
            allowed="a model with an output that has an error model",
            next_step="Leave the rivals out; the log scores of two models on the same labs can be compared.",
        )
    return {name: RIVALS[name](model, cohort, population=population, reveal_until=reveal_until) for name in names}


__all__ = [
    "RIVALS",
    "Forecast",
    "GaussianProcess",
    "LandmarkCox",
    "LastValue",
    "OwnMap",
    "Rival",
    "compare_events",
    "crps",
    "event_rows",
    "event_scores",
    "fit_gaussian_process",
    "fit_landmark_cox",
    "fit_last_value",
    "fit_own_map",
    "fit_rivals",
    "rival_rows",
    "score_lab",
]
