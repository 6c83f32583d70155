"""Where does the next lab lie in the exact predictive? By brute force, for the patients of informative_visits.py.

    python tests/validation/next_lab_exact.py --model myeloma_car_t --patients 300 --work FOLDER
    python tests/validation/next_lab_exact.py --model relapsing --patients 300 --twins 50 --work FOLDER

Many thousands of courses are drawn from the population. All patients have one treatment and one set of covariates, so
one pool serves every patient: each course w is weighed by his likelihood,

    ln w = sum over labs of ln p(lab | course) - H_death(landmark) - H_other(last assessment)

and PIT of the next lab = sum of w F(lab | course) / sum of w, a censored lab at a random place below its limit. There
is no sampler and no forecast in it. The chance F to be below the next lab is compared with that of `--twins` twins.
Effective courses are few on late days; patients with fewer than `--fewest` are left out, a choice that rests on what
was known and so leaves the PIT uniform. Courses are kept in FOLDER.
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).resolve().parent)]

import informative_visits as page  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402

from bayestwin.evaluation.visit_mechanisms import Courses, follow_cohort, latent_courses  # noqa: E402
from bayestwin.individual.residuals import LEFT, NONE, log_likelihood_of  # noqa: E402
from bayestwin.twin import start_twin  # noqa: E402

CHUNK, SPAN, SEED, LUCK = 10_000, 400.0, 1000, 77


class Pool(NamedTuple):
    """Courses of S patients at V times: outputs by name (V, S), hazard integrals (V, H, S), sigma (S, R)."""

    outputs: dict[str, jax.Array]
    hazards: np.ndarray
    sigma: jax.Array


def chunk(population, name: str, number: int, work: Path) -> dict:
    """Courses of CHUNK patients, kept in a file: times, out (S, V, outputs), haz (S, V, H), sigma (S, R)."""
    file = work / f"{name}_courses_{number}.npz"
    if not file.is_file():
        _, _, treatment, covariates = page.MODELS[name]
        few = {k: page.SIZES[name][k] for k in ("islands", "population_draws")}
        how = {"span": SPAN, "step": page.STEP, "random_seed": SEED + number, "covariates": covariates}
        made = latent_courses(population, treatment, CHUNK, **how, **few)
        at = [population.model.observation_index[o] for o in outputs_of(population.model, name)]
        np.savez(file, times=made.times, out=made.outputs[:, :, at], haz=made.hazards, sigma=made.sigma)
        print(f"{file.name} is made", flush=True)
    return dict(np.load(file))


def outputs_of(model, name: str) -> tuple[str, ...]:
    """The progression marker and what else the page measures."""
    _, further, _, covariates = page.MODELS[name]
    return (model.progression.rule_for(covariates).output, *further)


def pool_of(chunks, outputs) -> Pool:
    """Chunks as one pool, courses along the last axis."""
    columns = {o: np.concatenate([c["out"][:, :, j] for c in chunks]).T.copy() for j, o in enumerate(outputs)}
    hazards = np.concatenate([c["haz"] for c in chunks]).transpose(1, 2, 0).copy()
    sigma = jax.numpy.asarray(np.concatenate([c["sigma"] for c in chunks]))
    return Pool({o: jax.numpy.asarray(column) for o, column in columns.items()}, hazards, sigma)


def cohort(population, name: str, first: dict, patients: int):
    """Patients of the first chunk, followed under ignorable visits."""
    model, (_, _, treatment, covariates) = population.model, page.MODELS[name]
    names = outputs_of(model, name)
    outputs = np.zeros((patients, len(first["times"]), len(model.observations)))
    for j, o in enumerate(names):
        outputs[:, :, model.observation_index[o]] = first["out"][:patients, :, j]
    about = (first["haz"][:patients], first["sigma"][:patients], (None,) * patients, covariates, treatment, model)
    courses = Courses(first["times"], outputs, *about)
    return follow_cohort(courses, page.MECHANISMS[0], every=page.EVERY, outputs=names, random_seed=LUCK)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _log_likelihood(model, k: int, form: str, predicted, value, sigma):
    return log_likelihood_of(model, k, predicted, value, NONE if form == "density" else LEFT, sigma, form=form)


def of_lab(model, pool: Pool, lab, form: str) -> np.ndarray:
    """ln density of a lab, or ln chance to be below it, given every course, (S,)."""
    predicted = pool.outputs[lab.output][round(lab.time / page.STEP)]
    k = model.observation_index[lab.output]
    return np.asarray(_log_likelihood(model, k, form, predicted, lab.value, pool.sigma))


def hazard_until(model, pool: Pool, names, time: float) -> np.ndarray:
    """Integral of these hazards until `time`, between two points of the grid by a line, (S,)."""
    at = [list(model.hazards).index(h) for h in names]
    low, share = int(time // page.STEP), time % page.STEP / page.STEP
    before, after = (pool.hazards[i][at].sum(axis=0) for i in (low, low + 1))
    return (1.0 - share) * before + share * after


def weights_of(model, pool: Pool, known, landmark: float) -> np.ndarray:
    """Weights of the courses given what was known at the landmark, summing to one, (S,)."""
    log_weights = np.zeros(len(pool.sigma))
    for lab in known.labs:
        log_weights += of_lab(model, pool, lab, "limit" if lab.censoring == "left" else "density")
    seen = max((e.time for e in known.events if e.event == "assessed"), default=0.0)
    log_weights -= hazard_until(model, pool, model.progression.death_hazards, landmark)
    log_weights -= hazard_until(model, pool, model.progression.progression_hazards, seen)
    weights = np.exp(log_weights - log_weights.max())
    return weights / weights.sum()


def twin_chance(population, known, lab, name: str, seed: int) -> float | None:
    """The chance of a twin that a lab of that time is below this one; None where the twin failed its check."""
    twin = start_twin(population, known, random_seed=seed, **page.SIZES[name])
    if twin.info.verdict != page.PASS:
        return None
    return page.chance_below(twin, lab, (SimpleNamespace(weights=twin.weights),), np.random.default_rng([seed, 5]))[0]


def placed(population, pool: Pool, followed, landmark: float, name: str, seed: int, with_twin: bool) -> list[dict]:
    """The next lab of each output: exact PIT, chance to be below it with its error, effective courses, the twin's."""
    model, rng, rows = population.model, np.random.default_rng(seed), []
    known = page.known_alive(followed.record, landmark)
    weights = weights_of(model, pool, known, landmark)
    for output in outputs_of(model, name):
        lab = next((x for x in followed.record.labs if x.output == output and landmark < x.time), None)
        if lab is None or lab.time > SPAN - page.STEP:
            continue
        share = rng.random() if lab.censoring == "left" else 1.0
        below = np.exp(of_lab(model, pool, lab, "limit"))
        chance = float(weights @ below)
        row = {"output": output, "pit": share * chance, "chance": chance, "ess": float(1.0 / (weights**2).sum())}
        row["error"] = float(np.sqrt((weights**2) @ (below - chance) ** 2))
        row["twin"] = twin_chance(population, known, lab, name, seed) if with_twin else None
        rows.append(row)
    return rows


