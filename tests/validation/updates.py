"""Are updates right? Against a reference of many particles, long NUTS, and the truth of simulated patients.

    bayestwin verify-updates --model theophylline --patients-simulated 200 --particles 16000 --out WORK/z_theophylline
    python tests/validation/updates.py --work WORK --part nuts --model theophylline --patients 20
    python tests/validation/updates.py --work WORK --part calibration --model censored --patients 300
    python tests/validation/updates.py --work WORK --part calibration --model relapsing --patients 300 --visits 5 \
        --particles 800 --population-draws 50
    python tests/validation/updates.py --work WORK --write docs/validation/updates.md

Every patient leaves a file in WORK/<part>_<model>, so that a stopped run goes on where it stopped; the page is made of
what is there. Models: a shipped name (draws of its own priors), `censored` (tests/evaluation/censored_model.py: labs
under a limit, a hazard that the labs say nothing of), `relapsing` (tests/evaluation/relapsing_model.py: the course of
the marker decides when a patient progresses) or `theophylline_published` (population draws around published values).
"""

import argparse
import json
import sys
import tempfile
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "twin"), str(ROOT / "tests" / "evaluation")]

from bayestwin.jobs.compilation_cache import use_compilation_cache  # noqa: E402

use_compilation_cache()

import pandas as pd  # noqa: E402
from censored_model import censored_population  # noqa: E402
from level_model import as_population  # noqa: E402
from published_theophylline import published_draws  # noqa: E402
from relapsing_model import relapsing_population  # noqa: E402

from bayestwin.evaluation.verification import Calibration, Proof  # noqa: E402
from bayestwin.jobs.verify_simulated import calibrate_cohort, nuts_cohort  # noqa: E402
from bayestwin.population import prior_population  # noqa: E402
from bayestwin.specification import load_model  # noqa: E402

SEED = 1


def population_of(name: str, folder: Path):
    """Draws of the model's own priors, or those of the two populations made for tests."""
    if name == "censored":
        return censored_population(folder / "censored")
    if name == "relapsing":
        return relapsing_population(folder / "relapsing")
    if name == "theophylline_published":
        return as_population(load_model("theophylline"), published_draws())
    return prior_population(load_model(name), draws=400, random_seed=SEED)


def run(asked):
    """One part for one model."""
    place = asked.work / f"{asked.part}_{asked.model}"
    asked.work.mkdir(exist_ok=True)
    how = {"random_seed": SEED, "folder": place, "visits": asked.visits}
    with tempfile.TemporaryDirectory() as folder:
        population = population_of(asked.model, Path(folder))
        if asked.part == "nuts":
            sizes = {"population_draws": 8, "reference_particles": asked.reference_particles, "draws": asked.draws}
            print(nuts_cohort(population, asked.patients, **how, **sizes))
            return
        sizes = {"particles": asked.particles, "islands": 8, "population_draws": asked.population_draws}
        endpoint = population.model.progression is not None
        found = calibrate_cohort(population, asked.patients, **how, **sizes, chances=endpoint, knowledge=endpoint)
        print(found.summary.to_string(), found.knowledge.to_string(), found, sep="\n")


