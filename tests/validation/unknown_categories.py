"""A patient of whom cytogenetics, extramedullary disease, ISS and refractoriness are not known: is the normal number
that stands for each of them (decision 52) as good as the yes or no that it is?

    python tests/validation/unknown_categories.py --write docs/validation/unknown_categories.md

Patients of all 24 sorts, in their shares, are simulated under teclistamab and followed; what is known of them at a
landmark is weighed without their categories against three pools of courses (`course_pool.py`), no sampler in it:

    exact    courses of every sort, each with the share of its sort
    normal   courses of patients of whom nothing is known, as the shipped model has them
    share    the same with the share of each effect and no spread, as it was before (decision 49)

The chances to be progression-free are those of the same coding under all three. The exact pool in two halves says how
far off chance alone takes two pools of its size.
"""

import argparse
import sys
from dataclasses import replace
from datetime import date
from itertools import product
from pathlib import Path
from types import SimpleNamespace

sys.path[:0] = [str(Path(__file__).resolve().parent)]

import course_pool  # noqa: E402
import informative_visits as page  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
from course_pool import Patient, Pool, effective, few, normalised, outputs_of, pool_of, thinned  # noqa: E402
from exact_posteriors import chances, in_force, months_of, rule_of  # noqa: E402

from bayestwin.evaluation.visit_mechanisms import Courses, Mechanism, follow_cohort, latent_courses  # noqa: E402
from bayestwin.population import PopulationPosterior, load_population  # noqa: E402
from bayestwin.prognosis.progressed import progressed_already  # noqa: E402
from bayestwin.specification import Category, load_model, model_folder  # noqa: E402
from bayestwin.twin.surprise import weighted_quantiles  # noqa: E402

NAME, LANDMARK, FEWEST = "myeloma_car_t", 90.0, 200
ENOUGH = 50  # patients for a coverage
_, _, TREATMENT, KNOWN = page.MODELS[NAME]
HALVES = ("first half", "second half")


def sorts_of(model) -> list[tuple[dict, float]]:
    """(levels by covariate, share) of every sort of patient."""
    each = [[(c.covariate, level, s) for level, s in zip(c.levels, c.shares)] for c in model.covariate_distributions]
    return [({c: level for c, level, _ in one}, float(np.prod([s for _, _, s in one]))) for one in product(*each)]


def with_shares(population) -> PopulationPosterior:
    """The population under a model that has the share of each unknown effect and no spread."""
    model = population.model
    share = {(c.covariate, v): s for c in model.covariate_distributions for v, s in zip(c.levels, c.shares)}

    def known_in_part(effect):
        own = isinstance(effect, Category) and share.get((effect.covariate, effect.level))
        return replace(effect, unknown=own) if own else effect

    parameters = tuple(replace(p, covariates=tuple(map(known_in_part, p.covariates))) for p in model.parameters)
    other = replace(model, parameters=parameters, covariate_distributions=(), source_hash="")
    return PopulationPosterior(other, population.tree)


def courses(population, covariates: dict, count: int, seed: int) -> Courses:
    """Courses under the treatment of patients of whom this is known."""
    how = {"span": course_pool.SPAN, "step": page.STEP, "random_seed": seed, "covariates": KNOWN | covariates}
    return latent_courses(population, TREATMENT, count, **how, **few(NAME))


def chunk_of(model, made: Courses) -> dict:
    """As `course_pool.pool_of` takes them."""
    at = [model.observation_index[o] for o in outputs_of(model, NAME)]
    drawn = {"draw": np.array([t.draw for t in made.truths]), "psi": np.stack([t.psi for t in made.truths])}
    return {"times": made.times, "out": made.outputs[:, :, at], "haz": made.hazards, "sigma": made.sigma} | drawn


def first_of(made: Courses, count: int) -> Courses:
    """The first so many courses."""
    return made._replace(**{n: getattr(made, n)[:count] for n in ("outputs", "hazards", "sigma", "truths")})


def part_of(pool: Pool, at) -> Pool:
    """The courses `at` of a pool."""
    levels = {o: type(level)(*(a[at] for a in level)) for o, level in pool.levels.items()}
    return pool._replace(
        outputs={o: a[:, at] for o, a in pool.outputs.items()},
        hazards=pool.hazards[..., at],
        sigma=pool.sigma[at],
        compiled_sigma=jax.numpy.asarray(pool.sigma[at]),
        levels=levels,
    )


def asked(pool: Pool, log_share, known, n: int) -> tuple[float, np.ndarray, tuple]:
    """(effective courses, chances by month (months,), 80 % range of the last one) given what is known."""
    rng = np.random.default_rng([course_pool.SEED, n])
    patient = Patient(pool, known, rng)
    weights = normalised(patient.log_weights(known, LANDMARK) + log_share)
    at, kept = thinned(weights, rng, 4000)
    values = chances(patient, at, known, LANDMARK, rng)
    low, high = weighted_quantiles(values[:, -1], kept, (0.1, 0.9))
    return effective(weights), kept @ values, (low, high)


