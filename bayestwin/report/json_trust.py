"""The trust part of the machine-readable report: page state, block 5, the numerical check, model facts."""

import math

from bayestwin.report import warning_table
from bayestwin.report import warnings as rules
from bayestwin.report.json_data import data_counts
from bayestwin.report.json_forecasts import estimated, finite
from bayestwin.report.model import ReportInput
from bayestwin.report.number_rules import pareto_limit

ROW_STATES = {rules.SHOWN: "in order", rules.CAUTION: "caution", rules.WITHHELD: "withheld"}
PATHS = {
    "reweight": "labs learnt by reweighting",
    "rejuvenate": "labs learnt by reweighting and moving particles",
    "oracle": "rebuilt from scratch with the whole record",
    "start": "started from the population",
    "joint fit": "started from the joint fit of the population",
    "NUTS": "drawn by NUTS with the whole record, because tempering failed",
}


def status(inputs: ReportInput, warned, state: str, sayings) -> dict:
    """The page state, its reasons (gravest first) and, for a withheld page, what must happen."""
    bare = state == rules.WITHHELD
    grave = sorted(
        (item for item in warned if item.severity != rules.NOTE), key=lambda item: item.severity != rules.WITHHELD
    )
    reasons = [
        {
            "code": item.code,
            "severity": item.severity,
            "text": item.bare if bare else item.text,
            "values": {}
            if bare
            else {key: finite(value) if isinstance(value, float) else value for key, value in item.values},
        }
        for item in grave
    ]
    short = list(dict.fromkeys(reason["text"] for reason in reasons))
    entry: dict = {
        "status": state,
        "reasons": reasons,
        "first_reasons": short[:2],
        "more_reasons": max(0, len(short) - 2),
        "more_shown": f"and {len(short) - 2} more" if len(short) > 2 else "",
    }
    if bare:
        steps = list(
            dict.fromkeys(warning_table.RULE[item.code].next_step for item in grave if item.severity == rules.WITHHELD)
        )
        why = "; ".join(dict.fromkeys(item.bare for item in grave if item.severity == rules.WITHHELD))
        entry["withheld_sentence"] = sayings.say("T9", reason=why, step="; ".join(steps))
    return entry


def block_5(inputs: ReportInput, warned, state: str, sayings) -> list[dict]:
    """Five rows, each with a state word and numbers: Context, Data, Fit, Numbers, Track record."""
    facts = {
        "Context": _context(inputs),
        "Data": _data(inputs),
        "Fit": _fit(inputs),
        "Numbers": _numbers(inputs),
        "Track record": _record(inputs),
    }
    rows = []
    for name in warning_table.BLOCK_5_ROWS:
        mine = [item for item in warned if warning_table.RULE[item.code].row == name]
        flags = [item.bare if state == rules.WITHHELD else item.text for item in mine if item.severity != rules.NOTE]
        word = ROW_STATES[rules.state_of(mine)]
        if name == "Track record" and inputs.track.n is None and word == "in order":
            word = "not tested"
        rows.append(
            {
                "row": name,
                "state": word,
                "facts_shown": facts[name],
                "flags": list(dict.fromkeys(flags)),
                "codes": sorted({item.code for item in mine}),
            }
        )
    return rows


def _context(inputs):
    rows = inputs.treatments
    unknown = ", ".join(inputs.patient.context_unknown)
    inside = "inside the stated purpose" + (f" as far as recorded (not recorded: {unknown})" if unknown else "")
    if inputs.patient.context_problems:
        inside = "outside the stated purpose"
    return inside + (
        f"; {sum(estimated(row) for row in rows)} of {len(rows)} treatments estimated"
        if rows
        else "; no treatment listed"
    )


def _data(inputs):
    age, limit = rules.lab_age_days(inputs), warning_table.LAB_AGE_DAYS.get(inputs.patient.phase)
    at = "" if inputs.clock.data_cut_date else " at the data cut, today's age not known (no dates)"
    newest = (
        "no lab used yet"
        if age is None
        else f"newest lab {age:.0f} d old{at}" + (f" (limit {limit:.0f} d)" if limit else "")
    )
    return f"{newest}; {data_counts(inputs)}"


def _fit(inputs):
    new = [lab for lab in inputs.labs if lab.new and lab.pit is not None]
    outside = sum(rules.is_surprising(lab) for lab in new)
    scored = [lab for lab in inputs.labs if lab.forecast_before and lab.pit is not None and 0.1 in lab.forecast_before]
    drawn = [lab.pit_drawn if lab.pit_drawn is not None else 0.5 * sum(lab.pit) for lab in scored]
    inside = sum(0.1 <= value <= 0.9 for value in drawn)  # of a censored lab one draw of its interval: 8 in 10 if right
    text = f"{outside} of {len(new)} new labs outside expectation" if new else "no new lab scored"
    return text + (f"; 80 % ranges held {inside} of {len(scored)} labs" if scored else "")


def _numbers(inputs):
    numbers = inputs.numbers
    parts = [
        f"{numbers.ess:.0f} effective draws" if numbers.ess is not None else "effective draws not computed",
        f"Pareto k {numbers.pareto_k:.2f} (limit {pareto_limit(numbers.particles):.2f})"
        if numbers.pareto_k is not None
        else "Pareto k not computed",
        PATHS.get(numbers.path, numbers.path),
    ]
    return "; ".join(part for part in parts if part)


