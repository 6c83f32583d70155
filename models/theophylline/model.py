"""Theophylline after oral doses: one compartment, first-order absorption.

    d depot/dt   = -ka depot
    d central/dt =  ka depot - (CL/V) central          concentration = central / V

Source: Boeckmann, Sheiner and Beal (1994), NONMEM user's guide; reference estimates by nlmixr2 (FOCEI):
ka 1.57 /h, CL 2.72 L/h, V 31.5 L, additive residual SD 0.7 mg/L.
"""

from bayestwin.specification import (
    LKJ,
    Additive,
    HalfNormal,
    Linear,
    LogNormal,
    Model,
    Normal,
    Observation,
    Parameter,
    Power,
    Regimen,
    Treatment,
)


def initial_state(p):
    """Amounts before the first dose, mg."""
    return {"depot": 0.0, "central": 0.0}


def vector_field(t, y, p, u):
    """Flows, mg/h."""
    absorbed = p.ka * y.depot
    return {"depot": -absorbed, "central": absorbed - p.CL / p.V * y.central}


def concentration(t, y, p, u):
    """Plasma concentration, mg/L."""
    return y.central / p.V


model = Model(
    name="theophylline",
    label="theophylline, oral, one compartment",
    context_of_use="teaching and testing",
    time_unit="h",
    dose_unit="mg",
    steps=Linear(),  # exact for any ka
    states=("depot", "central"),
    initial_state=initial_state,
    vector_field=vector_field,
    routes={"oral": "depot", "iv": "central"},
    parameters=(
        Parameter("ka", unit="1/h", scale="log", typical=LogNormal(median=1.5, sd_log=0.5), between=HalfNormal(sd=0.5),
                  source="boeckmann1994"),
        Parameter("CL", unit="L/h", scale="log", typical=LogNormal(median=2.8, sd_log=0.5), between=HalfNormal(sd=0.5),
                  covariates=(Power("weight_kg", reference=70, exponent=Normal(mean=0.75, sd=0.2)),), source="boeckmann1994"),
        Parameter("V", unit="L", scale="log", typical=LogNormal(median=32.0, sd_log=0.5), between=HalfNormal(sd=0.5),
                  covariates=(Power("weight_kg", reference=70, exponent=Normal(mean=1.0, sd=0.2)),), source="boeckmann1994"),
    ),
    correlation=LKJ(concentration=2.0, over=("ka", "CL", "V")),
    outputs={"concentration": concentration},
    observations=(
        Observation("concentration", unit="mg/L", error=Additive(sd=HalfNormal(sd=1.0)), plausible=(0.0, 60.0), positive=False,
                    label="theophylline"),
    ),
    treatments=(
        Treatment("single_dose", label="320 mg once", regimen=Regimen.single("320 mg", route="oral"), starts_with="dose"),
        Treatment("twice_daily", label="320 mg every 12 h, six times", starts_with="dose",
                  regimen=Regimen.repeated("320 mg", route="oral", every="12 h", times=6)),
    ),
    covariate_units={"weight_kg": "kg"},
)
