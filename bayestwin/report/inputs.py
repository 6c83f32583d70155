"""From a twin and its prognosis to a `ReportInput` of plain values.

The one place of this room that reaches into lower ones.
"""

import hashlib
import json
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from bayestwin.prognosis import compare_treatments
from bayestwin.prognosis.plan import current_treatment
from bayestwin.prognosis.quantities import chance_of
from bayestwin.report import model as page
from bayestwin.report.observed_response import observed_response

LEVELS = page.QUANTILE_LEVELS
MAIN_MONTH = 12


def gather_report_input(
    twin,
    prognosis,
    *,
    population=None,
    previous=None,
    refusals=(),
    history=(),
    report_number=1,
    generated=None,
    supersedes="",
) -> page.ReportInput:
    """Everything one report needs, as plain values.

    Parameters
    ----------
    twin, prognosis : the patient's twin and the forecast made from it
    population : PopulationPosterior for the convergence figures, or None
    previous : (twin, prognosis) of the last report, for block 2; None for a first report
    refusals : refused rows of this patient; history : past forecasts (page.PastForecast)
    generated : ISO UTC time of the report, default now
    """
    model, record, now = twin.model, twin.record, prognosis.now
    generated = generated or datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    seeds = (("twin", twin.random_seed), ("forecast", prognosis.random_seed))
    identity = json.dumps(
        [twin.record.data_hash, model.hash, twin.population_hash, seeds, prognosis.names, report_number]
    )
    endpoint = model.progression
    return page.ReportInput(
        identity=hashlib.sha256(identity.encode()).hexdigest(),
        report_number=report_number,
        supersedes=supersedes,
        clock=_clock(twin, prognosis, generated),
        patient=_patient(twin, now),
        model=_facts(twin, population, seeds),
        numbers=_numbers(twin, population),
        outputs=tuple(
            _output(model, record, o, now) for o in model.observations if _wanted(model, record, o.output, prognosis)
        ),
        labs=_ledger(twin, previous),
        events=_events(model, record, now),
        refused=tuple(_refused(r) for r in refusals if r.patient in ("", record.key)),
        treatments=tuple(_treatment(prognosis, row, model, record) for row in prognosis.rows),
        comparisons=_comparisons(prognosis) if endpoint is not None else (),
        endpoint="progression or death" if endpoint is not None else "",
        endpoint_reason="" if endpoint is not None else "this model has no event endpoint",
        change=_change(twin, prognosis, previous),
        history=tuple(history),
        fit_p=None,
        comparators=(
            page.Comparator("Linear extrapolation of the marker", None, reason="not computed in this version"),
            page.Comparator("R-ISS or MyCARe group", None, reason="the record does not hold the items of the score"),
        )
        if endpoint is not None
        else (),
        assumptions=_assumptions(model, prognosis),
        block_reasons={"6": "The lab expected to narrow the range most is not computed in this version."},
    )


def day_text(model, time) -> str:
    """How a model time is printed."""
    return f"{'hour' if model.time_unit == 'h' else 'day'} {time:g}"


def _clock(twin, prognosis, generated):
    model, now = twin.model, prognosis.now
    started = current_treatment(model, twin.record, now)
    statement = f"Month 0 is the data cut, {day_text(model, now)} after referral"
    if started:
        statement += f", {day_text(model, now - started[0])} of {model.treatment(started[1]).label}"
    waiting = [
        f"{row.plan.label} from {day_text(model, row.plan.start)}"
        for row in prognosis.rows
        if row.plan.new and row.plan.start > now
    ]
    if waiting:
        statement += (
            ". Waiting time is inside the forecast (" + "; ".join(waiting) + "); drop-out before infusion is not"
        )
    horizon = prognosis.horizon if model.progression is not None else 36.0
    return page.Clock(
        data_cut=day_text(model, now),
        data_cut_time=now,
        generated=generated,
        time_zero="referral" if model.progression is not None else "start of record",
        time_unit=model.time_unit,
        horizon_months=float(horizon),
        statement=statement + ".",
    )


