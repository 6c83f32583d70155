"""Proofs over many simulated patients: one file per patient in a folder, so that a stopped run is taken up again.

FOLDER/settings.json        what the patients and twins were made with; another run must say the same
FOLDER/SIM-0001.json        rows of one patient, or why there are none
FOLDER/results.csv          all rows under each other; summary.csv the measures beside their targets
"""

import json
from pathlib import Path
from typing import Any

from bayestwin.errors import BayestwinError, StoreError
from bayestwin.evaluation.verification import (
    Calibration,
    Proof,
    calibration_rows,
    nuts_rows,
    simulated_patient,
    simulated_with_truth,
    verify_simulated,
)
from bayestwin.jobs.whole_file import write_whole


def verify_cohort(
    population,
    patients: int,
    *,
    random_seed: int,
    folder: Path | None = None,
    visits: int = 8,
    progress=False,
    **sizes,
) -> Proof:
    """Simulate patients, lead a twin through each, compare with its reference.

    Parameters
    ----------
    population : PopulationPosterior      the patients are drawn from its draws
    folder : Path      results are kept here patient by patient; those that are there are not done again
    sizes              particles, islands, population_draws, reference_particles (`verify_simulated`)

    Raises
    ------
    StoreError      the folder holds results that were made with other settings; names both
    """
    import pandas as pd

    how: dict[str, Any] = {"random_seed": random_seed, "population_draws": sizes["population_draws"], "visits": visits}

    def one(number):
        record = simulated_patient(population, number, **how)
        return verify_simulated(population, record, random_seed=random_seed + number, **sizes)

    settings = _settings(population, random_seed, visits, sizes)
    rows, failed = kept_by_patient(one, patients, folder=folder, settings=settings, progress=progress)
    proof = Proof(pd.DataFrame(rows), sizes["particles"], failed)
    _write_tables(folder, proof)
    return proof


def calibrate_cohort(
    population,
    patients: int,
    *,
    random_seed: int,
    folder: Path | None = None,
    visits: int = 8,
    progress=False,
    **sizes,
) -> Calibration:
    """Simulate patients with their truth, lead a twin through each, rank the truth in what the twin says.

    sizes : particles, islands, population_draws, chances, knowledge (`calibration_rows`); else as in `verify_cohort`
    """
    import pandas as pd

    how: dict[str, Any] = {"random_seed": random_seed, "population_draws": sizes["population_draws"], "visits": visits}

    def one(number):
        record, truth = simulated_with_truth(population, number, **how)
        return calibration_rows(population, record, truth, random_seed=random_seed + number, **sizes)

    settings = _settings(population, random_seed, visits, sizes)
    rows, failed = kept_by_patient(one, patients, folder=folder, settings=settings, progress=progress)
    found = Calibration(pd.DataFrame(rows), failed)
    _write_tables(folder, found)
    return found


def nuts_cohort(
    population,
    patients: int,
    *,
    random_seed: int,
    folder: Path | None = None,
    visits: int = 8,
    progress=False,
    **sizes,
) -> Proof:
    """Simulate patients, hold the from-scratch reference of each against long NUTS.

    sizes : population_draws, reference_particles, draws (`nuts_rows`); the rest as in `verify_cohort`
    """
    import pandas as pd

    how: dict[str, Any] = {"random_seed": random_seed, "population_draws": sizes["population_draws"], "visits": visits}

    def one(number):
        return nuts_rows(
            population, simulated_patient(population, number, **how), random_seed=random_seed + number, **sizes
        )

    settings = _settings(population, random_seed, visits, sizes)
    rows, failed = kept_by_patient(one, patients, folder=folder, settings=settings, progress=progress)
    return Proof(pd.DataFrame(rows), sizes["reference_particles"], failed)


def kept_by_patient(one, patients: int, *, folder: Path | None, settings: dict, progress=False):
    """(rows of all patients, patient -> why there are none); `one(number)` -> rows, asked only where no file is kept.

    A problem of one patient stops nobody else.
    """
    from tqdm import tqdm

    if folder is not None:
        _same_settings(folder, settings)
    rows: list[dict] = []
    failed: dict[str, str] = {}
    for number in tqdm(range(1, patients + 1), unit="patient", disable=not progress):
        key = f"SIM-{number:04d}"
        path = None if folder is None else folder / f"{key}.json"
        if path is not None and path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
        else:
            try:
                found = {"rows": one(number)}
            except BayestwinError as error:
                found = {"failed": str(error)}
            if path is not None:
                write_whole(path, json.dumps(found, indent=1))
        rows += found.get("rows", ())
        failed |= {key: found["failed"]} if "failed" in found else {}
    return rows, failed


def _write_tables(folder: Path | None, found) -> None:
    """results.csv and summary.csv of a proof or a calibration; nothing without a folder or without rows."""
    if folder is not None and len(found.rows):
        write_whole(folder / "results.csv", found.rows.to_csv(index=False))
        write_whole(folder / "summary.csv", found.summary.to_csv(index=False))


def _settings(population, random_seed: int, visits: int, sizes) -> dict[str, Any]:
    settings: dict[str, Any] = {"model": population.model.name, "model_hash": population.model.hash}
    return settings | {"population_hash": population.hash, "random_seed": random_seed, "visits": visits} | sizes


def _same_settings(folder: Path, settings: dict) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / "settings.json"
    if not path.is_file():
        write_whole(path, json.dumps(settings, indent=1, sort_keys=True) + "\n")
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    other = sorted(name for name in settings if before.get(name) != settings[name])
    if other:
        raise StoreError(
            f"the results in this folder were made with another {other[0]}",
            place=f"{folder.name}/settings.json",
            value=before.get(other[0]),
            allowed=f"{settings[other[0]]} as asked now",
            next_step="Ask for the same again, or name a new folder.",
        )
