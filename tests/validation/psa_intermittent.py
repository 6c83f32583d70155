"""Real men, four folds: fit on three quarters of them, replay the others PSA by PSA, beside rivals on the same labs.

    python tests/validation/psa_intermittent.py --work FOLDER [--fold 0 1 2 3]
        [--write docs/validation/psa_intermittent.md]

Folds are the rank of a man's key mod 4. Each fold leaves its population, predictions.csv and the rivals' predictions in
FOLDER and is not run again. The data (Bruchovsky et al. 2006, 2007) are found through BAYESTWIN_SHARED_DATA or
../shared/data and never copied.
"""

import argparse
import json
import os
import time
from pathlib import Path

import pandas as pd

from bayestwin.evaluation.comparison import compare_forecasters
from bayestwin.evaluation.rivals import fit_rivals
from bayestwin.evaluation.score_tables import score_table
from bayestwin.jobs.replay import replay_cohort
from bayestwin.population import approximate_population, load_population
from bayestwin.records import Cohort, read_records
from bayestwin.specification import load_model

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "psa_intermittent"
FOLDS = 4
RIVALS = ("last_value", "gaussian_process")
SIZES = {"particles": 1000, "islands": 8, "population_draws": 200}


def data_file() -> Path:
    """The study's table; SystemExit where it is absent."""
    folder = Path(os.environ.get("BAYESTWIN_SHARED_DATA", ROOT.parent / "shared" / "data"))
    path = folder / "psa_intermittent" / "psa_intermittent.csv"
    if not path.is_file():
        raise SystemExit("psa_intermittent.csv is absent: set BAYESTWIN_SHARED_DATA or put shared/data beside it")
    return path


def cohort_of(model) -> Cohort:
    """All men of the table, through the model's own preparation."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("prepare", MODEL / "prepare.py")
    prepare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prepare)
    return read_records(model.record_schema(), **prepare.tables(pd.read_csv(data_file()))).cohort


def parts(cohort, fold: int) -> tuple[Cohort, Cohort]:
    """Training men and the men of this fold."""
    ranked = sorted(cohort.keys)
    mine = {key for rank, key in enumerate(ranked) if rank % FOLDS == fold}
    return Cohort(tuple(p for p in cohort if p.key not in mine)), Cohort(tuple(p for p in cohort if p.key in mine))


def run_fold(folder: Path, fold: int, steps: int) -> None:
    """Population, twin's rows and rivals' rows of one fold, each left in a file as soon as it is there."""
    model = load_model(MODEL)
    training, held_out = parts(cohort_of(model), fold)
    saved = folder / f"population_{fold}.nc"
    if not saved.exists():
        fitted = approximate_population(model, training, random_seed=1, steps=steps, guide="by_patient", progress=True)
        fitted.save(saved)
    population = load_population(saved, MODEL)
    rows, seconds = folder / f"predictions_{fold}.csv", folder / f"seconds_{fold}.json"
    if not rows.exists():
        begin = time.perf_counter()
        found = replay_cohort(population, held_out, random_seed=2, progress=True, **SIZES)
        seconds.write_text(json.dumps({"seconds": time.perf_counter() - begin, "failed": found.failed}))
        found.frame().to_csv(rows, index=False)
    beside = folder / f"rivals_{fold}.csv"
    if not beside.exists():
        rivals = fit_rivals(model, population, training, names=RIVALS).values()
        found = replay_rivals(rivals, held_out)
        found.to_csv(beside, index=False)


def replay_rivals(rivals, held_out):
    """The rivals' rows of the same labs, the column `forecaster` first."""
    from bayestwin.evaluation import predictions_frame
    from bayestwin.evaluation.rivals import rival_rows

    frames = []
    for rival in rivals:
        rows = [row for record in held_out for row in rival_rows(rival, record, random_seed=2)]
        frames.append(predictions_frame(rows).assign(forecaster=rival.name))
    whole = pd.concat(frames, ignore_index=True)
    return whole[["forecaster", *(c for c in whole.columns if c != "forecaster")]]


def pooled(folder: Path, name: str):
    """PSA rows of all folds that are there, of labs before which some PSA was learnt (a rival has no value else)."""
    whole = pd.concat([pd.read_csv(path) for path in sorted(folder.glob(f"{name}_?.csv"))], ignore_index=True)
    whole = whole[whole["output"] == "psa"].sort_values(["patient", "known_time"], kind="stable")
    first = whole.groupby("patient")["known_time"].transform("min")
    return whole[whole["known_time"] > first].reset_index(drop=True)


def write(folder: Path, path: Path) -> None:
    """docs/validation/psa_intermittent.md from the folds' files."""
    twin, beside = pooled(folder, "predictions"), pooled(folder, "rivals")
    rivals = {name: part.drop(columns="forecaster") for name, part in beside.groupby("forecaster", sort=False)}
    found = compare_forecasters(twin, rivals, random_seed=6)
    table = score_table(twin, random_seed=6)
    seconds = [json.loads(p.read_text()) for p in sorted(folder.glob("seconds_?.json"))]
    failed = {key: why for s in seconds for key, why in s["failed"].items()}
    lines = [
        "# PSA under intermittent androgen deprivation: 33 real men",
        "",
        "Bruchovsky et al. (2006, 2007), Canadian prospective phase II study. Made by",
        "`python tests/validation/psa_intermittent.py --work FOLDER --write docs/validation/psa_intermittent.md`.",
        f"{twin['patient'].nunique()} men in {len(seconds)} folds, each forecast by a population fitted without him",
        "(variational approximation, a normal per patient: labelled approximate), PSA by PSA, one step ahead.",
        f"Scores on ln PSA; PSA below 0.1 ng/mL is censored there. Men that could not be replayed: {len(failed)}.",
        f"Forecasts by a twin whose numerical check failed: {int((twin['verdict'] != 'PASS').sum())} of {len(twin)}.",
        "",
        "## Beside rivals on the same labs",
        "",
        found.headline,
        "",
        "| rival | labs | group | twin CRPS | rival CRPS | rival - twin, mean over men | 90 % interval, by man |",
        "|---|---|---|---|---|---|---|",
    ]
    shown = found.table[(found.table["score"] == "crps") & (found.table["mean_over"] == "patients")]
    shown = shown[shown["rows"] == shown["rows"].iloc[-1]].drop_duplicates(["rival", "split", "group"])
    lines += [
        f"| {r.rival} | {r.labs} | {r.split}: {r.group} | {r.twin:.3f} | {r.rival_score:.3f} | {r.difference:.3f} | "
        f"{r.low:.3f} to {r.high:.3f} |"
        for r in shown.itertuples()
    ]
    lines += ["", "## The twin's own scores", "", "| group | score | value | 90 % interval, by man | labs | men |"]
    lines += ["|---|---|---|---|---|---|"]
    own = table[table["rows"] == table["rows"].iloc[-1]].drop_duplicates(["split", "group", "score"])
    own = own[own["score"].isin(("crps", "rmse", "bias", "coverage_50", "coverage_80", "coverage_90"))]
    lines += [
        f"| {r.split}: {r.group} | {r.score} | {r.value:.3f} | {r.low:.3f} to {r.high:.3f} | {r.labs} | {r.patients} |"
        for r in own.itertuples()
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    """Run the folds asked for; write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--fold", type=int, nargs="*", default=range(FOLDS))
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    for fold in asked.fold:
        run_fold(asked.work, fold, asked.steps)
    if asked.write:
        write(asked.work, asked.write)


if __name__ == "__main__":
    main()