def _patient(twin, now):
    model, record = twin.model, twin.record
    seen = record.covariates
    started = current_treatment(model, record, now)
    latest = []
    for observation in model.observations:
        labs = [lab for lab in record.labs if lab.output == observation.output]
        name = observation.label or observation.output
        latest.append(
            page.LatestValue(name, _shown(labs[-1]), observation.unit, day_text(model, labs[-1].time))
            if labs
            else page.LatestValue(name)
        )
    if model.progression is not None:
        latest += [page.LatestValue(name) for name in ("MRD", "Haemoglobin", "Creatinine")]
    phase = "follow_up" if started is None else "on_treatment"
    if started and model.treatment(started[1]).cell_therapy and now - started[0] <= 28:
        phase = "early_cell_therapy"
    problems = []
    if "age_years" in seen and float(seen["age_years"]) < 18:
        problems.append("younger than 18 years")
    refractory = tuple(n for n, k in (("anti-CD38", "anti_cd38_refractory"),) if seen.get(k) in (1, 1.0))
    return page.Patient(
        study_key=record.key,
        diagnosis="Multiple myeloma" if model.progression is not None else model.label,
        isotype=str(seen.get("isotype", "")).replace("_", " "),
        measurable_by=next(
            (
                o.label
                for o in model.observations
                if model.progression and o.output == model.progression.rule_for(seen).output
            ),
            "",
        ),
        line=int(seen["prior_lines"]) + 1 if "prior_lines" in seen else None,
        refractory=refractory,
        treatment_now=model.treatment(started[1]).label if started else "none yet",
        treatment_day=int(now - started[0]) if started else None,
        response=observed_response(model, record, started, now),
        latest=tuple(latest),
        phase=phase if model.progression is not None else "pharmacokinetic",
        context_problems=tuple(problems),
    )


def _facts(twin, population, seeds):
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
        else "see the model card"
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
        not_for=("AL amyloidosis", "plasma cell leukaemia in first line", "patients under 18")
        if model.progression is not None
        else (),
        trained_on=trained,
        synthetic=synthetic or model.progression is not None,
        known_limits=("Not tested on patients outside the data it was made from.", *_approximate(fitted)),
        prior_sources=tuple(sorted({p.source for p in model.parameters if p.source})),
    )


def _approximate(fitted):
    return (f"The population posterior is {fitted['diagnostics']}.",) if fitted.get("verdict") == "approximate" else ()


def _numbers(twin, population):
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
    return page.NumericalCheck(
        verdict=info.verdict,
        path=info.path,
        reasons=info.reasons,
        particles=int(twin.particles.psi.shape[0]),
        population_draws=int(twin.population.log_det.shape[0]),
        ess=info.ess,
        ess_population_draws=info.ess_population_draws,
        pareto_k=info.pareto_k if np.isfinite(info.pareto_k) else None,
        unique_particles=info.unique_particles,
        acceptance=info.acceptance if np.isfinite(info.acceptance) else None,
        island_agreement=info.island_agreement,
        monte_carlo_error=tuple(sorted(info.monte_carlo_error.items())),
        full_rebuild=info.path == "oracle",
        solver_failures=info.solver_failures,
        **extra,
    )


def _wanted(model, record, output, prognosis) -> bool:
    """Outputs that were measured, or that a progression rule follows."""
    measured = any(lab.output == output for lab in record.labs)
    return measured or model.progression is None or output == model.progression.rule_for(record.covariates).output


def _output(model, record, observation, now):
    values = [lab for lab in record.labs if lab.output == observation.output and lab.censoring == "none"]
    lines, note = (), ""
    if (
        model.progression is not None
        and values
        and observation.output == model.progression.rule_for(record.covariates).output
    ):
        started = current_treatment(model, record, now)
        before = [lab for lab in values if started is None or lab.time <= started[0]] or values[:1]
        base = before[-1].value
        lines = ((base / 2, "half of baseline"), (base / 10, "a tenth of baseline"))
    if model.progression is not None:
        note = (
            "No treatment after progression is modelled; courses are drawn up to "
            f"{observation.plausible[1]:,.0f} {observation.unit}."
        )
    if observation.output == "transgene":
        note = "copies/ug are not comparable between products."
    return page.Output(
        observation.output, observation.label or observation.output, observation.unit,
        scale="log" if model.progression is not None else "linear", limit=observation.lower_limit,
        reference_lines=lines, note=note,
    )  # fmt: skip


def _shown(lab) -> str:
    return {"left": "<", "right": ">"}.get(lab.censoring, "") + f"{lab.value:g}"


