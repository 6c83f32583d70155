"""What an update costs: many myeloma twins with one new lab each, and one lab beside its rivals.

    python tests/benchmarks/many_patients.py [--twins 100 1000] [--files 100] [--particles 4000] [--started 10]
        [--nuts 300] [--parts updates files histories batches rivals]

Untreated patients with eight M-protein values, the shipped population. So many twins are started, and each serves for
many patients, who differ in their ninth value (drawn from what the twin expects of it). Printed:

1. updates: each twin is moved to its new lab; CPU and wall seconds, share rejuvenated, growth, peak memory
2. the same from file to file: read, check, update, write durably
3. one new lab after histories of 8 to 64 labs, where reweighting suffices
4. the solve of sixteen patients one by one, in one compiled call over patients in turn, and side by side (vmap)
5. one lab by update, by the from-scratch oracle and by a NUTS refit, per effective draw

Forecasts and reports cost more than all of this: refresh_speed.py. Prints; asserts nothing, since machines differ.
CPU seconds are those of this process, so that other work on the machine does not count.
"""

import argparse
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.individual import class_likelihood, compile_record, total_log_likelihood
from bayestwin.population import load_population
from bayestwin.records import Lab, PatientRecord
from bayestwin.specification import load_model, model_folder
from bayestwin.store import tree_bytes
from bayestwin.store.durable import write_durably
from bayestwin.twin import load_twin, predict_labs, rebuild_twin, start_twin, update_twin
from bayestwin.twin.save import twin_to_tree
from bayestwin.twin.target import evaluator, hyper_of

LABS, EVERY, BATCH = 8, 14.0, 16
PARTS = ("updates", "files", "histories", "batches", "rivals")


class Clock:
    """CPU and wall seconds since it was made."""

    def __init__(self):
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def seconds(self) -> tuple[float, float]:
        """(CPU, wall)"""
        return time.process_time() - self.cpu, time.perf_counter() - self.wall


def lab(number: int, value: float) -> Lab:
    """The M-protein of one visit."""
    when = EVERY * number
    return Lab(f"m@{when:g}", "m_protein", when, float(value), when)


def patients(count: int, labs: int = LABS) -> list[PatientRecord]:
    """Untreated patients whose level and noise are their own."""
    rng, found = np.random.default_rng(1), []
    for k in range(count):
        values = rng.lognormal(np.log(20.0), 0.4) * (1 + 0.08 * rng.standard_normal(labs))
        found.append(PatientRecord(f"B-{k:05d}", labs=tuple(lab(n, v) for n, v in enumerate(values))))
    return found


def newer(twins, count: int, within: float = 0.95) -> list[tuple[int, PatientRecord]]:
    """(which twin, its record with one more lab out of that middle share of what it expects) for so many patients."""
    rng, found, expected = np.random.default_rng(2), [], []
    for twin in twins:
        asked = twin.record.with_labs((*twin.record.labs, lab(LABS, 20.0)))
        expected.append(predict_labs(twin, asked, random_seed=1)[0].quantiles)
    for k in range(count):
        which = k % len(twins)
        levels, values = zip(*sorted(expected[which].items()))
        value = np.interp(0.5 + within * rng.uniform(-0.5, 0.5), levels, values)
        found.append((which, twins[which].record.with_labs((*twins[which].record.labs, lab(LABS, value)))))
    return found


def told(what: str, count: int, clock: Clock, paths: Counter) -> None:
    """One line of the first two tables."""
    cpu, wall = clock.seconds()
    moved = paths["rejuvenate"] + paths["oracle"]
    print(
        f"{what:30s} {count:6d} twins: {cpu:8.1f} s CPU, {wall:8.1f} s wall, {1000 * cpu / count:6.0f} ms CPU each, "
        f"{100 * moved / count:.1f} % rejuvenated, peak memory {peak():.2f} GB",
        flush=True,
    )


