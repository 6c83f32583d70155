"""A population fit of the reduced myeloma model by HMC within Gibbs: which parameters arrive, and what it costs.

    python tests/benchmarks/myeloma_fit.py [--patients 25 100] [--warmup 300] [--draws 500] [--model FOLDER]
        [--method gibbs] [--work FOLDER]
    python tests/benchmarks/myeloma_fit.py --growth 25 50 100 200      (what a sweep costs as patients are added)

Patients under one drug with ten visits in 18 months, M-protein and free light chains at each: 20 labs. Population and
labs are drawn from the model's own priors (seed 1). The model is reduced_myeloma, the core of `myeloma_car_t`.

Printed as it goes: CPU seconds, R-hat and ESS so far. At the end every population parameter with its SD as a share of
the prior's, R-hat and rank-normalised bulk ESS, those first that the labs tell (share under 0.7). Prints; asserts
nothing. Results: docs/validation/population_speed.md.
"""

import argparse
import os
import resource
import sys
import time
from pathlib import Path

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from population_fit import Watch, growth

from bayestwin.evaluation.verification.fit_calibration import simulated_cohort
from bayestwin.population import fit_population
from bayestwin.population.devices import one_device_per_core
from bayestwin.population.hyper import hyper_sites
from bayestwin.population.program import distribution
from bayestwin.records import Cohort, Lab, PatientRecord
from bayestwin.records.record import ClinicalEvent
from bayestwin.specification import load_model

VISITS = (0.0, 28.0, 56.0, 84.0, 140.0, 196.0, 280.0, 364.0, 448.0, 540.0)
TOLD = 0.7


def design(patients: int) -> Cohort:
    """Patients who start the drug on day 1, with labs without values."""
    start = ClinicalEvent("line_of_therapy", 1.0, 1.0, "drug")
    labs = tuple(Lab(f"{name}@{t:g}", name, t, 1.0, t) for t in VISITS for name in ("m_protein", "involved_flc"))
    return Cohort(tuple(PatientRecord(f"M-{n:04d}", labs=labs, events=(start,)) for n in range(patients)))


class Told(Watch):
    """A watch that prints every hundred iterations."""

    def __call__(self, done, total=None, message=""):
        super().__call__(done, total, message)
        if done % 100 == 0 and done:
            cpu, wall = self.split_since(self.marks[0])
            print(
                f"{done} of {total}: {message}; {cpu:.0f} s CPU, {wall:.0f} s, load {os.getloadavg()[0]:.0f}",
                flush=True,
            )


def table(model, found) -> list[tuple]:
    """(share of the prior's SD, site, mean, R-hat, bulk ESS), best told first."""
    import arviz_stats

    rows, draws = [], found.posterior
    rhat, ess = arviz_stats.rhat(draws), arviz_stats.ess(draws, method="bulk")
    for name, prior in hyper_sites(model).items():
        of_prior = np.asarray(distribution(prior).sample(jax.random.key(0), (4000,))).std()
        values = draws[name].values
        rows.append((values.std() / of_prior, name, values.mean(), float(rhat[name]), float(ess[name])))
    return sorted(rows)


def run(given, patients: int) -> None:
    """One fit and its table."""
    model = load_model(given.model)
    truth, cohort = simulated_cohort(model, design(patients), 0, random_seed=1)
    watch, begun = Told(), time.perf_counter()
    how = {"method": given.method, "warmup": given.warmup, "draws": given.draws, "random_seed": 1, "chains": 4}
    work = None if given.work is None else given.work / f"{patients}"
    found = fit_population(model, cohort, progress=watch, work=work, **how)
    before, after = watch.split(given.warmup)
    rows = table(model, found)
    told = [row for row in rows if row[0] < TOLD]
    peak, wall = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, time.perf_counter() - begun
    labs = sum(len(r.labs) for r in cohort)
    print(f"\n{patients} patients, {labs} labs, {given.method}: {given.warmup} + {given.draws} of each of four chains")
    print(f"CPU {before[0]:.0f} s until warm-up ended, compiled in it, {after[0]:.0f} s for the draws")
    print(f"wall {wall:.0f} s; {peak:.2f} GB; {found.diagnostics}")
    worst = f"R-hat {max(r[3] for r in told):.4f}, bulk ESS {min(r[4] for r in told):.0f}"
    print(f"told by the labs: {len(told)} of {len(rows)}, the worst of them: {worst}")
    print("\n| parameter | truth | mean | SD / prior's | R-hat | bulk ESS |\n|---|---|---|---|---|---|")
    for share, name, mean, rhat, ess in rows:
        print(f"| {name} | {float(truth[name]):.3g} | {mean:.3g} | {share:.2f} | {rhat:.3f} | {ess:.0f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, nargs="+", default=[25, 100])
    parser.add_argument("--warmup", type=int, default=300)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--method", default="gibbs")
    parser.add_argument("--model", default=str(Path(__file__).parent / "reduced_myeloma"))
    parser.add_argument("--work", type=Path, help="a folder that keeps the runs, so that a killed one goes on")
    parser.add_argument("--growth", type=int, nargs="+", help="numbers of patients: cost of a sweep and nothing else")
    asked = parser.parse_args()
    if asked.growth:
        reduced = load_model(asked.model)
        growth(asked.growth, reduced, lambda n: simulated_cohort(reduced, design(n), 0, random_seed=1)[1])
        raise SystemExit
    one_device_per_core(most=4)
    for count in asked.patients:
        run(asked, count)
