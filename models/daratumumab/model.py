"""Daratumumab intravenously: two compartments, linear elimination and a saturable one that wanes as CD38 is lost.

    d central/dt    = -(CL/V1) central - Vmax e^(-kdes t) C / (Km + C) - Q (central/V1 - peripheral/V2)
    d peripheral/dt =  Q (central/V1 - peripheral/V2)                       C = central / V1, t since the first dose

Source: Xu et al. (2020), Adv Ther 37:1464, n = 107 (online resource 6, read through the transcription in nlmixr2lib:
second-hand). Published per hour, here per day. Omegas from CV: omega^2 = ln(1 + CV^2). The SD of a typical value's
prior is its published relative standard error, that of a covariate effect its standard error. A patient without an isotype
stands at the reference, not IgG. Marks: verified (second-hand), assumed.
"""

from math import log

from bayestwin.dynamics.blocks import eliminated, exchanged, exponential_decline, michaelis_menten
from bayestwin.specification import (
    Category,
    Fixed,
    LogNormal,
    Model,
    Normal,
    Observation,
    Parameter,
    Power,
    Proportional,
    Regimen,
    Treatment,
    omega_from_cv,
)

HOURS = 24.0  # per day


def initial_state(p):
    """Amounts before the first dose, mg."""
    return {"central": 0.0, "peripheral": 0.0}


def vector_field(t, y, p, u):
    """Flows, mg/day."""
    saturable = michaelis_menten(y.central, p.Vmax * exponential_decline(t, p.kdes), p.Km, p.V1)
    shared = exchanged(y.central, p.V1, y.peripheral, p.V2, p.Q)
    return {"central": -eliminated(y.central, p.CL, p.V1) - saturable - shared, "peripheral": shared}


def concentration(t, y, p, u):
    """Serum concentration, mg/L."""
    return y.central / p.V1


def between(cv):
    """Prior of the SD between patients around a published CV in percent; its spread is assumed."""
    return LogNormal(median=omega_from_cv(cv), sd_log=0.2)


XU = {"source": "xu2020", "mark": "verified"}
weekly = Regimen.repeated("16 mg/kg", route="iv", every="7 days", times=8, duration="3.4 h")
fortnightly = Regimen.repeated("16 mg/kg", route="iv", every="14 days", times=8, duration="3.4 h")
monthly = Regimen.repeated("16 mg/kg", route="iv", every="28 days", times=7, duration="3.4 h")

model = Model(
    name="daratumumab",
    label="daratumumab, intravenous",
    context_of_use="Research use only: adults with multiple myeloma under intravenous daratumumab; concentrations and their spread.",
    time_unit="day",
    dose_unit="mg",
    states=("central", "peripheral"),
    initial_state=initial_state,
    vector_field=vector_field,
    routes={"iv": "central"},
    parameters=(
        Parameter("CL", unit="L/day", scale="log", typical=LogNormal(median=HOURS * 0.00485, sd_log=0.10), between=between(40.7),
                  covariates=(Power("weight_kg", reference=78.6, exponent=Normal(mean=0.451, sd=0.226)),
                              Power("albumin_g_per_l", reference=37.0, exponent=Normal(mean=-1.149, sd=0.313)),
                              Category("isotype", "IgG", shift=Normal(mean=log(1.806), sd=0.133))), **XU),
        Parameter("V1", unit="L", scale="log", typical=LogNormal(median=4.09, sd_log=0.035), between=between(21.8),
                  covariates=(Power("weight_kg", reference=78.6, exponent=Normal(mean=0.375, sd=0.143)),
                              Category("sex", "female", shift=Normal(mean=log(0.795), sd=0.057))), **XU),
        Parameter("V2", unit="L", scale="log", typical=LogNormal(median=3.06, sd_log=0.097), **XU),
        Parameter("Q", unit="L/day", scale="log", typical=LogNormal(median=HOURS * 0.0642, sd_log=0.08), **XU),
        Parameter("Vmax", unit="mg/day", scale="log", typical=LogNormal(median=HOURS * 2.08, sd_log=0.167), between=between(71.3), **XU),
        Parameter("Km", unit="mg/L", scale="log", typical=Fixed(value=0.93), **XU),
        Parameter("kdes", unit="1/day", scale="log", typical=LogNormal(median=HOURS * 0.0013, sd_log=0.178), between=between(43.4), **XU),
    ),
    outputs={"concentration": concentration},
    observations=(
        Observation("concentration", unit="mg/L", error=Proportional(cv=LogNormal(median=0.138, sd_log=0.1)), plausible=(0.0, 5_000.0),
                    label="daratumumab", source="xu2020, additive on the log scale, 0.138"),
    ),
    treatments=(
        Treatment("standard", label="16 mg/kg weekly x 8, every two weeks x 8, then every four weeks", starts_with="dose",
                  regimen=weekly.then(fortnightly, at="56 days").then(monthly, at="168 days"), source="xu2020"),
    ),
    covariate_units={"weight_kg": "kg", "albumin_g_per_l": "g/L", "isotype": "", "sex": ""},
)
