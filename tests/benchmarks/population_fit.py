"""Population fits of one simulated cohort by several samplers: CPU seconds, gradients, effective draws per second.

    python tests/benchmarks/population_fit.py [--patients 25 100] [--ways plain nutpie nuts gibbs] [--cap 30]
        [--warmup 500] [--draws 500] [--gibbs-warmup 200] [--growth 25 50 100 200 400] [--out FILE.json]
    python tests/benchmarks/population_fit.py --patients --growth      (what a sweep costs from 25 to 400 patients)

Theophylline, 20 concentrations after one dose, simulated in closed form at the published values. The ways:

    plain     NumPyro and diffrax as their documentation would have it (plain_theophylline.py), NUTS with its defaults
    nutpie    nutpie's NUTS on the potential of our program; left out, and said, where nutpie is not installed
    nuts      `fit_population(method="nuts")`;  gibbs     `fit_population(method="gibbs")`

Four chains side by side in each. `plain` stops after `--cap` minutes of CPU, with what it has. Effective draws are
rank-normalised bulk ESS, minimum and median over the parameters whose posterior SD is under 0.7 of the prior's, per
CPU second after warm-up; their error comes from the four chains taken singly. CPU seconds are of this process, since
a machine may be shared; the load is printed. Prints; asserts nothing. Results: docs/validation/population_speed.md.
"""

import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from plain_theophylline import plain_program

from bayestwin.dosing import DoseEvent
from bayestwin.dynamics import Accuracy
from bayestwin.population import fit_population
from bayestwin.population.hyper import hyper_sites
from bayestwin.population.program import distribution, population_program
from bayestwin.population.stacks import stack_cohort
from bayestwin.population.start_values import unconstrained_medians
from bayestwin.records import Cohort, Lab, PatientRecord
from bayestwin.specification import load_model

TIMES = np.array([0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 10, 12, 15, 18, 24, 30, 36], dtype=float)
DOSE, SIGMA, CHAINS = 320.0, 0.7, 4
COUNTS = (25, 50, 100, 200, 400)


class Measured(NamedTuple):
    """Draws by site (chain, draw), gradients after warm-up, (CPU, wall) seconds until warm-up ended, and since."""

    samples: dict
    gradients: float
    before: tuple
    after: tuple


class Watch:
    """CPU and wall seconds when each number of iterations was reached."""

    def __init__(self):
        self.marks = [(0, *self.now())]

    def now(self):
        """(CPU, wall)"""
        return time.process_time(), time.perf_counter()

    def __call__(self, done, total=None, message=""):
        self.marks.append((done, *self.now()))

    def split_since(self, mark):
        """(CPU, wall) since a mark."""
        return tuple(b - a for a, b in zip(mark[1:], self.now()))

    def split(self, warmup: int):
        """((CPU, wall) until warm-up was done, (CPU, wall) since)."""
        first = next(mark for mark in self.marks if mark[0] >= warmup)
        begin, end = self.marks[0], self.marks[-1]
        return tuple(b - a for a, b in zip(begin[1:], first[1:])), tuple(b - a for a, b in zip(first[1:], end[1:]))


def cohort_of(patients: int):
    """(times, weight (N,), observed (N, T)) and the same as a Cohort."""
    rng = np.random.default_rng(7)
    weight = rng.normal(72.0, 12.0, patients).clip(45.0, 110.0)
    effects = rng.standard_normal((patients, 3)) * np.array([0.35, 0.3, 0.25])
    slopes = np.array([0.0, 0.75, 1.0]) * np.log(weight / 70.0)[:, None]
    ka, clearance, volume = (np.array([1.57, 2.72, 31.5]) * np.exp(effects + slopes)).T[..., None]
    k = clearance / volume
    exact = DOSE * ka / volume / (ka - k) * (np.exp(-k * TIMES) - np.exp(-ka * TIMES))
    observed = exact + SIGMA * rng.standard_normal(exact.shape)
    records = [
        PatientRecord(
            f"B-{n:04d}",
            labs=tuple(Lab(f"c@{t:g}", "concentration", float(t), float(y), float(t)) for t, y in zip(TIMES, row)),
            doses=(DoseEvent(0.0, DOSE, "oral"),),
            covariates={"weight_kg": float(weight[n])},
        )
        for n, row in enumerate(observed)
    ]
    return (TIMES, weight, observed), Cohort(tuple(records))


