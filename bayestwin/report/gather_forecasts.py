"""Treatments and their comparison, as plain values."""

import numpy as np

from bayestwin.prognosis import compare_treatments
from bayestwin.prognosis.given_before import given_before_words
from bayestwin.prognosis.moments import INFUSION
from bayestwin.report import model as page
from bayestwin.report.gather_clock import day_text
from bayestwin.report.gather_history import MAIN_MONTH, main_row
from bayestwin.report.summaries import weighted_quantiles
from bayestwin.report.wording import CLEAR_DIFFERENCE
from bayestwin.twin.monte_carlo import island_error, quantile_errors
from bayestwin.twin.state import CUT


def _landmarks(prognosis, row, endpoint):
    chances = ((m, prognosis.chance(row.plan.name, m, endpoint=endpoint)) for m in prognosis.landmarks)
    return _marks(chances)


def _from_infusion(prognosis, row):
    chances = ((m, prognosis.chance_from(INFUSION, row.plan.name, m)) for m in prognosis.landmarks)
    return _marks((m, c) for m, c in chances if c is not None)


def _marks(chances):
    """A `page.Landmark` of every (month, chance)."""
    marks = []
    for month, c in chances:
        marks.append(
            page.Landmark(
                float(month),
                c.value,
                c.mcse,
                knowledge=c.knowledge,
                knowledge_reason=c.reason,
                approximate=c.approximate,
                doubt=c.doubt,
                doubt_mcse=max(c.doubt_mcse),
                draws_error=c.draws_error,
            )
        )
    return tuple(marks)


def treatment_entry(prognosis, row, model, record):
    """A `page.TreatmentForecast` of one row of a prognosis; a refused row carries its reason and no number."""
    plan, zero = row.plan, record.time_zero
    regimen = tuple(f"{amount} {route} at {offset}" for offset, amount, route, _ in _regimen(model, plan))[:6]
    common = dict(
        name=plan.name,
        label=plan.label,
        role=plan.role,
        regimen=regimen or (plan.label,),
        assumption=plan.assumption,
        given_before=given_before_words(model, plan, prognosis.now, lambda time: day_text(model, time, zero)),
        evidence=plan.evidence,
    )
    if row.refused:
        return page.TreatmentForecast(**common, support=page.Support(False, row.refused))
    past = {c.output: c for c in prognosis.past}
    courses = [_joined(past.get(course.output), course) for course in row.courses]
    if row.events is None:
        return page.TreatmentForecast(**common, trajectories=tuple(courses))
    e, w, exact = row.events, prognosis.weights, (prognosis.log_weights, prognosis.islands)
    outcomes = []
    for k, month in enumerate(prognosis.landmarks):
        free = float((w * e.survival[:, k]).sum())
        dead = _dead(prognosis.model, e, k, month)
        died = min(float((w * dead).sum()), 1.0 - free)
        error = max(island_error(dead, *exact), island_error(e.survival[:, k] + dead, *exact))
        outcomes.append(page.Outcomes(float(month), free, 1.0 - free - died, died, error))
    unknown = f"; not checked, because the record does not say: {', '.join(plan.unknown)}" if plan.unknown else ""
    common["assumption"] = (plan.assumption + unknown).strip("; ")
    return page.TreatmentForecast(
        **common,
        event=page.EventForecast.from_draws(
            e.event, died=e.died, weights=w, horizon=prognosis.horizon, errors=_errors(prognosis, e.event, e.died)
        ),
        progression=page.EventForecast.from_draws(
            e.progression,
            weights=w,
            horizon=prognosis.horizon,
            endpoint="progression",
            errors=_errors(prognosis, e.progression),
        ),
        landmarks=_landmarks(prognosis, row, "progression or death"),
        infusion_landmarks=_from_infusion(prognosis, row),
        progression_landmarks=_landmarks(prognosis, row, "progression"),
        outcomes=tuple(outcomes),
        trajectories=tuple(courses),
    )


def _dead(model, events, k: int, month: float):
    """Chance of every draw to have died without progression by the landmark k, (P,); drawn where a file holds none."""
    if events.first is None:
        return events.died & (events.event <= month)
    ways = events.first[:, k]
    return ways[:, ways.shape[1] - len(model.progression.death_hazards) :].sum(axis=1)


