"""What a lab costs over a long history of a treated patient, whatever each update needs.

    python tests/benchmarks/treated_patients.py [--patients 2] [--visits 30] [--particles 4000]

Patients are simulated from the shipped myeloma population: treatments take turns, every second one changes treatment
halfway; M-protein and involved light chains at each visit. A twin is led through all visits with its population, so
that reweighting, rejuvenation and the rebuild of every tenth update (anchor) are all in the time. Beside it, after
every tenth visit, the same record from scratch. Prints CPU seconds; asserts nothing, since machines differ.
"""

import argparse
import time

import numpy as np

from bayestwin.jobs.compilation_cache import use_compilation_cache

OUTPUTS = ("m_protein", "involved_flc")
EVERY = 10  # visits between two rebuilds beside


def seconds_of(work, *given, **how):
    """(what it gives, CPU seconds of this process)"""
    begun = time.process_time()
    found = work(*given, **how)
    return found, time.process_time() - begun


def led_through(population, number: int, visits: int, particles: int):
    """(visit, path, CPU seconds, ESS) of every update of one patient, and (visit, CPU seconds, ESS) from scratch."""
    from bayestwin.evaluation.verification import simulated_patient
    from bayestwin.twin import rebuild_twin, start_twin, update_twin

    draws = min(400, population.size)
    whole = simulated_patient(population, number, random_seed=1, population_draws=draws, visits=visits)
    whole = whole.with_labs(lab for lab in whole.labs if lab.output in OUTPUTS)
    times = sorted({lab.time for lab in whole.labs})
    twin = start_twin(population, whole.known_at(times[0]), particles=particles, random_seed=number)
    moved, scratch = [], []
    for k, visit in enumerate(times[1:], start=1):
        record = whole.known_at(visit)
        (twin, info), cpu = seconds_of(update_twin, twin, record, random_seed=k, population=population)
        moved.append((k, info.path, cpu, info.ess))
        if k % EVERY == 0:
            (_, info), cpu = seconds_of(rebuild_twin, population, record, particles=particles, random_seed=k)
            scratch.append((k, cpu, info.ess))
    named = ", ".join(
        f"{e.value} from {e.time:.0f}" for e in whole.events if e.value in population.model.treatment_names
    )
    print(f"{whole.key}: {named or 'untreated'}; {len(times)} visits, {times[-1]:.0f} days; {twin.info}", flush=True)
    return moved, scratch


def told(name: str, seconds) -> None:
    """One line."""
    if len(seconds):
        middle, mean = np.median(seconds), np.mean(seconds)
        print(f"  {name:32s} {len(seconds):3d} times, CPU s median {middle:6.2f}, mean {mean:6.2f}")


def main() -> None:
    """Lead the patients through, print by path and by length of the history."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--patients", type=int, default=2)
    asked.add_argument("--visits", type=int, default=30)
    asked.add_argument("--particles", type=int, default=4000)
    given = asked.parse_args()
    use_compilation_cache()
    from bayestwin.population import load_population
    from bayestwin.specification import load_model, model_folder

    model = load_model("myeloma_car_t")
    population = load_population(model_folder(model.folder) / "population.nc", model)
    moved, scratch = [], []
    led_through(population, 1, 12, given.particles)  # compiles
    for number in range(1, given.patients + 1):
        one, beside = led_through(population, number, given.visits, given.particles)
        moved, scratch = [*moved, *one], [*scratch, *beside]
    for path in dict.fromkeys(p for _, p, _, _ in moved):
        told(path, [s for _, p, s, _ in moved if p == path])
    told("from scratch, beside", [s for _, s, _ in scratch])
    for low in range(1, given.visits, EVERY):
        told(f"visits {low} to {low + EVERY - 1}", [s for k, _, s, _ in moved if low <= k < low + EVERY])
    update, anew = (1000 * sum(s for *_, s, _ in rows) / sum(e for *_, e in rows) for rows in (moved, scratch))
    print(
        f"  per 1,000 effective draws: {update:.2f} s an update, {anew:.2f} s from scratch: {anew / update:.1f} times"
    )


if __name__ == "__main__":
    main()