def peak() -> float:
    """Peak memory of this process, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def updates(twins, population, count: int, within: float) -> None:
    """Every twin moved to its new lab, in memory."""
    work, paths, clock = newer(twins, count, within), Counter(), Clock()
    for number, (which, record) in enumerate(work):
        _, info = update_twin(twins[which], record, random_seed=number, population=population)
        paths[info.path] += 1
    told("update", count, clock, paths)


def from_file_to_file(twins, population, count: int, folder: Path, within: float) -> None:
    """As a refresh does it, without forecast and report."""
    sources = [folder / f"{k}.nc" for k in range(len(twins))]
    for path, twin in zip(sources, twins):
        path.write_bytes(tree_bytes(twin_to_tree(twin)))
    work, paths, clock, size = newer(twins, count, within), Counter(), Clock(), 0
    for number, (which, record) in enumerate(work):
        twin = load_twin(sources[which], population.model)
        twin, info = update_twin(twin, record, random_seed=number, population=population)
        written = tree_bytes(twin_to_tree(twin))
        write_durably(folder / "after.nc", written)
        paths[info.path] += 1
        size += len(written)
    told("read, update, write", count, clock, paths)
    print(f"    a twin's file: {size / count / 1e6:.2f} MB")


def histories(population, particles: int, repeats: int = 10) -> None:
    """Seconds of a newer lab by the number of labs that were learnt before it; only updates that reweight."""
    for count in (8, 16, 32, 64):
        record = patients(1, count)[0]
        twin = start_twin(population, record, particles=particles, random_seed=1)
        asked = record.with_labs((*record.labs, lab(count, 20.0)))
        middle = predict_labs(twin, asked, random_seed=1)[0].quantiles[0.5]
        asked, spent = record.with_labs((*record.labs, lab(count, middle))), []
        for number in range(repeats + 1):
            clock = Clock()
            _, info = update_twin(twin, asked, random_seed=number)
            spent.append(clock.seconds()[0])
        print(
            f"one new lab after {count:3d} labs, by {info.path}: {1000 * np.median(spent[1:]):.0f} ms CPU "
            f"(median of {repeats})",
            flush=True,
        )


def batches(twins) -> None:
    """The solve from the stored state to the new lab: one call per patient against one call for all."""
    work = newer(twins, BATCH)
    model, rho, shared = twins[0].model, twins[0].rho, twins[0].population
    data = [compile_record(model, record, resume_at=twins[k].time, resumed=twins[k].applied) for k, record in work]
    data = [jax.tree.map(jnp.asarray, one) for one in data]
    parts = [twins[k].particles for k, _ in work]
    evaluate = evaluator(model, NO_GRADIENT)

    def patient(inputs):
        psi, draw, state, own = inputs

        def one(p, d, s):
            return class_likelihood(model, p, hyper_of(shared, d), own, rho=rho, state=s, accuracy=NO_GRADIENT)

        return jax.vmap(one)(psi, draw, state)

    stacked = jax.tree.map(lambda *a: jnp.stack(a), *[(p.psi, p.draw, p.state, d) for p, d in zip(parts, data)])
    ways = {
        "one by one": lambda: [evaluate(p.psi, p.draw, shared, d, rho, p.state) for p, d in zip(parts, data)],
        "one call, in turn (lax.map)": lambda f=jax.jit(lambda x: jax.lax.map(patient, x)): f(stacked),
        "one call, side by side (vmap)": lambda f=jax.jit(jax.vmap(patient)): f(stacked),
    }
    first: list = []
    for what, way in ways.items():
        jax.block_until_ready(way())
        best = np.inf
        for _ in range(3):
            clock = Clock()
            found = jax.block_until_ready(way())
            best = min(best, clock.seconds()[0])
        rows = [r.rows for r in found] if isinstance(found, list) else list(found.rows)
        first = first or rows
        gap = max(float(jnp.abs(a - b).max()) for a, b in zip(rows, first))
        print(
            f"{what:30s} {BATCH} patients: {1000 * best / BATCH:6.1f} ms CPU each; log-weights differ by {gap:.0e}",
            flush=True,
        )


def nuts(population, record, draws: int) -> tuple[float, float]:
    """(CPU seconds without compilation, smallest bulk ESS) of a refit of one patient, population fixed at one draw.

    Easier than what a twin does, which keeps hundreds of population draws: the comparison is in favour of NUTS.
    """
    import numpyro
    from numpyro.diagnostics import effective_sample_size
    from numpyro.infer import MCMC, NUTS

    from bayestwin.twin.particles import population_for

    model, data = population.model, compile_record(population.model, record, sizes=(16, 32))
    hyper, _ = population.hyper_draws(1)
    own = population_for(model, hyper, data.terms)
    one = jax.tree.map(lambda a: jnp.asarray(a)[0], hyper)

    def program():
        z = numpyro.sample("z", numpyro.distributions.Normal(jnp.zeros(own.mean.shape[1]), 1.0).to_event(1))
        pieces = class_likelihood(model, own.mean[0] + own.scale[0] @ z, one, data, rho=population.rho)
        numpyro.factor("labs", total_log_likelihood(pieces))

    chain = MCMC(NUTS(program), num_warmup=draws, num_samples=draws, progress_bar=False)
    chain.run(jax.random.key(1))  # compiles
    clock = Clock()
    chain.run(jax.random.key(2))
    jax.block_until_ready(chain.get_samples())
    z = np.asarray(chain.get_samples()["z"])
    return clock.seconds()[0], float(np.min(effective_sample_size(z[None])))


def rivals(twins, population, particles: int, draws: int) -> None:
    """One lab by each way, as CPU seconds per 1,000 effective draws."""
    work = newer(twins, len(twins))
    cost, size = {"update": 0.0, "oracle": 0.0}, {"update": 0.0, "oracle": 0.0}
    for number, (which, record) in enumerate(work):
        clock = Clock()
        _, info = update_twin(twins[which], record, random_seed=number, population=population)
        cost["update"] += clock.seconds()[0]
        size["update"] += info.ess
        if number < 3:
            clock = Clock()
            _, oracle = rebuild_twin(population, record, particles=particles, random_seed=number)
            cost["oracle"] += clock.seconds()[0]
            size["oracle"] += min(oracle.ess, oracle.unique_particles)
    each = {name: 1000 * cost[name] / size[name] for name in cost}
    seconds, ess = nuts(population, work[0][1], draws)
    each["NUTS"] = 1000 * seconds / ess
    print(
        f"update: {cost['update'] / len(work):.3f} s CPU a lab; oracle: {cost['oracle'] / min(3, len(work)):.2f} s; "
        f"NUTS ({draws} + {draws}, population fixed): {seconds:.1f} s, ESS {ess:.0f}"
    )
    for name in ("oracle", "NUTS"):
        print(
            f"    per 1,000 effective draws {each[name]:8.2f} s against {each['update']:.3f} s by update: "
            f"{each[name] / each['update']:.0f} times"
        )


def main() -> None:
    """Run the parts that are asked for."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--twins", type=int, nargs="+", default=[100, 1000])
    asked.add_argument("--particles", type=int, default=4000)
    asked.add_argument("--started", type=int, default=10)
    asked.add_argument("--nuts", type=int, default=300)
    asked.add_argument("--within", type=float, default=0.95, help="middle share of the expected values; to 0.95")
    asked.add_argument("--files", type=int, default=100)
    asked.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    options = asked.parse_args()
    population = load_population(model_folder("myeloma_car_t") / "population.nc", load_model("myeloma_car_t"))
    clock = Clock()
    twins = [
        start_twin(population, one, particles=options.particles, random_seed=1) for one in patients(options.started)
    ]
    cpu, _ = clock.seconds()
    print(
        f"{len(twins)} twins of {options.particles} particles started, {cpu:.0f} s CPU, "
        f"{sum(t.info.verdict == 'PASS' for t in twins)} passed",
        flush=True,
    )
    with jax.enable_x64(True):
        update_twin(twins[0], newer(twins[:1], 1)[0][1], random_seed=1)  # compiles
        if "updates" in options.parts:
            for count in options.twins:
                updates(twins, population, count, options.within)
        if "files" in options.parts:
            with tempfile.TemporaryDirectory() as folder:
                from_file_to_file(twins, population, options.files, Path(folder), options.within)
        if "histories" in options.parts:
            histories(population, options.particles)
        if "batches" in options.parts:
            batches(twins)
        if "rivals" in options.parts:
            rivals(twins, population, options.particles, options.nuts)


if __name__ == "__main__":
    main()