def _ledger(twin, previous):
    model, record = twin.model, twin.record
    before = {(s.lab_id, s.time): s for info in twin.history for s in info.surprise}
    seen = {(lab.lab_id, lab.time) for lab in previous[0].record.labs} if previous else None
    replaced = {
        (old.row.lab_id, old.row.time): old.row for old in getattr(record, "past", ()) if hasattr(old.row, "lab_id")
    }
    unit = {o.output: o.unit for o in model.observations}
    rows = []
    for lab in record.labs:
        s = before.get((lab.lab_id, lab.time))
        old = replaced.get((lab.lab_id, lab.time))
        new = seen is not None and (lab.lab_id, lab.time) not in seen
        late = new and lab.time < previous[1].now
        state = (
            "corrected" if old is not None else "late" if late else "censored" if lab.censoring != "none" else "used"
        )
        below = s.pit if s is not None else None
        rows.append(page.LabEntry(
            lab_id=lab.lab_id, output=lab.output, time=lab.time, known_time=lab.known_time, shown=_shown(lab),
            value=lab.value, comparator={"left": "<", "right": ">"}.get(lab.censoring, ""),
            unit=unit.get(lab.output, ""), when=day_text(model, lab.time),
            known_when=day_text(model, lab.known_time), state=state, old_value=old.value if old is not None else None,
            replaces=_shown(old) if old is not None else "", limit=lab.value if lab.censoring != "none" else None,
            forecast_before={q: s.quantiles[q] for q in LEVELS} if s is not None else None,
            pit=None if below is None else (below, below), pit_drawn=below,
            log_score=s.log_score if s is not None else None, new=new,
        ))  # fmt: skip
    return tuple(rows)


def _events(model, record, now):
    words = {
        "line_of_therapy": "start of",
        "infusion": "infusion of",
        "leukapheresis": "leukapheresis",
        "progression": "progression",
        "death": "death",
    }
    found = []
    for event in record.events:
        if event.event in words and event.time <= now:
            label = model.treatment(event.value).label if event.value in model.treatment_names else event.value
            found.append(
                page.CourseEvent(event.time, f"{words[event.event]} {label}".strip(), day_text(model, event.time))
            )
    return tuple(found)


def _refused(row):
    return page.RefusedRow(
        str(row.file), str(row.row), str(row.column), str(row.value), row.reason, row.allowed, row.next_step
    )


def _landmarks(prognosis, row, endpoint):
    marks = []
    for month in prognosis.landmarks:
        c = prognosis.chance(row.plan.name, month, endpoint=endpoint)
        marks.append(
            page.Landmark(
                float(month),
                c.value,
                c.mcse,
                knowledge=c.knowledge,
                knowledge_reason=c.reason,
                approximate=c.approximate,
                doubt=c.doubt,
            )
        )
    return tuple(marks)


def _treatment(prognosis, row, model, record):
    plan = row.plan
    regimen = tuple(f"{amount} {route} at {offset}" for offset, amount, route, _ in _regimen(model, plan))[:6]
    common = dict(
        name=plan.name,
        label=plan.label,
        role=plan.role,
        regimen=regimen or (plan.label,),
        assumption=plan.assumption,
        evidence=plan.evidence,
    )
    if row.refused:
        return page.TreatmentForecast(**common, support=page.Support(False, row.refused))
    past = {c.output: c for c in prognosis.past}
    courses = []
    for course in row.courses:
        if _wanted(model, record, course.output, prognosis):
            courses.append(_joined(past.get(course.output), course))
    if row.events is None:
        return page.TreatmentForecast(**common, trajectories=tuple(courses))
    e, w = row.events, prognosis.weights
    outcomes = []
    for k, month in enumerate(prognosis.landmarks):
        free = float((w * e.survival[:, k]).sum())
        died = min(float((w * (e.died & (e.event <= month))).sum()), 1.0 - free)
        outcomes.append(page.Outcomes(float(month), free, 1.0 - free - died, died))
    unknown = f"; not checked, because the record does not say: {', '.join(plan.unknown)}" if plan.unknown else ""
    common["assumption"] = (plan.assumption + unknown).strip("; ")
    return page.TreatmentForecast(
        **common,
        event=page.EventForecast.from_draws(e.event, died=e.died, weights=w, horizon=prognosis.horizon),
        progression=page.EventForecast.from_draws(
            e.progression, weights=w, horizon=prognosis.horizon, endpoint="progression"
        ),
        landmarks=_landmarks(prognosis, row, "progression or death"),
        progression_landmarks=_landmarks(prognosis, row, "progression"),
        outcomes=tuple(outcomes),
        trajectories=tuple(courses),
    )