def plain(data, cohort, given) -> Measured:
    """NumPyro's NUTS with its defaults, begun at prior medians, on the plain program; ten iterations at a time."""
    from numpyro.infer import NUTS, init_to_median
    from numpyro.infer.util import constrain_fn

    times, weight, observed = (jnp.asarray(x) for x in data)
    arguments = (times, DOSE, weight, observed)
    kernel, watch = NUTS(plain_program, init_strategy=init_to_median), Watch()
    state = kernel.init(jax.random.split(jax.random.key(1), CHAINS), given.warmup, None, arguments, {})

    @jax.jit
    def ten(state):
        def step(state, _):
            state = kernel.sample(state, arguments, {})
            return state, (state.z, state.num_steps)

        return jax.lax.scan(step, state, None, length=10)

    kept, done, gradients, cpu = [], 0, 0, 0.0
    while done < given.warmup + given.draws and cpu < 60 * given.cap:
        state, piece = jax.block_until_ready(ten(state))
        done, gradients = done + 10, gradients + int(piece[1].sum())
        watch(done)
        cpu, _ = watch.split_since(watch.marks[0])
        if done % 50 == 0:
            print(json.dumps({"way": "plain", "iterations": done, "gradients": gradients, "cpu": cpu}), flush=True)
        if done > given.warmup:
            kept.append(jax.tree.map(lambda a: np.swapaxes(np.asarray(a), 0, 1), piece))
    if len(kept) < 2:
        raise RuntimeError(f"{done} of {given.warmup} of warm-up, {gradients} gradients, {cpu:.0f} s of CPU at the cap")
    z, steps = jax.tree.map(lambda *a: np.concatenate(a, axis=1), *kept)
    samples = constrain_fn(plain_program, arguments, {}, jax.tree.map(jnp.asarray, z), batch_ndims=2)
    return Measured(samples, float(steps.sum()), *watch.split(given.warmup))


def ours(method: str):
    """`fit_population` by that method."""

    def fit(data, cohort, given) -> Measured:
        watch = Watch()
        warmup = given.gibbs_warmup if method == "gibbs" else given.warmup
        how = {"random_seed": 1, "method": method, "chains": CHAINS, "warmup": warmup, "draws": given.draws}
        found = fit_population(load_model("theophylline"), cohort, progress=watch, **how)
        samples = {str(name): values.values for name, values in found.posterior.items()}
        steps = float(found.tree["sample_stats"]["n_steps"].sum())
        return Measured(samples, steps, *watch.split(warmup))

    return fit


def nutpie(data, cohort, given) -> Measured:
    """nutpie's NUTS on the potential of our non-centred program."""
    import nutpie
    from jax.flatten_util import ravel_pytree
    from numpyro.infer.util import constrain_fn, potential_energy

    jax.config.update("jax_enable_x64", True)  # its threads do not see the context that `main` opens
    model = load_model("theophylline")
    groups, _ = stack_cohort(model, cohort)

    def program():
        population_program(model, groups, rho=0.0, accuracy=Accuracy())

    start, sites = ravel_pytree(unconstrained_medians(model, groups, rho=0.0, centred=False))
    begin = np.asarray(start)
    density = jax.jit(jax.value_and_grad(lambda x: -potential_energy(program, (), {}, sites(x))))

    def make_density():
        return lambda x: tuple(np.asarray(a) for a in density(x))

    compiled = nutpie.compiled_pyfunc.from_pyfunc(
        len(start),
        make_density,
        lambda *_: lambda x: {"x": np.asarray(x)},
        [np.dtype("float64")],
        [(len(start),)],
        ["x"],
        make_initial_point_fn=lambda seed: begin + 0.1 * np.random.default_rng(seed).normal(size=len(begin)),
    )
    watch = Watch()
    density(start)[0].block_until_ready()
    compiling = watch.split_since(watch.marks[0])
    watch.marks = [(0, *watch.now())]
    found = nutpie.sample(compiled, draws=given.draws, tune=given.warmup, chains=CHAINS, seed=1, progress_bar=False)
    watch(given.warmup + given.draws)
    x = jnp.asarray(found.posterior["x"].values)
    samples = constrain_fn(program, (), {}, jax.vmap(jax.vmap(sites))(x), batch_ndims=2)
    warmup, steps = (float(g["n_steps"].sum()) for g in (found.warmup_sample_stats, found.sample_stats))
    share = steps / (warmup + steps)  # its clock does not tell warm-up apart; its gradients do
    whole = watch.split(0)[1]
    before = tuple(c + (1.0 - share) * w for c, w in zip(compiling, whole))
    return Measured(samples, steps, before, tuple(share * w for w in whole))


