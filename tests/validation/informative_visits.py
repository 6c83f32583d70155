"""What happens to a twin's forecasts when follow-up depends on how the patient does? Three mechanisms, and a link.

    python tests/validation/informative_visits.py --model relapsing --patients 200 --work FOLDER
    python tests/validation/visits_page.py --work FOLDER --write docs/validation/informative_visits.md

Patients are drawn from the population that the twin starts from, so that the twin is right but for the follow-up
(`bayestwin/evaluation/visit_mechanisms.py`). Under each mechanism, beside ignorable visits with the same luck, every
patient who is still followed at a landmark gets a twin of what was known then; it takes visits and ends as ignorable:

    next lab       where does the marker of the next visit lie in what the twin expects of that day? (PIT)
    S(6), S(12)    where does the true chance to be progression-free after 6 and 12 months, of the patient's own
                   parameters, lie in the twin's posterior of it? And by how much is the chance off on average?

Then visit intensity: the same twins with the link between marker and visit rate modelled
(`bayestwin/evaluation/visit_sensitivity.py`), of several strengths, whatever the mechanism was. Every twin leaves a
line in FOLDER and is not run again; the page is made of what is there. A twin of `myeloma_car_t` costs a minute: it is
asked by `exact_posteriors.py`.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
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


def next_lab(twin, lab, moved, rng) -> dict:
    """PIT of a lab under the weights of each strength, a censored one at a random place below its limit; `below` it."""
    below = chance_below(twin, lab, moved, rng)
    share = rng.random() if lab.censoring == "left" else 1.0
    return {"next": [None if chance is None else share * chance for chance in below], "below": below}


def known_alive(record, landmark: float):
    """What was known of a patient at the landmark, and that he was alive."""
    known = record.known_at(landmark)
    return replace(known, events=(*known.events, ClinicalEvent("last_known_alive", landmark, landmark)))


def asked(population, followed, landmark: float, treatment: str, sizes: dict, seed: int) -> dict:
    """One patient at one landmark: places of the next lab and of the true chances, under every strength.

    followed : of a truth that is None only the twin's own chances
    """
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
    row |= next_lab(twin, later[0], moved, rng) if later else {"next": None}
    months = model.progression.landmarks_months
    months = tuple(m for m in months if m <= 12)
    how = {"random_seed": seed, "over_rho": False, "horizon_months": 12}
    made = forecast(twin, [treatment], **how)
    if made.rows[0].events is None:
        return row | {"refused": True}
    values = made.rows[0].events.survival
    row["months"] = list(months)
    if followed.truth is None:
        return row | {"chance": [[_mean(m, values[:, k], None) for m in moved] for k in range(len(months))]}
    exact = forecast(in_its_class(true_twin(twin, followed.truth), followed.truth.response_class), [treatment], **how)
    truth = exact.rows[0].events.survival[0]
    row["truth"] = [float(truth[k]) for k in range(len(months))]
    for what, of in (
        ("chance", _mean),
        ("pit", lambda m, v, t: None if m.weights is None else pit(v, m.weights, t, rng)),
    ):
        row[what] = [[of(m, values[:, k], truth[k]) for m in moved] for k in range(len(months))]
    return row


def _mean(moved, values, truth):
    return None if moved.weights is None else float((moved.weights * values).sum())


def lines_in(file: Path) -> list[dict]:
    """What was kept, nothing where there is no file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def run(name: str, first: int, patients: int, work: Path, seconds: float) -> None:
    """Every twin of one model, those in the work folder not again; patients in turn, for whoever stops early.

    Processes with other patients may share the folder: a line is written at once.
    """
    import time

    file, begun = work / f"{name}.jsonl", time.monotonic()
    done = {(r["patient"], r["mechanism"], r["landmark"]) for r in lines_in(file)}
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


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(MODELS), required=True)
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument(
        "--first", type=int, default=0, help="start with this one, so that processes share the patients"
    )
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no further patient after so long")
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    run(given.model, given.first, given.patients, given.work, given.seconds)


if __name__ == "__main__":
    main()
