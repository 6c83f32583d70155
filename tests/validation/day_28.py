"""Day 28, equal M-protein: does a twin tell a clone that survived from slow clearance?

    python tests/validation/day_28.py --pairs 50 --work FOLDER --write docs/validation/day_28.md

Patients with IgG get ide-cel on day 0 and read 17 to 19 g/L that day. Pairs are made of one in whom a clone survived, a
tenth or more of the burden of day 0 being left on day 28, and one in whom less than a hundredth is left and clearance
alone keeps the reading up; both read the same on day 28, within a quarter of a g/L, so the reading says nothing. IgG,
because IgA reads so high only with survivors; some IgA patients stand beside them. Two simulators:

    model        the fitted model itself: draws of the population that the twin starts from
    other        data/singh_simulator.py, of another structure: four clones, saturable IgG catabolism, kill by complexes

The twin sees what a clinic has: isotype, M-protein on days 0, 7, 14, 21 and 28, then also involved light chains of the
same days, through `start_twin` and `update_twin`. Its answer is P(burden >= a tenth of day 0 | labs). Beside it stand
rules without a model. Every patient leaves a line in FOLDER and is not run again.
"""

import argparse
import json
import sys
from datetime import date
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "data"))

from singh_simulator import simulate  # noqa: E402
from virtual_patients import arrange, draw_patient  # noqa: E402

from bayestwin.dynamics import NO_GRADIENT  # noqa: E402
from bayestwin.individual import compile_record  # noqa: E402
from bayestwin.individual.residuals import draw_observation  # noqa: E402
from bayestwin.population import load_population  # noqa: E402
from bayestwin.population.prior import prior_population  # noqa: E402
from bayestwin.records import ClinicalEvent, Lab, PatientRecord  # noqa: E402
from bayestwin.specification import load_model, model_folder  # noqa: E402
from bayestwin.specification.load import model_part  # noqa: E402
from bayestwin.twin import start_twin, update_twin  # noqa: E402
from bayestwin.twin.particles import population_for  # noqa: E402
from bayestwin.twin.target import evaluator  # noqa: E402

NAME, TREATMENT = "myeloma_car_t", "ide_cel"
DAYS = (0, 7, 14, 21, 28)
OUTPUTS = ("m_protein", "involved_flc")
AT_FIRST, AT_LAST = (17.0, 19.0), (5.0, 12.0)  # g/L, measured
ALIKE = 0.25  # g/L, between the two of a pair on day 28
ALIVE, NONE_LEFT = 0.1, 0.01  # share of the burden of day 0
SIZES = {"particles": 400, "islands": 4, "population_draws": 100}
BATCH, MOST = 2000, 200_000  # candidates at a time, and in all
SIMULATORS = {"model": "the fitted model", "other": "another structure (Singh-type)"}
GROUPS = ("survived", "gone", "IgA survived")
SCORES = {
    "twin_m": "twin: M-protein",
    "twin_m_flc": "twin: M-protein and light chains",
    "mean_m": "same, mean ln burden: M-protein",
    "mean_m_flc": "same: M-protein and light chains",
    "flc_ratio": "no model: light chains of day 28 over day 0",
    "m_slope": "no model: M-protein of day 28 over day 21",
    "m_last": "no model: M-protein of day 28",
}


def record_of(key: str, isotype: str, labs: dict[str, list[float]], limits) -> PatientRecord:
    """The patient's record with these labs on DAYS."""
    rows = []
    for output, values in labs.items():
        for day, value in zip(DAYS, values):
            low = limits[output]
            how = {} if low is None or value >= low else {"censoring": "left", "limit": low}
            seen = float(value if not how else low)
            rows.append(Lab(f"{output} {day}", output, float(day), seen, float(day), **how))
    covariates = {"isotype": isotype, "prior_lines": 3, "triple_class_exposed": 1, "prior_bcma": 0}
    events = (ClinicalEvent("infusion", 0.0, 0.0, TREATMENT),)
    return PatientRecord(key, labs=tuple(rows), events=events, covariates=covariates)


