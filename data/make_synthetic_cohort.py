"""Writes the SYNTHETIC myeloma cohort and the SYNTHETIC demo patients, with truth beside them.

    python data/make_synthetic_cohort.py [--out FOLDER]

Every number comes from `singh_simulator`, `virtual_patients` and `clinic` with the seed below; the same seed
gives the same bytes. No real patient stands behind any row. Imports nothing of bayestwin.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from clinic import follow, true_times
from demo_roles import CANDIDATES, ROLES, fits_role, spoil_demo_labs
from more_labs import LAYER, UNITS, more_labs
from singh_simulator import simulate
from virtual_patients import PRODUCT, TREATMENTS, arrange, draw_patient

SEED = 20240613
PER_TREATMENT, UNBRIDGED = 12, 2  # of the twelve in a CAR-T arm, this many go without bridging
NONRESPONDERS = {"ide_cel": 4, "cilta_cel": 0, "teclistamab": 4, "dara_pd": 3}  # of twelve, fixed by design
TRUTH_HORIZON, FOLLOW_UP, SHORTEST_FOLLOW_UP = 1826, 548, 365  # days
COVARIATES = (
    "isotype",
    "age_years",
    "sex",
    "weight_kg",
    "extramedullary",
    "high_risk_cytogenetics",
    "prior_lines",
    "prior_bcma",
    "anti_cd38_refractory",
    "triple_class_exposed",
)
TRUE_PARAMETERS = (
    "m_protein0",
    "growth",
    "gamma",
    "flc0",
    "flc_floor",
    "gamma_flc",
    "cells_per_litre",
    "sbcma0",
    "catabolism_factor",
    "aggressive",
    "fitness",
    "escape",
)
UNIT = {"m_protein": "g/L", "involved_flc": "mg/L", "transgene": "copies/ug"}
LOCAL_UNIT = {"m_protein": "g/dL", "involved_flc": "mg/dL"}  # the local laboratory: one tenth in number
LAB_COLUMNS = (
    *("patient", "lab_id", "time", "known_time", "output", "value", "unit", "comparator", "lloq"),
    *("lab", "product", "status"),
)
TRAJECTORY_DAYS = 14  # spacing of truth_trajectories.csv


def run_cohort(patients, keys, rngs, cutoffs, horizon=TRUTH_HORIZON):
    """Trajectories and records of the patients under their own plan."""
    columns = arrange(patients)
    truth = simulate(columns, horizon)
    records = []
    for i, (p, key, rng, cutoff) in enumerate(zip(patients, keys, rngs, cutoffs)):
        row = {k: columns[k][i] for k in ("main_day", "infusion_day")}
        record = follow(rng, p, truth, i, row, cutoff)
        record.update(key=key, patient=p, index=i, main_day=int(row["main_day"]))
        records.append(record)
    return truth, records


def fitting_cohort():
    """Twelve patients per main treatment, in mixed order, keys SYN-001 to SYN-048.

    The number of true non-responders per treatment is fixed near its expectation by drawing again until the class
    fits, because twelve free draws may leave a treatment without any.
    """
    order = np.random.default_rng([SEED, 0]).permutation([t for t in TREATMENTS for _ in range(PER_TREATMENT)])
    seen = dict.fromkeys(TREATMENTS, 0)
    patients, keys, rngs, cutoffs = [], [], [], []
    for i, treatment in enumerate(order):
        rng = np.random.default_rng([SEED, 1, i])
        place = seen[treatment]  # non-responders come first, so the unbridged are spread over both classes
        seen[treatment] += 1
        while True:
            p = draw_patient(rng, str(treatment), bridging=place % (PER_TREATMENT // UNBRIDGED) != 1)
            if p[f"nonresponder_{treatment}"] == (place < NONRESPONDERS[treatment]):
                break
        patients.append(p)
        keys.append(f"SYN-{i + 1:03d}")
        rngs.append(rng)
        cutoffs.append(int(rng.integers(SHORTEST_FOLLOW_UP, FOLLOW_UP + 1)))
    return run_cohort(patients, keys, rngs, cutoffs)


def candidate(treatment, i):
    """The i-th candidate for a demo role and the generator that goes on to make the record."""
    rng = np.random.default_rng([SEED, 2, TREATMENTS.index(treatment), i])
    return draw_patient(rng, treatment, bridging=True), rng


def demo_cohort():
    """Six of many simulated candidates: per role the first candidate that meets its rule."""
    chosen = {}
    for treatment in sorted({treatment for _, treatment, _ in ROLES}):
        patients, rngs = zip(*(candidate(treatment, i) for i in range(CANDIDATES)))
        records = run_cohort(patients, [""] * CANDIDATES, rngs, [FOLLOW_UP] * CANDIDATES, FOLLOW_UP + 1)[1]
        for key, wanted, rule in ROLES:
            if wanted == treatment:
                free = [
                    r["index"] for r in records if (treatment, r["index"]) not in chosen.values() and fits_role(key, r)
                ]
                if not free:
                    raise RuntimeError(f"{key}: none of {CANDIDATES} candidates is '{rule}'; raise CANDIDATES")
                chosen[key] = (treatment, free[0])
    keys = [key for key, _, _ in ROLES]
    patients, rngs = zip(*(candidate(*chosen[key]) for key in keys))
    return run_cohort(patients, keys, rngs, [FOLLOW_UP] * len(keys))


def write_csv(path, header, rows):
    """Rows of strings and numbers; floats by their shortest form, None as empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([["" if v is None else v for v in row] for row in rows])


