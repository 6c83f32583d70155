"""Theophylline and warfarin: our fit beside a PyMC program that shares nothing with it, equations in closed form.
Warfarin with a lag and a rate of absorption of each volunteer (the shipped `warfarin`), and with two equal steps
instead (`warfarin_pk_model`, the pharmacokinetic half of the shipped `warfarin_pkpd`), which the labs can tell.
Of `psa_intermittent`, two simulated men, the densities only, with our solver in both.

    python tests/validation/crosscheck.py --work FOLDER [--model theophylline] [--sampler nutpie] [--write PAGE]
        [--sampled-from HOURS]

For each model the log densities of the two programs at random points, then both sampled and compared parameter by
parameter; `--density-only` stops before sampling, `--pymc-alone` samples the PyMC program only. A fit is kept in FOLDER
and is not run again. `--sampled-from 3` takes the patients whose first lab after the dose came then or later: of
warfarin those whose labs say next to nothing of lag and absorption rate, and so have no modes in them
(docs/validation/warfarin_absorption.md). The data are found through BAYESTWIN_SHARED_DATA or ../shared/data and never
copied.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

sys.path.insert(0, str(Path(__file__).parent))

from one_compartment import closed_form

from bayestwin.cli.verify_tables import with_error
from bayestwin.evaluation.crosscheck import crosscheck
from bayestwin.population import fit_population, load_population
from bayestwin.population.crosscheck import check_sampler, pymc_program, sample_pymc, scalars
from bayestwin.population.diagnostics import diagnose
from bayestwin.population.hyper import hyper_sites
from bayestwin.records import Cohort, read_records
from bayestwin.specification import load_model

ROOT = Path(__file__).resolve().parents[2]
MODELS = ("theophylline", "warfarin", "warfarin_pk", "psa_intermittent")
TITLES = {"warfarin": "Warfarin with a lag", "warfarin_pk": "Warfarin in two steps of absorption"}
FITS = {
    "theophylline": {"target_accept": 0.99, "draws": 1000},
    "warfarin_pk": {"centred": ("CL", "V"), "warmup": 500, "draws": 1000},
    "warfarin": {"centred": ("CL", "V"), "target_accept": 0.98, "warmup": 400, "draws": 700},
}


def data_file(name: str) -> Path:
    """The event table; SystemExit where it is absent."""
    path = Path(os.environ.get("BAYESTWIN_SHARED_DATA", ROOT.parent / "shared" / "data")) / name / f"{name}.csv"
    if not path.is_file():
        raise SystemExit(f"{name}.csv is absent: set BAYESTWIN_SHARED_DATA or put shared/data beside the checkout")
    return path


def model_and_cohort(name: str, sampled_from: float = 0.0):
    """The shipped model and the real patients first sampled at `sampled_from` hours or later; of warfarin the
    concentrations."""
    if name == "psa_intermittent":
        model, folder = load_model(name), ROOT / "data" / "psa_simulated"
        files = {table: folder / f"{table}.csv" for table in ("patients", "labs", "events")}
        return model, Cohort(tuple(read_records(model.record_schema(), **files).cohort)[:2])
    own = Path(__file__).parent / f"{name}_model"
    model, table = load_model(own if own.is_dir() else name), pd.read_csv(data_file(name.removesuffix("_pk")))
    if name.startswith("warfarin"):
        table = table[table.dvid == "cp"].assign(dvid=1)
    known = read_records(model.record_schema(), event_table=table, time_unit="h").cohort
    return model, Cohort(tuple(r for r in known if min(lab.time for lab in r.labs if lab.time > 0) >= sampled_from))


def largest_gap(name, model, cohort, *, points: int = 20, random_seed: int = 1):
    """Largest difference of the two log densities over random points, their range there, and how many there were."""
    sys.path.insert(0, str(ROOT / "tests" / "population"))
    from two_programs import density_pairs

    how = {"points": points, "random_seed": random_seed, "closed_form": closed_form if name in FITS else None}
    ways = {True, False, FITS.get(name, {}).get("centred", True)}  # all effects centred, none, and as in the fit
    pairs = [pair for centred in ways for pair in density_pairs(model, cohort, centred=centred, **how)]
    ours, theirs = np.array(pairs).T
    return float(np.abs(ours - theirs).max()), float(ours.min()), float(ours.max()), len(pairs)


def fit(name, model, cohort, folder):
    """The kept fit, or a new one."""
    path = folder / f"{name}_{len(list(cohort))}.nc"
    if not path.exists():
        begun = time.time()
        fit_population(model, cohort, random_seed=1, **FITS[name]).save(path)
        print(f"{name}: fit in {time.time() - begun:.0f} s", flush=True)
    return load_population(path, model)


def section(found, seconds) -> list[str]:
    """The lines of one model."""
    lines = [
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


def densities(gap, low, high, points) -> list[str]:
    """What the densities say."""
    return [
        f"Log densities of our NumPyro program and of the PyMC program at {points} random points, effects centred and "
        f"not: {low:.0f} to {high:.0f}, largest difference {gap:.1g}.",
        "",
    ]


def alone(name, model, cohort, sampler, sizes) -> list[str]:
    """The PyMC program sampled with no fit beside it."""
    import arviz_stats

    begun, names = time.time(), [*hyper_sites(model), *(block.site for block in model.correlation_blocks)]
    program = pymc_program(model, cohort, centred=FITS[name].get("centred", False), closed_form=closed_form)
    posterior, stats = sample_pymc(program, names, random_seed=2, sampler=sampler, **sizes)
    seconds, moving = time.time() - begun, scalars(posterior, model.correlation_blocks)
    draws = xr.Dataset({name: (("chain", "draw"), values) for name, values in moving.items()})
    table = arviz_stats.summary(draws, ci_prob=0.9, ci_kind="eti", round_to="none")
    lines = [f"No fit of ours has converged: the PyMC program alone, by {sampler} in {seconds:.0f} s.", ""]
    lines += ["| parameter | mean | SD | R-hat | bulk ESS |", "|---|---|---|---|---|"]
    for name, row in table.iterrows():
        mean = with_error(row["mean"], row["mcse_mean"])
        lines.append(f"| {name} | {mean} | {row['sd']:.2g} | {row['r_hat']:.3f} | {row['ess_bulk']:.0f} |")
    return [*lines, "", f"{diagnose(posterior, stats)}", ""]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for fits")
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--sampler", choices=("pymc", "nutpie"), default="pymc")
    parser.add_argument("--density-only", action="store_true", help="compare log densities, sample nothing")
    parser.add_argument("--pymc-alone", action="store_true", help="sample the PyMC program with no fit beside it")
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--tune", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--target-accept", type=float, default=0.99)
    parser.add_argument("--posteriors-only", action="store_true", help="leave the densities out")
    parser.add_argument("--sampled-from", type=float, default=0.0, help="hours after the dose")
    parser.add_argument("--write", type=Path, help="where to write the page; else it is printed")
    arguments = parser.parse_args()
    if not arguments.density_only:
        check_sampler(arguments.sampler)  # before a fit that takes long
    arguments.work.mkdir(parents=True, exist_ok=True)
    sizes = {name: getattr(arguments, name) for name in ("chains", "tune", "draws", "target_accept")}
    text = []
    for name in arguments.model:
        model, cohort = model_and_cohort(name, arguments.sampled_from)
        labs = sum(len(r.labs) for r in cohort)
        text += [f"## {TITLES.get(name, name.capitalize())}, {len(list(cohort))} patients, {labs} labs", ""]
        if not arguments.posteriors_only:
            text += densities(*largest_gap(name, model, cohort))
        print("\n".join(text), flush=True)
        if name not in FITS:
            continue
        if arguments.pymc_alone:
            text += alone(name, model, cohort, arguments.sampler, sizes)
        elif not arguments.density_only:
            population, begun = fit(name, model, cohort, arguments.work), time.time()
            how = {"sampler": arguments.sampler, "closed_form": closed_form, **sizes}
            how |= {"centred": FITS[name].get("centred")}
            text += section(crosscheck(model, cohort, population, random_seed=2, **how), time.time() - begun)
    page = "\n".join(text)
    arguments.write.write_text(page, encoding="utf-8") if arguments.write else print(page)