def _errors(prognosis, months, died=None):
    """The `page.EventErrors` of times from the data cut (P,)."""
    exact, within = (prognosis.log_weights, prognosis.islands), months <= prognosis.horizon
    levels = (*page.QUANTILE_LEVELS, *page.DOT_LEVELS)
    found = quantile_errors(
        np.where(within, months, prognosis.horizon), *exact, levels, lambda v, w, p: weighted_quantiles(v, p, w)
    ).tolist()
    count = len(page.QUANTILE_LEVELS)
    return page.EventErrors(
        dict(zip(page.QUANTILE_LEVELS, found[:count])),
        tuple(found[count:]),
        island_error(~within, *exact),
        None if died is None else island_error(died & within, *exact),
    )


def _regimen(model, plan):
    return model.treatment(plan.name).regimen.doses if plan.name in model.treatment_names else ()


def _joined(past, course):
    if past is None:
        return page.Trajectory(course.output, course.times, course.quantiles, course.samples, course.errors)
    samples = np.concatenate([past.samples, course.samples], axis=1)
    return page.Trajectory(
        course.output,
        np.concatenate([past.times, course.times]),
        np.concatenate([past.quantiles, course.quantiles], axis=1),
        samples,
        None
        if course.errors is None
        else np.concatenate([np.full_like(past.quantiles, np.nan), course.errors], axis=1),
    )


def comparison_entries(prognosis, previous=None):
    """A `page.Comparison` per treatment beside the main row, at the main month; none where that is no landmark.

    previous : (twin, prognosis) of the last report, for differences that changed their sign
    """
    main = main_row(prognosis)
    if main is None or MAIN_MONTH not in prognosis.landmarks:
        return ()
    rows = compare_treatments(prognosis, reference=main.plan.name, months=[MAIN_MONTH]).rows
    return tuple(
        page.Comparison(
            r.a,
            r.b,
            float(r.month),
            r.difference,
            r.p80,
            r.by_rho,
            r.pairs,
            r.confidence_b_higher,
            r.months_gained,
            r.months_gained_p80,
            withheld=r.withheld,
            sign_changed=previous is not None and sign_changed(previous[1], prognosis, r.a, r.b),
            mcse=r.mcse,
            pairs_mcse=r.pairs_mcse,
            by_rho_mcse=r.by_rho_mcse,
            months_gained_mcse=r.months_gained_mcse,
        )
        for r in rows
    )


def sign_changed(old, new, a: str, b: str) -> bool:
    """Whether b's chance minus a's, at least 5 points in both reports, has another sign in each."""
    found = []
    for prognosis in (old, new):
        rows = {row.plan.name for row in prognosis.rows if row.events is not None}
        if not {a, b} <= rows or MAIN_MONTH not in prognosis.landmarks:
            return False
        found.append(prognosis.chance(b, MAIN_MONTH).value - prognosis.chance(a, MAIN_MONTH).value)
    return found[0] * found[1] < 0 and min(abs(d) for d in found) >= CLEAR_DIFFERENCE


def _closer(correlation, rho: float) -> str:
    """The correlation of treatments that are alike, where there are any."""
    pairs = [group[:2] for group in correlation.alike if len(group) > 1]
    return f" ({correlation.of(*pairs[0], rho):.2g} between treatments of one target)" if pairs else ""


def assumption_lines(twin, prognosis):
    """What the forecast takes as given, one sentence each, from twin, endpoint and response correlation."""
    model, covariates = twin.model, twin.record.covariates
    cut = () if twin.feedback else (f"{CUT[0].upper()}{CUT[1:]}.",)
    if model.progression is None:
        return ("Concentrations follow the model file; no event endpoint.", *cut)
    rule = model.progression.rule_for(covariates)
    marker = model.observations[model.observation_index[rule.output]]
    found = [
        f"Serological progression: a rise of {marker.label or rule.output} by {100 * rule.relative:g} % and "
        f"{rule.absolute:g} {marker.unit} over the confirmed nadir at {model.progression.confirmations} visits in a "
        f"row, visits every {model.progression.visit_every:g} {model.time_unit}s, assay error included."
    ]
    if model.response_correlation is not None:
        found.append(
            "How a response to one treatment speaks of another is declared, not estimated: "
            f"correlation {prognosis.rho:g}{_closer(model.response_correlation, prognosis.rho)}, "
            f"differences shown over {', '.join(f'{r:g}' for r in model.response_correlation.shown)}; "
            "the population was fitted under the declared value."
        )
    return (*found, *cut)
