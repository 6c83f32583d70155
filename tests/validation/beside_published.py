"""A population fit of real data beside published estimates: where the data are, the fit kept in a folder, the page.

`phenobarbital.py`, `warfarin_pkpd.py` and `nimotuzumab.py` share this. Data are found through BAYESTWIN_SHARED_DATA or
../shared/data and never copied; a fit is a file with its seconds and settings beside it, and is not run again while it
is there.
"""

import argparse
import json
import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import xarray as xr

from bayestwin.population import approximate_population, combine_chains, fit_population, load_population

ROOT = Path(__file__).resolve().parents[2]


def data_file(name: str) -> Path:
    """The event table <name>/<name>.csv; SystemExit where it is absent."""
    path = Path(os.environ.get("BAYESTWIN_SHARED_DATA", ROOT.parent / "shared" / "data")) / name / f"{name}.csv"
    if not path.is_file():
        raise SystemExit(f"{name}.csv is absent: set BAYESTWIN_SHARED_DATA or put shared/data beside the checkout")
    return path


def arguments(text: str):
    """The options every one of these scripts has."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for the fit")
    parser.add_argument("--write", type=Path, help="where to write the page; else it is printed")
    parser.add_argument("--approximate", action="store_true", help="a variational first look instead of NUTS")
    parser.add_argument("--progress", action="store_true", help="one line per 25 draws")
    return parser.parse_args()


def kept_fit(folder: Path, model, cohort, *, seeds=(1,), approximate: bool = False, progress: bool = False, **settings):
    """(population, seconds, settings): the fits that lie in `folder`, else new ones by NUTS, their chains side by side.

    seeds : one fit of all its chains each, the next only when the one before is there
    """
    if approximate:
        settings = {"guide": "by_patient"}
    parts = [_kept(folder, model, cohort, seed, approximate, progress, settings) for seed in seeds]
    population = combine_chains([part for part, _ in parts]) if len(parts) > 1 else parts[0][0]
    seed = seeds[0] if len(seeds) == 1 else f"{', '.join(map(str, seeds))} (a fit each, chains side by side)"
    return population, sum(seconds for _, seconds in parts), {"random_seed": seed, **settings}


def _kept(folder: Path, model, cohort, seed: int, approximate: bool, progress: bool, settings: dict):
    """(population, seconds) of one seed."""
    path = folder / f"{model.name}{'_approximate' if approximate else ''}_{seed}.nc"
    beside = path.with_suffix(".json")
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        begun = time.perf_counter()
        told = _line(begun) if progress else False
        fit = approximate_population if approximate else fit_population
        made = fit(model, cohort, random_seed=seed, progress=told, **settings)
        beside.write_text(json.dumps({"seconds": time.perf_counter() - begun}))
        made.save(path, keep_individuals=True)
    return load_population(path, model), json.loads(beside.read_text())["seconds"]


def _line(begun: float):
    """A progress callable that prints where the sampler is."""

    def report(done, total, message):
        print(f"{done}/{total} {message} {time.perf_counter() - begun:.0f} s", flush=True)

    return report


def drawn(population) -> dict[str, np.ndarray]:
    """Population-level scalars by name, (chain, draw)."""
    return {n: a.values for n, a in population.posterior.data_vars.items() if set(a.dims) == {"chain", "draw"}}


def table(rows) -> list[str]:
    """The lines of a table: rows of (words, draws (chain, draw), published text or '')."""
    import arviz_stats

    lines = [
        "| parameter | posterior mean | SD | 90 % interval | R-hat | bulk ESS | published |",
        "|---|---|---|---|---|---|---|",
    ]
    for words, values, published in rows:
        one = xr.DataArray(values, dims=("chain", "draw"))
        low, high = np.quantile(values, [0.05, 0.95])
        rhat, ess = float(arviz_stats.rhat(one)), float(arviz_stats.ess(one, method="bulk"))
        cells = [f"{values.mean():.3g}", f"{values.std():.2g}", f"{low:.3g} to {high:.3g}", f"{rhat:.3f}", f"{ess:.0f}"]
        lines.append(f"| {' | '.join([words, *cells, published or 'none'])} |")
    return lines


def looks_like_its_cohort(population, cohort, *, random_seed: int = 1) -> list[str]:
    """One line per output: the visual predictive check and NPDE of docs/check_fit.md in numbers."""
    from bayestwin.evaluation.predictive_checks import npde, npde_tests, replicates_needed, vpc
    from bayestwin.evaluation.replicates import replicates

    most = max(Counter(lab.output for lab in record.labs).most_common(1)[0][1] for record in cohort)
    count = max(300, replicates_needed(most))
    found, lines = replicates(population, cohort, random_seed=random_seed, count=count), []
    for output in dict.fromkeys(found.labs["output"]):
        bands = vpc(found, output, prediction_corrected=True)
        outside = int(((bands["observed"] < bands["low"]) | (bands["observed"] > bands["high"])).sum())
        test = npde_tests(npde(found, output, random_seed=random_seed))
        share = f"{outside} of {len(bands)} points of the prediction-corrected check outside their 90 % bands"
        tests = ", ".join(f"{name} {test[f'p_{name}']:.2g}" for name in ("mean", "variance", "shape"))
        lines += [
            f"- {output} ({test['labs']} labs): {share};",
            f"  NPDE mean {test['mean']:.2f}, variance {test['variance']:.2f}, unadjusted p of {tests}",
        ]
    return lines


def told(seconds: float, settings: dict) -> str:
    """How the fit was made, in a sentence."""
    how = ", ".join(f"{name} {value}" for name, value in settings.items())
    return f"{how}; {seconds:.0f} s on two busy cores"
