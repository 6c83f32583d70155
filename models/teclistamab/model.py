"""Teclistamab subcutaneously or intravenously: two compartments, a clearance of which a part wanes with time.

    d depot/dt      = -ka depot                        a share F of a subcutaneous dose arrives
    d central/dt    =  ka depot - (CL(t)/V1) central - Q (central/V1 - peripheral/V2)
    d peripheral/dt =  Q (central/V1 - peripheral/V2)                         C = central / V1
    CL(t) = CL1 + CL2 e^(-kdes t)                                             t since the first dose

Source: Miao et al. (2023), Target Oncol 18:667, n = 338 (table 2, read through the transcription in nlmixr2lib:
second-hand). Omegas from CV: omega^2 = ln(1 + CV^2). The SD of a typical value's prior is its published relative standard
error. The reference is not IgG here and IgG in the paper: the same model, but a patient without an isotype stands at
the other end. Marks: verified (second-hand), derived, assumed.
"""

from math import log

from bayestwin.dynamics.blocks import eliminated, exchanged, exponential_decline, first_order
from bayestwin.specification import (
    Category,
    Dosing,
    LogitNormal,
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


def initial_state(p):
    """Amounts before the first dose, mg."""
    return {"depot": 0.0, "central": 0.0, "peripheral": 0.0}


def clearance(t, p):
    """Clearance t days after the first dose, L/day."""
    return p.CL1 + p.CL2 * exponential_decline(t, p.kdes)


def vector_field(t, y, p, u):
    """Flows, mg/day."""
    absorbed = first_order(y.depot, p.ka)
    shared = exchanged(y.central, p.V1, y.peripheral, p.V2, p.Q)
    return {
        "depot": -absorbed,
        "central": absorbed - eliminated(y.central, clearance(t, p), p.V1) - shared,
        "peripheral": shared,
    }


def concentration(t, y, p, u):
    """Serum concentration, mg/L."""
    return y.central / p.V1


def between(cv):
    """Prior of the SD between patients around a published CV in percent; its spread is assumed."""
    return LogNormal(median=omega_from_cv(cv), sd_log=0.2)


MIAO = {"source": "miao2023", "mark": "verified"}
DERIVED = {"source": "miao2023, not IgG", "mark": "derived"}
step_up = Regimen.single("0.06 mg/kg", route="sc").then(Regimen.single("0.3 mg/kg", route="sc"), at="3 days")
weekly = Regimen.repeated("1.5 mg/kg", route="sc", every="7 days", times=52)

model = Model(
    name="teclistamab",
    label="teclistamab, subcutaneous",
    context_of_use="Research use only: adults with relapsed multiple myeloma under teclistamab; concentrations and their spread.",
    time_unit="day",
    dose_unit="mg",
    states=("depot", "central", "peripheral"),
    initial_state=initial_state,
    vector_field=vector_field,
    routes={"sc": "depot", "iv": "central"},
    dosing=(Dosing("sc", bioavailability="F"),),
    parameters=(
        Parameter("CL1", unit="L/day", scale="log", typical=LogNormal(median=0.449 * 0.689, sd_log=0.12), between=between(53.6),
                  covariates=(Power("weight_kg", reference=74.0, exponent=Normal(mean=0.704, sd=0.153)),
                              Category("iss_stage", "2", shift=Normal(mean=log(1.31), sd=0.078)),
                              Category("iss_stage", "3", shift=Normal(mean=log(1.67), sd=0.111)),
                              Category("isotype", "IgG", shift=Normal(mean=-log(0.689), sd=0.078))), **DERIVED),
        Parameter("CL2", unit="L/day", scale="log", typical=LogNormal(median=0.547 * 0.295, sd_log=0.27), between=between(107.0),
                  covariates=(Category("isotype", "IgG", shift=Normal(mean=-log(0.295), sd=0.216)),), **DERIVED),
        Parameter("kdes", unit="1/day", scale="log", typical=LogNormal(median=0.0292, sd_log=0.13), **MIAO),
        Parameter("V1", unit="L", scale="log", typical=LogNormal(median=4.13, sd_log=0.044), between=between(48.8),
                  covariates=(Power("weight_kg", reference=74.0, exponent=Normal(mean=0.358, sd=0.218)),), **MIAO),
        Parameter("V2", unit="L", scale="log", typical=LogNormal(median=1.34, sd_log=0.261),
                  covariates=(Power("weight_kg", reference=74.0, exponent=Normal(mean=1.40, sd=0.357)),), **MIAO),
        Parameter("Q", unit="L/day", scale="log", typical=LogNormal(median=0.0390, sd_log=0.555), **MIAO),
        Parameter("ka", unit="1/day", scale="log", typical=LogNormal(median=0.133, sd_log=0.077), between=between(45.2), **MIAO),
        Parameter("F", unit="", scale="logit", typical=LogitNormal(median=0.718, sd_logit=0.26), **MIAO),
    ),
    outputs={"concentration": concentration},
    observations=(
        Observation("concentration", unit="mg/L", error=Proportional(cv=LogNormal(median=0.417, sd_log=0.1)), plausible=(0.0, 500.0),
                    label="teclistamab", source="miao2023, additive on the log scale, 0.417"),
    ),
    treatments=(
        Treatment("standard", label="0.06, 0.3, then 1.5 mg/kg weekly", starts_with="dose",
                  regimen=step_up.then(weekly, at="7 days"), source="miao2023; days of the step-up doses after the US label"),
    ),
    covariate_units={"weight_kg": "kg", "isotype": "", "iss_stage": ""},
)
