"""Warfarin, 32 volunteers: one population fit in which the lag of the tablet is an individual parameter.

    python tests/validation/warfarin.py --work FOLDER [--approximate] [--write docs/validation/warfarin.md]

The fit is kept in FOLDER as a file of population-level draws and is not run again. The data are O'Reilly (1963, 1968),
concentrations only, found through BAYESTWIN_SHARED_DATA or ../shared/data and never copied.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd

from bayestwin.population import approximate_population, fit_population, load_population
from bayestwin.records import read_records
from bayestwin.specification import load_model

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = {"CL": 0.131, "V": 7.9, "ktr": 1.11, "ka": 0.917}  # nlmixr2


def data_file() -> Path:
    """The event table; SystemExit where it is absent."""
    folder = Path(os.environ.get("BAYESTWIN_SHARED_DATA", ROOT.parent / "shared" / "data"))
    path = folder / "warfarin" / "warfarin.csv"
    if not path.is_file():
        raise SystemExit("warfarin.csv is absent: set BAYESTWIN_SHARED_DATA or put shared/data beside the checkout")
    return path


def model_and_reading(path):
    """The shipped model, and the doses and concentrations of every volunteer."""
    model, table = load_model("warfarin"), pd.read_csv(path)
    table = table[table.dvid == "cp"].assign(dvid=1)
    return model, read_records(model.record_schema(), event_table=table, time_unit="h")


def fit(model, cohort, *, chains=4, warmup=500, draws=500, random_seed=1):
    """The population posterior by NUTS."""
    return fit_population(model, cohort, random_seed=random_seed, chains=chains, warmup=warmup, draws=draws, climb=100)


def rows(population, weight: float) -> list[tuple[str, np.ndarray, str]]:
    """(words, draws, published) of what is reported; clearance and volume at `weight`, the volunteers' median."""
    draws = {name: population.posterior[name].values.reshape(-1) for name in population.posterior if name[0] != "c"}
    ratio = np.log(weight / 70.0)
    clearance = draws["CL_pop"] * np.exp(draws["beta_CL_weight_kg"] * ratio)
    volume = draws["V_pop"] * np.exp(draws["beta_V_weight_kg"] * ratio)
    absorbed = draws["lag_pop"] + 1.0 / draws["ka_pop"]
    return [
        (f"CL at {weight:.0f} kg, L/h", clearance, str(PUBLISHED["CL"])),
        (f"V at {weight:.0f} kg, L", volume, str(PUBLISHED["V"])),
        ("mean absorption time, lag + 1/ka, h", absorbed, f"{1 / PUBLISHED['ktr'] + 1 / PUBLISHED['ka']:.2f}"),
        ("lag, h", draws["lag_pop"], ""),
        ("ka, 1/h", draws["ka_pop"], ""),
        *((f"SD between volunteers of ln {name}", draws[f"omega_{name}"], "") for name in ("lag", "ka", "CL", "V")),
        ("exponent of weight on CL", draws["beta_CL_weight_kg"], ""),
        ("exponent of weight on V", draws["beta_V_weight_kg"], ""),
        ("additive residual SD, mg/L", draws["sigma_add_concentration"], ""),
        ("proportional residual CV", draws["sigma_prop_concentration"], ""),
    ]


def page(population, cohort) -> str:
    """The validation page."""
    weight = float(np.median([record.covariates["weight_kg"] for record in cohort]))
    labs = sum(len(record.labs) for record in cohort)
    flag = "--approximate " if population.diagnostics.approximate else ""
    lines = [
        "# Warfarin: an oral dose with an individual lag",
        "",
        f"{len(cohort)} volunteers, {labs} concentrations after one oral dose (O'Reilly 1963, 1968).",
        f"Made by `python tests/validation/warfarin.py --work FOLDER {flag}--write docs/validation/warfarin.md`.",
        "",
        "| parameter | posterior mean | SD | published |",
        "|---|---|---|---|",
    ]
    for words, drawn, published in rows(population, weight):
        lines.append(f"| {words} | {drawn.mean():.3g} | {drawn.std():.2g} | {published or 'none'} |")
    lines += [
        "",
        f"Published: nlmixr2, transit absorption, no weight: CL {PUBLISHED['CL']} L/h, V {PUBLISHED['V']} L,",
        f"ktr {PUBLISHED['ktr']} /h, ka {PUBLISHED['ka']} /h. Two steps of absorption stand there, a lag and one step",
        "here: only their mean time, 1/ktr + 1/ka, can be compared; lag and ka have no published counterpart at hand.",
        "Why NUTS does not mix here: [what the samples say of lag and rate](warfarin_absorption.md), decision 16.",
        "With clotting, and absorption that the samples can tell: [warfarin_pkpd](warfarin_pkpd.md).",
        "",
        f"{population.diagnostics}",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for the fit")
    parser.add_argument("--write", type=Path, help="where to write the page; else it is printed")
    parser.add_argument("--approximate", action="store_true", help="a variational first look instead of NUTS")
    arguments = parser.parse_args()
    known, reading = model_and_reading(data_file())
    kept = arguments.work / ("warfarin_approximate.nc" if arguments.approximate else "warfarin.nc")
    if not kept.exists():
        arguments.work.mkdir(parents=True, exist_ok=True)
        made = approximate_population(known, reading.cohort, random_seed=1) if arguments.approximate else None
        (made or fit(known, reading.cohort)).save(kept)
    text = page(load_population(kept, known), reading.cohort)
    arguments.write.write_text(text, encoding="utf-8") if arguments.write else print(text)
