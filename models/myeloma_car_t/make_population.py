"""Make population.nc: the prior updated by a third of the synthetic cohort (16 of 48 patients, four per treatment).

    python models/myeloma_car_t/make_population.py --part 1 --out part1.nc      two chains, seed 1
    python models/myeloma_car_t/make_population.py --part 2 --out part2.nc      two chains, seed 2, in another process
    python models/myeloma_car_t/make_population.py --combine part1.nc part2.nc  writes population.nc beside this file

The other 32 patients are kept for checks. Only population-level draws are written. Under an hour on two cores.
"""

import argparse
from pathlib import Path

from bayestwin.population import combine_chains, fit_population, load_population
from bayestwin.records import read_records
from bayestwin.records.record import Cohort
from bayestwin.specification import load_model

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "data" / "synthetic_myeloma"
TREATMENTS = ("ide_cel", "cilta_cel", "teclistamab", "dara_pd")


def main_treatment(record) -> str:
    """The last treatment a patient started."""
    return [e.value for e in record.events if e.event in ("line_of_therapy", "infusion") and e.value in TREATMENTS][-1]


def training_part(cohort) -> Cohort:
    """Every third patient of each treatment, in file order."""
    chosen = []
    for name in TREATMENTS:
        chosen += [r for r in cohort if main_treatment(r) == name][::3]
    return Cohort(tuple(chosen), name="synthetic_myeloma, training part")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", type=int)
    parser.add_argument("--warmup", type=int, default=250)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--combine", nargs=2, type=Path)
    given = parser.parse_args()
    model = load_model(HERE)
    if given.combine:
        posterior = combine_chains([load_population(path, model) for path in given.combine])
        posterior.save(HERE / "population.nc")
    else:
        reading = read_records(model.record_schema(), patients=DATA / "patients.csv", labs=DATA / "labs.csv", events=DATA / "events.csv")
        posterior = fit_population(model, training_part(reading.cohort), random_seed=given.part, chains=2, warmup=given.warmup, draws=given.draws,
                                   max_tree_depth=6, climb=200, progress=True)
        posterior.save(given.out, keep_individuals=True)
    print(posterior.diagnostics)
    print(posterior.summary().to_string())


if __name__ == "__main__":
    main()
