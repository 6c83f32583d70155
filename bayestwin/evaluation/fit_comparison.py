"""Which of several fits says a patient to come best: leave-one-patient-out scores, stacking, prior sensitivity.

ArviZ does the arithmetic (`loo`, `compare`, `psense_summary`) on the marginal log-likelihood of whole patients
(patient_log_likelihood.py); what is added here is that the fits must speak of the same labs in the same units and of
the same events, else their densities cannot be compared; that a patient whose k-hat is above ArviZ's threshold for so
many draws, min(1 - 1 / log10 S, 0.7), is named, and so is one whose integral rests on few points; and that a patient
whom a fit has not learnt from is not taken out of it: his score is ln mean p(y | m), without importance weights.

Source: Vehtari, Gelman and Gabry (2017), Stat Comput 27:1413; Vehtari et al. (2024), JMLR 25(72) (the threshold of
k-hat); Yao et al. (2018), Bayesian Anal 13:917; Kallioinen et al. (2024), Stat Comput 34:57 (power-scaling
sensitivity).
"""

import contextlib
import io
import json
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayestwin.errors import FitOptionError
from bayestwin.evaluation.patient_log_likelihood import patient_log_likelihood
from bayestwin.individual import informative_labs, vital_facts, ways_named
from bayestwin.population.posterior import patient_mark
from bayestwin.records.refusal import shown_key
from bayestwin.twin.particles import log_sum_exp

FEW_POINTS = 25  # effective points of a patient's integral, of which ln p has an error of 0.2


@dataclass(frozen=True, eq=False)
class FitComparison:
    """table : a row per fit, best first: fit, rank, elpd, se, p (effective parameters), elpd_diff, dse, weight
    (stacking; 1 where there is one fit), patients, good_k, khat_above (patients whose k-hat is above it), method of the
    fit; khat : patient, elpd, k-hat (NaN of one who was not fitted) and effective points, a column each per fit;
    sensitivity : fit -> prior sensitivity of each parameter; notes : fit -> what its scores do not rest on"""

    table: Any
    khat: Any
    sensitivity: dict
    notes: dict = field(default_factory=dict)


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
    FitOptionError  the models do not speak of the same labs or events, or units differ
    """
    import arviz_stats
    import pandas as pd

    _same_data(fits, cohorts)
    notes: dict[str, tuple] = {}
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
        strangers = _strangers(population, cohorts[name])
        _without_weights(loo, tree["log_likelihood"]["patient_record"], strangers)
        khat, elpd, points_of = (a.to_series() for a in (loo.pareto_k, loo.elpd_i, tree["importance"]["ess"]))
        columns |= {("elpd", name): elpd, ("khat", name): khat, ("points", name): points_of}
        found[name], good = loo, float(loo.good_k)
        above = ~(khat <= good) & ~khat.index.isin(strangers)  # a missing k-hat is no small one
        few = points_of.index[points_of < FEW_POINTS]
        notes[name] = tuple(_notes(population, cohorts[name], strangers, khat.index[above], good, few))
        rows.append({
            "fit": name, "rank": 0, "elpd": float(loo.elpd), "se": float(loo.se), "p": float(loo.p), "elpd_diff": 0.0,
            "dse": 0.0, "weight": 1.0, "patients": len(khat), "good_k": good, "khat_above": int(above.sum()),
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
    return FitComparison(table.reset_index(), by_patient.reset_index(names="patient"), sensitivity, notes)


def _strangers(population, cohort) -> list[str]:
    """Patients that the fit has not learnt from; none where its file does not say whom it has."""
    if "fitted_patients" not in population.attributes:
        return []
    return [record.key for record in cohort if not population.knows(record)]


def _without_weights(loo, log_p, strangers) -> None:
    """Scores of patients who were not fitted: nothing is to be taken out, ln of the mean over draws."""
    there = [key for key in log_p["patient"].values if key in strangers]
    if not there:
        return
    own = log_p.sel(patient=there).transpose("patient", "chain", "draw").values.reshape(len(there), -1)
    loo.elpd_i.loc[{"patient": there}] = log_sum_exp(own, axis=1) - np.log(own.shape[1])
    loo.pareto_k.loc[{"patient": there}] = np.nan
    each = loo.elpd_i.values
    in_sample = log_p.transpose("patient", "chain", "draw").values.reshape(len(each), -1)
    loo.elpd, loo.se = float(each.sum()), float(np.sqrt(len(each) * each.var()))
    loo.p = float((log_sum_exp(in_sample, axis=1) - np.log(in_sample.shape[1])).sum() - loo.elpd)


def _notes(population, cohort, strangers, above, good, few):
    if len(above):
        yield (
            f"k-hat above {good:.2g} for {_names(above)}: their score is not to be trusted; fit again without them, or "
            "ask for more draws"
        )
    if strangers:
        yield f"not fitted on {_names(strangers)}: scored as patients to come, without importance weights"
    other = [r.key for r in cohort if r.key not in strangers and not population.fitted_as(r)]
    if other:
        yield f"fitted on other records of {_names(other)}: their score is that of these records"
    seen = set(json.loads(population.attributes.get("fitted_patients", "[]")))
    absent = len(seen - {patient_mark(record) for record in cohort})
    if absent:
        yield f"{absent} of {len(seen)} fitted patients are not in these files and have no score"
    if len(few):
        yield f"fewer than {FEW_POINTS} effective points for {_names(few)}: ask for more points"


def _names(keys) -> str:
    more = f" and {len(keys) - 10} more" if len(keys) > 10 else ""
    return ", ".join(map(shown_key, keys[:10])) + more


def _same_data(fits, cohorts):
    """Every fit has learnt from the same patients, labs in the same units, and events."""
    (first, one), *others = [(name, _data(population, cohorts[name])) for name, population in fits.items()]
    for name, other in others:
        for key in dict.fromkeys([*one, *other]):
            here, there = one.get(key, frozenset()), other.get(key, frozenset())
            if here != there:
                odd = sorted(here ^ there)[0]
                raise FitOptionError(
                    "fits are compared on the same labs in the same units, and on the same events",
                    subject=f"patient {key}",
                    place=f"{first} and {name}",
                    value=f"{odd[1]} at {odd[0]:g} is read by {first if odd in here else name} alone",
                    allowed="models whose outputs have the same names and units and are derived from the same others, "
                    "whose hazards are of the same events, and the same accepted rows",
                    next_step="Fit both models to what both speak of.",
                )


def _data(population, cohort) -> dict:
    """patient -> what the fit learnt from, as (time, words): labs, and events that a hazard of the model scores."""
    model = population.model
    unit = {o.output: o.unit for o in model.observations}
    found = {}
    for record in cohort:
        labs = {(lab.time, f"{lab.output} in {unit[lab.output]}") for lab in informative_labs(model, record)}
        learnt = frozenset(labs | _events(model, record))
        if learnt:
            found[record.key] = learnt
    return found


def _events(model, record) -> set:
    """What is known of the events that the model's hazards score."""
    endpoint = model.progression
    if endpoint is None:
        return set()
    facts, (death, progression) = vital_facts(model, record), ways_named(model, record)
    found = []
    if endpoint.death_hazard is not None and facts["death"] is None:
        found.append((facts["alive"], "survival"))
    elif endpoint.death_hazard is not None:
        found.append((facts["death"], "death and its cause" if death else "death"))
    if endpoint.progression_hazards:
        seen = "a progression that is not serological" + (" and its way" if progression else "")
        found += [(facts["free"], "freedom from a progression that is not serological"), (facts["progressed"], seen)]
    return {(time, words) for time, words in found if time is not None}