def simulate(population, per_sort: int, patients: int):
    """Pools with ln shares by name, and the records and own pool of the patients."""
    model, made, own, followed = population.model, [], [], []
    log_share = []
    for k, (levels, share) in enumerate(sorts_of(model)):
        found = courses(population, levels, per_sort, course_pool.SEED + k)
        made.append(chunk_of(model, found))
        log_share.append(np.full(len(found.truths), np.log(share / len(found.truths))))
        count = int(round(share * patients))
        if count:
            mine = first_of(courses(population, levels, max(per_sort // 10, count), 7000 + k), count)
            own.append(chunk_of(model, mine))
            how = {"every": page.EVERY, "outputs": outputs_of(model, NAME), "random_seed": course_pool.LUCK + k}
            followed += follow_cohort(mine, Mechanism("ignorable"), **how)
        print(f"sort {k + 1} of 24", flush=True)
    exact = pool_of(population, NAME, made)
    log_share = np.concatenate(log_share)
    pools = {"exact": (exact, log_share)}
    for k, half in enumerate(HALVES):
        at = np.arange(k, len(log_share), 2)
        pools[half] = part_of(exact, at), log_share[at]
    for name, one in (("normal", population), ("share", with_shares(population))):
        found = [chunk_of(one.model, courses(one, {}, 8 * per_sort, course_pool.SEED + 100 + k)) for k in range(3)]
        pools[name] = pool_of(one, NAME, found), 0.0
    mine = pool_of(population, NAME, own)._replace(levels={})
    return pools, followed, Patient(mine, SimpleNamespace(labs=()), np.random.default_rng(0))


def compare(pools, followed, own) -> tuple[list, int]:
    """Per patient: pool -> (ess, chances, range), and the true chances; and how many were asked."""
    rows, count = [], 0
    for n, one in enumerate(followed):
        if one.end <= LANDMARK:
            continue
        known = replace(page.known_alive(one.record, LANDMARK), covariates=KNOWN)
        as_twin = SimpleNamespace(model=own.pool.model, record=known, time=LANDMARK)
        if progressed_already(as_twin, rule_of(own.pool.model, known), in_force(known)):
            continue
        count += 1
        found = {name: asked(pool, share, known, n) for name, (pool, share) in pools.items()}
        if min(ess for ess, _, _ in found.values()) < FEWEST:
            continue
        truth = chances(own, [n], known, LANDMARK, np.random.default_rng([course_pool.SEED, n]))[0]
        rows.append((found, truth))
        print(f"patient {n + 1} of {len(followed)}", flush=True)
    return rows, count


def write(rows, count, given, model) -> str:
    """The page."""
    months = months_of(model)
    spread = {name: np.array([found[name][1] for found, _ in rows]) for name in rows[0][0]}
    truth = np.array([t for _, t in rows])
    lines = [
        "# Categories that are not known",
        "",
        f"    python tests/validation/unknown_categories.py --per-sort {given.per_sort} --patients {given.patients} \\",
        "        --write docs/validation/unknown_categories.md",
        "",
        f"{date.today()}. `myeloma_car_t`, {TREATMENT}: {count} simulated patients of all 24 sorts (cytogenetics, "
        "extramedullary disease, ISS, refractoriness to",
        f"lenalidomide, in their shares), followed for {LANDMARK:g} days without progression, their categories taken "
        f"away; {len(rows)} of them with {FEWEST} effective",
        f"courses or more in every pool. Exact posteriors by {24 * given.per_sort:,} courses each, no sampler: the "
        "levels summed out (exact), a normal number for each",
        "(`normal`, what is shipped, decision 52), the share of each effect without spread (`share`, as before, "
        "decision 49). In points of 100:",
        "",
        "| chance to be progression-free after | exact, mean | normal less exact: mean, root mean square, largest | "
        "share less exact | root mean square by chance alone, of two such pools |",
        "|---|---|---|---|---|",
    ]
    for k, month in enumerate(months):
        exact = spread["exact"][:, k]
        by_chance = 100.0 * np.sqrt(0.5) * (spread[HALVES[0]][:, k] - spread[HALVES[1]][:, k])
        cells = [_off(100.0 * (spread[name][:, k] - exact)) for name in ("normal", "share")]
        lines.append(
            f"| {month} months | {100 * exact.mean():.0f} | {cells[0]} | {cells[1]} | "
            f"{np.sqrt((by_chance**2).mean()):.1f} |"
        )
    if len(rows) >= ENOUGH:
        lines += _ranges(rows, truth, months)
    return "\n".join([*lines, ""])


def _ranges(rows, truth, months) -> list[str]:
    """How wide 80 % ranges of the last month's chance are under each pool, and how often they hold the true one."""
    lines = [
        "",
        f"80 % ranges of a patient's own chance at {months[-1]} months, and how often they hold the true one:",
        "",
        "| | mean width | hold the truth |",
        "|---|---|---|",
    ]
    error = np.sqrt(0.8 * 0.2 / len(rows))
    for name in ("exact", "normal", "share"):
        low, high = (np.array([found[name][2][end] for found, _ in rows]) for end in (0, 1))
        inside = (truth[:, -1] >= low - 1e-9) & (truth[:, -1] <= high + 1e-9)
        lines.append(
            f"| {name} | {100 * (high - low).mean():.1f} points | {100 * inside.mean():.0f} % (by chance "
            f"{100 * (0.8 - 2 * error):.0f} to {100 * (0.8 + 2 * error):.0f}) |"
        )
    return lines


def _off(off) -> str:
    return f"{off.mean():+.1f}, {np.sqrt((off**2).mean()):.1f}, {np.abs(off).max():.1f}"


def main() -> None:
    """Simulate, weigh, print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-sort", type=int, default=6000, help="courses of each sort of patients, a multiple of 80")
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    with jax.enable_x64(True):
        model = load_model(NAME)
        population = load_population(model_folder(NAME) / "population.nc", model)
        rows, count = compare(*simulate(population, given.per_sort, given.patients))
    text = write(rows, count, given, model)
    print(text)
    if given.write:
        given.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
