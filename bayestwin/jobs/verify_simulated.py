"""The proof over many simulated patients: one file per patient in a folder, so that a stopped run is taken up again.

FOLDER/settings.json        what the patients and twins were made with; another run must say the same
FOLDER/SIM-0001.json        rows of one patient, or why there are none
FOLDER/results.csv          all rows under each other; summary.csv the measures beside their targets
"""

import json
from pathlib import Path
from typing import Any

from bayestwin.errors import BayestwinError, StoreError
from bayestwin.evaluation.verification import Proof, simulated_patient, verify_simulated
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
    from tqdm import tqdm

    settings: dict[str, Any] = {"model": population.model.name, "model_hash": population.model.hash}
    settings |= {"population_hash": population.hash, "random_seed": random_seed, "visits": visits} | sizes
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
            found = _one(population, number, random_seed, visits, sizes)
            if path is not None:
                write_whole(path, json.dumps(found, indent=1))
        rows += found.get("rows", ())
        failed |= {key: found["failed"]} if "failed" in found else {}
    proof = Proof(pd.DataFrame(rows), sizes["particles"], failed)
    if folder is not None and rows:
        write_whole(folder / "results.csv", proof.rows.to_csv(index=False))
        write_whole(folder / "summary.csv", proof.summary.to_csv(index=False))
    return proof


def _one(population, number: int, random_seed: int, visits: int, sizes) -> dict:
    """Rows of one patient; a problem of his stops nobody else."""
    draws = sizes["population_draws"]
    try:
        record = simulated_patient(population, number, random_seed=random_seed, population_draws=draws, visits=visits)
        return {"rows": verify_simulated(population, record, random_seed=random_seed + number, **sizes)}
    except BayestwinError as error:
        return {"failed": str(error)}


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
