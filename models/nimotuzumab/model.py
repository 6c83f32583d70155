"""Nimotuzumab, an antibody against EGFR, intravenous: two compartments, target-mediated disposition in quasi-steady state.

    A  total drug in the central compartment (free and bound), P  drug in the peripheral one, mg
    total = A / V1 = C + Rmax C / (K + C)            free concentration C: the positive root of the quadratic
    dA/dt = -CL C - Vmax C / (K + C) - Q (C - P / V2)           Vmax = kint Rmax V1: the complex is taken up at kint
    dP/dt =  Q (C - P / V2)

K and Rmax stand for a target that is itself in steady state: with synthesis ksyn, loss kdeg and quasi-steady-state
constant Kss, the complex is (ksyn / kint) C / (Kss kdeg / kint + C), so Rmax = ksyn / kint and K = Kss kdeg / kint; with
a constant target (kdeg = kint) K = Kss. The labs tell Vmax and K; kint and with it Rmax hang on their prior.
Sources: Rodriguez-Vera et al. (2015), J Clin Pharmacol 55:888 (the data and their model); Gibiansky et al. (2008),
J Pharmacokinet Pharmacodyn 35:573 (quasi-steady state, free concentration as a root).
"""

import jax.numpy as jnp

from bayestwin.specification import (
    HalfNormal,
    LogNormal,
    LogNormalError,
    Model,
    Observation,
    Parameter,
    Regimen,
    Steps,
    Treatment,
)


def initial_state(p):
    """No drug, mg."""
    return {"central": 0.0, "peripheral": 0.0}


def free(total, p):
    """Free concentration of a total one, mg/L; the root in the form that loses no digits where the target binds all."""
    rmax = p.Vmax / (p.kint * p.V1)
    b = total - rmax - p.K
    root = jnp.sqrt(b**2 + 4.0 * p.K * total + 1e-12)
    product = 2.0 * p.K * total
    return jnp.where(b > 0.0, 0.5 * (b + root), product / jnp.where(b > 0.0, root, root - b))


def vector_field(t, y, p, u):
    """Flows, mg/h."""
    c = free(jnp.maximum(y.central, 0.0) / p.V1, p)
    exchanged = p.Q * (c - y.peripheral / p.V2)
    return {"central": -p.CL * c - p.Vmax * c / (p.K + c) - exchanged, "peripheral": exchanged}


def concentration(t, y, p, u):
    """Free antibody in serum, mg/L."""
    return free(jnp.maximum(y.central, 1e-9) / p.V1, p)


ANTIBODIES = "median of antibodies (Davda et al. 2014, MAbs 6:1094), wide"
PEOPLE = LogNormal(median=0.33, sd_log=0.5)  # antibodies, the same source; twelve patients cannot rule out that it vanishes
TARGET = "between two published analyses (card.md), wide"

model = Model(
    name="nimotuzumab",
    label="nimotuzumab, intravenous",
    context_of_use="Research use only: concentrations of nimotuzumab under weekly infusions; a worked example of target-mediated disposition.",
    time_unit="h",
    dose_unit="mg",
    steps=Steps(first=3.0, growth=1.3, largest=24.0),
    states=("central", "peripheral"),
    initial_state=initial_state,
    vector_field=vector_field,
    routes={"iv": "central"},
    parameters=(
        Parameter("CL", unit="L/h", scale="log", typical=LogNormal(median=0.0083, sd_log=0.8), between=PEOPLE,
                  source=ANTIBODIES),
        Parameter("V1", unit="L", scale="log", typical=LogNormal(median=3.6, sd_log=0.7), between=PEOPLE,
                  source=ANTIBODIES),
        Parameter("Q", unit="L/h", scale="log", typical=LogNormal(median=0.031, sd_log=0.8), source=ANTIBODIES),
        Parameter("V2", unit="L", scale="log", typical=LogNormal(median=2.8, sd_log=0.8), source=ANTIBODIES),
        Parameter("Vmax", unit="mg/h", scale="log", typical=LogNormal(median=1.0, sd_log=0.8), source=TARGET, mark="assumed"),
        Parameter("K", unit="mg/L", scale="log", typical=LogNormal(median=70.0, sd_log=1.2), source=TARGET, mark="assumed"),
        Parameter("kint", unit="1/h", scale="log", typical=LogNormal(median=0.04, sd_log=1.2), source=TARGET, mark="assumed"),
    ),
    outputs={"concentration": concentration},
    observations=(
        Observation("concentration", unit="mg/L", error=LogNormalError(sd=HalfNormal(sd=0.7)), plausible=(0.01, 10_000.0),
                    label="nimotuzumab"),
    ),
    treatments=(
        Treatment("weekly", label="200 mg every week, ten times", starts_with="dose",
                  regimen=Regimen.repeated("200 mg", route="iv", every="7 days", times=10, duration="0.5 h")),
    ),
)
