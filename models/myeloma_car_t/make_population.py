"""Make population.nc: the priors of model.py updated by a third of the synthetic cohort.

Of its 48 patients 16 are used, four per treatment.

    python models/myeloma_car_t/make_population.py            variational approximation, some minutes; what is shipped
    python models/myeloma_car_t/make_population.py --nuts     the reference by NUTS, an hour or more on two free cores

M-protein, involved light chains and transgene (labs.csv) are learnt; what only other labs speak of (markers.py,
fitness.py) keeps its prior. The other 32 patients are kept for checks. Only population-level draws are written; the
file says how it was made.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from bayestwin.population import approximate_population, fit_population
from bayestwin.population.hyper import hyper_sites
from bayestwin.records import Cohort, read_records
from bayestwin.specification import Fixed, load_model

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "data" / "synthetic_myeloma"
# What a patient's fitness does: no training patient has a marker of it, so that a fit would give its name, and an
# arbitrary sign, to whatever else differs between patients (0.7 on persistence). The fit holds it at zero; it keeps its
# prior
SILENT = tuple(f"fitness_on_{what}_pop" for what in ("expansion", "nonresponse", "EC50", "persistence"))
TREATMENTS = ("ide_cel", "cilta_cel", "teclistamab", "dara_pd")


def main_treatment(record) -> str:
    """The last treatment a patient started."""
    started = [e.value for e in record.events if e.event in ("line_of_therapy", "infusion") and e.value in TREATMENTS]
    return started[-1]


def training_part(cohort) -> Cohort:
    """Every third patient of each treatment, in file order."""
    chosen = []
    for name in TREATMENTS:
        chosen += [r for r in cohort if main_treatment(r) == name][::3]
    return Cohort(tuple(chosen), name="synthetic_myeloma, training part")


def cohort_with(model, layers, folder=DATA) -> Cohort:
    """The patients of a folder with the labs of these layers: labs.csv, and `<layer>_labs.csv` of each."""
    files = [folder / "labs.csv", *(folder / f"{layer}_labs.csv" for layer in layers)]
    labs = pd.concat([pd.read_csv(file, dtype=str, keep_default_na=False) for file in files])
    tables = {"patients": folder / "patients.csv", "labs": labs, "events": folder / "events.csv"}
    return read_records(model.record_schema(), **tables).cohort


def keep_priors(posterior, seed: int) -> None:
    """Give the sites that the fit held at zero draws of their own priors."""
    posterior.tree["posterior"] = posterior.tree["posterior"].to_dataset().assign(prior_draws(posterior, seed))
    posterior.tree.attrs["method_note"] += "; effects of fitness held at zero in the fit, then drawn from their priors"


def prior_draws(posterior, seed: int) -> dict:
    """Site of SILENT -> (dims, draws of its prior)."""
    size, priors = posterior.tree["posterior"].sizes, hyper_sites(posterior.model)
    shape, rng = (size["chain"], size["draw"]), np.random.default_rng(seed)
    return {n: (("chain", "draw"), rng.normal(priors[n].mean, priors[n].sd, shape)) for n in SILENT}


def main():
    """Read, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nuts", action="store_true")
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument(
        "--layers", nargs="*", default=[], help="further labs: routine, research; default: labs.csv alone"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE / "population.nc")
    given = parser.parse_args()
    model, watched = load_model(HERE), sys.stderr.isatty()
    cohort = training_part(cohort_with(model, given.layers))
    held = {name: Fixed(value=0.0) for name in SILENT}
    if given.nuts:
        posterior = fit_population(
            model, cohort, priors=held, random_seed=given.seed, warmup=500, draws=1000, climb=200, progress=watched
        )
    else:
        how = {"random_seed": given.seed, "steps": given.steps, "priors": held}
        posterior = approximate_population(model, cohort, progress=watched, **how)
    keep_priors(posterior, given.seed)
    posterior.save(given.out)
    print(posterior.diagnostics)
    print(posterior.summary().to_string())


if __name__ == "__main__":
    main()