def within_range(m_protein: np.ndarray) -> np.ndarray:
    """True for patients (P, T) whose first and last M-protein can be paired."""
    first, last = m_protein[:, 0], m_protein[:, -1]
    return (first >= AT_FIRST[0]) & (first <= AT_FIRST[1]) & (last >= AT_LAST[0]) & (last <= AT_LAST[1])


def group_of(isotype: str, left: float) -> str:
    """The group of a patient, or "" for none."""
    if left >= ALIVE:
        return "survived" if isotype == "IgG" else "IgA survived"
    return "gone" if left < NONE_LEFT and isotype == "IgG" else ""


def pairs(batches, wanted: int) -> tuple[list[dict], dict[str, int]]:
    """Patients of `wanted` pairs, one after the other, and half as many with IgA; fewer if MOST candidates give fewer.

    Also how many IgG candidates who read 6 to 7 g/L on day 28 belonged to each group.
    """
    waiting: dict[str, list[dict]] = {g: [] for g in GROUPS}
    found, iga, natural = [], [], {"survived": 0, "between": 0, "gone": 0}
    for number, batch in enumerate(batches):
        for p in np.flatnonzero(within_range(batch["labs"]["m_protein"]) & batch["ok"]):
            isotype, left = batch["isotype"][p], float(batch["left"][p])
            own = {o: batch["labs"][o][p].tolist() for o in OUTPUTS}
            one = {"isotype": isotype, "labs": own, "left": left, "group": group_of(isotype, left)}
            if isotype == "IgG" and 6.0 <= own["m_protein"][-1] <= 7.0:
                natural[one["group"] or "between"] += 1
            if one["group"] == "IgA survived":
                iga += [one] if len(iga) < wanted // 2 else []
            elif one["group"]:
                found += paired(one, waiting)
        if len(found) >= 2 * wanted or (number + 1) * BATCH >= MOST:
            break
    return found[: 2 * wanted] + iga, natural


def paired(one: dict, waiting: dict[str, list[dict]]) -> list[dict]:
    """The patient with the first of the other group who reads alike, or none, and the patient then waits."""
    other = "gone" if one["group"] == "survived" else "survived"
    for k, candidate in enumerate(waiting[other]):
        if abs(candidate["labs"]["m_protein"][-1] - one["labs"]["m_protein"][-1]) <= ALIKE:
            return [one, waiting[other].pop(k)]
    waiting[one["group"]].append(one)
    return []


def from_the_model(population, seed: int):
    """Batches of patients of the fitted model, from the population's own draws."""
    model, rng = population.model, np.random.default_rng([seed, 1])
    at = [model.states.index(name) for name in model_part(model, "clearance").CLONES]
    hyper, _ = population.hyper_draws(400)
    for number in range(10**6):
        isotype = "IgA" if number % 20 == 0 else "IgG"
        planned = record_of("X", isotype, {o: [10.0] * len(DAYS) for o in OUTPUTS}, dict.fromkeys(OUTPUTS))
        data = jax.tree.map(jnp.asarray, compile_record(model, planned))
        pop = population_for(model, hyper, data.terms)
        draw = pop.with_level(rng.integers(pop.draws, size=BATCH), rng)
        noise = rng.standard_normal((BATCH, pop.mean.shape[1]))
        psi = np.asarray(pop.mean)[draw] + np.einsum("pde,pe->pd", np.asarray(pop.scale)[draw], noise)
        pieces = evaluator(model, NO_GRADIENT)(jnp.asarray(psi), jnp.asarray(draw), pop, data, population.rho)
        chance = np.exp(np.asarray(pieces.log_class))
        kind = (rng.random((BATCH, 1)) * chance.sum(1, keepdims=True) > chance.cumsum(1)).sum(1)
        rows, sigma = np.arange(BATCH), np.asarray(pop.sigma)[draw]
        predicted, state = np.asarray(pieces.prediction)[rows, kind], np.asarray(pieces.end)[rows, kind]
        labs = {}
        for output in OUTPUTS:
            k = model.observation_index[output]
            places = [n for n, lab in enumerate(planned.labs) if lab.output == output]
            labs[output] = draw_observation(model, k, rng, predicted[:, places], sigma[:, None, :])
        left = np.exp(np.logaddexp.reduce(state[:, at], axis=1))
        yield {"isotype": [isotype] * BATCH, "labs": labs, "left": left, "ok": np.asarray(pieces.ok)[rows, kind]}


