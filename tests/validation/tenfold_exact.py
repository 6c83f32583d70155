"""Tenfold errors of M-protein: how many would be noticed, how often does a true value raise an alarm? Exact forecasts.

    python tests/validation/tenfold_exact.py --model myeloma_car_t --patients 1000 --work FOLDER

The next lab of every simulated patient (ignorable visits) at days 60 and 180, in the exact predictive of
`course_pool.py`, by the program's own rule (`bayestwin/twin/tenfold.py`). Asked are the value itself, ten times it and
a tenth of it. A lab under its limit is no number and has no factors; a tenth that falls under the limit is kept as a
number, as a reader keeps it; ten times that lies beyond the plausible range is refused by the reader, which is counted
apart. Log-SD of a forecast: SD of ln of the value; of an output whose error is on the natural scale (M-protein: near
and under zero there is no ln) SD over mean, which is the same where both are small. Patients with fewer than FEWEST
effective courses are left out, a choice that rests on what was known.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent)]

import course_pool  # noqa: E402
import informative_visits as page  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
from course_pool import Patient, cohorts, outputs_of  # noqa: E402
from exact_posteriors import made  # noqa: E402

from bayestwin.individual.residuals import draw_observation, location_and_scale  # noqa: E402
from bayestwin.twin.surprise import weighted_quantiles  # noqa: E402
from bayestwin.twin.tenfold import ALARM, TENFOLD, VALUES, tenfold  # noqa: E402

LANDMARKS = (60.0, 180.0)
WIDEST = 0.45  # predictive log-SD up to which 95 % should be noticed
FEWEST = 50.0


def factors(patient: Patient, known, lab, landmark: float, rng) -> dict:
    """One next lab: its forecast's log-SD and power, ln Bayes factors (high, low) of it, ten times it, a tenth."""
    model, found = patient.pool.model, patient.posterior(known, landmark, rng)
    k = model.observation_index[lab.output]
    observation, sigma = model.observations[k], patient.pool.sigma[found.at]
    predicted = patient.predicted(lab.output, lab.time, found.at)
    simulated = draw_observation(model, k, rng, predicted, sigma)
    row = {"ess": found.ess, "log_sd": log_sd(observation, simulated, found.weights), "value": lab.value}
    row["limit"] = lab.censoring != "none"
    if row["limit"] or lab.value <= 0:
        return row
    location, scale = location_and_scale(model, k, predicted, sigma, xp=np)
    likely = weighted_quantiles(simulated, found.weights, (np.arange(VALUES) + 0.5) / VALUES)
    for name, value in (("true", 1.0), ("ten", TENFOLD), ("tenth", 1.0 / TENFOLD)):
        one = tenfold(observation, location, scale, found.weights, lab.value * value, likely)
        row |= {name: [one.high, one.low], "power": one.power}
    low, high = observation.plausible
    under = lab.value / TENFOLD < (observation.lower_limit or 0.0)
    return row | {"refused": not low <= TENFOLD * lab.value <= high, "under": under}


def log_sd(observation, simulated, weights) -> float:
    """SD of ln of simulated values, or their SD over their mean where the error is on the natural scale."""
    seen = np.log(np.maximum(simulated, 1e-6)) if observation.log_scale else simulated
    mean = weights @ seen
    sd = float(np.sqrt(weights @ (seen - mean) ** 2))
    return sd if observation.log_scale else sd / max(abs(float(mean)), 1e-6)


def run(name: str, patients: int, chunks: int, work: Path) -> None:
    """Every patient and day that has no line yet."""
    file = work / f"{name}_tenfold.jsonl"
    done = {(r["patient"], r["landmark"]) for r in page.lines_in(file)}
    population, pool, _, first = made(name, chunks, work)
    (followed,) = cohorts(population.model, name, first, page.MECHANISMS[:1]).values()
    outputs = outputs_of(population.model, name)
    with file.open("a", encoding="utf-8") as out:
        for n, one in enumerate(followed[:patients]):
            wanted = [t for t in LANDMARKS if (n, t) not in done and one.end > t]
            patient = Patient(pool, one.record, np.random.default_rng([course_pool.SEED, n])) if wanted else None
            for landmark in wanted:
                known = page.known_alive(one.record, landmark)
                for output in outputs:
                    lab = next((x for x in one.record.labs if x.output == output and x.time > landmark), None)
                    if lab is not None:
                        rng = np.random.default_rng([course_pool.SEED, n, int(landmark), 11])
                        row = {"patient": n, "landmark": landmark, "output": output}
                        out.write(json.dumps(row | factors(patient, known, lab, landmark, rng)) + "\n")
            out.flush()


def alarmed(rows, what: str) -> np.ndarray:
    """Whether an alarm of either direction comes, as `Surprise.alarm` has it."""
    return np.array([max(r[what]) >= ALARM for r in rows], dtype=bool)


def table(rows) -> list[str]:
    """A line per output, day and width of the forecast."""
    lines = [
        "| output | day | log-SD of the forecast | labs | ten times too high noticed | of those not refused | a tenth "
        "noticed | of those not under the limit | stated power | true values that raise an alarm |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for output in dict.fromkeys(r["output"] for r in rows):
        for landmark in LANDMARKS:
            mine = [r for r in rows if r["output"] == output and r["landmark"] == landmark]
            for label, wide in ((f"up to {WIDEST:g}", False), ("wider", True)):
                some = [r for r in mine if not r["limit"] and "true" in r and (r["log_sd"] > WIDEST) == wide]
                if some:
                    refused, under = (np.array([r[what] for r in some]) for what in ("refused", "under"))
                    ten, tenth, true = (alarmed(some, what) for what in ("ten", "tenth", "true"))
                    cells = [output, f"{landmark:g}", label, str(len(some)), share(ten | refused)]
                    cells += [f"{share(ten[~refused])} of {(~refused).sum()}", share(tenth)]
                    cells += [f"{share(tenth[~under])} of {(~under).sum()}"]
                    cells += [f"{100 * np.mean([r['power'] for r in some]):.0f} %", f"{true.sum()} ({share(true)})"]
                    lines.append("| " + " | ".join(cells) + " |")
            limit = sum(r["limit"] for r in mine)
            lines.append(f"| {output} | {landmark:g} | under the limit: no factors | {limit} | | | | | | |")
    return lines


def share(which) -> str:
    """A share in percent."""
    return f"{100 * np.mean(which):.1f} %" if len(which) else "none"


def main() -> None:
    """Ask, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(course_pool.LEVELS), required=True)
    parser.add_argument("--patients", type=int, default=course_pool.COHORT)
    parser.add_argument("--chunks", type=int, default=36, help=f"pool of so many times {course_pool.CHUNK:,} courses")
    parser.add_argument("--fewest", type=float, default=FEWEST)
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args()
    with jax.enable_x64(True):
        run(given.model, given.patients, given.chunks, given.work)
    rows = page.lines_in(given.work / f"{given.model}_tenfold.jsonl")
    fine = [r for r in rows if r["ess"] >= given.fewest]
    print(f"{len(fine)} of {len(rows)} next labs have {given.fewest:g} effective courses or more")
    print("\n".join(table(fine)))


if __name__ == "__main__":
    main()
