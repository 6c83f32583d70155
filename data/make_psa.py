"""Writes a SIMULATED cohort under intermittent androgen deprivation, with its true parameters beside it.

    python data/make_psa.py [--out FOLDER]

Sixteen men, androgen deprivation for 36 weeks, then a pause until PSA is seen at 10 ng/mL or above, and so on for
about five years; PSA and testosterone every four weeks. Sensitive and resistant cells whose growth follows androgen,
PSA per cell that follows androgen with a delay, testosterone that returns some weeks after the last depot; a
departure of ln PSA that wanders (SD 0.45, correlation time 300 days), assay SD 5 % and 0.05 ng/mL. Values below 0.1
ng/mL come with `<`. Typical values are round numbers near those that the model `psa_intermittent` finds in public
data. No row is a measurement.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

SEED = 20060301
MEN, END, VISIT, COURSE, RESUME_AT, STEP = 16, 1850, 28, 252, 10.0, 1.0
TYPICAL = {
    "psa_start": 14.0, "lag": 30.0, "width": 10.0, "castration": 0.11, "return": 0.75, "expression": 0.085,
    "castrate_share": 0.05, "growth": 0.007, "death": 0.003, "resistant": 0.003, "resistant_growth": 0.0011,
    "testosterone": 13.0, "castrate_testosterone": 0.4,
}  # fmt: skip
SPREAD = {
    "psa_start": 0.6, "lag": 0.6, "width": 0.4, "castration": 0.3, "return": 0.15, "expression": 0.4,
    "castrate_share": 0.8, "growth": 0.25, "death": 0.5, "resistant": 0.8, "resistant_growth": 0.5,
    "testosterone": 0.4, "castrate_testosterone": 0.4,
}  # fmt: skip
WANDER_SD, WANDER_TIME, ASSAY_CV, ASSAY_SD, LIMIT = 0.45, 300.0, 0.05, 0.05, 0.1


def simulate_man(key: str, rng) -> tuple[list, list, dict]:
    """Rows of labs, rows of events and true parameters of one man; explicit Euler steps of one day."""
    p = {name: value * float(np.exp(SPREAD[name] * rng.standard_normal())) for name, value in TYPICAL.items()}
    p["return"] = min(p["return"], 1.0)
    androgen, expression, ln_cells, wander = 1.0, 1.0, 0.0, WANDER_SD * rng.standard_normal()
    on, since, paused_before = True, 0.0, False
    labs, events = [], [[key, 0, "line_of_therapy", "androgen_deprivation", 1]]
    for day in range(END + 1):
        if day % VISIT == 0:
            resistant = p["resistant"] * np.exp(p["resistant_growth"] * day)
            level = p["psa_start"] * (np.exp(ln_cells) * expression + resistant) * np.exp(wander)
            seen = level * np.exp(ASSAY_CV * rng.standard_normal()) + ASSAY_SD * rng.standard_normal()
            low = seen < LIMIT
            labs.append([key, day, "psa", f"{max(seen, LIMIT):.2f}", "ng/mL", "<" if low else "", 1])
            t = p["castrate_testosterone"] + (p["testosterone"] - p["castrate_testosterone"]) * androgen
            labs.append([key, day, "testosterone", f"{t * np.exp(0.2 * rng.standard_normal()):.2f}", "nmol/L", "", 1])
            if on and day - since >= COURSE:
                on, since, paused_before = False, float(day), True
                events.append([key, day, "line_of_therapy", "pause", 1])
            elif not on and seen >= RESUME_AT:
                on, since = True, float(day)
                events.append([key, day, "line_of_therapy", "androgen_deprivation", 1])
        returned = p["return"] / (1.0 + np.exp(-np.clip((day - since - p["lag"]) / p["width"], -30, 30)))
        target = 0.0 if on else (returned if paused_before else 1.0)
        signal = 0.0 if on else androgen
        androgen += STEP * p["castration"] * (target - androgen)
        expression += STEP * p["expression"] * (p["castrate_share"] + (1 - p["castrate_share"]) * signal - expression)
        ln_cells += STEP * (p["growth"] * signal - p["death"] * (1 - signal))
        share = np.exp(-STEP / WANDER_TIME)
        wander = share * wander + WANDER_SD * np.sqrt(1 - share**2) * rng.standard_normal()
    return labs, events, p


def main(out: Path) -> None:
    """Write patients.csv, labs.csv, events.csv and truth.csv into `out`/psa_simulated."""
    rng, labs, events, truth = np.random.default_rng(SEED), [], [], []
    keys = [f"SYN-PSA-{n:02d}" for n in range(1, MEN + 1)]
    for key in keys:
        own_labs, own_events, p = simulate_man(key, rng)
        labs, events = labs + own_labs, events + own_events
        truth.append([key, 1, *(f"{p[name]:.5g}" for name in TYPICAL)])
    tables = {
        "patients.csv": (["patient", "synthetic"], [[key, 1] for key in keys]),
        "labs.csv": (["patient", "time", "output", "value", "unit", "comparator", "synthetic"], labs),
        "events.csv": (["patient", "time", "event", "value", "synthetic"], events),
        "truth.csv": (["patient", "synthetic", *TYPICAL], truth),
    }
    folder = out / "psa_simulated"
    folder.mkdir(parents=True, exist_ok=True)
    for name, (header, body) in tables.items():
        with open(folder / name, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(body)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write into")
    main(parser.parse_args().out)