def _record(inputs):
    track = inputs.track
    if track.n is None or track.held is None or track.held_range is None:
        held = "past forecasts not tested"
    else:
        low, high = (math.floor(100 * track.held_range[0]), math.ceil(100 * track.held_range[1]))
        held = (
            f"80 % ranges held {round(100 * track.held)} of 100 times ({low} to {high}), {track.n} past "
            f"forecasts, {track.where}"
        )
    untested = sum(not row.tested_outside for row in inputs.treatments)
    outside = inputs.track.external or "not tested"
    return f"{held}; outside patients: {outside}" + (
        f"; {untested} of {len(inputs.treatments)} treatments never tested there" if untested else ""
    )


def numbers_table(inputs: ReportInput) -> list[dict]:
    """The numerical check of the last update, one row per number with what it is compared with."""
    n = inputs.numbers
    limit = pareto_limit(n.particles)
    rows = [
        ("Verdict", n.verdict, "PASS is needed"),
        ("How the labs were learnt", PATHS.get(n.path, n.path or "not stated"), ""),
        ("Particles", _whole(n.particles), ""),
        ("Population draws", _whole(n.population_draws), ""),
        ("Effective draws", _whole(n.ess), "1600 for steps of 5 points, 400 to show anything"),
        ("Effective population draws", _decimal(n.ess_population_draws, 1), "at least 10; 20 for a knowledge range"),
        ("Pareto k", _decimal(n.pareto_k, 2), f"at most {limit:.2f}"),
        ("Unique particles", _whole(n.unique_particles), ""),
        ("Acceptance of moves", _decimal(n.acceptance, 2), ""),
        ("Agreement of islands (gap in their SDs)", _decimal(n.island_agreement, 2), ""),
        ("R-hat, population fit", _decimal(n.rhat, 3), "at most 1.01"),
        ("Divergent share, population fit", _decimal(n.divergence_share, 4), "none"),
        ("Bulk draws, population fit", _whole(n.ess_bulk), "at least 400"),
        ("Tail draws, population fit", _whole(n.ess_tail), "at least 400"),
        ("Solver failures, share", _decimal(n.solver_failures, 4), "at most 0.001"),
        ("Seconds", _decimal(n.seconds, 1), ""),
    ]
    rows += [
        (
            f"Monte Carlo error: {name}",
            f"{value:.3g}",
            "at most 0.0125 for steps of 5 points" if "chance" in name else "",
        )
        for name, value in n.monte_carlo_error
    ]
    return [{"name": name, "shown": shown, "limit_shown": needed} for name, shown, needed in rows]


def _whole(value):
    return "not computed" if value is None else f"{value:.0f}"


def _decimal(value, digits):
    return "not computed" if value is None else "none" if value == 0 else f"{value:.{digits}f}"


def numbers_exact(inputs: ReportInput) -> dict:
    """The same, exact, for machines."""
    n = inputs.numbers
    return {
        "M": n.population_draws,
        "K": None,
        "particles": n.particles,
        "ess": finite(n.ess),
        "ess_population_draws": finite(n.ess_population_draws),
        "khat": finite(n.pareto_k),
        "khat_limit": pareto_limit(n.particles),
        "unique_particles": n.unique_particles,
        "acceptance": finite(n.acceptance),
        "island_agreement": finite(n.island_agreement),
        "rhat": finite(n.rhat),
        "divergences": finite(n.divergence_share),
        "solver_failures": finite(n.solver_failures),
        "verdict": n.verdict,
        "path": n.path,
        "reasons": list(n.reasons),
        "seed": dict(inputs.model.seeds),
        "rows": numbers_table(inputs),
    }


def facts(inputs: ReportInput) -> list[dict]:
    """Model facts in the order of a model card; what is not stated says so."""
    m = inputs.model
    listed = lambda items: "; ".join(items) if items else "not stated"  # noqa: E731
    rows = [
        ("Purpose", m.purpose or "not stated"),
        ("Made for", listed(m.made_for)),
        ("Not for", listed(m.not_for)),
        ("Input", listed([f"{output.label} ({output.unit})" for output in inputs.outputs])),
        (
            "Data behind it",
            (m.trained_on or "not stated")
            + (" SYNTHETIC DATA: no real patient is behind these numbers." if m.synthetic else ""),
        ),
        ("Validation", m.validated_on or "not tested"),
        ("Known limits", listed(m.known_limits)),
        ("Sources of priors", listed(m.prior_sources)),
        ("Owner", m.owner or "not stated"),
        ("Instructions", "Read docs/report.md before use."),
    ]
    return [{"name": name, "shown": shown} for name, shown in rows]


def provenance(inputs: ReportInput) -> dict:
    """Where the numbers come from, exactly enough to make them again."""
    m = inputs.model
    rows = [
        ("Model", f"{m.name} {m.version}"),
        ("Model hash", m.model_hash),
        ("Population posterior hash", m.population_hash),
        ("Data hash", m.data_hash),
    ]
    rows += [(f"Seed, {name}", str(seed)) for name, seed in m.seeds] + [
        (f"Version of {name}", version) for name, version in m.versions
    ]
    return {
        "model": m.name,
        "model_version": m.version,
        "software": dict(m.versions),
        "commit": None,
        "model_sha256": m.model_hash,
        "posterior_sha256": m.population_hash,
        "data_sha256": m.data_hash,
        "sites": list(m.sites),
        "federated": len(m.sites) > 1,
        "prior_source": list(m.prior_sources),
        "synthetic": m.synthetic,
        "rows": [{"name": name, "shown": shown or "not stated"} for name, shown in rows],
    }
