"""Make population.nc: the priors of model.py updated by a third of the synthetic cohort.

Of its 48 patients 16 are used, four per treatment.

    python models/myeloma_car_t/make_population.py            variational approximation, some minutes; what is shipped
    python models/myeloma_car_t/make_population.py --nuts     the reference by NUTS, an hour or more on two free cores

The other 32 patients are kept for checks. Only population-level draws are written; the file says how it was made.
"""

import argparse
from pathlib import Path

from bayestwin.population import approximate_population, fit_population
from bayestwin.records import Cohort, read_records
from bayestwin.specification import load_model

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "data" / "synthetic_myeloma"
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


def main():
    """Read, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nuts", action="store_true")
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE / "population.nc")
    given = parser.parse_args()
    model = load_model(HERE)
    reading = read_records(
        model.record_schema(), patients=DATA / "patients.csv", labs=DATA / "labs.csv", events=DATA / "events.csv"
    )
    cohort = training_part(reading.cohort)
    if given.nuts:
        posterior = fit_population(
            model, cohort, random_seed=given.seed, warmup=500, draws=1000, climb=200, progress=True
        )
    else:
        posterior = approximate_population(model, cohort, random_seed=given.seed, steps=given.steps, progress=True)
    posterior.save(given.out)
    print(posterior.diagnostics)
    print(posterior.summary().to_string())


if __name__ == "__main__":
    main()
