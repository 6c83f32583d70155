"""Commands on many patients: `demo`, `check` their files, `fit` a population."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bayestwin.cli.options import (
    DIAGNOSTICS_FAILED,
    DONE,
    NOTHING_USABLE,
    SOME_REFUSED,
    AsOf,
    Doses,
    Events,
    EventTable,
    Labs,
    ModelName,
    Patients,
    PriorsFile,
    Seed,
    TimeUnit,
    file_to_write,
    say,
    usage_error,
)
from bayestwin.cli.reading import add_recognised, read_files, tell


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the report and the files behind it.")] = Path("demo_report"),
    seed: Seed = 1,
):
    """Fit theophylline live, then follow one synthetic myeloma patient to month six and write the report."""
    from bayestwin.jobs.demo import run_demo

    return run_demo(out, random_seed=seed)


def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILES]...", help="CSV files or a folder of them; each is known by its header.", exists=True
        ),
    ] = None,
    model: ModelName = "myeloma_car_t",
    patients: Patients = None,
    labs: Labs = None,
    doses: Doses = None,
    events: Events = None,
    event_table: EventTable = None,
    time_unit: TimeUnit = None,
    as_of: AsOf = None,
    out: Annotated[Path | None, file_to_write("Write the refused rows to this CSV file.")] = None,
):
    """Read the files as a fit would: count what is usable, list every refused row with its reason."""
    from bayestwin.records import write_refusals
    from bayestwin.specification import load_model

    files = {"patients": patients, "labs": labs, "doses": doses, "events": events, "event_table": event_table}
    for path in paths or ():
        add_recognised(files, path)
    schema = load_model(model).record_schema()
    reading = read_files(schema, files, time_unit=time_unit, as_of=as_of)
    _print_counts(schema, reading)
    if out:
        write_refusals(reading.refusals, out)
        typer.echo(f"wrote {out}")
    if not any(patient.labs or patient.doses or patient.events for patient in reading.cohort):
        say("Nothing usable: no lab, dose or event was accepted.")
        return NOTHING_USABLE
    return SOME_REFUSED if reading.refusals else DONE


def _print_counts(schema, reading):
    labs = [lab for patient in reading.cohort for lab in patient.labs]
    typer.echo(f"Read for {schema.model} (time in {schema.time_unit}):")
    for name, spec in schema.labs.items():
        of_this = [lab for lab in labs if lab.output == name]
        between = sum(lab.censoring == "interval" for lab in of_this)
        beyond = sum(lab.censoring != "none" for lab in of_this) - between
        typer.echo(
            f"{len(of_this):6d} labs {name} ({spec.unit})"
            + (f", {beyond} of them beyond a limit" if beyond else "")
            + (f", {between} between two limits" if between else "")
        )
    typer.echo(reading.summary())


def fit(
    model: ModelName,
    out: Annotated[Path, file_to_write("Where to save the population posterior (netCDF).")],
    patients: Patients = None,
    labs: Labs = None,
    doses: Doses = None,
    events: Events = None,
    event_table: EventTable = None,
    time_unit: TimeUnit = None,
    as_of: AsOf = None,
    seed: Seed = 1,
    chains: Annotated[int, typer.Option(help="Chains.", min=1)] = 4,
    warmup: Annotated[int | None, typer.Option(help="Warm-up draws per chain.", min=10)] = None,
    draws: Annotated[int | None, typer.Option(help="Kept draws per chain.", min=10)] = None,
    method: Annotated[
        str,
        typer.Option(
            help="nuts: joint NUTS, the reference. gibbs: HMC within Gibbs, as exact and faster for many patients. "
            "approximate: as --approximate."
        ),
    ] = "nuts",
    approximate: Annotated[
        bool,
        typer.Option(
            "--approximate",
            help="A variational first look in minutes instead of a sampler; labelled approximate wherever it goes.",
        ),
    ] = False,
    start_from: Annotated[
        Path | None, typer.Option(help="An earlier posterior whose draws the chains begin at (a warm start).")
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            help="A folder that keeps the run (personal data in it): the same command goes on there after a kill."
        ),
    ] = None,
    priors: PriorsFile = None,
    keep_individuals: Annotated[
        bool, typer.Option(help="Keep the patients' own parameters in the file (it then holds personal data).")
    ] = False,
    keep_failed: Annotated[
        bool, typer.Option(help="Save a fit that failed its diagnostics, under a name that says so.")
    ] = False,
):
    """Fit the population: priors of the model file, labs of many patients, NUTS; diagnostics pass or fail."""
    from bayestwin.population import approximate_population, fit_population, load_population
    from bayestwin.population.methods import METHODS
    from bayestwin.specification import load_model
    from bayestwin.specification.other_priors import read_priors, with_priors

    if method not in METHODS:
        raise usage_error(f"--method {method}: choose {', '.join(METHODS)}.")
    loaded = load_model(model)
    other = read_priors(priors) if priors else {}
    with_priors(loaded, other)  # a misspelt name is told before the files are read
    files = {"patients": patients, "labs": labs, "doses": doses, "events": events, "event_table": event_table}
    reading = read_files(loaded.record_schema(), files, time_unit=time_unit, as_of=as_of)
    tell(reading)
    if not any(patient.labs for patient in reading.cohort):
        say("Nothing usable: no lab was accepted.")
        return NOTHING_USABLE
    lengths: dict[str, Any] = {"warmup": warmup, "draws": draws}
    lengths = {name: count for name, count in lengths.items() if count is not None}
    common: dict[str, Any] = {"random_seed": seed, "progress": sys.stderr.isatty(), "priors": other}
    if approximate or method == "approximate":
        if lengths or start_from or work:
            raise usage_error("--warmup, --draws, --start-from and --work are of samplers; not with --approximate.")
        population = approximate_population(loaded, reading.cohort, guide="by_patient", **common)
    else:
        earlier = None if start_from is None else load_population(start_from, loaded)
        population = fit_population(
            loaded, reading.cohort, method=method, chains=chains, start_from=earlier, work=work, **lengths, **common
        )
    typer.echo(population.summary().to_string(float_format="{:.3g}".format))
    if population.diagnostics.approximate:
        typer.echo(f"diagnostics: {population.diagnostics}")
        population.save(out, keep_individuals=keep_individuals)
        typer.echo(f"wrote {out}")
        return SOME_REFUSED if reading.refusals else DONE
    if note := population.attributes.get("method_note"):
        say(f"note: {note}")
    passed = population.diagnostics.passed
    typer.echo(f"diagnostics: {'PASS' if passed else 'FAILED'}")
    for reason in population.diagnostics.reasons:
        typer.echo(f"  {reason}")
    if not passed and not keep_failed:
        say(f"Nothing written to {out}. Longer chains (--warmup, --draws) may help; --keep-failed saves it to look at.")
        return DIAGNOSTICS_FAILED
    out = out if passed else out.with_name(f"{out.stem}.failed{out.suffix}")
    population.save(out, keep_individuals=keep_individuals)
    typer.echo(f"wrote {out}")
    if not passed:
        return DIAGNOSTICS_FAILED
    return SOME_REFUSED if reading.refusals else DONE
