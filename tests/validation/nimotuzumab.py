"""Nimotuzumab in 12 patients: target-mediated disposition, a population fit beside published estimates.

python tests/validation/nimotuzumab.py --work FOLDER [--write docs/validation/nimotuzumab.md]
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

from beside_published import arguments, data_file, drawn, kept_fit, looks_like_its_cohort, table, told

from bayestwin.records import read_records
from bayestwin.specification import load_model

# A public secondary analysis of these 321 labs (nlmixr2est 7.1.0, FOCEi): two compartments, elimination CL and
# Vmax / (Km + C), variances between patients of ln CL and ln V1
SECONDARY = {"CL": 0.001595, "V1": 1.473, "Q": 0.001861, "V2": 8.279, "Vmax": 2.372, "K": 396.7, "sigma": 0.6932,
             "omega_CL": 2.133**0.5, "omega_V1": 0.2803**0.5}  # fmt: skip
# Start values of nlmixr2's example of Rodriguez-Vera et al. (2015): ksyn mg/L/h, V1 L, Kss mg/L, kdeg and kint 1/h
EXAMPLE = {"CL": 0.001, "V1": 1.45, "Q": 0.004, "V2": 44.0, "Vmax": 1.0 * 1.45, "K": 12.0 * 7.0 / 0.3, "kint": 0.3}


SOURCES = """\
**The estimates of Rodriguez-Vera et al. (2015), J Clin Pharmacol 55:888, were not found in public text**, so they
do not stand here. Published: a public secondary analysis of the same 321 labs (nlmixr2est 7.1.0, FOCEi; two
compartments, CL and Vmax / (Km + C)), which itself finds its nonlinear model weakly identified (largest correlation
of two estimates 0.99; 1 of 12 fits with a patient left out converged). `start`: start values of nlmixr2's documented
example of the original model, in the parameters here (Vmax = ksyn V1, K = Kss kdeg / kint); its estimates are shown
in figures only. The original study had 443 concentrations.
"""


def model_and_reading(path):
    """The shipped model, and the infusions and concentrations of every patient; DV is ln of mg/L in the table."""
    model, raw = load_model("nimotuzumab"), pd.read_csv(path)
    raw = raw.drop(columns=["TAD", "OCC", "DOS"])
    raw["DV"] = np.where(raw["EVID"] == 0, np.exp(raw["DV"]), 0.0)
    return model, read_records(model.record_schema(), event_table=raw, time_unit="h")


def rows(population) -> list[tuple[str, np.ndarray, str]]:
    """(words, draws, published) of what is reported."""
    draws = drawn(population)
    units = {"CL": "L/h", "V1": "L", "Q": "L/h", "V2": "L", "Vmax": "mg/h", "K": "mg/L", "kint": "1/h"}

    def beside(name):
        known = [f"{word}{of[name]:.3g}" for word, of in (("", SECONDARY), ("start ", EXAMPLE)) if name in of]
        return "; ".join(known)

    def clearance(of, at):
        return of["CL"] + of["Vmax"] / (of["K"] + at)

    typical = {name: draws[f"{name}_pop"] for name in units}
    return [
        *((f"{name}, {unit}", draws[f"{name}_pop"], beside(name)) for name, unit in units.items()),
        *((f"clearance at {at:.0f} mg/L, CL + Vmax / (K + C), L/h", clearance(typical, at),
           f"{clearance(SECONDARY, at):.3g}; start {clearance(EXAMPLE, at):.3g}") for at in (10.0, 100.0, 500.0)),
        ("SD between patients of ln CL", draws["omega_CL"], f"{SECONDARY['omega_CL']:.3g}"),
        ("SD between patients of ln V1", draws["omega_V1"], f"{SECONDARY['omega_V1']:.3g}"),
        ("residual SD of ln concentration", draws["sigma_log_concentration"], f"{SECONDARY['sigma']:.3g}"),
    ]  # fmt: skip


def page(population, cohort, seconds, settings) -> str:
    """The validation page."""
    labs = sum(len(record.labs) for record in cohort)
    lines = [
        "# Nimotuzumab: target-mediated disposition",
        "",
        f"{len(cohort)} patients with breast cancer, three at each of 50, 100, 200 and 400 mg a week, ten infusions,",
        f"{labs} concentrations (Rodriguez-Vera 2015). Made by",
        "`python tests/validation/nimotuzumab.py --work FOLDER --write docs/validation/nimotuzumab.md`",
        f"({told(seconds, settings)}).",
        "",
        *table(rows(population)),
        "",
        *SOURCES.splitlines(),
        "",
        f"{population.diagnostics}",
        "",
        "What hangs on its prior, SD of the posterior over SD of the prior on the log scale (1: the labs say nothing):",
        "",
        *prior_share(population),
        "",
        "Does it look like its cohort ([what these say](../check_fit.md))?",
        "",
        *looks_like_its_cohort(population, cohort),
        "",
    ]
    return "\n".join(lines)


def prior_share(population) -> list[str]:
    """One line: how much narrower than its prior each typical value has become."""
    draws, said = drawn(population), []
    for p in population.model.parameters:
        said.append(f"{p.name} {np.log(draws[f'{p.name}_pop']).std() / p.typical.sd_log:.2f}")
    return [", ".join(said) + "."]


if __name__ == "__main__":
    asked = arguments(__doc__)
    known, reading = model_and_reading(data_file("nimotuzumab"))
    fit = kept_fit(asked.work, known, reading.cohort, approximate=asked.approximate, progress=asked.progress,
                   seeds=(1, 2), chains=4, warmup=400, draws=500, climb=40, max_tree_depth=7)  # fmt: skip
    text = page(fit[0], reading.cohort, *fit[1:])
    asked.write.write_text(text, encoding="utf-8") if asked.write else print(text)