def kept(folder: Path):
    """Rows, problems and settings of a part."""
    rows, failed = [], {}
    for path in sorted(folder.glob("SIM-*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        rows += found.get("rows", ())
        failed |= {path.stem: found["failed"]} if "failed" in found else {}
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    return pd.DataFrame(rows), failed, settings


def main():
    """Run a part, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--part", choices=("nuts", "calibration"))
    parser.add_argument("--model", default="theophylline")
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--visits", type=int, default=8)
    parser.add_argument("--particles", type=int, default=1000)
    parser.add_argument("--population-draws", type=int, default=400)
    parser.add_argument("--reference-particles", type=int, default=100_000)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    if asked.part:
        run(asked)
    if asked.write:
        asked.write.write_text(page(asked.work), encoding="utf-8")


def page(work: Path) -> str:
    """The page from everything kept in the work folder."""
    lines = [
        "# Are updates right?",
        "",
        f"Made by `tests/validation/updates.py` on {date.today().isoformat()}; the commands stand at its top. Every "
        "patient is simulated from the population draws the twin rests on and led through his labs visit by "
        "visit. What it means and where it falls short: README.md; population_draws.md.",
    ]
    for part, title, write in (
        ("z", "Against a reference of many particles", of_reference),
        ("nuts", "The reference against long NUTS", of_nuts),
        ("calibration", "Simulation-based calibration through the updates", of_calibration),
    ):
        folders = sorted(work.glob(f"{part}_*/settings.json"))
        if folders:
            lines += ["", f"## {title}", ""]
        for path in folders:
            lines += write(path.parent.name.removeprefix(f"{part}_"), *kept(path.parent))
    return "\n".join(lines) + "\n"


def of_reference(name, rows, failed, settings) -> list[str]:
    """Twin beside reference: the measures of `verify-updates`."""
    proof = Proof(rows, settings["particles"], failed)
    one = rows.drop_duplicates("patient")
    lines = [
        f"**{name}**: {settings['particles']:,} particles, reference {settings['reference_particles']:,}, "
        f"{settings['visits']} visits. {proof.sentence}",
        "",
        _of_which(one),
        "",
        f"Median seconds of a patient (a busy machine): updates {one['seconds'].median():.0f}, reference "
        f"{one['reference_seconds'].median():.0f}. Withheld twins {int((one['verdict'] != 'PASS').sum())}, references "
        f"{int((one['reference_verdict'] != 'PASS').sum())}.",
        "",
        "| measure | value | 99 % interval | target | status |",
        "|---|---|---|---|---|",
    ]
    for row in proof.summary.itertuples():
        name = row.measure.replace("|z|", "abs(z)")
        limits = "" if row.low != row.low else f"{row.low:.3g} to {row.high:.3g}"
        lines.append(f"| {name} | {row.value:.3g} | {limits} | {row.target} | {row.status} |")
    return [*lines, ""]


def _of_which(one) -> str:
    """By what the references were made."""
    if "reference_path" not in one:
        return "The reference is tempered SMC."
    drawn = one[one["reference_path"] != "oracle"]
    text = f"The reference is importance sampling in {len(drawn)} patients, tempered SMC in {len(one) - len(drawn)}."
    if len(drawn):
        text += (
            f" Effective draws {drawn['reference_ess'].min():,.0f} to {drawn['reference_ess'].max():,.0f} (median "
            f"{drawn['reference_ess'].median():,.0f}), k-hat {drawn['reference_pareto_k'].median():.2f} in the median."
        )
    if "sd_error_at_best" not in one:
        text += " Made before the proposal had wide components and before SDs that a rare tail carries were left out."
    return text


def of_nuts(name, rows, failed, settings) -> list[str]:
    """Reference beside NUTS."""
    proof = Proof(rows, settings["reference_particles"], failed)
    usable, one = proof.usable, rows.drop_duplicates("patient")
    lines = [
        f"**{name}**: reference of {settings['reference_particles']:,} particles beside four chains of "
        f"{settings['draws']:,} NUTS draws, both over {settings['population_draws']} population draws. "
        f"{usable['patient'].nunique()} of {len(one)} patients compared (NUTS with R-hat of 1.01 or more, or more "
        f"than 1 in 1,000 divergences, is no judge). Median seconds: NUTS {one['nuts_seconds'].median():.0f}, "
        f"reference {one['reference_seconds'].median():.0f}.",
        "",
        "| statistic | comparisons | mean square of z | largest abs(z) | largest difference in SD | least ESS |",
        "|---|---|---|---|---|---|",
    ]
    for statistic, part in usable.groupby("statistic"):
        lines.append(
            f"| {statistic} | {len(part)} | {(part['z'] ** 2).mean():.2f} | {part['z'].abs().max():.2f} "
            f"| {part['difference_in_sd'].abs().max():.3f} | {part['nuts_ess'].min():.0f} |"
        )
    return [*lines, ""]


def of_calibration(name, rows, failed, settings) -> list[str]:
    """Ranks of the truth, and what knowledge ranges held."""
    found = Calibration(rows, failed)
    lines = [
        f"**{name}**: {settings['particles']:,} particles, {settings['visits']} visits. {found.sentence}",
        "",
        "| quantity | patients | mean PIT | p | adjusted p | in its own 99 % band |",
        "|---|---|---|---|---|---|",
    ]
    for row in found.summary.itertuples():
        lines.append(
            f"| {row.quantity} | {row.patients} | {row.mean_pit:.3f} | {row.p:.2g} | {row.p_adjusted:.2g} "
            f"| {'yes' if row.within_band else 'NO'} |"
        )
    if len(found.knowledge):
        lines += [
            "",
            "Knowledge ranges of P(T > h), against the chance that a twin gives who knows the population draw:",
            "",
            "| landmark | range | held the truth (90 % limits) | patients | points (truth elsewhere) | no range |",
            "|---|---|---|---|---|---|",
        ]
        for row in found.knowledge.itertuples():
            lines.append(
                f"| {row.quantity.removeprefix('knowledge of ')} | {100 * row.level:.0f} % | {100 * row.covered:.0f} % "
                f"({100 * row.low:.0f} to {100 * row.high:.0f}) | {row.patients} | {row.points} ({row.points_missed}) "
                f"| {row.no_range} |"
            )
    return [*lines, ""]


if __name__ == "__main__":
    main()
