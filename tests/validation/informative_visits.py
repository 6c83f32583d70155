"""What happens to a twin's forecasts when follow-up depends on how the patient does? Three mechanisms, and a link.

    python tests/validation/informative_visits.py --model relapsing --patients 200 --work FOLDER
    python tests/validation/informative_visits.py --model myeloma_car_t --patients 20 --work FOLDER
    python tests/validation/informative_visits.py --work FOLDER --write docs/validation/informative_visits.md

Patients are drawn from the population that the twin starts from, so that the twin is right but for the follow-up
(`bayestwin/evaluation/visit_mechanisms.py`). Under each mechanism, beside ignorable visits with the same luck, every
patient who is still followed at a landmark gets a twin of what was known then; it takes visits and ends as ignorable:

    next lab       where does the marker of the next visit lie in what the twin expects of that day? (PIT)
    S(6), S(12)    where does the true chance to be progression-free after 6 and 12 months, of the patient's own
                   parameters, lie in the twin's posterior of it? And by how much is the chance off on average?

Then visit intensity: the same twins with the link between marker and visit rate modelled
(`bayestwin/evaluation/visit_sensitivity.py`), of several strengths, whatever the mechanism was. Every twin leaves a
line in FOLDER and is not run again; the page is made of what is there.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "twin"), str(ROOT / "tests" / "evaluation")]

from bayestwin.jobs.compilation_cache import use_compilation_cache  # noqa: E402

use_compilation_cache()

from censored_model import censored_population  # noqa: E402
from relapsing_model import relapsing_population  # noqa: E402

from bayestwin.errors import BayestwinError  # noqa: E402
from bayestwin.evaluation.verification.calibration import in_its_class, pit, true_twin  # noqa: E402
from bayestwin.evaluation.visit_mechanisms import Mechanism, follow_cohort, latent_courses  # noqa: E402
from bayestwin.evaluation.visit_sensitivity import visit_sensitivity  # noqa: E402
from bayestwin.individual.residuals import draw_observation  # noqa: E402
from bayestwin.population import load_population  # noqa: E402
from bayestwin.prognosis import forecast  # noqa: E402
from bayestwin.prognosis.particles import forecast_draws  # noqa: E402
from bayestwin.prognosis.simulate import trajectories  # noqa: E402
from bayestwin.records import ClinicalEvent  # noqa: E402
from bayestwin.specification import load_model, model_folder  # noqa: E402
from bayestwin.twin import start_twin  # noqa: E402
from bayestwin.twin.state import PASS  # noqa: E402

MECHANISMS = (
    Mechanism("ignorable"),
    Mechanism("visits follow the marker", visits=1.0),
    Mechanism("next therapy before progression", next_therapy=1 / 30),
    Mechanism("the unfit drop out", drop_out=1 / 500, unfit=1.0),
)
STRENGTHS = (0.0, 0.5, 1.0, 2.0)
MODELS = {  # landmarks (days), further outputs, treatment, covariates
    "relapsing": ((90.0, 180.0), (), "drug", {}),
    "censored": ((90.0, 180.0), (), "drug", {}),
    "myeloma_car_t": ((180.0,), ("involved_flc",), "teclistamab", {"isotype": "IgG", "prior_lines": 4}),
}
SPAN, STEP, EVERY, SEED = 730.0, 7.0, 28.0, 1
SIZES = {  # of 400 particles half of the twins of myeloma_car_t with fourteen visits fail their check
    "relapsing": {"particles": 400, "islands": 4, "population_draws": 50},
    "censored": {"particles": 400, "islands": 4, "population_draws": 50},
    "myeloma_car_t": {"particles": 2000, "islands": 8, "population_draws": 200},
}
LEVELS = (0.5, 0.8, 0.9)


def population_of(name: str, folder: Path):
    """The population of a small model of the tests, or of a shipped model."""
    if name == "relapsing":
        return relapsing_population(folder / name)
    if name == "censored":
        return censored_population(folder / name, draws=50)
    return load_population(model_folder(name) / "population.nc", load_model(name))


def chance_below(twin, lab, moved, rng):
    """The chance that a new lab of this time lies below this one, under the weights of each strength."""
    model = twin.model
    k = model.observation_index[lab.output]
    with jax.enable_x64(True):
        draws = forecast_draws(twin, twin.rho, rng)
        plan = SimpleNamespace(record=twin.record)
        outputs, _, ok = trajectories(twin, draws, plan, [lab.time], past=False, rng=rng)
    sigma = np.asarray(twin.population.sigma)[draws.draw]
    below = np.asarray(draw_observation(model, k, rng, outputs[:, 0, k], sigma)) < lab.value
    return [None if m.weights is None else float((m.weights * below)[ok].sum()) for m in moved]


def next_lab(twin, lab, moved, rng):
    """PIT of a lab under the weights of each strength; a censored one at a random place below its limit."""
    below = chance_below(twin, lab, moved, rng)
    share = rng.random() if lab.censoring == "left" else 1.0
    return [None if chance is None else share * chance for chance in below]


def known_alive(record, landmark: float):
    """What was known of a patient at the landmark, and that he was alive."""
    known = record.known_at(landmark)
    return replace(known, events=(*known.events, ClinicalEvent("last_known_alive", landmark, landmark)))


def asked(population, followed, landmark: float, treatment: str, sizes: dict, seed: int) -> dict:
    """One patient at one landmark: places of the next lab and of the true chances, under every strength."""
    known = known_alive(followed.record, landmark)
    twin = start_twin(population, known, random_seed=seed, **sizes)
    row = {"passed": twin.info.verdict == PASS, "visits": len({lab.time for lab in known.labs})}
    if not row["passed"]:
        return row
    rng, model = np.random.default_rng([seed, 5]), twin.model
    moved = visit_sensitivity(twin, STRENGTHS, random_seed=seed) if row["visits"] >= 2 else ()
    moved = moved or tuple(SimpleNamespace(weights=twin.weights if b == 0 else None, ess=twin.ess) for b in STRENGTHS)
    row["ess"] = [m.ess for m in moved]
    rule = model.progression.rule_for(known.covariates)
    later = [lab for lab in followed.record.labs if lab.output == rule.output and lab.time > landmark]
    row["next"] = next_lab(twin, later[0], moved, rng) if later else None
    months = model.progression.landmarks_months
    months = tuple(m for m in months if m <= 12)
    how = {"random_seed": seed, "over_rho": False, "horizon_months": 12}
    made = forecast(twin, [treatment], **how)
    if made.rows[0].events is None:
        return row | {"refused": True}
    exact = forecast(in_its_class(true_twin(twin, followed.truth), followed.truth.response_class), [treatment], **how)
    values, truth = made.rows[0].events.survival, exact.rows[0].events.survival[0]
    row["months"] = list(months)
    row["truth"] = [float(truth[k]) for k in range(len(months))]
    for what, of in (
        ("chance", _mean),
        ("pit", lambda m, v, t: None if m.weights is None else pit(v, m.weights, t, rng)),
    ):
        row[what] = [[of(m, values[:, k], truth[k]) for m in moved] for k in range(len(months))]
    return row


def _mean(moved, values, truth):
    return None if moved.weights is None else float((moved.weights * values).sum())


def run(name: str, first: int, patients: int, work: Path, seconds: float) -> None:
    """Every twin of one model, those in the work folder not again; patients in turn, for whoever stops early.

    Processes with other patients may share the folder: a line is written at once.
    """
    import time

    file, begun = work / f"{name}.jsonl", time.monotonic()
    done = set()
    if file.is_file():
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        done = {(r["patient"], r["mechanism"], r["landmark"]) for r in lines}
    landmarks, further, treatment, covariates = MODELS[name]
    with tempfile.TemporaryDirectory() as folder, file.open("a", encoding="utf-8") as out:
        population = population_of(name, Path(folder))
        few = {k: SIZES[name][k] for k in ("islands", "population_draws")}
        courses = latent_courses(
            population, treatment, 400, span=SPAN, step=STEP, random_seed=SEED, covariates=covariates, **few
        )
        rule = population.model.progression.rule_for(covariates)
        how = {"every": EVERY, "outputs": (rule.output, *further), "random_seed": SEED}
        cohorts = {m.name: follow_cohort(courses, m, **how) for m in MECHANISMS}
        for n in range(first, min(patients, len(courses.truths))):
            for mechanism, found in cohorts.items():
                for landmark in landmarks:
                    about = {"patient": n, "mechanism": mechanism, "landmark": landmark}
                    if (n, mechanism, landmark) in done:
                        continue
                    if found[n].end <= landmark:
                        row = {"followed": False, "ended": found[n].ended}
                    else:
                        try:
                            row = {"followed": True} | asked(
                                population, found[n], landmark, treatment, SIZES[name], SEED + n
                            )
                        except BayestwinError as error:
                            row = {"followed": True, "passed": False, "failed": str(error)}
                    out.write(json.dumps(about | row) + "\n")
                    out.flush()
            if time.monotonic() - begun > seconds:
                return


def interval(values) -> str:
    """Mean with its 95 % interval, in points of 100."""
    values = np.asarray(values, float)
    if len(values) < 5:
        return "too few"
    mean, error = 100 * values.mean(), 196 * values.std(ddof=1) / np.sqrt(len(values))
    return f"{mean:+.1f} ({mean - error:+.1f} to {mean + error:+.1f})"


def beyond_ignorable(rows, plain: dict, k: int) -> str:
    """Mean error of the chance less that under ignorable visits, with its 95 % interval, points of 100.

    Each among those followed under its own mechanism; patients, who are the same in both, are drawn again.
    """
    if len(rows) < 5 or len(plain) < 5:
        return "too few"
    mine = {r["patient"]: r for r in rows}
    names = sorted({*mine, *plain})
    errors = 100 * np.array(
        [[of[n]["chance"][k][0] - of[n]["truth"][k] if n in of else np.nan for n in names] for of in (mine, plain)]
    )
    drawn = np.random.default_rng(1).integers(len(names), size=(2000, len(names)))
    found = np.nanmean(errors[0, drawn], axis=1) - np.nanmean(errors[1, drawn], axis=1)
    low, high = np.quantile(found, [0.025, 0.975])
    return f"{np.nanmean(errors[0]) - np.nanmean(errors[1]):+.1f} ({low:+.1f} to {high:+.1f})"


def covered(pits) -> str:
    """How many of 100 lie in the central 50, 80 and 90 % range, with twice the standard error of the middle one."""
    pits = np.asarray(pits, float)
    if len(pits) < 5:
        return "too few"
    shares = [np.mean(np.abs(pits - 0.5) <= level / 2) for level in LEVELS]
    error = 100 * 1.96 * np.sqrt(0.16 / len(pits))
    return ", ".join(f"{100 * s:.0f}" for s in shares) + f" (± {error:.0f})"


def table_of(rows, months) -> list[str]:
    """A line per mechanism: how many, coverage of the next lab and of the chances, error of the chance, and that less
    the error under ignorable visits."""
    lines = []
    plain = {r["patient"]: r for r in rows if r["mechanism"] == MECHANISMS[0].name and "truth" in r}
    for mechanism in (m.name for m in MECHANISMS):
        every = [r for r in rows if r["mechanism"] == mechanism]
        mine = [r for r in every if r.get("passed")]
        pits = [r["next"][0] for r in mine if r.get("next") and r["next"][0] is not None]
        cells = [
            mechanism,
            f"{len(mine)} of {len(every)}",
            f"{len(pits)}",
            covered(pits),
            f"{np.mean(pits):.2f}" if pits else "",
        ]
        for k in range(len(months)):
            asked_of = [r for r in mine if "truth" in r]
            cells += [
                covered([r["pit"][k][0] for r in asked_of]),
                interval([r["chance"][k][0] - r["truth"][k] for r in asked_of]),
                "" if mechanism == MECHANISMS[0].name else beyond_ignorable(asked_of, plain, k),
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def link_table(rows, months) -> list[str]:
    """A line per mechanism and strength: coverage and error of the chance with the link modelled, how far it moves."""
    lines = []
    for mechanism in (m.name for m in MECHANISMS[:2]):
        for b, strength in enumerate(STRENGTHS):
            mine = [r for r in rows if r["mechanism"] == mechanism and "truth" in r and r["chance"][0][b] is not None]
            pits = [r["next"][b] for r in mine if r.get("next") and r["next"][b] is not None]
            k = len(months) - 1
            moved = np.array([100 * (r["chance"][k][b] - r["chance"][k][0]) for r in mine])
            far = f"{moved.mean():+.1f}; {np.quantile(np.abs(moved), 0.9):.1f}" if len(moved) else ""
            error = interval([r["chance"][k][b] - r["truth"][k] for r in mine])
            cells = [
                mechanism,
                f"{strength:g}",
                str(len(mine)),
                covered(pits),
                covered([r["pit"][k][b] for r in mine]),
                error,
                far,
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def page(work: Path) -> str:
    """The page of everything in the work folder."""
    lines = [
        "# Follow-up that depends on how the patient does",
        "",
        "Made by `python tests/validation/informative_visits.py --work FOLDER --write "
        "docs/validation/informative_visits.md` from "
        f"runs with `--model` and `--patients` on {date.today().isoformat()}.",
        f"All patients are simulated from the population the twin starts from; a visit every {EVERY:g} days on "
        "average, the first at the start.",
        "Every mechanism has the same luck as ignorable visits. Coverage: central 50, 80, 90 % ranges, of 100, with "
        "the 95 % limits of the 80.",
        "The chance is compared with that of the patient's true parameters, in those who are still followed: chance "
        "minus truth, points of 100,",
        "with its 95 % interval; then that less the same under ignorable visits (bootstrap of patients).",
        "The twin takes visits and ends as ignorable.",
        *(
            f"{m.name}: visits {m.visits:g} per unit of ln marker, next therapy {30 * m.next_therapy:g} a month once "
            f"half way, drop-out {30 * m.drop_out:.2g} a month, power {m.unfit:g} of the patient's hazard."
            for m in MECHANISMS[1:]
        ),
    ]
    for name in MODELS:
        file = work / f"{name}.jsonl"
        if not file.is_file() or not file.stat().st_size:
            continue
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        months = next((r["months"] for r in rows if "months" in r), [])
        failed = sum(r["followed"] and not r.get("passed") for r in rows)
        heads = " | ".join(f"S({m}): coverage | chance minus truth | minus ignorable" for m in months)
        lines += ["", f"## {name}: {len({r['patient'] for r in rows})} patients", ""]
        lines += [f"{SIZES[name]['particles']:,} particles over {SIZES[name]['population_draws']} population draws."]
        for landmark in MODELS[name][0]:
            part = [r for r in rows if r["landmark"] == landmark]
            lines += [
                "",
                f"Day {landmark:g}",
                "",
                f"| mechanism | still followed | next labs | coverage of the next lab | its mean PIT | {heads} |",
                "|---|---|---|---|---|" + "---|---|---|" * len(months),
                *table_of(part, months),
            ]
        lines += [
            "",
            f"Link between marker and visit rate modelled, all landmarks, S({months[-1] if months else ''}):",
            "",
            "| visits simulated | strength modelled | n | coverage of the next lab | coverage of S | "
            "chance minus truth | chance moves by: mean; 9 of 10 within |",
            "|---|---|---|---|---|---|---|",
            *link_table(rows, months),
            "",
            f"{failed} twins of patients still followed failed their check and are left out.",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(MODELS))
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument(
        "--first", type=int, default=0, help="start with this one, so that processes share the patients"
    )
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no further patient after so long")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    if given.model:
        run(given.model, given.first, given.patients, given.work, given.seconds)
    text = page(given.work)
    print(text)
    if given.write:
        given.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
