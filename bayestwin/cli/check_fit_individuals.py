"""What `check-fit` writes where the fit kept its individuals: goodness of fit, random effects, individual fits."""

import typer

from bayestwin.cli.options import say

PER_PAGE = 12


def write_individuals(out, known, cohort, *, count: int, courses_of: int):
    """goodness_of_fit, random_effects, shrinkage and covariates as CSV, and their figures.

    count : joint draws; courses_of : so many patients get a panel of their own
    """
    from bayestwin.errors import FitError
    from bayestwin.evaluation.goodness_of_fit import goodness_of_fit
    from bayestwin.evaluation.random_effects import against_covariates, random_effects, shrinkage
    from bayestwin.plots.predictive_checks import plot_random_effects

    try:
        effects = random_effects(known, cohort)
    except FitError as error:
        say(f"no random effects, no individual fits: {error}")
        return
    shrunk, beside = shrinkage(known, effects), against_covariates(effects, cohort)
    fitted = goodness_of_fit(known, cohort, draws=count)
    tables = {"random_effects": effects, "shrinkage": shrunk, "covariates": beside, "goodness_of_fit": fitted}
    for name, table in tables.items():
        table.to_csv(out / f"{name}.csv", index=False)
    typer.echo("shrinkage, of the labs and patients of the fit itself:")
    typer.echo(shrunk.to_string(index=False, float_format="{:.3g}".format))
    for row in beside[beside["p_adjusted"] < 0.05].itertuples():
        typer.echo(f"eta of {row.parameter} goes with {row.covariate} ({row.test}, adjusted p {row.p_adjusted:.2g})")
    for row in shrunk.itertuples():
        ax = plot_random_effects(effects, row.parameter, shrinkage=row.shrinkage_sd)
        ax.figure.savefig(out / f"eta_{row.parameter}.png", dpi=150)
    for output, mine in fitted.groupby("output", sort=False):
        _draw_output(out, known, cohort, output, mine, courses_of)


def _draw_output(out, known, cohort, output, mine, courses_of):
    """goodness_of_fit_<output>.png and individual_fits_<output>_<page>.png."""
    from bayestwin.evaluation.goodness_of_fit import individual_courses
    from bayestwin.plots.goodness_of_fit import plot_goodness_of_fit, plot_individual_fits

    observation = known.model.observations[known.model.observation_index[output]]
    scale, time_label = "log" if observation.log_scale else "linear", f"time, {known.model.time_unit}"
    panels = plot_goodness_of_fit(mine, scale=scale, unit=observation.unit, time_label=time_label)
    panels[0, 0].figure.savefig(out / f"goodness_of_fit_{output}.png", dpi=150)
    patients = list(dict.fromkeys(mine["patient"]))
    if len(patients) > courses_of:
        say(f"{output}: individual fits of the first {courses_of} of {len(patients)} patients (--individual-fits)")
    words = {"label": observation.label or output, "unit": observation.unit, "time_label": time_label}
    for page, first in enumerate(range(0, min(courses_of, len(patients)), PER_PAGE), start=1):
        chosen = patients[first : min(first + PER_PAGE, courses_of)]
        courses = {key: individual_courses(known, cohort[key], output) for key in chosen}
        axes = plot_individual_fits(courses, mine, scale=scale, **words)
        axes[0].figure.savefig(out / f"individual_fits_{output}_{page}.png", dpi=150)


def write_covariate_effects(out, known, cohort):
    """covariate_effects.csv and a forest for each kind of effect, where the model has covariates that are known."""
    from bayestwin.errors import FitError
    from bayestwin.evaluation.covariate_effects import covariate_effects
    from bayestwin.plots.goodness_of_fit import plot_covariate_effects

    if not known.model.effects:
        return
    try:
        table = covariate_effects(known, cohort)
    except FitError as error:
        say(f"no covariate effects: {error}")
        return
    table.to_csv(out / "covariate_effects.csv", index=False)
    for kind in dict.fromkeys(table["kind"]):
        ax = plot_covariate_effects(table, kind=kind)
        ax.figure.savefig(out / f"covariate_effects_{kind.replace(' ', '_')}.png", dpi=150)