def from_another_structure(seed: int):
    """Batches of patients of the Singh-type simulator, with its own assay errors."""
    rng = np.random.default_rng([seed, 2])
    while True:
        patients = []
        while len(patients) < BATCH:
            p = draw_patient(rng, TREATMENT, bridging=False)
            if p["isotype"] != "light_chain":
                patients.append(p | {"m_protein0": float(rng.uniform(16.5, 19.5))})
        truth = simulate(arrange(patients, TREATMENT, start_day=0), max(DAYS))
        exact = {o: truth[k][list(DAYS)].T for o, k in zip(OUTPUTS, ("m_protein", "flc"))}
        noise = rng.standard_normal((2, BATCH, len(DAYS)))
        seen = exact["m_protein"] + noise[0] * np.sqrt((0.06 * exact["m_protein"]) ** 2 + 0.3**2)
        labs = {"m_protein": np.maximum(seen, 0.0), "involved_flc": exact["involved_flc"] * np.exp(0.18 * noise[1])}
        left, isotype = truth["burden"][28] / truth["burden"][0], [p["isotype"] for p in patients]
        yield {"isotype": isotype, "labs": labs, "left": left, "ok": np.ones(BATCH, dtype=bool)}


def asked(population, patient: dict, key: str, seed: int) -> dict:
    """The twin's answer from M-protein alone and with light chains, and what rules without a model say."""
    model = population.model
    clearance = model_part(model, "clearance")
    limits = {o: model.observations[model.observation_index[o]].lower_limit for o in OUTPUTS}
    labs = patient["labs"]
    known = record_of(key, patient["isotype"], {"m_protein": labs["m_protein"]}, limits)
    whole = record_of(key, patient["isotype"], labs, limits)
    first = start_twin(population, known, random_seed=seed, **SIZES)
    both, _ = update_twin(first, whole, random_seed=seed, population=population)
    found = {k: patient[k] for k in ("isotype", "left", "group")} | {"passed": True}
    for name, twin in (("m", first), ("m_flc", both)):
        if twin.info.verdict == "PASS":
            left = clearance.left_since(twin, 0.0, random_seed=seed)
            found[f"twin_{name}"] = left.chance(left.ln_share >= np.log(ALIVE))[0]
            found[f"mean_{name}"] = float((left.weights * left.ln_share).sum())
        else:
            found |= {f"twin_{name}": None, f"mean_{name}": None, "passed": False}
    m, flc = labs["m_protein"], labs["involved_flc"]
    return found | {"flc_ratio": flc[-1] / flc[0], "m_slope": m[-1] / m[-2], "m_last": m[-1]}


def auc(score, positive) -> float:
    """P(score of a positive > score of a negative), ties counted half."""
    score, positive = np.asarray(score, float), np.asarray(positive, bool)
    above = score[positive][:, None] - score[~positive][None]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def auc_interval(score, positive, repeats=2000, seed=1) -> tuple[float, float]:
    """95 % interval of the AUC, patients resampled within both groups."""
    score, positive = np.asarray(score, float), np.asarray(positive, bool)
    groups, rng, found = (np.flatnonzero(positive), np.flatnonzero(~positive)), np.random.default_rng(seed), []
    for _ in range(repeats):
        taken = np.concatenate([rng.choice(g, len(g)) for g in groups])
        found.append(auc(score[taken], positive[taken]))
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def run(population, simulator: str, wanted: int, seed: int, work: Path) -> dict:
    """Rows of all patients of one simulator, those in the work folder not again; how often the groups come about."""
    file = work / f"{simulator}.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    with jax.enable_x64(True):
        batches = from_the_model(population, seed) if simulator == "model" else from_another_structure(seed)
        made, natural = pairs(batches, wanted)
    print(f"{simulator}: {len(made)} patients, {natural}", flush=True)
    with file.open("a", encoding="utf-8") as out:
        for k in range(len(rows), len(made)):
            rows.append(asked(population, made[k], f"SIM-{k:04d}", seed + k))
            out.write(json.dumps(rows[-1]) + "\n")
            out.flush()
    return {"rows": rows, "natural": natural}


