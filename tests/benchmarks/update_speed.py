"""How fast a twin moves: seconds per 1,000 particles after compilation, on this machine.

    python tests/benchmarks/update_speed.py [--second-start]

Targets on two cores (issue "The twin, end to end"): a new myeloma lab 14 days after the last without rejuvenation
under 0.1 s; a year of 26 labs with rejuvenation under 3 s; a second start of `bayestwin update` within 10 s.
Prints; asserts nothing, since machines differ.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from bayestwin.population import load_population
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.specification import load_model, model_folder
from bayestwin.twin import start_twin, update_twin

SIZES = {"particles": 1000, "islands": 8, "population_draws": 200}


def a_year(labs=26):
    """M-protein every 14 days under daratumumab, falling to a plateau; the shipped population knows such patients."""
    noise = 1 + 0.08 * np.random.default_rng(1).standard_normal(labs)
    rows = [(14.0 * k, (4.0 + 16.0 * np.exp(-14.0 * k / 40)) * noise[k]) for k in range(labs)]
    found = tuple(Lab(f"m@{t:g}", "m_protein", t, float(v), t) for t, v in rows)
    return PatientRecord("B-1", labs=found, events=(ClinicalEvent("line_of_therapy", 1.0, 1.0, "dara_pd"),))


def timed(what, work, repeats=3):
    """Best of some runs after one that compiles."""
    begin = time.perf_counter()
    result = work()
    first = time.perf_counter() - begin
    best = min(_once(work) for _ in range(repeats))
    print(f"{what:75s} {best:7.2f} s   (first run, with compilation {first:.1f} s)", flush=True)
    return result


def _once(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def second_start(population_file, seconds_budget=10.0):
    """Wall time of `bayestwin update` in a new process with the compilation cache filled by an earlier one."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        files = {
            "patients": "patient,isotype\nP-1,IgG\n",
            "first": "patient,time,output,value,unit\nP-1,0,m_protein,20,g/L\nP-1,28,m_protein,21,g/L\n",
            "newer": "patient,time,output,value,unit\nP-1,42,m_protein,22,g/L\n",
        }
        for name, text in files.items():
            (folder / f"{name}.csv").write_text(text)
        environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)
        call = [sys.executable, "-c", "from bayestwin.cli import main; main()"]
        start = [*call, "start", "--population", population_file, "--patients", "patients.csv", "--labs", "first.csv"]
        start += ["--patient", "P-1", "--particles", "1000", "--seed", "1", "--out", "twin.nc"]
        update = [*call, "update", "twin.nc", "--population", population_file, "--patients", "patients.csv"]
        update += ["--labs", "newer.csv", "--seed", "2", "--out", "after.nc"]
        for what, command in (("start", start), ("update, first", update), ("update, second start", update)):
            begin = time.perf_counter()
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
            print(f"bayestwin {what:65s} {time.perf_counter() - begin:7.2f} s   (exit {done.returncode})", flush=True)
            if done.returncode not in (0, 1, 4):
                print(done.stderr[-800:])
                return
        print(f"target for the second start: {seconds_budget:g} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--second-start", action="store_true", help="also time the command line in new processes")
    asked = parser.parse_args()
    model = load_model("myeloma_car_t")
    population_file = model_folder("myeloma_car_t") / "population.nc"
    population, year = load_population(population_file, model), a_year()
    before = start_twin(population, year.with_labs(year.labs[:6]), random_seed=1, **SIZES)
    next_lab = year.with_labs(year.labs[:7])
    timed(
        "one lab 14 days after the last, no rejuvenation (target 0.1 s)",
        lambda: update_twin(before, next_lab, random_seed=2, rejuvenate_below=1e-9),
    )
    _, info = update_twin(before, next_lab, random_seed=2, rejuvenate_below=1e-9)
    print(f"    path {info.path}, {info.verdict}")
    most = start_twin(population, year.with_labs(year.labs[:25]), random_seed=1, **SIZES)
    timed(
        "lab 26 of a year, rejuvenation forced (target 3 s)",
        lambda: update_twin(replace(most), year, random_seed=2, rejuvenate_below=1.0),
    )
    _, info = update_twin(most, year, random_seed=2, rejuvenate_below=1.0)
    print(f"    path {info.path}, {info.stages} stages, {info.moves} sweeps, {info.verdict}")
    if asked.second_start:
        second_start(str(population_file))


if __name__ == "__main__":
    main()
