"""What a cohort's likelihood costs: every model folder, growth with patients and doses, 58 children on daily doses.

    python tests/benchmarks/long_histories.py [--only folders growth waiting children] [--children FOLDER] [--whole]

CPU seconds of one forward pass and one gradient with respect to all individual and population parameters, after
compilation, the least of some runs (CPU seconds: a machine may be shared). Prints; asserts nothing, since machines
differ. `--children` : the folder `neutrophils_6mp` of the shared data, else from BAYESTWIN_SHARED_DATA; `--whole` also
times all seven states as one system, without the drug in closed form, which compiles for minutes. The latest results:
docs/validation/speed.md.
"""

import argparse
import os
import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from children_model import children, children_model

from bayestwin.dosing import DoseEvent
from bayestwin.dynamics import Accuracy, solve
from bayestwin.evaluation.verification.simulated import simulated_patient
from bayestwin.individual import class_likelihood, compile_record, total_log_likelihood
from bayestwin.population.hyper import assemble, hyper_sites
from bayestwin.population.prior import prior_population
from bayestwin.population.stacks import stack_cohort
from bayestwin.population.start_values import to_median
from bayestwin.records import Cohort, Lab, PatientRecord
from bayestwin.specification import Adaptive, Steps, load_model, model_folder

GROWTH_PATIENTS, GROWTH_DOSES = (10, 100, 1000), (10, 50, 250, 500)
DAILY = Steps(first=1.0, growth=1.0, largest=1.0)
FINE = Steps(first=0.05, growth=1.0, largest=0.05)  # stable for an absorption of 31 a day
GROWING = Steps(first=0.1, growth=4.0, largest=1.0)  # the drug is in closed form


def middle_of(model):
    """A population draw at the prior medians."""
    natural = {name: to_median(prior) for name, prior in hyper_sites(model).items()}
    if model.correlation is not None:
        natural["correlation_cholesky"] = jnp.eye(len(model.correlation.over))
    return assemble(model, natural, 0.0)


def program(model, groups):
    """(log-likelihood, its gradient) of stacked patients as functions of psi (patients, D) and a population draw."""

    def total(psi, hyper):
        value, first = 0.0, 0
        for group in groups:
            count = group.mask.shape[0]
            one = partial(_of_one, model, hyper)
            value += jax.vmap(one)(psi[first : first + count], group).sum()
            first += count
        return value

    return jax.jit(total), jax.jit(jax.value_and_grad(total, argnums=(0, 1)))


def _of_one(model, hyper, psi, data):
    return total_log_likelihood(class_likelihood(model, psi, hyper, data, accuracy=Accuracy()))


def timed(model, groups, *, repeats=3):
    """(forward, gradient) in CPU seconds, compilation in seconds, the log-likelihood."""
    with jax.enable_x64(True):
        hyper = middle_of(model)
        varying = jnp.array([hyper.typical[i] for i in model.varying])
        count, extra = sum(g.mask.shape[0] for g in groups), len(model.individual_names) - len(model.varying)
        psi = jnp.concatenate([jnp.tile(varying, (count, 1)), jnp.zeros((count, extra))], axis=1)
        psi = psi + 0.1 * jax.random.normal(jax.random.key(0), psi.shape)
        found, begin = [], time.perf_counter()
        for work in program(model, groups):
            result = jax.block_until_ready(work(psi, hyper))
            found.append(min(_cpu_seconds(lambda: jax.block_until_ready(work(psi, hyper))) for _ in range(repeats)))  # noqa: B023
        return *found, time.perf_counter() - begin, float(result[0])


def _cpu_seconds(work) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def stacked(model, records):
    """Groups as a fit stacks them."""
    return stack_cohort(model, Cohort(tuple(records)))[0]


def repeated(groups, times: int):
    """The same patients so many times over."""
    return [jax.tree.map(lambda a: np.concatenate([np.asarray(a)] * times), group) for group in groups]


def every_folder():
    """Ten simulated patients of every model folder, ten times over."""
    print("per 100 patients of every model folder (CPU seconds)")
    print(f"  {'model':20s} {'states':>6s} {'intervals':>9s} {'forward':>8s} {'gradient':>8s} {'compiled in':>11s}")
    for folder in sorted(
        path for path in model_folder("theophylline").parent.iterdir() if (path / "model.py").exists()
    ):
        model = load_model(folder.name)
        population = prior_population(model, draws=100, random_seed=1)
        try:
            records = [simulated_patient(population, k, random_seed=1, population_draws=100) for k in range(10)]
        except Exception as problem:  # a model whose priors give no plausible patient is said and left out
            print(f"  {folder.name:20s} no patients: {problem}")
            continue
        groups = repeated(stacked(model, records), 10)
        forward, gradient, compiled, _ = timed(model, groups)
        longest = max(g.timeline.start.shape[1] for g in groups)
        sizes = f"{len(model.states):6d} {longest:9d}"
        print(f"  {folder.name:20s} {sizes} {forward:8.3f} {gradient:8.3f} {compiled:10.0f}s", flush=True)


def a_patient(key: str, doses: int, labs: int = 20) -> PatientRecord:
    """Daily doses, and labs spread over them."""
    given = tuple(DoseEvent(0.79 + day, 1.0, "oral") for day in range(doses))
    times = np.unique(np.round(np.linspace(1, max(doses, labs), labs))) + 0.42
    seen = tuple(Lab(f"n@{t:g}", "neutrophils", float(t), 2.0, float(t)) for t in times)
    return PatientRecord(key, labs=seen, doses=given)


