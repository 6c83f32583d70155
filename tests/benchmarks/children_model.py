"""Neutrophils of 58 children under daily 6-mercaptopurine, in two forms, for timing long dose histories.

    d gut/dt  = -ka gut                 d tgn/dt = ka gut - ke tgn             thioguanine nucleotides, in doses
    d P/dt    = ktr P ((1 - slope tgn) (C0 / C)^gamma - 1),   P, T1, T2, T3, C in logs
    d T1/dt   = ktr (P - T1) ...        d C/dt   = ktr (T3 - C)

`whole` has all seven states. `kpd` lets a dose arrive in tgn at once: 6-mercaptopurine is absorbed and gone within
hours, the nucleotides stay for days. That is an approximation, whose error `long_histories.py` prints. Typical values
are of the order of those published and chosen for timing; no result comes from here.

Sources: Friberg et al. (2002), J Clin Oncol 20:4713; data Jost et al. (2020), Front Physiol 11:217 (CC BY 4.0).
"""

import csv
from collections import defaultdict
from pathlib import Path

import jax.numpy as jnp

from bayestwin.dosing import DoseEvent
from bayestwin.records import Lab, PatientRecord
from bayestwin.specification import Fixed, LogNormal, LogNormalError, Model, Observation, Parameter

CELLS = ("prol", "t1", "t2", "t3", "circ")


def _log_cells(y, p):
    """Slopes of the logarithms of the five kinds of cells."""
    ktr = 4.0 / p.MTT
    feedback = jnp.exp(p.gamma * (jnp.log(p.C0) - y.circ))
    made = ktr * ((1.0 - p.slope * y.tgn) * feedback - 1.0)
    chain = [y.prol, y.t1, y.t2, y.t3, y.circ]
    return (made, *(ktr * jnp.expm1(before - now) for before, now in zip(chain, chain[1:])))


def _whole(t, y, p, u):
    drug = {"gut": -p.ka * y.gut, "tgn": p.ka * y.gut - p.ke * y.tgn}
    return drug | dict(zip(CELLS, _log_cells(y, p)))


def _kpd(t, y, p, u):
    return {"tgn": -p.ke * y.tgn} | dict(zip(CELLS, _log_cells(y, p)))


def children_model(form: str, steps=None) -> Model:
    """form : "whole" or "kpd"; steps : as of a Model"""

    def log(name, median, between=0.3):
        return Parameter(
            name,
            unit="",
            scale="log",
            typical=LogNormal(median=median, sd_log=0.3),
            between=Fixed(value=between) if between else None,
        )

    drug = ("gut", "tgn") if form == "whole" else ("tgn",)
    parameters = [log("ke", 0.1), log("slope", 0.008), log("C0", 3.0), log("MTT", 5.0), log("gamma", 0.2, 0.1)]
    return Model(
        name=f"children_{form}",
        time_unit="day",
        states=(*drug, *CELLS),
        initial_state=lambda p: dict.fromkeys(drug, 0.0) | dict.fromkeys(CELLS, jnp.log(p.C0)),
        vector_field={"whole": _whole, "kpd": _kpd}[form],
        steps=steps,
        routes={"oral": drug[0]},
        parameters=tuple([*([log("ka", 31.0)] if form == "whole" else []), *parameters]),
        outputs={"neutrophils": lambda t, y, p, u: jnp.exp(y.circ)},
        observations=(
            Observation(
                "neutrophils", unit="", error=LogNormalError(sd=LogNormal(median=0.4, sd_log=0.3)), plausible=(0, 100)
            ),
        ),
    )


def children(folder, *, scale: float = 50.0) -> list[PatientRecord]:
    """Their records, from the shared data; doses in multiples of `scale` mg."""
    labs, doses = defaultdict(list), defaultdict(list)
    with (Path(folder) / "neutrophils_6mp.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            key, time = row["ID"], float(row["TIME"])
            if float(row["AMT"]) > 0:
                doses[key].append(DoseEvent(time, float(row["AMT"]) / scale, "oral"))
            elif row["EVID"] == "0" and row["MDV"] == "0" and float(row["DV"]) > 0:
                labs[key].append(Lab(f"n@{time:g}", "neutrophils", time, float(row["DV"]), time))
    return [PatientRecord(key, labs=tuple(labs[key]), doses=tuple(doses[key])) for key in labs]
