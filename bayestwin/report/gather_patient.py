"""The patient, the numerical check and the facts of the model, as plain values."""

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from bayestwin.prognosis.courses import is_followed
from bayestwin.prognosis.plan import current_treatment
from bayestwin.prognosis.response import codes_response, response_table
from bayestwin.report import model as page
from bayestwin.report.gather_clock import day_text
from bayestwin.report.gather_context import NOT_FOR, context_of, of_myeloma
from bayestwin.report.observed_response import observed_response

EARLY_DAYS = 28  # after cells, see warning_table.LAB_AGE_DAYS


def patient_entry(twin, now):
    """The `page.Patient`: study key, line, treatment in force, latest values, what lies outside the model's purpose."""
    model, record = twin.model, twin.record
    seen = record.covariates
    started = current_treatment(model, record, now)
    latest = []
    for observation in model.observations:
        labs = [lab for lab in record.labs if lab.output == observation.output]
        if not labs and not is_followed(model, record, observation.output):
            continue
        name = observation.label or observation.output
        latest.append(
            page.LatestValue(
                name, shown_value(labs[-1]), observation.unit, day_text(model, labs[-1].time, record.time_zero)
            )
            if labs
            else page.LatestValue(name)
        )
    if of_myeloma(model):
        named = {value.name for value in latest}
        latest += [page.LatestValue(name) for name in ("MRD", "Haemoglobin", "Creatinine") if name not in named]
    context = context_of(model, record, now)
    return page.Patient(
        study_key=record.key,
        diagnosis=context.diagnosis,
        isotype=str(seen.get("isotype", "")).replace("_", " "),
        measurable_by=next(
            (
                o.label
                for o in model.observations
                if model.progression and o.output == model.progression.rule_for(seen).output
            ),
            "",
        ),
        line=context.line,
        lines_words=context.lines if model.progression is not None else "",
        refractory=context.refractory,
        refractory_words=context.refractory_words if of_myeloma(model) else "",
        treatment_now=model.treatment(started[1]).label if started else "none yet",
        treatment_day=int(now - started[0]) if started else None,
        response=_observed(model, record, started, now),
        latest=tuple(latest),
        phase=_phase(model, started, now),
        context_problems=context.problems,
        context_unknown=context.unknown,
    )


def _phase(model, started, now) -> str:
    """How often labs are due: weekly early after cells, monthly on a treatment that goes on, else by follow-up."""
    if model.progression is None:
        return "pharmacokinetic"
    if started is None:
        return "follow_up"
    if not model.treatment(started[1]).cell_therapy:
        return "on_treatment"
    return "early_cell_therapy" if now - started[0] <= EARLY_DAYS else "follow_up"


def _observed(model, record, started, now):
    """The response observed under the treatment in force by `now`; None before one, or without criteria."""
    if started is None or not codes_response(model):
        return None
    labs = tuple(lab for lab in record.labs if lab.time <= now)
    seen = replace(record, labs=labs, events=tuple(e for e in record.events if e.time <= now))
    return observed_response(response_table(model, seen, start=started[0]), "hour" if model.time_unit == "h" else "day")


def model_facts(twin, population, seeds):
    """The `page.ModelFacts`: names, hashes, versions and seeds, what the model is for, what it was fitted to."""
    model, found = twin.model, []
    for name in ("bayestwin", "jax", "numpyro", "diffrax"):
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, "unknown"))
    fitted = population.attributes if population is not None else {}
    synthetic = str(twin.record.covariates.get("synthetic", "")) in ("1", "1.0")
    trained = (
        f"{fitted['n_patients']} patients and the priors of the model file"
        if fitted.get("n_patients")
        else fitted.get("method_note") or "see the model card"
    )
    return page.ModelFacts(
        name=model.name,
        version=dict(found)["bayestwin"],
        model_hash=model.hash,
        population_hash=twin.population_hash,
        data_hash=twin.record.data_hash,
        seeds=seeds,
        versions=tuple(found),
        purpose=model.context_of_use,
        not_for=NOT_FOR if of_myeloma(model) else (),
        trained_on=trained,
        synthetic=synthetic or model.progression is not None,
        known_limits=("Not tested on patients outside the data it was made from.", *_approximate(fitted)),
        prior_sources=tuple(sorted({p.source for p in model.parameters if p.source})),
    )


def _approximate(fitted):
    return (f"The population posterior is {fitted['diagnostics']}.",) if fitted.get("verdict") == "approximate" else ()


def numerical_check(twin, population, prognosis):
    """The `page.NumericalCheck` of the twin's last move, with the convergence of its population where that is given.

    The share of draws that could not be solved is the largest of the move and of the rows of the forecast.
    """
    info = twin.info
    extra = {}
    if population is not None and population.attributes.get("verdict") in ("passed", "failed"):
        d = population.diagnostics
        extra = {
            "rhat": d.rhat,
            "divergence_share": d.divergences / d.draws,
            "ess_bulk": d.ess_bulk,
            "ess_tail": d.ess_tail,
        }
    elif population is not None and population.attributes.get("verdict") == "approximate":
        extra = {"population_approximate": population.diagnostics.approximate}
    return page.NumericalCheck(
        verdict=info.verdict,
        path=info.path,
        reasons=info.reasons,
        particles=int(twin.particles.psi.shape[0]),
        population_draws=twin.population.draws,
        ess=info.ess,
        ess_population_draws=info.ess_population_draws,
        pareto_k=info.pareto_k if np.isfinite(info.pareto_k) else None,
        unique_particles=info.unique_particles,
        acceptance=info.acceptance if np.isfinite(info.acceptance) else None,
        island_agreement=info.island_agreement,
        monte_carlo_error=tuple(sorted(info.monte_carlo_error.items())),
        full_rebuild=info.path == "oracle",
        solver_failures=max(info.solver_failures, *(row.solver_failures for row in prognosis.rows)),
        **extra,
    )


def shown_value(lab) -> str:
    """A lab as printed: the value, its limit with the comparator, or "5 to 10"."""
    if lab.upper is not None:
        return f"{lab.value:g} to {lab.upper:g}"
    return {"left": "<", "right": ">"}.get(lab.censoring, "") + f"{lab.value:g}"
