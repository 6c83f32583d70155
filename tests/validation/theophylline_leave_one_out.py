"""Real patients, one left out at a time: fit theophylline on eleven, follow the twelfth sample by sample.

    python tests/validation/theophylline_leave_one_out.py --work FOLDER [--fold 1 ...]
        [--write docs/validation/theophylline.md]

Each fold leaves one file of figures in FOLDER and is not run again; fold 0 is the fit of all twelve. The data are
Boeckmann, Sheiner and Beal (1994), found through BAYESTWIN_SHARED_DATA or ../shared/data and never copied.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np

from bayestwin.dosing import Regimen
from bayestwin.evaluation import predictions_frame, replay, rest_of_course, score_predictions
from bayestwin.population import fit_population
from bayestwin.prognosis import forecast
from bayestwin.records import Cohort, read_records
from bayestwin.specification import load_model

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = {"ka_pop": 1.57, "CL_pop": 2.72, "V_pop": 31.5, "sigma_add_concentration": 0.7}
WORDS = {"ka_pop": "ka, 1/h", "CL_pop": "CL, L/h", "V_pop": "V, L", "sigma_add_concentration": "residual SD, mg/L"}
REST_AFTER = 3  # samples learnt before the rest of the curve is forecast


def data_file() -> Path:
    """The event table; SystemExit where it is absent."""
    folder = Path(os.environ.get("BAYESTWIN_SHARED_DATA", ROOT.parent / "shared" / "data"))
    path = folder / "theophylline" / "theophylline.csv"
    if not path.is_file():
        raise SystemExit("theophylline.csv is absent: set BAYESTWIN_SHARED_DATA or put shared/data beside the checkout")
    return path


def model_and_cohort(path):
    """The shipped model and the twelve patients."""
    model = load_model("theophylline")
    return model, read_records(model.record_schema(), event_table=path, time_unit="h").cohort


def fit_figures(model, cohort, *, chains=4, warmup=500, draws=1000, random_seed=1):
    """Population posterior and what may be said of it: means, SDs, verdict."""
    population = fit_population(
        model,
        cohort,
        random_seed=random_seed,
        chains=chains,
        warmup=warmup,
        draws=draws,
        centred=True,
        target_accept=0.99,
    )
    posterior, check = population.posterior, population.diagnostics
    means = {name: [float(posterior[name].mean()), float(posterior[name].std())] for name in PUBLISHED}
    return population, {
        "means": means,
        "passed": check.passed,
        "reasons": list(check.reasons),
        "rhat": check.rhat,
        "ess_bulk": check.ess_bulk,
        "ess_tail": check.ess_tail,
        "divergences": check.divergences,
        "draws": check.draws,
        "ebfmi": check.ebfmi,
    }


def leave_out(model, cohort, key, *, particles=2000, islands=8, **fitting):
    """Figures of one patient left out: one-step rows, rows of the rest of the curve, a second dose."""
    rest = Cohort(tuple(p for p in cohort if p.key != key))
    population, figures = fit_figures(model, rest, **fitting)
    record = cohort[key]
    rows, twins = replay(population, record, random_seed=2, particles=particles, islands=islands)
    learnt = next(t for t in twins if len(t.record.labs) >= REST_AFTER)
    later = rest_of_course(learnt, record, random_seed=3)
    last = twins[-1]
    figures |= {
        "one_step": _scores_only(rows),
        "rest": _scores_only(later),
        "verdicts": [t.info.verdict for t in twins],
        "paths": [t.info.path for t in twins],
        "second_dose": second_dose(last),
        "oracle_gap": oracle_gap(population, last, particles, islands),
    }
    return figures


def second_dose(twin):
    """Median and 80 % predictive interval of the concentration 2 h after the same dose given again, mg/L."""
    if twin.info.verdict != "PASS":
        return None
    dose = sum(d.amount for d in twin.record.doses)
    again = {"second_dose": Regimen.single(f"{dose} mg", route="oral")}
    course = forecast(twin, again, horizon=12.0, random_seed=4).row("second_dose").courses[0]
    k = int(np.argmin(np.abs(course.times - twin.time - 2.0)))
    low, middle, high = course.quantiles[[1, 3, 5], k]
    return [float(low), float(middle), float(high)]


def oracle_gap(population, twin, particles, islands):
    """Largest |z| between the means of the sequential twin and of the from-scratch oracle."""
    from bayestwin.twin import rebuild_twin

    oracle, info = rebuild_twin(population, twin.record, particles=particles, islands=islands, random_seed=5)
    gaps = []
    for d, name in enumerate(twin.model.individual_names):
        means = [float((t.weights * np.asarray(t.particles.psi[:, d])).sum()) for t in (twin, oracle)]
        error = np.hypot(twin.info.monte_carlo_error[name], info.monte_carlo_error[name])
        gaps.append(abs(means[0] - means[1]) / error)
    return max(gaps)


def _scores_only(rows):
    """Figures without the data: patient, output, PIT, CRPS, log score."""
    kept = ("patient", "output", "pit", "crps", "log_score", "verdict")
    return [{name: row[name] for name in kept} for row in rows]


def pooled(folds, name):
    """Coverage and CRPS over all patients, clustered by patient."""
    return score_predictions(predictions_frame([row for f in folds for row in f[name]]), random_seed=6)


def write(folder: Path, path: Path) -> None:
    """docs/validation/theophylline.md from the folds' files."""
    everyone = json.loads((folder / "fold_0.json").read_text())
    folds = [json.loads(p.read_text()) for p in sorted(folder.glob("fold_*.json")) if p.name != "fold_0.json"]
    lines = ["# Theophylline: twelve real patients", ""]
    lines += [
        "Boeckmann, Sheiner and Beal (1994), one oral dose, 11 samples a patient. Made by",
        "`python tests/validation/theophylline_leave_one_out.py --work FOLDER "
        "--write docs/validation/theophylline.md`.",
        "",
        "## Population, all twelve patients",
        "",
        "| parameter | posterior mean | SD | published (nlmixr2, FOCEI) |",
        "|---|---|---|---|",
    ]
    for name, (mean, sd) in everyone["means"].items():
        lines.append(f"| {WORDS[name]} | {mean:.3g} | {sd:.2g} | {PUBLISHED[name]:g} |")
    lines += ["", _diagnosis("All twelve", everyone)]
    failed = [f for f in folds if not f["passed"]]
    lines.append(f"Fits on eleven: {len(folds) - len(failed)} of {len(folds)} passed every diagnostic.")
    lines += [_diagnosis("One that did not", f) for f in failed]
    lines += ["", f"## The patient left out ({len(folds)} patients in turn)", ""]
    for name, title in (("one_step", "The next sample"), ("rest", f"The rest of the curve after {REST_AFTER} samples")):
        table = pooled(folds, name)
        lines += [f"{title}: {table['labs'].iloc[0]} samples.", "", "| score | value | 90 % interval, by patient |"]
        lines += ["|---|---|---|"]
        lines += [f"| {r.score} | {r.value:.2f} | {r.low:.2f} to {r.high:.2f} |" for r in table.itertuples()] + [""]
    lines += _checks(folds)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _diagnosis(title, f):
    head = "diagnostics passed" if f["passed"] else "diagnostics failed (" + "; ".join(f["reasons"]) + ")"
    return (
        f"{title}: {head}; R-hat {f['rhat']:.3f}, ESS bulk {f['ess_bulk']:.0f} and tail {f['ess_tail']:.0f}, "
        f"{f['divergences']} divergences in {f['draws']} draws, E-BFMI {f['ebfmi']:.2f}."
    )


