"""Does a regularised horseshoe find the markers that act, and only those?

    PYTHONPATH=. python tests/validation/markers.py --acting 3 --out markers_3.json
    PYTHONPATH=. python tests/validation/markers.py --acting 0 --out markers_0.json

Data sets of 60 patients with 50 standardised markers, of which three have slopes of 0.8 SD between patients (or none
has), four labs of SD half that. Twenty are fitted side by side in one program (`fit_alike`), two chains each. The rule
is that of `selected_markers`; its numbers were chosen on three data sets of other seeds. Results:
docs/validation/markers.md.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

from bayestwin.evaluation.selected_markers import LARGER_THAN, PROBABILITY
from bayestwin.population.alike import How, fit_alike
from bayestwin.records import Cohort, Lab, PatientRecord
from bayestwin.specification import load_model

MODEL = Path(__file__).parent / "marker_model"
MARKERS, PATIENTS, LABS, OMEGA, SLOPE = 50, 60, 4, 2.0, 0.8
HOW = How(chains=2, warmup=150, draws=150, target_accept=0.95, centred=True, max_tree_depth=8)


def simulated(seed: int, acting: int) -> Cohort:
    """One data set; the first `acting` markers act, with alternating signs."""
    rng = np.random.default_rng([seed, acting])
    slopes = np.zeros(MARKERS)
    slopes[:acting] = SLOPE * OMEGA * (-1.0) ** np.arange(acting)
    x = rng.standard_normal((PATIENTS, MARKERS))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    level = 20.0 + x @ slopes + OMEGA * rng.standard_normal(PATIENTS)
    seen = level[:, None] + 0.5 * OMEGA * rng.standard_normal((PATIENTS, LABS))
    return Cohort(tuple(_patient(n, x[n], seen[n]) for n in range(PATIENTS)))


def _patient(n, markers, values) -> PatientRecord:
    labs = tuple(Lab(f"m{t}", "m_protein", float(t), float(v), float(t)) for t, v in enumerate(values))
    return PatientRecord(f"P-{n}", labs=labs, covariates={f"marker_{k + 1}": float(v) for k, v in enumerate(markers)})


def measured(data_sets: int, acting: int, random_seed: int) -> list[dict]:
    """One line per data set: chance of every marker to matter, R-hat, ESS, divergences."""
    cohorts = [simulated(1000 * random_seed + k, acting) for k in range(data_sets)]
    begun = time.process_time()
    fits = fit_alike(load_model(MODEL), cohorts, random_seed=random_seed, how=HOW)
    cost = (time.process_time() - begun) / data_sets
    slopes = np.stack([fits.samples[f"beta_level_marker_{k}"] for k in range(1, MARKERS + 1)], axis=-1)
    slopes = slopes / fits.samples["omega_level"][..., None]
    chance = (np.abs(slopes) > LARGER_THAN).mean(axis=(1, 2))
    return [
        {
            "data_set": k,
            "acting": acting,
            "chance": chance[k].round(4).tolist(),
            "rhat": float(np.max(split_gelman_rubin(slopes[k]))),
            "ess": float(np.min(effective_sample_size(slopes[k]))),
            "divergences": int(fits.diverging[k].sum()),
            "cpu_seconds": cost,
        }
        for k in range(data_sets)
    ]


def main() -> None:
    """Measure, write down and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--acting", type=int, default=3)
    parser.add_argument("--data-sets", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", required=True)
    asked = parser.parse_args()
    if not Path(asked.out).is_file():
        Path(asked.out).write_text(json.dumps(measured(asked.data_sets, asked.acting, asked.seed)), encoding="utf-8")
    rows = json.loads(Path(asked.out).read_text(encoding="utf-8"))
    chance, acting = np.array([row["chance"] for row in rows]), rows[0]["acting"]
    for probability in (0.5, PROBABILITY, 0.9):
        found = chance >= probability
        false = found[:, acting:].sum(axis=1)
        hit = f"found {found[:, :acting].mean():.1%}, " if acting else ""
        print(f"P >= {probability}: {hit}false per set mean {false.mean():.2f}, most {false.max()}")
    divergences, ess = sum(row["divergences"] for row in rows), min(row["ess"] for row in rows)
    print(
        f"{len(rows)} data sets, {rows[0]['cpu_seconds']:.0f} CPU s each; ESS at least {ess:.0f}, R-hat at most",
        end=" ",
    )
    print(f"{max(row['rhat'] for row in rows):.3f}, {divergences} divergences")


if __name__ == "__main__":
    main()
