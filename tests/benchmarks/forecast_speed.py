"""How fast a twin forecasts, and a virtual trial is simulated, after compilation, on this machine.

    python tests/benchmarks/forecast_speed.py [--arms]

Target on two cores: 1,000 particles, 24 months, six treatments, all outputs and endpoints under 5 s. Wall and CPU
seconds, since what else the machine does decides the first; prints the load. Asserts nothing, since machines differ.
"""

import argparse
import os
import time

from bayestwin.jobs.compilation_cache import use_compilation_cache

ELIGIBLE = {"isotype": "IgG", "age_years": 64.0, "sex": "female", "prior_lines": 3.0, "triple_class_exposed": 1.0}
TREATMENTS, MONTHS, PARTICLES = 6, 24, 1000


def eligible_patient(model):
    """A patient inside the evidence of as many treatments as can be: exposed, refractory to nothing, eight labs."""
    import numpy as np

    from bayestwin.records import Lab, PatientRecord

    refused = {rule.covariate: 0.0 for t in model.treatments for rule in t.eligibility if rule.equals == 0}
    labs = tuple(
        Lab(f"m@{t}", "m_protein", float(t), 18.0 * float(np.exp(0.004 * t)), float(t)) for t in range(0, 224, 28)
    )
    return PatientRecord("B-1", labs=labs, covariates=ELIGIBLE | refused)


def six_rows(model, twin):
    """Six different treatments that the patient may be given, those that are shown unasked first (both cells)."""
    from bayestwin.prognosis.plan import make_plans

    shown = [plan.name for plan in make_plans(model, twin.record, None, twin.time, applied=twin.applied)]
    plans = make_plans(
        model, twin.record, list(dict.fromkeys((*shown, *model.treatment_names))), twin.time, applied=twin.applied
    )
    return [plan.name for plan in plans if not plan.refused][:TREATMENTS]


def timed(what, work, repeats):
    """Least of some runs after one that compiles."""
    begun = time.perf_counter()
    work()
    first, found = time.perf_counter() - begun, []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = (min(times) for times in zip(*found))
    load = os.getloadavg()[0]
    print(f"{what:62s} {wall:6.2f} s wall {cpu:6.2f} s CPU   (first run {first:.1f} s; load {load:.1f})", flush=True)


def main():
    """Time the forecast and, if asked, one arm of a virtual trial."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", action="store_true", help="also one arm of a virtual trial")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    use_compilation_cache()
    from bayestwin.population import load_population
    from bayestwin.prognosis import forecast, virtual_trial
    from bayestwin.specification import TrialArm, load_model, model_folder
    from bayestwin.twin import start_twin

    model = load_model("myeloma_car_t")
    population = load_population(model_folder(model.folder) / "population.nc", model)
    sizes = {"particles": PARTICLES, "islands": 8, "population_draws": 200}
    twin = start_twin(population, eligible_patient(model), random_seed=1, **sizes)
    rows = six_rows(model, twin)
    print(f"{PARTICLES} particles, {MONTHS} months, {len(rows)} rows: {', '.join(rows)}; twin {twin.info.verdict}")
    how = {"horizon_months": MONTHS, "random_seed": 2}
    timed("forecast, all outputs and endpoints", lambda: forecast(twin, rows, over_rho=False, **how), given.repeats)
    timed("forecast, and its range over three values of rho", lambda: forecast(twin, rows, **how), given.repeats)
    if given.arms:
        arm = TrialArm("arm", model.treatment_names[0], 100, 28.0)
        for draws, patients in ((200, 96), (200, 48)):
            work = lambda d=draws, p=patients: virtual_trial(  # noqa: E731
                population, arm, random_seed=1, draws=d, patients=p, months=36.0
            )
            futures = draws * patients * 2
            timed(f"virtual arm, 36 months, {draws} draws x {patients} patients ({futures} futures)", work, 1)


if __name__ == "__main__":
    main()
