"""Writes a SIMULATED theophylline cohort as a NONMEM-style event table, with its true parameters beside it.

    python data/make_theophylline.py [--out FOLDER]

Twelve patients, one oral dose of about 4.5 mg/kg, eleven samples over 24 h, one compartment with first-order
absorption: C(t) = dose ka / (V (ka - k)) (e^(-k t) - e^(-ka t)), k = CL/V. Typical values and variability are
those published for the well-known theophylline data (ka 1.57 /h, CL 2.72 L/h, V 31.5 L; CV 60, 27, 14 %), at
70 kg, with CL growing as weight^0.75 and V as weight; additive residual SD 0.5 mg/L. No row is a measurement.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

SEED = 19940501
HOURS = (0.25, 0.5, 1.0, 2.0, 3.5, 5.0, 7.0, 9.0, 12.0, 18.0, 24.0)
TYPICAL = {"ka": 1.57, "CL": 2.72, "V": 31.5}
CV = {"ka": 0.60, "CL": 0.27, "V": 0.14}
WEIGHT_POWER = {"ka": 0.0, "CL": 0.75, "V": 1.0}
RESIDUAL_SD = 0.5  # mg/L


def simulate_patients():
    """Event-table rows and true parameters of twelve simulated patients, keys 901 to 912."""
    rng = np.random.default_rng(SEED)
    rows, truth = [], []
    for key in range(901, 913):
        weight = round(float(np.clip(rng.normal(70.0, 9.0), 50, 95)), 1)
        p = {
            name: TYPICAL[name]
            * (weight / 70.0) ** WEIGHT_POWER[name]
            * np.exp(np.sqrt(np.log1p(CV[name] ** 2)) * rng.normal())
            for name in TYPICAL
        }
        dose = round(weight * rng.normal(4.5, 0.4))
        truth.append([key, 1, weight, dose, *(f"{p[name]:.5g}" for name in TYPICAL)])
        rows.append([key, 0, "", dose, 1, 1, 1, weight, 1])
        for nominal in HOURS:
            time = round(nominal * float(np.exp(0.02 * rng.normal())), 2)
            k = p["CL"] / p["V"]
            exact = dose * p["ka"] / (p["V"] * (p["ka"] - k)) * (np.exp(-k * time) - np.exp(-p["ka"] * time))
            measured = max(exact + RESIDUAL_SD * rng.normal(), 0.0)
            rows.append([key, time, f"{measured:.2f}", "", 0, 2, 0, weight, 1])
    return rows, truth


def main(out):
    """Write theophylline_simulated.csv and truth.csv into `out`/theophylline_simulated."""
    rows, truth = simulate_patients()
    folder = out / "theophylline_simulated"
    folder.mkdir(parents=True, exist_ok=True)
    header = ["ID", "TIME", "DV", "AMT", "EVID", "CMT", "MDV", "weight_kg", "synthetic"]
    tables = {
        "theophylline_simulated.csv": (header, rows),
        "truth.csv": (["ID", "synthetic", "weight_kg", "dose_mg", *TYPICAL], truth),
    }
    for name, (header, body) in tables.items():
        with open(folder / name, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(body)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write into")
    main(parser.parse_args().out)
