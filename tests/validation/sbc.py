"""Simulation-based calibration and recovery of the population fit, on two small models in closed form.

    PYTHONPATH=. python tests/validation/sbc.py theophylline_closed --data-sets 400 --folder sbc_theophylline
    PYTHONPATH=. python tests/validation/sbc.py tumour_growth --data-sets 400 --folder sbc_tumour

Data sets of 12 patients, drawn from the model's priors, fitted with one chain of NUTS each (centred, 150 + 600:
the ends of an interval of n independent draws hold 0.9 (n - 1) / (n + 1), which is 0.891 with 200), twenty
in one compiled program: one to two CPU seconds a data set. One file per data set: run the same line again to go on.
Results: docs/validation/sbc.md.
"""

import argparse
import time
from pathlib import Path

from bayestwin.evaluation.verification.fit_calibration import calibrate_fit, read_calibration
from bayestwin.population.alike import How
from bayestwin.records import Cohort, Lab, PatientRecord
from bayestwin.specification import load_model

MODELS = Path(__file__).parent / "sbc_models"
VISITS = {
    "theophylline_closed": ("concentration", (0.5, 1.0, 2.0, 5.0, 9.0, 24.0)),
    "tumour_growth": ("size", (0.0, 42.0, 84.0, 126.0, 210.0, 336.0, 504.0)),
}
HOW = How(chains=1, warmup=150, draws=600, centred=True, max_tree_depth=7, target_accept=0.85)


def design(name: str, patients: int = 12) -> Cohort:
    """Patients of the study, with labs that have no value yet."""
    output, times = VISITS[name]
    labs = tuple(Lab(f"{output} {t}", output, t, 1.0, t) for t in times)
    return Cohort(tuple(PatientRecord(f"P-{n + 1}", labs=labs) for n in range(patients)))


def main() -> None:
    """Run or go on with a study, and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(VISITS))
    parser.add_argument("--data-sets", type=int, default=400)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only-read", action="store_true", help="print what is there so far")
    asked = parser.parse_args()
    if asked.only_read:
        found = read_calibration(asked.folder)
    else:
        begun = time.process_time()
        found = calibrate_fit(
            load_model(MODELS / asked.model),
            design(asked.model),
            data_sets=asked.data_sets,
            folder=asked.folder,
            random_seed=asked.seed,
            how=HOW,
            progress=lambda said: print(said, f"{time.process_time() - begun:.0f} CPU s", flush=True),
        )
    print(found.summary.round(3).to_string(index=False))
    print(found.sentence)


if __name__ == "__main__":
    main()
