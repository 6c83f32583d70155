"""The command `check-fit`: does a fitted population look like the cohort it was fitted on?"""

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from bayestwin.cli.check_fit_events import write_events
from bayestwin.cli.check_fit_individuals import write_covariate_effects, write_individuals
from bayestwin.cli.options import (
    DONE,
    NOTHING_USABLE,
    SOME_REFUSED,
    AsOf,
    Doses,
    Events,
    EventTable,
    Labs,
    ModelOfPopulation,
    Patients,
    PopulationFile,
    Seed,
    TimeUnit,
    say,
    usage_error,
)
from bayestwin.cli.populations import usable_population
from bayestwin.cli.reading import read_files, tell

PROBABILITY = 0.9
REPLICATES = 300
INDIVIDUAL_DRAWS = 200


def check_fit(
    out: Annotated[Path, typer.Option(help="Folder for tables (CSV) and figures (PNG).", file_okay=False)],
    population: PopulationFile = None,
    model: ModelOfPopulation = None,
    patients: Patients = None,
    labs: Labs = None,
    doses: Doses = None,
    events: Events = None,
    event_table: EventTable = None,
    time_unit: TimeUnit = None,
    as_of: AsOf = None,
    prediction_corrected: Annotated[
        bool, typer.Option("--prediction-corrected", help="Prediction-corrected VPC (pcVPC).")
    ] = False,
    count: Annotated[
        int | None,
        typer.Option("--replicates", help="Simulated cohorts; default 300, more for patients with many labs.", min=100),
    ] = None,
    from_priors: Annotated[
        bool, typer.Option("--from-priors", help="Prior predictive check: draws of the priors of --model, no fit.")
    ] = False,
    individual_fits: Annotated[
        int, typer.Option(help="Patients whose individual fit is drawn, twelve a page.", min=0)
    ] = 24,
    seed: Seed = 1,
):
    """VPC, NPDE, goodness of fit, individual fits, random effects, shrinkage, covariates; tables and figures."""
    from bayestwin.evaluation.predictive_checks import npde, vpc
    from bayestwin.evaluation.replicates import replicates

    known = _priors(population, model, seed) if from_priors else usable_population(population, model)
    files = {"patients": patients, "labs": labs, "doses": doses, "events": events, "event_table": event_table}
    reading = read_files(known.model.record_schema(), files, time_unit=time_unit, as_of=as_of)
    tell(reading)
    if not any(record.labs for record in reading.cohort):
        say("Nothing usable: no lab was accepted.")
        return NOTHING_USABLE
    count = _replicates(reading.cohort, count)
    bare = sum(bool(record.labs) and not record.doses for record in reading.cohort)
    if known.model.routes and bare:
        say(f"note: {bare} patients have labs and no dose; what they were given may be missing from these files")
    found = replicates(known, reading.cohort, random_seed=seed, count=count, progress=sys.stderr.isatty())
    if found.failures:
        say(f"{100 * found.failures:.2g} % of the simulated patients could not be solved and are left out")
    out.mkdir(parents=True, exist_ok=True)
    for output in dict.fromkeys(found.labs["output"]):
        counted = known.model.observations[known.model.observation_index[output]].discrete
        corrected = prediction_corrected and not counted
        bands = vpc(found, output, prediction_corrected=corrected, probability=PROBABILITY)
        if bands.attrs["left_out"]:
            say(f"{output}: {bands.attrs['left_out']} labs without a prediction above 0 are left out of the pcVPC")
        errors = None if counted else npde(found, output, random_seed=seed)
        bands.to_csv(out / f"vpc_{output}.csv", index=False)
        if errors is not None:
            errors.to_csv(out / f"npde_{output}.csv", index=False)
        _draw(out, known.model, found.of(output), output, bands, errors, corrected)
        outside = (bands["observed"] < bands["low"]) | (bands["observed"] > bands["high"])
        points = f"{int(outside.sum())} of {len(bands)} points outside their {100 * PROBABILITY:g} % bands"
        typer.echo(f"{output}: VPC {points}; {_npde_words(errors, prediction_corrected)}")
    _draw_spaghetti(out, known.model, found)
    for line in write_events(out, known, reading.cohort, seed=seed, count=count, probability=PROBABILITY):
        typer.echo(line)
    if not from_priors:
        write_individuals(out, known, reading.cohort, count=min(count, INDIVIDUAL_DRAWS), courses_of=individual_fits)
        write_covariate_effects(out, known, reading.cohort)
    typer.echo(f"wrote tables and figures to {out}")
    return SOME_REFUSED if reading.refusals else DONE