def _regimen(model, plan):
    return model.treatment(plan.name).regimen.doses if plan.name in model.treatment_names else ()


def _joined(past, course):
    if past is None:
        return page.Trajectory(course.output, course.times, course.quantiles, course.samples)
    samples = np.concatenate([past.samples, course.samples], axis=1)
    return page.Trajectory(
        course.output,
        np.concatenate([past.times, course.times]),
        np.concatenate([past.quantiles, course.quantiles], axis=1),
        samples,
    )


def _comparisons(prognosis):
    rows = compare_treatments(prognosis, months=[MAIN_MONTH]).rows if MAIN_MONTH in prognosis.landmarks else ()
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
        )
        for r in rows
    )


def _change(twin, prognosis, previous):
    """Block 2: what moved the 12-month chance of the treatment the patient is on, cause by cause."""
    if twin.model.progression is None:
        return page.Change(reason="this model has no event endpoint")
    if previous is None:
        return page.Change(reason="first report")
    old_twin, old = previous
    same = [
        r
        for r in prognosis.rows
        if r.events is not None and r.plan.name in old.names and old.row(r.plan.name).events is not None
    ]
    same.sort(key=lambda r: {"current": 0, "planned": 1}.get(r.plan.role, 2))
    if not same or MAIN_MONTH not in prognosis.landmarks or MAIN_MONTH not in old.landmarks:
        return page.Change(
            previous=f"forecast of {day_text(twin.model, old.now)}", reason="no treatment stands in both reports"
        )
    name = same[0].plan.name
    before, after = old.chance(name, MAIN_MONTH), prognosis.chance(name, MAIN_MONTH)
    gap = (prognosis.now - old.now) / 30.4375
    waited = _after_waiting(old, name, gap)
    n_new = len(twin.record.labs) - len(old_twin.record.labs)
    text = f"{n_new} new labs" + (
        ", treatment started"
        if current_treatment(twin.model, twin.record, prognosis.now)
        != current_treatment(twin.model, old_twin.record, old.now)
        else ""
    )
    steps = []
    p80 = lambda c: None if c is None or c.knowledge is None else c.knowledge[0.8]  # noqa: E731
    if waited is not None:
        steps.append(
            page.BridgeStep(
                "time",
                f"{gap:.1f} months passed without progression",
                before.value,
                waited.value,
                p80(before),
                p80(waited),
            )
        )
    start = waited or before
    steps.append(page.BridgeStep("labs", text, start.value, after.value, p80(start), p80(after)))
    width = [c.knowledge[0.8][1] - c.knowledge[0.8][0] for c in (before, after) if c.knowledge is not None]
    quarter, three = old.quantiles(name, (0.25, 0.75)) or (None, None)
    return page.Change(
        previous=f"forecast of {day_text(twin.model, old.now)}",
        previous_when=day_text(twin.model, old.now),
        steps=tuple(steps),
        narrowed=1.0 - width[1] / width[0] if len(width) == 2 and width[0] > 0 and width[1] < width[0] else None,
        previous_middle_half=(quarter, three) if quarter is not None else None,
        version_changed=old.population_hash != prognosis.population_hash,
    )


def _after_waiting(old, name, gap):
    """The old forecast's 12-month chance given that `gap` months passed without an event.

    None where that is past its horizon.
    """
    row = old.row(name)
    if gap + MAIN_MONTH > old.horizon:
        return None
    there = row.events.event > gap
    weights = old.weights * there
    if weights.sum() < 0.05:
        return None
    weights = weights / weights.sum()
    later = (row.events.event > gap + MAIN_MONTH).astype(float)
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)
    return chance_of(later, later**2, weights, old.draw, log_weights, old.islands)


def _assumptions(model, prognosis):
    found = [
        "Serological progression follows IMWG 2016: 25 % and 5 g/L over the confirmed nadir at two visits, "
        "visits every 28 days, assay error included."
    ]
    if model.response_correlation is not None:
        found.append(
            "How a response to one treatment speaks of another is declared, not estimated: "
            f"correlation {prognosis.rho:g}, "
            f"differences shown over {', '.join(f'{r:g}' for r in model.response_correlation.shown)}; "
            "the population was fitted under the declared value."
        )
    if prognosis.model.progression is None:
        found = ["Concentrations follow the model file; no event endpoint."]
    return tuple(found)
