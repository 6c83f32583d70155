"""Warfarin and prothrombin complex activity, 32 volunteers: PK and PD fitted together, beside published estimates.

python tests/validation/warfarin_pkpd.py --work FOLDER [--write docs/validation/warfarin_pkpd.md]
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

from beside_published import arguments, data_file, drawn, kept_fit, looks_like_its_cohort, table, told

from bayestwin.records import read_records
from bayestwin.specification import load_model

# nlmixr2 4.1.1, FOCEI, the same data, two rates of absorption, no weight: estimate and standard error of the logarithm
# (logit of Emax), variance between volunteers; residual SDs. Published in the vignette of the package xpose.xtras.
TYPICAL = {"ktr": (0.104, 2.20), "ka": (0.302, 2.18), "CL": (-2.04, 0.109), "V": (2.06, 0.0916), "Emax": (4.75, 6.20),
           "EC50": (0.157, 0.229), "kout": (-2.93, 0.128), "E0": (4.57, 0.0399)}  # fmt: skip
BETWEEN = {"CL": 0.268, "V": 0.221, "EC50": 0.453, "kout": 0.153, "E0": 0.103}  # SD of the logarithm
RESIDUAL = {"prop": 0.148, "add": 0.172, "pca": 3.76}


SOURCES = """\
Published: nlmixr2 4.1.1 (FOCEI) on the same data, in brackets the 90 % interval from its standard error; vignette
of the package xpose.xtras, which fits nlmixr2's documented example (two rates of absorption ktr and ka, Emax with
variability, no weight). Its standard errors of ln ktr and ln ka are 2.2 each: their sum of times can be compared,
the rates cannot. Its variants with ka = ktr and with Emax = 1 have the lower objective function (1338 and 1351
beside 1387). Holford (1986), review: V 10 L and CL 0.2 L/h at 70 kg, synthesis half inhibited at about 1.5 mg/L,
half-life of the complex about 17 h; the medians of our priors lie around these.
"""


WHY_SO_NARROW = """\
Why do they spread too little? It is the data in one error model, not the check:
`tests/validation/warfarin_spread.py`, separate code in closed form with the posterior means above, finds the same
variances (0.73 and 0.81), and 1.01 and 1.06 for a replicate in the place of the data. By time the concentrations have
2.1 up to 3 h, 1.4 up to 8 h, 0.8 up to 24 h and 0.3 to 0.4 later: labs during absorption vary more than one smooth
course with a normal error says, and pull up an SD that all labs share. And the two papers differ: from 24 h on,
volunteers who were not sampled before 8 h have 0.33 (activities 0.59), the others 0.64 (1.12). With the residual SD
of concentrations halved from 24 h on the late variances are 0.9 to 1.3. So intervals for a later concentration are up
to 1.7 times too wide; typical values and between-volunteer SDs agree with the published ones. Not mended: the
published analyses share one error model too; a factor for the paper (`assay_scale`) needs to know which volunteer is
from which, and the file does not say.
"""


def model_and_reading(path):
    """The shipped model, and the doses, concentrations and activities of every volunteer."""
    model, raw = load_model("warfarin_pkpd"), pd.read_csv(path)
    raw = raw.assign(dvid=raw.dvid.map({"cp": "concentration", "pca": "pca"}))
    return model, read_records(model.record_schema(), event_table=raw, time_unit="h")


def published(name: str) -> str:
    """An estimate on the natural scale with its 90 % interval from the standard error."""
    middle, error = TYPICAL[name]
    back = (lambda x: 1.0 / (1.0 + np.exp(-x))) if name == "Emax" else np.exp
    return f"{back(middle):.3g} ({back(middle - 1.645 * error):.3g} to {back(middle + 1.645 * error):.3g})"


def rows(population, weight: float) -> list[tuple[str, np.ndarray, str]]:
    """(words, draws, published) of what is reported; clearance and volume at `weight`, the volunteers' median."""
    draws, ratio = drawn(population), np.log(weight / 70.0)
    absorption = np.exp(-TYPICAL["ktr"][0]) + np.exp(-TYPICAL["ka"][0])
    mean_time = (draws["MAT_pop"] ** 4 + 0.65**4) ** 0.25
    between = [
        (f"SD between volunteers of ln {name}", draws[f"omega_{name}"], str(BETWEEN.get(name, "")))
        for name in ("MAT", "CL", "V", "EC50", "kout", "E0")
    ]
    return [
        (f"CL at {weight:.0f} kg, L/h", draws["CL_pop"] * np.exp(draws["beta_CL_weight_kg"] * ratio), published("CL")),
        (f"V at {weight:.0f} kg, L", draws["V_pop"] * np.exp(draws["beta_V_weight_kg"] * ratio), published("V")),
        ("mean absorption time, h", mean_time, f"{absorption:.2f} (1/ktr + 1/ka)"),
        ("Emax", draws["Emax_pop"], published("Emax")),
        ("EC50, mg/L", draws["EC50_pop"], published("EC50")),
        ("kout, 1/h", draws["kout_pop"], published("kout")),
        (
            "half-life of the complex, h",
            np.log(2.0) / draws["kout_pop"],
            f"{np.log(2) / np.exp(TYPICAL['kout'][0]):.1f}; 17 (Holford)",
        ),
        ("E0, %", draws["E0_pop"], published("E0")),
        *between,
        ("exponent of weight on CL", draws["beta_CL_weight_kg"], ""),
        ("exponent of weight on V", draws["beta_V_weight_kg"], ""),
        ("concentration, additive residual SD, mg/L", draws["sigma_add_concentration"], str(RESIDUAL["add"])),
        ("concentration, proportional residual CV", draws["sigma_prop_concentration"], str(RESIDUAL["prop"])),
        ("activity, additive residual SD, %", draws["sigma_add_pca"], str(RESIDUAL["pca"])),
    ]


def page(population, cohort, seconds, settings) -> str:
    """The validation page."""
    weight = float(np.median([record.covariates["weight_kg"] for record in cohort]))
    counts = [sum(lab.output == name for record in cohort for lab in record.labs) for name in ("concentration", "pca")]
    lines = [
        "# Warfarin: concentration and clotting together",
        "",
        f"{len(cohort)} volunteers, {counts[0]} concentrations, {counts[1]} activities of the prothrombin complex",
        "after one oral dose (O'Reilly 1963, 1968), fitted together. Made by",
        "`python tests/validation/warfarin_pkpd.py --work FOLDER --write docs/validation/warfarin_pkpd.md`",
        f"({told(seconds, settings)}).",
        "",
        *table(rows(population, weight)),
        "",
        *SOURCES.splitlines(),
        "",
        f"{population.diagnostics}",
        "",
        "Does it look like its cohort ([what these say](../check_fit.md))?",
        "",
        *looks_like_its_cohort(population, cohort),
        "",
        *WHY_SO_NARROW.splitlines(),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    asked = arguments(__doc__)
    known, reading = model_and_reading(data_file("warfarin"))
    fit = kept_fit(asked.work, known, reading.cohort, approximate=asked.approximate, progress=asked.progress,
                   chains=4, warmup=400, draws=1000, climb=60, max_tree_depth=6)  # fmt: skip
    text = page(fit[0], reading.cohort, *fit[1:])
    asked.write.write_text(text, encoding="utf-8") if asked.write else print(text)
