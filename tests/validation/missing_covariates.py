"""Are slopes recovered where covariates are missing? Integrated over, beside complete cases and the reference.

    PYTHONPATH=. python tests/validation/missing_covariates.py --data-sets 60 --out missing_covariates.json

50 patients with three labs; age acts with 0.15 g/L a year, group b with 3 g/L. Age is missing in 20 patients, the group
in 20, more often where the labs are high (missing at random given the labs): patients are taken in order of their mean
lab plus noise of the same SD. The same labs are fitted three ways: missing values integrated over, patients with a
missing value left out, and missing values at the reference (a model without distributions). Results:
docs/validation/missing_covariates.md.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from bayestwin.population.alike import How, fit_alike
from bayestwin.records import Cohort, Lab, PatientRecord
from bayestwin.specification import load_model

MODEL = Path(__file__).parent / "missing_model"
PATIENTS, LABS, MISSING = 50, 3, 20
TRUTH = {"beta_level_age_years": 0.15, "beta_level_group_b": 3.0, "level_pop": 20.0}
HOW = How(chains=1, warmup=150, draws=200, centred=False, max_tree_depth=7, target_accept=0.85)
REFERENCE, AGE, OMEGA = 60.0, (64.0, 10.0), 1.5  # of the model; mean and SD of age; SD between patients


def simulated(seed: int):
    """(whole cohort, complete cases); as many of these in every data set, so that they fill arrays of one shape."""
    rng = np.random.default_rng(seed)
    age, group = rng.normal(*AGE, PATIENTS), rng.random(PATIENTS) < 0.4
    level = 20.0 + 0.15 * (age - REFERENCE) + 3.0 * group + OMEGA * rng.standard_normal(PATIENTS)
    seen = level[:, None] + rng.standard_normal((PATIENTS, LABS))
    mean = seen.mean(axis=1)
    rank = np.argsort(-(mean + mean.std() * rng.standard_normal(PATIENTS)))
    no_age, no_group = set(rank[:MISSING]), set(rank[MISSING // 2 : MISSING + MISSING // 2])
    records = []
    for n in range(PATIENTS):
        covariates: dict = {} if n in no_age else {"age_years": float(age[n])}
        covariates |= {} if n in no_group else {"group": "b" if group[n] else "a"}
        labs = tuple(Lab(f"m{t}", "m_protein", float(t), float(v), float(t)) for t, v in enumerate(seen[n]))
        records.append(PatientRecord(f"P-{n}", labs=labs, covariates=covariates))
    complete = tuple(r for r in records if len(r.covariates) == 2)
    return Cohort(tuple(records)), Cohort(complete)


def measured(data_sets: int, random_seed: int) -> dict:
    """Way -> parameter -> posterior mean and whether the 90 % interval holds the truth, of every data set."""
    model = load_model(MODEL)
    plain = replace(model, covariate_distributions=(), source_hash="")
    whole, complete = zip(*(simulated(10_000 * random_seed + k) for k in range(data_sets)))
    ways = {"integrated over": (model, whole), "complete cases": (model, complete), "at the reference": (plain, whole)}
    found: dict = {}
    for way, (asked, cohorts) in ways.items():
        begun = time.process_time()
        fits = fit_alike(asked, cohorts, random_seed=random_seed, how=HOW)
        found[way] = {"cpu_seconds": time.process_time() - begun, "divergences": int(fits.diverging.sum())}
        for name, truth in TRUTH.items():
            values = fits.samples[name].reshape(data_sets, -1)
            low, high = np.quantile(values, (0.05, 0.95), axis=1)
            held = ((low <= truth) & (truth <= high)).tolist()
            found[way][name] = {"mean": values.mean(axis=1).tolist(), "sd": values.std(axis=1).tolist(), "held": held}
    return found


def main() -> None:
    """Measure, write down and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-sets", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", required=True)
    asked = parser.parse_args()
    if not Path(asked.out).is_file():
        Path(asked.out).write_text(json.dumps(measured(asked.data_sets, asked.seed)), encoding="utf-8")
    for way, found in json.loads(Path(asked.out).read_text(encoding="utf-8")).items():
        print(f"{way}: {found['cpu_seconds']:.0f} CPU s, {found['divergences']} divergences")
        for name, truth in TRUTH.items():
            mean, held = np.array(found[name]["mean"]), np.mean(found[name]["held"])
            bias, error = mean.mean() - truth, mean.std(ddof=1) / np.sqrt(len(mean))
            root = np.sqrt(((mean - truth) ** 2).mean())
            print(f"  {name}: bias {bias:+.4f} +- {error:.4f} (truth {truth:g}), RMSE {root:.4f}, 90 % held {held:.0%}")


if __name__ == "__main__":
    main()
