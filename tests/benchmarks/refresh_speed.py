"""How long a refresh takes for each patient, and on what the time goes.

    python tests/benchmarks/refresh_speed.py [--patients 20] [--particles 4000]

Makes a store of myeloma patients with four labs before any treatment (the shipped population), then gives each one
new lab and refreshes. Prints seconds per patient after the first one (which compiles or reads compiled programs), the
share of each step, how many needed rejuvenation, bytes kept and peak memory; asserts nothing, since machines differ.
"""

import argparse
import resource
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from bayestwin.jobs import move_patient, refresh
from bayestwin.jobs.basis import keep_population
from bayestwin.jobs.run_log import RunLog
from bayestwin.population import load_population
from bayestwin.specification import load_model, model_folder
from bayestwin.store.opening import create_store

STEPS = {"load_twin": "read twin", "load_prognosis": "read prognosis", "start_twin": "start", "update_twin": "update"}
STEPS |= {"forecast": "forecast", "make_report": "page", "tree_bytes": "netCDF", "twin_to_tree": "netCDF"}


class Watch:
    """Adds up the seconds of each step, per refresh."""

    def __init__(self):
        self.seconds, self.moved = defaultdict(float), []
        for name, step in STEPS.items():
            setattr(move_patient, name, self._timed(getattr(move_patient, name), step))
        self._move = refresh.move_patient
        refresh.move_patient = self._one

    def _timed(self, function, step):
        def run(*given, **named):
            begin = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                self.seconds[step] += time.perf_counter() - begin

        return run

    def _one(self, *given, **named):
        if len(self.moved) == 1:
            self.seconds.clear()
            self.began = time.perf_counter()
        self.moved.append(self._move(*given, **named))
        return self.moved[-1]


def labs(path: Path, patients: int, number: int) -> Path:
    """So many M-protein values every 14 days, level and noise of each patient their own."""
    rng, rows = np.random.default_rng(1), ["patient,time,output,value,unit"]
    for k in range(patients):
        values = rng.lognormal(np.log(20.0), 0.4) * (1 + 0.08 * rng.standard_normal(8))
        rows += [f"B-{k:05d},{14 * t},m_protein,{values[t]:.3f},g/L" for t in range(number)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def told(what: str, found, watch: Watch) -> None:
    """Print one refresh."""
    number = len(watch.moved) - 1
    whole = time.perf_counter() - watch.began
    paths = dict(Counter(moved.facts.get("path", "failed") for moved in watch.moved))
    print(f"{what}: {whole / number:.2f} s a patient ({number} after the first), {found.summary()}; {paths}")
    for step, seconds in sorted(watch.seconds.items(), key=lambda pair: -pair[1]):
        print(f"    {step:15s} {seconds / number:7.3f} s")
    watch.moved.clear()


def main() -> None:
    """Run both refreshes."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--patients", type=int, default=20)
    asked.add_argument("--particles", type=int, default=4000)
    options = asked.parse_args()
    population = load_population(model_folder("myeloma_car_t") / "population.nc", load_model("myeloma_car_t"))
    sizes = {"particles": options.particles, "islands": 8, "population_draws": 400}
    with tempfile.TemporaryDirectory() as folder:
        settings = {"model_name": "myeloma_car_t", "seed": 1, "sizes": sizes}
        store, watch = create_store(f"{folder}/s.db", settings=settings), Watch()
        keep_population(store, population, model_text="myeloma_car_t")
        for what, number in (("start from four labs", 4), ("one new lab", 5), ("another new lab", 6)):
            file = labs(Path(folder) / "labs.csv", options.patients, number)
            told(what, refresh.refresh(store, {"labs": file}, log=RunLog(quiet=True)), watch)
        kept = Counter()
        for path in store.files.objects.rglob("*.*"):
            kept[path.suffix] += path.stat().st_size
        print({suffix: f"{size / 1e6 / options.patients:.2f} MB a patient" for suffix, size in kept.items()})
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
