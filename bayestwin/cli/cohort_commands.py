"""Commands before a fit: `demo`, and `check` the files of many patients."""

from pathlib import Path
from typing import Annotated

import typer

from bayestwin.cli.options import (
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
    Seed,
    TimeUnit,
    file_to_write,
    folder_to_write,
    say,
)
from bayestwin.cli.reading import add_recognised, read_files


def demo(
    out: Annotated[Path, folder_to_write("Folder for the report and the files behind it.")] = Path("demo_report"),
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