WAYS = {"plain": plain, "nutpie": nutpie, "nuts": ours("nuts"), "gibbs": ours("gibbs")}


def identified(samples: dict) -> list[str]:
    """Scalar sites whose posterior SD is under 0.7 of the prior's."""
    model, chosen = load_model("theophylline"), []
    for name, prior in hyper_sites(model).items():
        of_prior = np.asarray(distribution(prior).sample(jax.random.key(0), (4000,))).std()
        if np.asarray(samples[name]).std() < 0.7 * of_prior:
            chosen.append(name)
    return chosen


def told(way: str, patients: int, found: Measured) -> dict:
    """One row: effective draws and what they cost."""
    import arviz_stats
    import xarray as xr

    names = identified(found.samples)
    data = xr.Dataset({n: (("chain", "draw"), np.asarray(found.samples[n])) for n in names})
    ess = {n: float(arviz_stats.ess(data, method="bulk")[n]) for n in names}
    rhat = max(float(arviz_stats.rhat(data)[n]) for n in names)
    least = min(ess, key=ess.get)
    singly = [float(arviz_stats.ess(data[[least]].isel(chain=[c]), method="bulk")[least]) for c in range(CHAINS)]
    error = np.std(singly, ddof=1) * np.sqrt(CHAINS)
    cpu = found.after[0]
    row = {
        "way": way,
        "patients": patients,
        "draws": int(np.prod(data[least].shape)),
        "gradients": found.gradients,
        "cpu_before": found.before[0],
        "cpu_after": cpu,
        "wall": found.before[1] + found.after[1],
        "ess_min": ess[least],
        "ess_median": float(np.median(list(ess.values()))),
        "ess_per_s": ess[least] / cpu,
        "error": error / cpu,
        "median_per_s": float(np.median(list(ess.values()))) / cpu,
        "rhat": rhat,
        "slowest": least,
        "load": os.getloadavg()[0],
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "mean_CL": float(np.mean(found.samples["CL_pop"])),
    }
    print(json.dumps(row), flush=True)
    return row


def growth(counts, model, cohort_of) -> list[dict]:
    """CPU seconds of a sweep of four chains and peak memory against the number of patients, and a table of them.

    cohort_of makes the cohort of a number of patients. Two blocks of 25 sweeps after warm-up, the cheaper counts: what
    else the machine does costs CPU seconds too.
    """
    rows = []
    for patients in counts:
        watch = Watch()
        fit_population(
            model,
            cohort_of(patients),
            random_seed=1,
            method="gibbs",
            warmup=50,
            draws=50,
            progress=watch,
        )
        after = {mark[0]: mark[1] for mark in watch.marks}
        sweep = min(after[75] - after[50], after[100] - after[75]) / 25
        rows.append(
            {
                "patients": patients,
                "cpu_per_sweep": sweep,
                "cpu_per_patient": sweep / patients,
                "compiled": after[25] - after[0],
                "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
                "load": os.getloadavg()[0],
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    names = ("patients", "sweep, CPU s", "of a patient, ms", "first 25 sweeps, compiled, CPU s", "memory, GB", "load")
    print(f"\n| {' | '.join(names)} |\n{'|---' * len(names)}|")
    for row in rows:
        sizes = f"{row['cpu_per_sweep']:.3f} | {1000 * row['cpu_per_patient']:.2f} | {row['compiled']:.0f}"
        print(f"| {row['patients']} | {sizes} | {row['peak_gb']:.2f} | {row['load']:.0f} |", flush=True)
    return rows


def main():
    """Read the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, nargs="*", default=[25, 100])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--cap", type=float, default=30.0, help="minutes of CPU")
    parser.add_argument("--warmup", type=int, default=500)
    parser.add_argument("--gibbs-warmup", type=int, default=200)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--growth", type=int, nargs="*", help=f"numbers of patients, alone: {COUNTS}")
    parser.add_argument("--out", type=Path)
    given, rows = parser.parse_args(), []
    with jax.enable_x64(True):
        for patients in given.patients:
            data, cohort = cohort_of(patients)
            for way in given.ways:
                try:
                    rows.append(told(way, patients, WAYS[way](data, cohort, given)))
                except (ImportError, RuntimeError) as problem:
                    print(json.dumps({"way": way, "patients": patients, "left_out": str(problem)}), flush=True)
    if given.growth is not None:
        rows += growth(given.growth or COUNTS, load_model("theophylline"), lambda patients: cohort_of(patients)[1])
    if given.out:
        given.out.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
