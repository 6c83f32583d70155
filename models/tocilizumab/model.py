"""Tocilizumab intravenously in rheumatoid arthritis: two compartments, linear and saturable elimination.

    d central/dt    = -(CL/V1) central - Vmax C / (Km + C) - Q (central/V1 - peripheral/V2)
    d peripheral/dt =  Q (central/V1 - peripheral/V2)                         C = central / V1

Source: Frey, Grange and Woodworth (2010), J Clin Pharmacol 50:754, n = 1793 (tables II and III, read through the transcription
in nlmixr2lib: second-hand). Omegas from CV: omega^2 = ln(1 + CV^2). Their published correlations (CL-V1 0.6, CL-V2 -0.1,
CL-Vmax -0.5, V1-V2 0.5, V1-Vmax 0.2, V2-Vmax 0.2) are not in the prior: it is even over all of them. SDs of typical values
and effects: assumed. Marks: verified (second-hand), assumed.
"""

from math import log

from bayestwin.dynamics.blocks import eliminated, exchanged, michaelis_menten
from bayestwin.specification import (
    LKJ,
    Category,
    Combined,
    LogNormal,
    Model,
    Normal,
    Observation,
    Parameter,
    Power,
    Regimen,
    Treatment,
    omega_from_cv,
)


def initial_state(p):
    """Amounts before the first dose, mg."""
    return {"central": 0.0, "peripheral": 0.0}


def vector_field(t, y, p, u):
    """Flows, mg/day."""
    saturable = michaelis_menten(y.central, p.Vmax, p.Km, p.V1)
    shared = exchanged(y.central, p.V1, y.peripheral, p.V2, p.Q)
    return {"central": -eliminated(y.central, p.CL, p.V1) - saturable - shared, "peripheral": shared}


def concentration(t, y, p, u):
    """Serum concentration, mg/L."""
    return y.central / p.V1


def between(cv):
    """Prior of the SD between patients around a published CV in percent; its spread is assumed."""
    return LogNormal(median=omega_from_cv(cv), sd_log=0.2)


def typical(value):
    """Prior of a typical value whose published standard error was not at hand."""
    return LogNormal(median=value, sd_log=0.1)


def effect(value):
    """Prior of a covariate effect whose published standard error was not at hand."""
    return Normal(mean=value, sd=0.25 * abs(value))


FREY = {"source": "frey2010", "mark": "verified"}

model = Model(
    name="tocilizumab",
    label="tocilizumab, intravenous",
    context_of_use="Research use only: adults with rheumatoid arthritis under intravenous tocilizumab; concentrations and their spread.",
    time_unit="day",
    dose_unit="mg",
    states=("central", "peripheral"),
    initial_state=initial_state,
    vector_field=vector_field,
    routes={"iv": "central"},
    parameters=(
        Parameter("CL", unit="L/day", scale="log", typical=typical(0.3), between=between(39.0),
                  covariates=(Power("bsa_m2", reference=1.8, exponent=effect(0.7)),
                              Category("sex", "female", shift=effect(log(1.0 - 0.16))),
                              Power("hdl_mg_per_dl", reference=54.0, exponent=effect(-0.2)),
                              Power("ln_rheumatoid_factor", reference=4.7, exponent=effect(0.1))), **FREY),
        Parameter("V1", unit="L", scale="log", typical=typical(3.5), between=between(37.0),
                  covariates=(Power("protein_g_per_l", reference=74.0, exponent=effect(-1.1)),
                              Power("albumin_g_per_l", reference=38.0, exponent=effect(0.7))), **FREY),
        Parameter("V2", unit="L", scale="log", typical=typical(2.9), between=between(66.0), **FREY),
        Parameter("Q", unit="L/day", scale="log", typical=typical(0.2), **FREY),
        Parameter("Vmax", unit="mg/day", scale="log", typical=typical(7.5), between=between(54.0),
                  covariates=(Power("albumin_g_per_l", reference=38.0, exponent=effect(-0.4)),
                              Power("creatinine_clearance_ml_per_min", reference=106.0, exponent=effect(0.2)),
                              Category("smoker", "1", shift=effect(log(1.11)))), **FREY),
        Parameter("Km", unit="mg/L", scale="log", typical=typical(2.7), **FREY),
    ),
    correlation=LKJ(concentration=1.0, over=("CL", "V1", "V2", "Vmax")),
    outputs={"concentration": concentration},
    observations=(
        Observation("concentration", unit="mg/L", plausible=(0.0, 2_000.0), positive=False, label="tocilizumab", source="frey2010",
                    error=Combined(sd=LogNormal(median=2.4, sd_log=0.1), cv=LogNormal(median=0.22, sd_log=0.1))),
    ),
    treatments=(
        Treatment("8_mg_per_kg", label="8 mg/kg every four weeks", starts_with="dose", source="frey2010",
                  regimen=Regimen.repeated("8 mg/kg", route="iv", every="28 days", times=13, duration="1 h")),
        Treatment("4_mg_per_kg", label="4 mg/kg every four weeks", starts_with="dose", source="frey2010",
                  regimen=Regimen.repeated("4 mg/kg", route="iv", every="28 days", times=13, duration="1 h")),
    ),
    covariate_units={"bsa_m2": "m2", "sex": "", "hdl_mg_per_dl": "mg/dL", "ln_rheumatoid_factor": "", "protein_g_per_l": "g/L",
                     "albumin_g_per_l": "g/L", "creatinine_clearance_ml_per_min": "mL/min", "smoker": ""},
)
