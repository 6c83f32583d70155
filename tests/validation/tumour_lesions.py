"""Target lesions, patients held out: fit on two thirds, replay the others lesion by lesion, beside rivals.

    python tests/validation/tumour_lesions.py --work FOLDER [--fold 0 1 2] [--write docs/validation/tumour_lesions.md]

Folds 0 to 2 are every third key of a fixed permutation, folds 3 to 5 whole studies, 1 to 3. Each leaves its population,
the twin's and the rivals' predictions one step ahead and with everything after day 100 hidden, and is not run again.
The data (Ghaffari Laleh et al. 2022) are found through BAYESTWIN_SHARED_DATA or ../shared/data and never copied.
"""

import argparse
import importlib.util
import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd

from bayestwin.evaluation import predictions_frame
from bayestwin.evaluation.comparison import compare_forecasters
from bayestwin.evaluation.rivals import fit_rivals, rival_rows
from bayestwin.evaluation.score_tables import score_table
from bayestwin.jobs.replay import replay_cohort
from bayestwin.population import approximate_population, load_population
from bayestwin.records import Cohort, read_records
from bayestwin.specification import load_model

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "tumour_lesions"
FOLDS, CUT = 3, 100.0  # folds of either kind; days
KINDS = {"a third of the patients": (0, 1, 2), "a whole study": (3, 4, 5)}
RIVALS = ("last_value", "gaussian_process")
SIZES = {"particles": 1000, "islands": 8, "population_draws": 200}
WAYS = {"next": None, "after_100": CUT}


def data_file() -> Path:
    """The table; SystemExit where it is absent."""
    folder = Path(os.environ.get("BAYESTWIN_SHARED_DATA", ROOT.parent / "shared" / "data"))
    path = folder / "tumour_lesions" / "tumour_lesions.csv"
    if not path.is_file():
        raise SystemExit("tumour_lesions.csv is absent: set BAYESTWIN_SHARED_DATA or put shared/data beside it")
    return path


def cohort_of(model) -> Cohort:
    """All patients of the table, through the model's own preparation."""
    spec = importlib.util.spec_from_file_location("prepare", MODEL / "prepare.py")
    prepare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prepare)
    return read_records(model.record_schema(), **prepare.tables(pd.read_csv(data_file()))).cohort


def parts(cohort, fold: int) -> tuple[Cohort, Cohort]:
    """Training patients and the patients of this fold."""
    if fold >= FOLDS:
        mine = {p.key for p in cohort if p.covariates["study"] == f"Study_{fold - FOLDS + 1}"}
    else:
        keys = sorted(cohort.keys)
        mine = {keys[i] for i in np.random.default_rng(0).permutation(len(keys))[fold::FOLDS]}
    return Cohort(tuple(p for p in cohort if p.key not in mine)), Cohort(tuple(p for p in cohort if p.key in mine))


def run_fold(folder: Path, fold: int, steps: int) -> None:
    """Population, the twin's rows and the rivals' rows of one fold, each left in a file as soon as it is there."""
    model = load_model(MODEL)
    training, held_out = parts(cohort_of(model), fold)
    saved, begin = folder / f"population_{fold}.nc", time.perf_counter()
    if not saved.exists():
        approximate_population(model, training, random_seed=1, steps=steps, guide="by_patient", progress=True).save(
            saved
        )
    population = load_population(saved, MODEL)
    for name, cut in WAYS.items():
        rows, beside = folder / f"{name}_{fold}.csv", folder / f"{name}_rivals_{fold}.csv"
        if not rows.exists():
            found = replay_cohort(population, held_out, random_seed=2, reveal_until=cut, progress=True, **SIZES)
            found.frame().to_csv(rows, index=False)
            note = {"seconds": time.perf_counter() - begin, "failed": found.failed}
            (folder / f"{name}_seconds_{fold}.json").write_text(json.dumps(note))
        if not beside.exists():
            frames = []
            for rival in fit_rivals(model, population, training, names=RIVALS, reveal_until=cut).values():
                own = [row for r in held_out for row in rival_rows(rival, r, random_seed=2, reveal_until=cut)]
                frames.append(predictions_frame(own).assign(forecaster=rival.name))
            pd.concat(frames, ignore_index=True).to_csv(beside, index=False)


