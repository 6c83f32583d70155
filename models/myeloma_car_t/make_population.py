"""Make population.nc: the priors of model.py updated by what published trials report (evidence.toml).

    python models/myeloma_car_t/make_population.py                          what is shipped
    python models/myeloma_car_t/make_population.py --without POLLUX --out F    one trial left out, for validation
    python models/myeloma_car_t/make_population.py --left-out FOLDER           every trial left out in turn

No patient's data. Only population-level draws are written; the file says how it was made, evidence_fit.py what is
assumed. A draw is the population of a new setting: departures of a trial's growth and resistant fraction are in it.
"""

import argparse
import json
import re
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from bayestwin.jobs.compilation_cache import use_compilation_cache

use_compilation_cache()  # before JAX is imported: every chain's process needs the same programs

import jax  # noqa: E402
import numpy as np  # noqa: E402
import xarray as xr  # noqa: E402

from bayestwin.population import PopulationPosterior  # noqa: E402
from bayestwin.population.fit import versions  # noqa: E402
from bayestwin.specification import load_model, read_evidence  # noqa: E402
from bayestwin.specification.load import model_part  # noqa: E402

HERE = Path(__file__).resolve().parent


def slug(trial: str) -> str:
    """A trial's name as a file name."""
    return re.sub(r"[^a-z0-9]+", "-", trial.lower()).strip("-")


def read(given):
    """The model, its module evidence_sampling, and the evidence."""
    model = load_model(HERE)
    fit, sampling = (model_part(model, f"evidence_{what}") for what in ("fit", "sampling"))
    arms = read_evidence(HERE / "evidence.toml", model)
    return model, sampling, fit.Evidence(model, arms, nodes=given.nodes, seed=given.seed)


def chains_of(job):
    """Some of the chains, in a process of its own."""
    given, trial, normal, chains = job
    with jax.enable_x64(True):
        _, sampling, evidence = read(given)
        key = jax.random.split(jax.random.key(given.seed))[0]
        how = {"warmup": given.warmup, "draws": given.draws}
        return sampling.sampled(evidence, sampling.Approximation(*normal), key, chains=chains, trial=trial, **how)


def posterior_of(model, sampling, evidence, trial, start, given) -> PopulationPosterior:
    """The population without a trial, "" for none; start : the approximation with all trials."""
    key_setting = jax.random.split(jax.random.key(given.seed))[1]
    normal = sampling.approximation(evidence, trial, start) if trial else start
    informed = f"{len(normal.moves)} of {evidence.layout.size} coordinates informed"
    print(f"{trial or 'all trials'}: mode {normal.height:.1f}, {informed}", flush=True)
    jobs = [(given, trial, tuple(normal), range(k, given.chains, given.processes)) for k in range(given.processes)]
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        parts = [part for part in pool.map(chains_of, jobs)]
    z = np.concatenate([part[0] for part in parts])
    stats = {name: np.concatenate([part[1][name] for part in parts]) for name in parts[0][1]}
    sites = sampling.new_settings(evidence, z, key_setting)
    posterior = {name: (("chain", "draw"), value) for name, value in sites.items()}
    kept = {
        "diverging": stats["diverging"],
        "energy": stats["energy"],
        "lp": -stats["potential_energy"],
        "n_steps": stats["num_steps"],
    }
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(posterior),
            "sample_stats": xr.Dataset({name: (("chain", "draw"), value) for name, value in kept.items()}),
            "between_trials": xr.Dataset(
                {n: (("chain", "draw"), v) for n, v in sampling.between_trials(evidence, z).items()}
            ),
        }
    )
    arms = [a for a in evidence.arms if a.trial != trial]
    trials = len({a.trial for a in arms})
    tree.attrs.update(
        kind="population", model=model.name, model_hash=model.hash, rho=evidence.rho, random_seed=given.seed,
        method="evidence", method_note=f"published outcomes of {len(arms)} arms of {trials} trials, no patient's data",
        arms=json.dumps([a.name for a in arms]), left_out=trial, nodes=given.nodes, versions=json.dumps(versions()),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"), fitted_patients="[]", n_patients=0,
    )  # fmt: skip
    found = PopulationPosterior(model, tree)
    verdict = found.diagnostics
    tree.attrs.update(verdict=verdict.status, diagnostics=str(verdict))
    print(verdict, flush=True)
    return found


def main():
    """Read, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without", default="", metavar="TRIAL")
    parser.add_argument("--left-out", type=Path, metavar="FOLDER", help="every trial left out in turn, one file each")
    parser.add_argument("--nodes", type=int, default=64, help="virtual patients of an arm, a power of two")
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--draws", type=int, default=250)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE / "population.nc")
    given = parser.parse_args()
    with jax.enable_x64(True):
        model, sampling, evidence = read(given)
        if given.without and given.without not in evidence.trials:
            parser.error(f"no such trial: {given.without}; one of {', '.join(evidence.trials)}")
        start = sampling.approximation(evidence)
        if not given.left_out:
            posterior_of(model, sampling, evidence, given.without, start, given).save(given.out)
            return
        given.left_out.mkdir(parents=True, exist_ok=True)
        for trial in evidence.trials:
            file = given.left_out / f"{slug(trial)}.nc"
            if not file.exists():
                posterior_of(model, sampling, evidence, trial, start, given).save(file)


if __name__ == "__main__":
    main()