def _priors(population, model, seed):
    """The model's own priors in the place of a posterior."""
    if model is None or population is not None:
        raise usage_error("--from-priors asks for --model (a name or a folder) and no --population.")
    from bayestwin.population.prior import prior_population
    from bayestwin.specification import load_model

    say("Note: these are the model's priors, no fit")
    return prior_population(load_model(model), draws=REPLICATES, random_seed=seed)


def _npde_words(errors, prediction_corrected: bool) -> str:
    """The tests of NPDE in words; why there are none of what is counted or graded."""
    from bayestwin.evaluation.predictive_checks import npde_tests

    if errors is None:
        return "counted or graded, so no NPDE" + (" and no prediction correction" if prediction_corrected else "")
    test = npde_tests(errors)
    tested = f"p {test['p']:.2g}" if test["p"] == test["p"] else "too few labs for a test"
    return f"NPDE mean {test['mean']:.2f}, variance {test['variance']:.2f}, {tested} ({test['labs']} labs)"


def _replicates(cohort, asked: int | None) -> int:
    """How many cohorts to simulate; a usage error where NPDE could not make the labs of some patient uncorrelated."""
    from bayestwin.evaluation.predictive_checks import replicates_needed

    most = max(max(Counter(lab.output for lab in record.labs).values(), default=0) for record in cohort)
    needed = replicates_needed(most)
    if asked is not None and asked < needed:
        raise usage_error(f"--replicates {asked}: a patient here has {most} labs of one output; ask for {needed}.")
    return asked or max(REPLICATES, needed)


def _draw(out, model, mine, output, bands, errors, corrected):
    """vpc_<output>.png and npde_<output>.png."""
    from bayestwin.plots.predictive_checks import plot_npde, plot_vpc

    observation = model.observations[model.observation_index[output]]
    shares = bool(observation.lab_spec.categories)
    labs = () if corrected or shares else [(row.time, row.observed) for row in mine.labs.itertuples()]
    scale = "log" if observation.log_scale else "linear"
    words = {
        "label": observation.label or output,
        "unit": "share" if shares else observation.unit,
        "time_label": f"time, {model.time_unit}",
    }
    axes = plot_vpc(bands, probability=PROBABILITY, labs=labs, scale=scale, **words)
    figure = (axes[0] if isinstance(axes, tuple) else axes).figure
    figure.savefig(out / f"vpc_{output}.png", dpi=150)
    if errors is None:
        return
    panels = plot_npde(errors, time_label=words["time_label"])
    panels[0].figure.savefig(out / f"npde_{output}.png", dpi=150)


def _draw_spaghetti(out, model, found):
    """spaghetti_<output>.png of every output that is measured."""
    from bayestwin.plots.goodness_of_fit import plot_spaghetti

    for output, mine in found.labs.groupby("output", sort=False):
        observation = model.observations[model.observation_index[output]]
        scale, label = "log" if observation.log_scale else "linear", observation.label or output
        ax = plot_spaghetti(
            mine, scale=scale, label=label, unit=observation.unit, time_label=f"time, {model.time_unit}"
        )
        ax.figure.savefig(out / f"spaghetti_{output}.png", dpi=150)