def there(folder: Path, name: str, folds) -> list[Path]:
    """The files of these folds that are there."""
    return [p for fold in folds for p in folder.glob(f"{name}_{fold}.*")]


def pooled(folder: Path, name: str, folds):
    """Rows of the folds that are there, of scans before which the lesion was measured (a rival has no value else)."""
    whole = pd.concat([pd.read_csv(p) for p in there(folder, name, folds)], ignore_index=True)
    return whole[whole["n_seen"] > 0].reset_index(drop=True)


def section(folder: Path, name: str, title: str, folds) -> list[str]:
    """One way of forecasting, one kind of fold: paired differences, then coverage."""
    twin, beside = pooled(folder, name, folds), pooled(folder, f"{name}_rivals", folds)
    rivals = {n: part.drop(columns="forecaster") for n, part in beside.groupby("forecaster", sort=False)}
    cut = WAYS[name]
    found = compare_forecasters(twin, rivals, random_seed=6, reveal_until=cut)
    notes = [json.loads(p.read_text()) for p in there(folder, f"{name}_seconds", folds)]
    failed, withheld = sum(len(n["failed"]) for n in notes), int((twin["verdict"] != "PASS").sum())
    lines = ["", f"## {title}", "", found.headline, ""]
    lines += [
        f"{twin['patient'].nunique()} patients in {len(notes)} folds; not replayed: {failed}; "
        f"forecasts by a twin whose numerical check failed: {withheld} of {len(twin)}.",
        "",
        "| rival | group | scans | twin CRPS | rival CRPS | rival - twin, mean over patients | 90 % interval |",
        "|---|---|---|---|---|---|---|",
    ]
    shown = found.table[(found.table["score"] == "crps") & (found.table["mean_over"] == "patients")]
    shown = shown[shown["rows"] == "all"].drop_duplicates(["rival", "split", "group"])
    lines += [
        f"| {r.rival} | {r.split}: {r.group} | {r.labs} | {r.twin:.3f} | {r.rival_score:.3f} | "
        f"{r.difference:.3f} | {r.low:.3f} to {r.high:.3f} |"
        for r in shown.itertuples()
    ]
    lines += [
        "",
        "| forecaster | group | coverage 50 % | 80 % | 90 % | CRPS | scans |",
        "|---|---|---|---|---|---|---|",
    ]
    for who, rows in {"twin": twin, **rivals}.items():
        table = score_table(rows, random_seed=6, reveal_until=cut)
        table = table[(table["rows"] == "all") & table["split"].isin(("everything", "labs_learnt", "treatment"))]
        for (split, group), part in table.groupby(["split", "group"], sort=False):
            of = part.drop_duplicates("score").set_index("score")["value"]
            cells = " | ".join(f"{of.get(f'coverage_{c}', np.nan):.2f}" for c in (50, 80, 90))
            lines.append(f"| {who} | {split}: {group} | {cells} | {of['crps']:.3f} | {part['labs'].max()} |")
    return lines


def write(folder: Path, path: Path) -> None:
    """docs/validation/tumour_lesions.md from the folds' files."""
    lines = [
        "# Target lesions under atezolizumab or docetaxel: patients held out",
        "",
        "Ghaffari Laleh et al. (2022), studies 1 to 3, one lesion per patient. Made by",
        "`python tests/validation/tumour_lesions.py --work FOLDER --write docs/validation/tumour_lesions.md`.",
        "Population: variational approximation, labelled approximate. Scores on ln diameter; under 2 mm is censored.",
    ]
    for held_out, folds in KINDS.items():
        for name, title in (("next", "The next scan"), ("after_100", "Every scan after day 100, seen up to day 100")):
            if there(folder, name, folds):
                lines += section(folder, name, f"{title}; {held_out} held out", folds)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    """Run the folds asked for; write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--fold", type=int, nargs="*", default=range(2 * FOLDS))
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    for fold in asked.fold:
        run_fold(asked.work, fold, asked.steps)
    if asked.write:
        write(asked.work, asked.write)


if __name__ == "__main__":
    main()
