"""Phenobarbital in 59 newborns: sparse routine data with many doses, a population fit beside the published estimates.

python tests/validation/phenobarbital.py --work FOLDER [--write docs/validation/phenobarbital.md]
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

from beside_published import arguments, data_file, drawn, kept_fit, looks_like_its_cohort, table, told

from bayestwin.records import read_records
from bayestwin.specification import load_model

# Grasela and Donn (1985), abstract: L/h/kg, L/kg, CV between patients, volume where the Apgar score is below 5, hours
PUBLISHED = {"CL": 0.0047, "V": 0.96, "cv_CL": 0.19, "cv_V": 0.16, "apgar": 1.13, "half_life": 141.0}


def model_and_reading(path):
    """The shipped model, and the doses and concentrations of every newborn."""
    model, raw = load_model("phenobarbital"), pd.read_csv(path)
    raw = raw.assign(apgar_below_5=(raw["APGR"] < 5).astype(int)).drop(columns="APGR")
    return model, read_records(model.record_schema(), event_table=raw, time_unit="h")


def rows(population) -> list[tuple[str, np.ndarray, str]]:
    """(words, draws, published) of what is reported, per kg of a newborn of the reference weight."""
    draws, weight = drawn(population), 1.3
    p, clearance, volume = PUBLISHED, draws["CL_pop"] / weight, draws["V_pop"] / weight
    return [
        ("CL, L/h/kg", clearance, str(p["CL"])),
        ("V, L/kg", volume, str(p["V"])),
        ("half-life, h", np.log(2.0) * volume / clearance, f"{p['half_life']:.0f}"),
        ("V where Apgar < 5, ratio", np.exp(draws["beta_V_apgar_below_5_1"]), str(p["apgar"])),
        ("SD between newborns of ln CL", draws["omega_CL"], f"CV {p['cv_CL']}"),
        ("SD between newborns of ln V", draws["omega_V"], f"CV {p['cv_V']}"),
        ("exponent of weight on CL", draws["beta_CL_weight_kg"], "1 (assumed there)"),
        ("exponent of weight on V", draws["beta_V_weight_kg"], "1 (assumed there)"),
        ("proportional residual CV", draws["sigma_prop_concentration"], ""),
    ]


def page(population, cohort, seconds, settings) -> str:
    """The validation page."""
    labs, doses = (sum(len(getattr(record, what)) for record in cohort) for what in ("labs", "doses"))
    lines = [
        "# Phenobarbital: many doses, few samples",
        "",
        f"{len(cohort)} newborns, {doses} intravenous doses, {labs} concentrations of routine care, 1 to 6 each",
        "(Grasela and Donn 1985).",
        "Made by `python tests/validation/phenobarbital.py --work FOLDER --write docs/validation/phenobarbital.md`",
        f"({told(seconds, settings)}).",
        "",
        *table(rows(population)),
        "",
        "Published: Grasela and Donn (1985), Dev Pharmacol Ther 8:374, abstract (NONMEM; per kg at a mean weight of",
        "1.52 kg, here at the median of 1.3 kg; the volume in asphyxia was 13 % larger, p < 0.05 there).",
        "",
        f"{population.diagnostics}",
        "",
        "Does it look like its cohort ([what these say](../check_fit.md))?",
        "",
        *looks_like_its_cohort(population, cohort),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    asked = arguments(__doc__)
    known, reading = model_and_reading(data_file("phenobarbital"))
    fit = kept_fit(
        asked.work, known, reading.cohort, approximate=asked.approximate, progress=asked.progress, chains=4, warmup=500
    )
    text = page(fit[0], reading.cohort, *fit[1:])
    asked.write.write_text(text, encoding="utf-8") if asked.write else print(text)