def lab_rows(record):
    """labs.csv rows of one record, with the local laboratory in tenths."""
    rows = []
    for number, r in enumerate(sorted(record["labs"], key=lambda r: (r["time"], r["output"])), start=1):
        local = r["lab"] == "local"
        unit = LOCAL_UNIT[r["output"]] if local else UNIT[r["output"]]
        value, lloq = (round(v / 10, 6) if local and v is not None else v for v in (r["value"], r["lloq"]))
        text = f"{value:g}" if value < 1e6 else f"{value:.0f}"
        product = record["patient"]["treatment"] if r["output"] == "transgene" else ""
        rows.append(
            [
                record["key"],
                f"{record['key']}-L{number:03d}",
                r["time"],
                r["known_time"],
                r["output"],
                text,
                unit,
                "<" if r["censored"] else "",
                lloq,
                r["lab"],
                product,
                "final",
            ]
        )
    return rows


def further_labs(truth, records):
    """Layer -> rows of its own file of labs, each patient with a random stream of its own."""
    found = {layer: [] for layer in LAYER}
    for number, r in enumerate(records):
        p, mine = r["patient"], {k: v[:, r["index"]] for k, v in truth.items()}
        product = p["treatment"] if p["treatment"] in PRODUCT else ""
        rng = np.random.default_rng([SEED, 3, number, len(records)])
        rows = sorted(more_labs(rng, p, mine, r, product), key=lambda row: (row[1], row[0]))
        for at, (output, day, known, value, comparator, low) in enumerate(rows, start=1):
            layer = next(name for name, outputs in LAYER.items() if output in outputs)
            lab_id, of_product = f"{r['key']}-R{at:03d}", product if output == "car_t_cells" else ""
            row = [r["key"], lab_id, int(day), int(known), output, value, UNITS[output], comparator, low]
            found[layer].append([*row, "central", of_product, "final"])
    return found


def write_cohort(folder, truth, records, spoil=False):
    """patients.csv, labs.csv, events.csv, truth.csv and truth_trajectories.csv of one cohort."""
    write_csv(
        folder / "patients.csv",
        ["patient", *COVARIATES, "synthetic"],
        [[r["key"], *(r["patient"][c] for c in COVARIATES), 1] for r in records],
    )
    labs = [row for r in records for row in lab_rows(r)]
    write_csv(
        folder / "labs.csv",
        LAB_COLUMNS,
        spoil_demo_labs(labs) if spoil else labs,
    )
    for layer, rows in further_labs(truth, records).items():
        write_csv(folder / f"{layer}_labs.csv", LAB_COLUMNS, rows)
    write_csv(
        folder / "events.csv",
        ["patient", "time", "known_time", "event", "value"],
        [[r["key"], *event] for r in records for event in r["events"]],
    )
    header = [
        "patient",
        "synthetic",
        "main_treatment",
        "main_start_day",
        "bridging",
        "true_nonresponder",
        *(f"nonresponder_{t}" for t in TREATMENTS),
        *(f"escape_fraction_{t}" for t in TREATMENTS),
        *TRUE_PARAMETERS,
        "k_drug",
        "k_bispecific",
        "k_car",
        "cmax_true",
        "tmax_true",
        "true_serological_day",
        "true_imaging_day",
        "true_death_day",
        "true_pfs_day",
        "true_pfs_cause",
        "horizon_day",
        "record_outcome",
        "record_coded_day",
        "record_stop_day",
    ]
    write_csv(folder / "truth.csv", header, [truth_row(r, truth) for r in records])
    rows = []
    for r in records:
        for day in sorted({*range(0, r["stop"] + 1, TRAJECTORY_DAYS), *(lab["time"] for lab in r["labs"])}):
            rows.append(
                [
                    r["key"],
                    day,
                    *(
                        f"{truth[k][day, r['index']]:.4g}"
                        for k in ("m_protein", "flc", "transgene", "burden", "bcma_low", "sbcma")
                    ),
                ]
            )
    write_csv(
        folder / "truth_trajectories.csv",
        ["patient", "time", "m_protein", "involved_flc", "transgene", "burden", "bcma_low_share", "sbcma_ng_ml"],
        rows,
    )


