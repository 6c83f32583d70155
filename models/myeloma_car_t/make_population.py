"""Make population.nc: the priors of model.py updated by what published trials report (evidence.toml).

    python models/myeloma_car_t/make_population.py                          what is shipped
    python models/myeloma_car_t/make_population.py --without POLLUX --out F    one trial left out, for validation
    python models/myeloma_car_t/make_population.py --draws 800 --left-out FOLDER    every trial left out in turn

No patient's data. Only population-level draws are written; the file says how it was made, evidence_fit.py what is
assumed. A draw is the population of a new setting: departures of a trial's growth and resistant fraction are in it.
"""

import argparse
import json
import re
from datetime import UTC, datetime
from pathlib import Path

from bayestwin.jobs.compilation_cache import use_compilation_cache

use_compilation_cache()  # before JAX is imported

import jax  # noqa: E402
import xarray as xr  # noqa: E402

from bayestwin.population import PopulationPosterior  # noqa: E402
from bayestwin.population.provenance import versions  # noqa: E402
from bayestwin.specification import load_model, read_evidence  # noqa: E402
from bayestwin.specification.load import model_part  # noqa: E402

HERE = Path(__file__).resolve().parent


def slug(trial: str) -> str:
    """A trial's name as a file name."""
    return re.sub(r"[^a-z0-9]+", "-", trial.lower()).strip("-")


def posterior_of(model, sampling, evidence, trial, given) -> PopulationPosterior:
    """The population without a trial, "" for none."""
    print(trial or "all trials", flush=True)
    ensemble = sampling.assimilated(evidence, members=given.draws, random_seed=given.seed, trial=trial)
    sites = sampling.new_settings(evidence, ensemble, jax.random.key(given.seed))
    groups = {"posterior": sites, "between_trials": sampling.between_trials(ensemble), "sample_stats": {}}
    tree = xr.DataTree.from_dict({name: in_chains(values) for name, values in groups.items()})
    arms = [a for a in evidence.arms if a.trial != trial]
    trials = sorted({a.trial for a in arms})
    tree.attrs.update(
        kind="population", model=model.name, model_hash=model.hash, rho=evidence.rho, random_seed=given.seed,
        method="evidence",
        method_note=f"published outcomes of {len(arms)} arms of {len(trials)} trials, no patient's data",
        arms=json.dumps([a.name for a in arms]), trials=json.dumps(trials),
        left_out=trial, nodes=given.nodes,
        standard_errors_off=ensemble.off, misfit=ensemble.misfit,
        versions=json.dumps(versions()), created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        fitted_patients="[]", n_patients=0,
    )  # fmt: skip
    found = PopulationPosterior(model, tree)
    verdict = found.diagnostics
    tree.attrs.update(verdict=verdict.status, diagnostics=str(verdict))
    return found


def in_chains(values: dict) -> xr.Dataset:
    """Independent draws in four "chains", as every population file has them."""
    return xr.Dataset({name: (("chain", "draw"), v.reshape(4, -1)) for name, v in values.items()})


def main():
    """Read, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without", default="", metavar="TRIAL")
    parser.add_argument("--left-out", type=Path, metavar="FOLDER", help="every trial left out in turn, one file each")
    parser.add_argument("--nodes", type=int, default=64, help="virtual patients of an arm, a power of two")
    parser.add_argument(
        "--draws", type=int, default=3200, help="members of the ensemble, a multiple of four; 800 of trials left out"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE / "population.nc")
    given = parser.parse_args()
    with jax.enable_x64(True):
        model = load_model(HERE)
        fit, sampling = (model_part(model, f"evidence_{what}") for what in ("fit", "sampling"))
        arms = read_evidence(HERE / "evidence.toml", model)
        evidence = fit.Evidence(model, arms, nodes=given.nodes, seed=given.seed)
        if given.without and given.without not in evidence.trials:
            parser.error(f"no such trial: {given.without}; one of {', '.join(evidence.trials)}")
        if not given.left_out:
            posterior_of(model, sampling, evidence, given.without, given).save(given.out)
            return
        given.left_out.mkdir(parents=True, exist_ok=True)
        for trial in evidence.trials:
            file = given.left_out / f"{slug(trial)}.nc"
            if not file.exists():
                posterior_of(model, sampling, evidence, trial, given).save(file)


if __name__ == "__main__":
    main()
