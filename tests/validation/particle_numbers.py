"""Do twins of few particles say what twins of many say, and does their Monte Carlo error tell how far off they are?

    python tests/validation/particle_numbers.py --patient DEMO-01 --day 51.5 --sizes 400 1000 2000 4000 --seeds 5

One patient of the demo, all labs known on a day, rebuilt from scratch with so many particles and so many seeds, all on
the same population draws; nothing is tried again. For each size: the chance of the likeliest response class (mean over
the seeds, SD between them, the Monte Carlo error that a run states), and over all individual parameters the SD between
runs over the stated error (root mean square; 1 where it is right) and the distance of the mean of the runs from that of
the largest size, in posterior SDs. Prints a table for docs/validation/particle_numbers.md.
"""

import argparse
import time

import jax
import numpy as np

import bayestwin as bt
from bayestwin.jobs.demo import demo_patients
from bayestwin.specification import model_folder
from bayestwin.twin.oracle import rebuild_twin
from bayestwin.twin.particles import island_means
from bayestwin.twin.state import PASS
from bayestwin.twin.target import class_weights

NAME, ISLANDS = "myeloma_car_t", 8


def one_run(population, record, size, draws, seed) -> dict:
    """Means, SDs and Monte Carlo errors of psi, chances of the classes, verdict and CPU seconds of one oracle."""
    begin = time.process_time()
    twin, info = rebuild_twin(
        population, record, particles=size, islands=ISLANDS, population_draws=draws, random_seed=seed
    )
    made = twin.particles
    classes = island_means(class_weights(made), made.log_weights, ISLANDS)
    means = island_means(made.psi, made.log_weights, ISLANDS)
    return {
        "cpu": time.process_time() - begin,
        "passed": info.verdict == PASS,
        "classes": classes.mean(axis=0),
        "class_error": classes.std(axis=0, ddof=1) / np.sqrt(ISLANDS),
        "means": means.mean(axis=0),
        "errors": means.std(axis=0, ddof=1) / np.sqrt(ISLANDS),
        "sd": np.asarray(made.psi).std(axis=0),
    }


def summary(runs: list[dict], reference: list[dict]) -> dict:
    """One row of the table; `reference` : the runs of the largest size."""
    classes = np.array([run["classes"] for run in runs])
    top = int(np.mean([run["classes"] for run in reference], axis=0).argmax())
    means = np.array([run["means"] for run in runs])
    stated = np.sqrt(np.mean([run["errors"] ** 2 for run in runs], axis=0))
    far = np.array([run["means"] for run in reference]).mean(axis=0)
    sd = np.mean([run["sd"] for run in reference], axis=0)
    return {
        "passed": sum(run["passed"] for run in runs),
        "chance": classes[:, top].mean(),
        "between": classes[:, top].std(ddof=1),
        "stated": np.sqrt(np.mean([run["class_error"][top] ** 2 for run in runs])),
        "ratio": np.sqrt(np.mean((means.std(axis=0, ddof=1) / stated) ** 2)),
        "off": np.abs((means.mean(axis=0) - far) / sd).max(),
        "cpu": np.median([run["cpu"] for run in runs]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patient", default="DEMO-01")
    parser.add_argument("--day", type=float, default=51.5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[400, 1000, 2000, 4000])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--population-draws", type=int, default=200)
    asked = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    model = bt.load_model(NAME)
    population = bt.load_population(model_folder(NAME) / "population.nc", model)
    record = demo_patients(model).at(asked.day)[asked.patient]
    print(f"{asked.patient}, day {asked.day:g}, {len(record.labs)} labs, {asked.population_draws} population draws\n")
    found: dict[int, list] = {}
    for size in asked.sizes:
        seeds = range(1, asked.seeds + 1)
        found[size] = [one_run(population, record, size, asked.population_draws, seed) for seed in seeds]
    print(
        "| particles | passed | chance of the likeliest class | SD between runs | stated error | "
        "parameters: SD between runs / stated | furthest mean, SD | CPU s (median) |"
    )
    print("|" + "---|" * 8)
    for size, runs in found.items():
        row = summary(runs, found[max(found)])
        print(
            f"| {size:,} | {row['passed']} of {len(runs)} | {row['chance']:.3f} | {row['between']:.3f} | "
            f"{row['stated']:.3f} | {row['ratio']:.2f} | {row['off']:.2f} | {row['cpu']:.1f} |"
        )


if __name__ == "__main__":
    main()