def truth_row(r, truth):
    """One row of truth.csv."""
    p, i, times = r["patient"], r["index"], r["times"]
    treatment = p["treatment"]
    cmax = tmax = k_car = None
    if treatment in PRODUCT:
        copies = truth["transgene"][r["main_day"] + 1 : r["main_day"] + 120, i]
        cmax, tmax, k_car = f"{copies.max():.4g}", int(copies.argmax()) + 1, f"{p['k_car_' + treatment]:.4g}"
    return [
        r["key"],
        1,
        treatment,
        r["main_day"],
        int(p["bridging"]),
        int(p[f"nonresponder_{treatment}"]),
        *(int(p[f"nonresponder_{t}"]) for t in TREATMENTS),
        *(f"{p[f'escape_fraction_{t}']:.4g}" for t in TREATMENTS),
        *(f"{p[k]:.4g}" for k in TRUE_PARAMETERS),
        f"{p['k_drug_dara_pd']:.4g}" if treatment == "dara_pd" or p["bridging"] else None,
        f"{p['k_bispecific_teclistamab']:.4g}" if treatment == "teclistamab" else None,
        k_car,
        cmax,
        tmax,
        times["serological"],
        times["imaging"],
        times["death"],
        times["pfs"],
        times["cause"],
        TRUTH_HORIZON,
        r["outcome"],
        r["coded"],
        r["stop"],
    ]


def write_counterfactuals(folder, records):
    """Per demo patient and treatment started at referral: the true day of progression or death and its cause."""
    patients = [r["patient"] for r in records]
    plans = [arrange(patients, treatment, start_day=0) for treatment in TREATMENTS]
    truth = simulate({k: np.concatenate([plan[k] for plan in plans]) for k in plans[0]}, TRUTH_HORIZON)
    rows = []
    for j, treatment in enumerate(TREATMENTS):
        for i, p in enumerate(patients):
            times = true_times(truth, j * len(patients) + i, p, 0)
            rows.append(
                [
                    records[i]["key"],
                    1,
                    treatment,
                    times["pfs"],
                    times["cause"],
                    times["serological"],
                    times["imaging"],
                    times["death"],
                    int(p[f"nonresponder_{treatment}"]),
                    TRUTH_HORIZON,
                ]
            )
    write_csv(
        folder / "truth_counterfactual.csv",
        [
            "patient",
            "synthetic",
            "treatment",
            "true_pfs_day",
            "true_pfs_cause",
            "true_serological_day",
            "true_imaging_day",
            "true_death_day",
            "true_nonresponder",
            "horizon_day",
        ],
        sorted(rows, key=lambda r: r[0]),
    )


def main(out, which=("fitting", "demo")):
    """Write the cohorts under `out`."""
    if "fitting" in which:
        truth, records = fitting_cohort()
        write_cohort(out / "synthetic_myeloma", truth, records)
    if "demo" in which:
        truth, records = demo_cohort()
        write_cohort(out / "demo_patients", truth, records, spoil=True)
        write_counterfactuals(out / "demo_patients", records)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write into")
    parser.add_argument("--only", choices=("fitting", "demo"), help="write this cohort alone")
    arguments = parser.parse_args()
    main(arguments.out, (arguments.only,) if arguments.only else ("fitting", "demo"))
