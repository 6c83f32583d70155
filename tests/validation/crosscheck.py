"""Theophylline and warfarin: our fit beside a PyMC program that shares nothing with it, equations in closed form.

    python tests/validation/crosscheck.py --work FOLDER [--model theophylline] [--write docs/validation/crosscheck.md]

For each model the log densities of the two programs at random points, then both sampled and compared parameter by
parameter; `--density-only` stops before sampling. A fit is kept in FOLDER and is not run again. The data are found
through BAYESTWIN_SHARED_DATA or ../shared/data and never copied.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd

from bayestwin.cli.verify_tables import with_error
from bayestwin.evaluation.crosscheck import crosscheck
from bayestwin.population import fit_population, load_population
from bayestwin.records import read_records
from bayestwin.specification import load_model

ROOT = Path(__file__).resolve().parents[2]
MODELS = ("theophylline", "warfarin")
FITS = {"theophylline": {"target_accept": 0.99, "draws": 1000}, "warfarin": {"climb": 100}}


def data_file(name: str) -> Path:
    """The event table; SystemExit where it is absent."""
    path = Path(os.environ.get("BAYESTWIN_SHARED_DATA", ROOT.parent / "shared" / "data")) / name / f"{name}.csv"
    if not path.is_file():
        raise SystemExit(f"{name}.csv is absent: set BAYESTWIN_SHARED_DATA or put shared/data beside the checkout")
    return path


def model_and_cohort(name: str):
    """The shipped model and the real patients; of warfarin the concentrations."""
    model, table = load_model(name), pd.read_csv(data_file(name))
    if name == "warfarin":
        table = table[table.dvid == "cp"].assign(dvid=1)
    return model, read_records(model.record_schema(), event_table=table, time_unit="h").cohort


def closed_form(values, records):
    """One compartment after oral doses, absorbed after a lag where the model has one, in PyTensor:

    C(t) = sum over doses of D ka / (V ka - CL) (exp(-CL/V s) - exp(-ka s)),     s = t - time of the dose - lag > 0
    """
    import pytensor.tensor as pt

    found = []
    for n, record in enumerate(records):
        ka, clearance, volume = (values[name][n] for name in ("ka", "CL", "V"))
        times, total = np.array([lab.time for lab in record.labs]), 0.0
        for dose in record.doses:
            since = pt.as_tensor(times) - dose.time - (values["lag"][n] if "lag" in values else 0.0)
            s = pt.maximum(since, 0.0)
            shape = pt.exp(-clearance / volume * s) - pt.exp(-ka * s)
            total = total + dose.amount * ka / (volume * ka - clearance) * shape
        found.append(total)
    return {"concentration": pt.concatenate(found)}


def largest_gap(model, cohort, *, points: int = 20, random_seed: int = 1):
    """Largest difference of the two log densities over random points, and the range of the densities there."""
    import sys

    sys.path.insert(0, str(ROOT / "tests" / "population"))
    from two_programs import density_pairs

    pairs = density_pairs(model, cohort, points=points, random_seed=random_seed, closed_form=closed_form)
    ours, theirs = np.array(pairs).T
    return float(np.abs(ours - theirs).max()), (float(ours.min()), float(ours.max()))


def fit(name, model, cohort, folder):
    """The kept fit, or a new one."""
    path = folder / f"{name}.nc"
    if not path.exists():
        begun = time.time()
        fit_population(model, cohort, random_seed=1, **FITS[name]).save(path)
        print(f"{name}: fit in {time.time() - begun:.0f} s", flush=True)
    return load_population(path, model)


def section(found, gap, seconds) -> list[str]:
    """The lines of one model."""
    lines = [
        f"Log densities of our NumPyro program and of the PyMC program at 20 random points: {gap[1][0]:.0f} to "
        f"{gap[1][1]:.0f}, largest difference {gap[0]:.1g}.",
        "",
        f"Sampled by {found.sampler} in {seconds:.0f} s.",
        "",
        "| parameter | mean, fit | mean, PyMC | z | SD, fit | SD, PyMC | z | adjusted p |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found.table.itertuples():
        ours, theirs = with_error(row.mean, row.mcse_mean), with_error(row.pymc_mean, row.pymc_mcse_mean)
        cells = [row.parameter, ours, theirs, f"{row.z_mean:.2f}", f"{row.sd:.3g}", f"{row.pymc_sd:.3g}"]
        lines.append(f"| {' | '.join([*cells, f'{row.z_sd:.2f}', f'{row.p_adjusted:.2g}'])} |")
    return [
        *lines,
        "",
        found.sentence,
        "",
        f"The fit: {found.population.diagnostics}",
        "",
        f"PyMC: {found.pymc_diagnostics}",
        "",
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for fits")
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--sampler", choices=("pymc", "nutpie"), default="pymc")
    parser.add_argument("--density-only", action="store_true", help="compare log densities, sample nothing")
    parser.add_argument("--write", type=Path, help="where to write the page; else it is printed")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    text = []
    for name in arguments.model:
        model, cohort = model_and_cohort(name)
        gap = largest_gap(model, cohort)
        text += [f"## {name.capitalize()}, {len(list(cohort))} patients, {sum(len(r.labs) for r in cohort)} labs", ""]
        if arguments.density_only:
            text += [f"{gap}", ""]
            continue
        population, begun = fit(name, model, cohort, arguments.work), time.time()
        found = crosscheck(
            model,
            cohort,
            population,
            random_seed=2,
            sampler=arguments.sampler,
            closed_form=closed_form,
            target_accept=0.99,
        )
        text += section(found, gap, time.time() - begun)
    page = "\n".join(text)
    arguments.write.write_text(page, encoding="utf-8") if arguments.write else print(page)