def told(rows: list[dict], output: str, fewest: float) -> str:
    """A line of how the PITs of one output lie, and how far the twins are off."""
    mine = [r for r in rows if r["output"] == output]
    pits = [r["pit"] for r in mine if r["ess"] >= fewest]
    text = f"  {output}: {len(mine)} next labs, {len(pits)} with {fewest:g} effective courses or more"
    if pits:
        text += f": mean PIT {np.mean(pits):.3f} +- {np.sqrt(1 / 12 / len(pits)):.3f}, coverage {page.covered(pits)}"
    both = [r for r in mine if r["ess"] >= fewest and r["twin"] is not None]
    if both:
        off = np.array([r["twin"] - r["chance"] for r in both])
        error = np.sqrt(np.mean([r["error"] ** 2 for r in both]))
        text += (
            f"; {len(both)} twins minus exact: mean {off.mean():+.3f}, root mean square {np.sqrt((off**2).mean()):.3f}"
        )
        text += f" (error of the exact one {error:.3f})"
    return text


def main() -> None:
    """Ask, and print a line per landmark and output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(page.MODELS), required=True)
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--twins", type=int, default=0, help="of the first so many patients make a twin too")
    parser.add_argument("--chunks", type=int, default=12, help=f"pool of so many times {CHUNK:,} courses")
    parser.add_argument("--landmarks", type=float, nargs="+", help="days; default: those of the page")
    parser.add_argument("--fewest", type=float, default=20.0)
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, jax.enable_x64(True):
        population = page.population_of(given.model, Path(folder))
        first, *others = (chunk(population, given.model, n, given.work) for n in range(1 + given.chunks))
        pool = pool_of(others, outputs_of(population.model, given.model))
        patients = cohort(population, given.model, first, min(given.patients, len(first["sigma"])))
        for landmark in given.landmarks or page.MODELS[given.model][0]:
            rows = []
            for n, followed in enumerate(patients):
                if followed.end > landmark:
                    how = landmark, given.model, SEED + n, n < given.twins
                    rows += placed(population, pool, followed, *how)
            print(f"{given.model}, day {landmark:g}, {len(patients)} patients, pool of {len(pool.sigma):,} courses")
            for output in outputs_of(population.model, given.model):
                print(told(rows, output, given.fewest), flush=True)


if __name__ == "__main__":
    main()