def _checks(folds):
    verdicts = [v for f in folds for v in f["verdicts"]]
    paths = [p for f in folds for p in f["paths"]]
    doses = [f["second_dose"] for f in folds if f["second_dose"]]
    widths = [high - low for low, _, high in doses]
    return [
        f"Numerical check: {verdicts.count('PASS')} of {len(verdicts)} twins passed; paths: "
        + ", ".join(f"{name} {paths.count(name)}" for name in dict.fromkeys(paths))
        + ". Largest gap between the sequential twin and the oracle: "
        + f"{max(f['oracle_gap'] for f in folds):.1f} Monte Carlo SE",
        f"({3 * len(folds)} comparisons).",
        "",
        "A second dose, the same again, has no data: forecast 2 h after it, "
        f"median over patients {np.median([m for _, m, _ in doses]):.1f} mg/L,",
        f"80 % predictive intervals {np.median(widths):.1f} mg/L wide on median "
        f"({min(widths):.1f} to {max(widths):.1f}).",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--fold", type=int, nargs="*", default=range(13))
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    model, cohort = model_and_cohort(data_file())
    for number in asked.fold:
        target = asked.work / f"fold_{number}.json"
        if not target.exists():
            everyone = number == 0
            figures = (
                fit_figures(model, cohort)[1]
                if everyone
                else leave_out(model, cohort, cohort.keys[number - 1], warmup=300)
            )
            target.write_text(json.dumps(figures))
            print(target.name, {k: figures[k] for k in ("passed", "reasons", "divergences")}, flush=True)
    if asked.write:
        write(asked.work, asked.write)


if __name__ == "__main__":
    main()
