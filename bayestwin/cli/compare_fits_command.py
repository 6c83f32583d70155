"""The command `compare-fits`: which fit says a patient to come best, and what hangs on its priors?"""

import sys
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
    Patients,
    Seed,
    TimeUnit,
    say,
    usage_error,
)
from bayestwin.cli.populations import usable_population
from bayestwin.cli.reading import read_files, tell


def compare_fits(
    populations: Annotated[
        list[Path],
        typer.Argument(help="Population posteriors of `fit`, one or more.", exists=True, dir_okay=False),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the tables (CSV).", file_okay=False)],
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Folder of a model that is not shipped; may be repeated.")
    ] = None,
    patients: Patients = None,
    labs: Labs = None,
    doses: Doses = None,
    events: Events = None,
    event_table: EventTable = None,
    time_unit: TimeUnit = None,
    as_of: AsOf = None,
    draws: Annotated[int, typer.Option(help="Population draws of each fit.", min=50)] = 200,
    points: Annotated[int, typer.Option(help="Points that integrate over each patient's parameters.", min=50)] = 200,
    seed: Seed = 1,
):
    """Leave-one-patient-out scores (PSIS with k-hat), stacking weights and prior sensitivity of fits, side by side."""
    from bayestwin.evaluation.fit_comparison import compare_fits as compare

    names = [path.stem for path in populations]
    if len(set(names)) < len(names):
        raise usage_error(f"Each fit is named by its file, and {' and '.join(names)} are not all different.")
    fits = dict(zip(names, _fits(populations, models or ())))
    files = {"patients": patients, "labs": labs, "doses": doses, "events": events, "event_table": event_table}
    read = {
        name: read_files(p.model.record_schema(), files, time_unit=time_unit, as_of=as_of) for name, p in fits.items()
    }
    tell(next(iter(read.values())))
    if not any(record.labs for reading in read.values() for record in reading.cohort):
        say("Nothing usable: no lab was accepted.")
        return NOTHING_USABLE
    cohorts = {name: reading.cohort for name, reading in read.items()}
    more = {"draws": draws, "points": points, "progress": sys.stderr.isatty()}
    found = compare(fits, cohorts, random_seed=seed, **more)
    out.mkdir(parents=True, exist_ok=True)
    found.table.to_csv(out / "comparison.csv", index=False)
    found.khat.to_csv(out / "patients.csv", index=False)
    typer.echo(found.table.to_string(index=False, float_format="{:.3g}".format))
    for name in names:
        for note in found.notes[name]:
            say(f"{name}: {note}")
        table = found.sensitivity[name]
        table.to_csv(out / f"prior_sensitivity_{name}.csv")
        said = table[~table["diagnosis"].isin(["✓", "-", ""])]
        typer.echo(f"{name}: prior sensitivity of {len(said)} of {len(table)} parameters to be looked at")
        for row in said.itertuples():
            typer.echo(f"  {row.Index}: {row.diagnosis} (prior {row.prior:.2g}, likelihood {row.likelihood:.2g})")
    typer.echo(f"wrote comparison.csv, patients.csv, prior_sensitivity_*.csv to {out}")
    return SOME_REFUSED if any(reading.refusals for reading in read.values()) else DONE


def _fits(paths, models):
    """Each posterior with its model: one of the folders where the name is theirs, else the shipped one."""
    from bayestwin.specification import load_model

    folders = {loaded.name: folder for folder, loaded in ((folder, load_model(folder)) for folder in models)}
    return [usable_population(path, folders.get(_model_of(path))) for path in paths]


def _model_of(path) -> str:
    """Name of the model that a posterior is of."""
    from bayestwin.store import read_tree

    return read_tree(path, "population", made_by="bayestwin fit").attrs["model"]
