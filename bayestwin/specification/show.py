"""`print(model)`: every parameter with unit and prior, observations, treatments, endpoints, in plain text."""

from bayestwin.specification.correlation import between_patients
from bayestwin.specification.horseshoe import horseshoes


def describe(model) -> str:
    """The whole model as text, read like a methods section."""
    parts = (_head, _doses, _parameters, _covariates_and_drift, _responses, _observations, _treatments, _endpoint)
    return "\n".join(line for part in parts for line in part(model))


def _table(rows, indent="  "):
    if not rows:
        return []
    widths = [max(len(str(row[k])) for row in rows) for k in range(len(rows[0]))]
    return [(indent + "  ".join(str(cell).ljust(w) for cell, w in zip(row, widths))).rstrip() for row in rows]


def _head(model):
    lines = [f"{model.name}: {model.label or model.name}", f"source hash {model.hash[:12]}, time in {model.time_unit}"]
    if model.context_of_use:
        lines.append(f"context of use: {model.context_of_use}")
    if model.description:
        lines += ["", *model.description.strip().splitlines()]
    return [*lines, "", f"states: {', '.join(model.states)}"]


def _doses(model):
    lines = []
    if model.routes:
        routes = ", ".join(f"{route} -> {compartment}" for route, compartment in model.routes.items())
        lines.append(f"routes: {routes}" + (f" (amounts in {model.dose_unit})" if model.dose_unit else ""))
    return [*lines, *(f"doses into {one}" for one in model.dosing)]


def _parameters(model):
    rows: list[tuple[str, ...]] = [("name", "unit", "scale", "typical value", "between patients", "source")]
    for p in model.parameters:
        between = str(p.between) if p.between is not None else "same for all"
        mark = f" [{p.mark}]" if p.mark else ""
        rows.append((p.name, p.unit or "-", p.scale, str(p.typical), between, p.source + mark))
    return ["", "parameters (typical value; between-patient SD on the transformed scale):", *_table(rows)]


def _covariates_and_drift(model):
    lines = []
    if model.effects:
        lines += ["", "covariate effects:", *_table([(name, str(effect)) for name, _, effect in model.effects])]
    for one, slopes in horseshoes(model).items():
        scale = f"tau_0 {one.global_scale(len(slopes)):.3g}, in SDs between patients"
        lines += ["", f"{one}: {len(slopes)} slopes, {scale}"]
    if model.covariate_distributions:
        rows = [(one.covariate, str(one)) for one in model.covariate_distributions]
        lines += ["", "distribution of covariates, which a missing one is integrated over:", *_table(rows)]
    for prior in between_patients(model):
        lines += ["", f"correlation of between-patient effects: {prior}"]
    for drift in model.drift:
        lines += [
            "",
            f"drift: {drift.parameter} changes every {drift.every:g} {model.time_unit} by a step, "
            f"SD {drift.sd}, {drift.steps} steps",
        ]
    if model.occasions:
        lines += ["", f"occasions of one patient (SD on the transformed scale): {model.occasions}"]
    return lines


def _responses(model):
    lines = []
    for cls in model.response_classes:
        lines += [
            "",
            f"response class: under {cls.treatment}, with chance {cls.probability}, "
            f"{cls.parameter} becomes {cls.replaced_by}" + (f", without {cls.without}" if cls.without else ""),
        ]
    if model.response_correlation:
        rc = model.response_correlation
        lines += [
            "",
            f"response correlation (declared, not estimated): rho = {rc.rho:g} between {', '.join(rc.parameters)}; "
            f"comparisons shown over rho in {', '.join(f'{r:g}' for r in rc.shown)}",
            *(f"  {rc.of(*g[:2], rc.rho):.2g} within {', '.join(g)}" for g in rc.alike if len(g) > 1),
        ]
    return lines


def _observations(model):
    rows = [("output", "unit", "residual error or distribution", "plausible", "limit")]
    for o in model.observations:
        residual = "; ".join(f"{k} {v}" for k, v in o.residual_parameters.items())
        tail = f", Student-t {o.error.nu:g} df" if not o.discrete and o.error.nu else ""
        limit = "-" if o.lower_limit is None else f"{o.lower_limit:g}"
        error = f"{type(o.distribution if o.discrete else o.error).__name__}({residual}{tail})"
        if o.discrete and o.distribution.values is not None:
            rows.append((o.output, o.unit, error, o.lab_spec.possible(), limit))
            continue
        rows.append((o.output, o.unit, error, f"{o.plausible[0]:g} to {o.plausible[1]:g}", limit))
    lines = ["", "observations:", *_table(rows)]
    return [*lines, "", f"hazards: {', '.join(model.hazards)}"] if model.hazards else lines


def _treatments(model):
    lines = ["", "treatments:"] if model.treatments else []
    for t in model.treatments:
        wait = f", starts {t.to_leukapheresis + t.wait:g} {model.time_unit} after the decision" if t.wait else ""
        asked = ", by request" if t.by_request else ""
        lines.append(f"  {t.name}: {t.label}{wait}{asked}")
        if t.given:
            lines.append(f"    given: {t.given}")
        if t.evidence:
            lines.append(f"    evidence: {t.evidence}")
        if t.eligibility:
            lines.append("    holds for: " + "; ".join(str(rule) for rule in t.eligibility))
    return lines


def _endpoint(model):
    if not model.progression:
        return []
    rules = "; ".join(
        f"{r.output} +{r.relative:.0%} and +{r.absolute:g}"
        + (f" on {', '.join(r.counts_on)}" if r.counts_on else "")
        + (f" if {r.when[0]} = {r.when[1]}" if r.when else "")
        for r in model.progression.rules
    )
    return [
        "",
        f"endpoint: progression ({rules}; {model.progression.confirmations} consecutive visits, "
        f"every {model.progression.visit_every:g} {model.time_unit})"
        + (" or death" if model.progression.death_hazard else ""),
    ]
