"""Which of several fits says a patient to come best: leave-one-patient-out scores, stacking, prior sensitivity.

ArviZ does the arithmetic (`loo`, `compare`, `psense_summary`) on the marginal log-likelihood of whole patients
(patient_log_likelihood.py); what is added here is that the fits must speak of the same labs in the same units, else
their densities cannot be compared, and that a patient whose k-hat is above 0.7 is named.

Source: Vehtari, Gelman and Gabry (2017), Stat Comput 27:1413; Yao et al. (2018), Bayesian Anal 13:917; Kallioinen et
al. (2024), Stat Comput 34:57 (power-scaling sensitivity).
"""

import contextlib
import io
import warnings
from dataclasses import dataclass
from typing import Any

from bayestwin.errors import FitError
from bayestwin.evaluation.patient_log_likelihood import patient_log_likelihood
from bayestwin.individual import informative_labs

KHAT = 0.7


@dataclass(frozen=True, eq=False)
class FitComparison:
    """table : a row per fit, best first: fit, rank, elpd, se, p (effective parameters), elpd_diff, dse, weight
    (stacking; 1 where there is one fit), patients, khat_above (patients whose k-hat is above 0.7), method of the fit;
    khat : patient, elpd and k-hat, a column each per fit; sensitivity : fit -> prior sensitivity of each parameter"""

    table: Any
    khat: Any
    sensitivity: dict


def compare_fits(fits, cohorts, *, random_seed: int, draws: int = 200, points: int = 200, progress=False):
    """Compare fitted populations on the patients they were fitted on.

    Parameters
    ----------
    fits : name -> PopulationPosterior, fitted on the same patients
    cohorts : name -> Cohort, the same files read for that fit's model
    draws, points : as for `patient_log_likelihood`

    Returns
    -------
    FitComparison

    Raises
    ------
    FitError        the models do not speak of the same labs, or units differ
    """
    import arviz_stats
    import pandas as pd

    _same_labs(fits, cohorts)
    found: dict[str, Any] = {}
    columns: dict[tuple, Any] = {}
    sensitivity: dict[str, Any] = {}
    rows = []
    for name, population in fits.items():
        tree = patient_log_likelihood(
            population, cohorts[name], random_seed=random_seed, draws=draws, points=points, progress=progress
        )
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # of ArviZ, of k-hat: they stand in the table, with the patients' names
            loo, sensitivity[name] = arviz_stats.loo(tree, pointwise=True), arviz_stats.psense_summary(tree)
        khat, elpd = loo.pareto_k.to_series(), loo.elpd_i.to_series()
        columns |= {("elpd", name): elpd, ("khat", name): khat}
        found[name] = loo
        # a missing k-hat is no small one
        rows.append({
            "fit": name, "rank": 0, "elpd": float(loo.elpd), "se": float(loo.se), "p": float(loo.p), "elpd_diff": 0.0,
            "dse": 0.0, "weight": 1.0, "patients": len(khat), "khat_above": int((~(khat <= KHAT)).sum()),
            "method": population.attributes.get("method", ""),
        })  # fmt: skip
    table = pd.DataFrame(rows).set_index("fit")
    if len(found) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            said = arviz_stats.compare(found, round_to="none")
        for column in ("rank", "elpd_diff", "dse", "weight"):
            table[column] = said[column]
        table = table.sort_values("rank")
    by_patient = pd.DataFrame(columns)
    by_patient.columns = [" ".join(column) for column in by_patient.columns]
    return FitComparison(table.reset_index(), by_patient.reset_index(names="patient"), sensitivity)


def _same_labs(fits, cohorts):
    """Every fit has learnt from the same patients and labs in the same units."""
    (first, one), *others = [(name, _labs(population, cohorts[name])) for name, population in fits.items()]
    for name, other in others:
        for key in dict.fromkeys([*one, *other]):
            here, there = one.get(key, frozenset()), other.get(key, frozenset())
            if here != there:
                odd = sorted(here ^ there)[0]
                raise FitError(
                    "fits are compared on the same labs in the same units",
                    subject=f"patient {key}",
                    place=f"{first} and {name}",
                    value=f"{odd[1]} in {odd[2]} at {odd[0]:g} is read by {first if odd in here else name} alone",
                    allowed="models whose outputs have the same names and units and are derived from the same others, "
                    "and the same accepted rows",
                    next_step="Fit both models to the labs that both speak of.",
                )


def _labs(population, cohort) -> dict:
    """patient -> the labs that the fit learnt from, as (time, output, unit)."""
    unit = {o.output: o.unit for o in population.model.observations}
    learnt = {r.key: informative_labs(population.model, r) for r in cohort}
    return {
        key: frozenset((lab.time, lab.output, unit[lab.output]) for lab in labs) for key, labs in learnt.items() if labs
    }
