"""Warfarin, 32 volunteers: one population fit in which the lag of the tablet is an individual parameter.

    python tests/validation/warfarin.py --work FOLDER [--write docs/validation/warfarin.md]

The fit is kept in FOLDER as a file of population-level draws and is not run again. The data are O'Reilly (1963, 1968),
concentrations only, found through BAYESTWIN_SHARED_DATA or ../shared/data and never copied.
"""

import argparse
import os
from pathlib import Path

import pandas as pd

from bayestwin.population import fit_population, load_population
from bayestwin.records import read_records
from bayestwin.specification import load_model

ROOT = Path(__file__).resolve().parents[2]


def data_file() -> Path:
    """The event table; SystemExit where it is absent."""
    folder = Path(os.environ.get("BAYESTWIN_SHARED_DATA", ROOT.parent / "shared" / "data"))
    path = folder / "warfarin" / "warfarin.csv"
    if not path.is_file():
        raise SystemExit("warfarin.csv is absent: set BAYESTWIN_SHARED_DATA or put shared/data beside the checkout")
    return path


def model_and_reading(path):
    """The shipped model, and the doses and concentrations of every volunteer."""
    model, table = load_model("warfarin"), pd.read_csv(path)
    table = table[table.dvid == "cp"].assign(dvid=1)
    return model, read_records(model.record_schema(), event_table=table, time_unit="h")


def fit(model, cohort, *, chains=4, warmup=500, draws=1000, random_seed=1):
    """The population posterior."""
    return fit_population(
        model,
        cohort,
        random_seed=random_seed,
        chains=chains,
        warmup=warmup,
        draws=draws,
        centred=True,
        target_accept=0.98,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for the fit")
    parser.add_argument("--write", type=Path, help="where to write the page")
    parser.add_argument("--draws", type=int, default=1000, help="draws per chain")
    arguments = parser.parse_args()
    model, reading = model_and_reading(data_file())
    print(len(reading.cohort), sum(len(p.labs) for p in reading.cohort), reading.refusals[:3], reading.notes)
    kept = arguments.work / "warfarin.nc"
    if not kept.exists():
        arguments.work.mkdir(parents=True, exist_ok=True)
        fit(model, reading.cohort, draws=arguments.draws).save(kept)
    population = load_population(kept, model)
    print(population.diagnostics)