def growth():
    """Cost against the number of patients, and of doses of each."""
    model = children_model("kpd", DAILY)
    print("growth, six states on a grid of a day (CPU seconds; per patient and dose in microseconds)")
    for patients, doses in [*((n, 100) for n in GROWTH_PATIENTS), *((100, d) for d in GROWTH_DOSES)]:
        groups = repeated(stacked(model, [a_patient("G-0", doses)]), patients)
        forward, gradient, _, _ = timed(model, groups)
        each = 1e6 / patients / doses
        said = f"{forward:8.4f} ({forward * each:6.2f})   {gradient:8.4f} ({gradient * each:6.2f})"
        print(f"  {patients:5d} patients x {doses:4d} doses: forward {said}", flush=True)


def waiting():
    """One patient with 500 doses among short histories, stacked together and apart."""
    model = children_model("kpd", DAILY)
    short = [a_patient(f"S-{k}", 10, labs=10) for k in range(100)]
    print("100 patients with 10 doses, and one with 500 (CPU seconds)")
    with_long = [*short, a_patient("L-0", 500)]
    together, _ = stack_cohort(model, Cohort(tuple(with_long)), by_length=False)
    for what, groups in (
        ("without the one", stacked(model, short)),
        ("with it, one stack", together),
        ("with it, as a fit stacks", stacked(model, with_long)),
        ("the one alone", stacked(model, with_long[-1:])),
    ):
        forward, gradient, _, _ = timed(model, groups)
        shapes = ", ".join(f"{g.mask.shape[0]} x {g.timeline.start.shape[1]}" for g in groups)
        print(
            f"  {what:26s} forward {forward:7.4f}  gradient {gradient:7.4f}   patients x intervals: {shapes}",
            flush=True,
        )


def the_children(folder, whole: bool):
    """The 58 children: the drug's arrival as an approximation, and its error; all seven states."""
    records = children(folder)
    doses = sum(len(r.doses) for r in records) / len(records)
    print(f"{len(records)} children, {doses:.0f} doses each (CPU seconds per pass over all)")
    forms = [("six states, K-PD, grid of a day", children_model("kpd", DAILY))]
    forms += [("seven states, drug in closed form, grid", children_model("whole", GROWING))]
    forms += [("the same, adaptive (found without a word)", children_model("whole"))]
    if whole:
        forms += [("seven states as one, grid of 0.05 day", children_model("whole", FINE))]
        forms += [("seven states as one, Adaptive()", children_model("whole", Adaptive()))]
    for what, model in forms:
        groups, found = stacked(model, records), solve.drivers_of
        solve.drivers_of = (lambda model: ()) if "as one" in what else found
        forward, gradient, compiled, _ = timed(model, groups, repeats=5 if "grid" in what else 2)
        solve.drivers_of = found
        rows = max(g.timeline.start.shape[1] for g in groups)
        said = f"forward {forward:6.3f}  gradient {gradient:6.3f}  ({rows} intervals, compiled in {compiled:.0f} s)"
        print(f"  {what:40s} {said}", flush=True)
    print("  ln neutrophils at every lab against seven states as one solved to 1e-9:")
    for what, rough in (
        ("K-PD", forms[0][1]),
        ("closed form, grid", forms[1][1]),
        ("closed form, adaptive", forms[2][1]),
    ):
        print(f"    {what:22s} {errors(rough, records[:12])}", flush=True)


def errors(rough, records) -> str:
    """How far a form is from the whole model solved adaptively as one system, around the typical values."""
    fine = children_model("whole", Adaptive())
    gaps, rng = [], np.random.default_rng(1)
    with jax.enable_x64(True):
        solved = {}
        for record in records:
            eta = 0.2 * rng.standard_normal(len(fine.individual_names))
            for model, accuracy in ((rough, Accuracy(gradient=False)), (fine, Accuracy(1e-9, 1e-11, 4096, False))):
                hyper, data = middle_of(model), compile_record(model, record)
                varying = jnp.array([hyper.typical[i] for i in model.varying])
                psi = varying + eta[-len(varying) :]
                run = _predictions(model, accuracy)
                solved[model is fine] = np.log(np.asarray(run(psi, hyper, data))[: len(record.labs)])
            gaps.append(np.abs(solved[False] - solved[True]))
    gaps = np.concatenate(gaps)
    return f"median {np.median(gaps):.1e}, 95 % {np.quantile(gaps, 0.95):.1e}, largest {gaps.max():.1e}"


_COMPILED: dict = {}


def _predictions(model, accuracy):
    if model not in _COMPILED:
        _COMPILED[model] = jax.jit(
            lambda psi, hyper, data: class_likelihood(model, psi, hyper, data, accuracy=accuracy).prediction[0]
        )
    return _COMPILED[model]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("folders", "growth", "waiting", "children")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument(
        "--children", default=os.path.join(os.environ.get("BAYESTWIN_SHARED_DATA", ""), "neutrophils_6mp")
    )
    parser.add_argument("--whole", action="store_true")
    asked = parser.parse_args()
    if "growth" in asked.only:
        growth()
    if "waiting" in asked.only:
        waiting()
    if "children" in asked.only:
        if (Path(asked.children) / "neutrophils_6mp.csv").exists():
            the_children(asked.children, asked.whole)
        else:
            print(f"the children's data are not at {asked.children}: left out (--children FOLDER)")
    if "folders" in asked.only:
        every_folder()


if __name__ == "__main__":
    main()