def table(rows: list[dict]) -> list[str]:
    """A line per score: its AUC for survived against gone, with the 95 % interval; medians of the groups."""
    fine = [r for r in rows if r["passed"]]
    igg = [r for r in fine if r["group"] in ("survived", "gone")]
    alive, lines = np.array([r["group"] == "survived" for r in igg]), []
    for score, label in SCORES.items():
        values = [r[score] for r in igg]
        low, high = auc_interval(values, alive)
        middle = [
            np.median([r[score] for r in fine if r["group"] == g]) for g in GROUPS if any(r["group"] == g for r in fine)
        ]
        shown = " | ".join(f"{x:.3g}" for x in middle)
        lines.append(f"| {label} | {auc(values, alive):.3f} ({low:.3f} to {high:.3f}) | {shown} |")
    return lines


def page(results: dict[str, dict], given, population) -> str:
    """The page from the rows."""
    lines = [
        "# Day 28: a clone that survived, or slow clearance",
        "",
        f"Made by `python tests/validation/day_28.py --pairs {given.pairs} --population {given.population} "
        "--work FOLDER --write docs/validation/day_28.md`",
        f"on {date.today().isoformat()}; model {population.model.hash[:12]}, {SIZES['particles']} particles over "
        f"{SIZES['population_draws']} population draws. All patients are simulated, all got ide-cel on day 0, all read "
        "17 to 19 g/L on day 0.",
        "Survived: a tenth or more of the burden of day 0 is left on day 28; gone: less than a hundredth. Both have "
        "IgG and are paired so that",
        f"they read the same on day 28 (within {ALIKE:g} g/L). The twin's score is P(a tenth or more is left | labs). "
        "AUC with its 95 % interval",
        "(bootstrap within groups); then the median score of each group. What it means: [day_28.md](../day_28.md).",
    ]
    for name, found in results.items():
        rows, natural = found["rows"], found["natural"]
        count = {g: sum(r["group"] == g for r in rows) for g in GROUPS}
        said = ", ".join(f"{n} {k}" for k, n in natural.items())
        readings = np.array([r["m_last"] for r in rows if r["group"] == "survived"])
        lines += [
            "",
            f"## Simulated by {SIMULATORS[name]}",
            "",
            f"{count['survived']} survived, {count['gone']} gone, {count['IgA survived']} IgA patients with survivors; "
            f"{sum(not r['passed'] for r in rows)} patients with a withheld twin are left out.",
            f"Pairs read {np.quantile(readings, 0.1):.1f} to {np.quantile(readings, 0.9):.1f} g/L on day 28 (8 of 10). "
            f"Of IgG patients as they come who read 6 to 7 g/L: {said}.",
            "",
            "| score | AUC | " + " | ".join(g for g in GROUPS if count[g]) + " |",
            "|---|---|" + "---|" * sum(count[g] > 0 for g in GROUPS),
            *table(rows),
        ]
    return "\n".join(lines) + "\n"


def population_named(name: str):
    """The population of the model folder, of a file, or draws of the model's own priors ("prior")."""
    model = load_model(NAME)
    if name == "prior":
        return prior_population(model, draws=400, random_seed=1)
    return load_population(model_folder(NAME) / "population.nc" if name == "shipped" else name, model)


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=50, help="pairs of each simulator")
    parser.add_argument("--population", default="shipped", help="shipped, prior, or a file")
    parser.add_argument("--simulators", nargs="*", default=list(SIMULATORS), choices=list(SIMULATORS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    population = population_named(given.population)
    results = {name: run(population, name, given.pairs, given.seed, given.work) for name in given.simulators}
    text = page(results, given, population)
    print(text)
    if given.write:
        given.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
