"""Warfarin after one oral dose: one compartment, first-order absorption after a lag.

    a tablet reaches the depot `lag` hours after it was swallowed
    d depot/dt   = -ka depot
    d central/dt =  ka depot - (CL/V) central          concentration = central / V

CL and V are apparent (bioavailability 1); clearance grows with weight to the power of 3/4, volume with weight.
Sources: O'Reilly, Aggeler and Leong (1963), J Clin Invest 42:1542, and O'Reilly and Aggeler (1968), Circulation 38:169
(the data); Holford (1986), Clin Pharmacokinet 11:483 (the model); Anderson and Holford (2008), Annu Rev Pharmacol
Toxicol 48:303 (allometry).
"""

from bayestwin.specification import (
    LKJ,
    Combined,
    Dosing,
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
    """Plasma concentration of total warfarin, mg/L."""
    return y.central / p.V


WIDE = "assumed: wide around an absorption that is over within hours"

model = Model(
    name="warfarin",
    label="warfarin, oral, one compartment with a lag",
    context_of_use="teaching and testing: a dose whose lag is an individual parameter",
    time_unit="h",
    dose_unit="mg",
    steps=Linear(),
    states=("depot", "central"),
    initial_state=initial_state,
    vector_field=vector_field,
    routes={"oral": "depot", "iv": "central"},
    dosing=(Dosing("oral", lag="lag"),),
    parameters=(
        Parameter("lag", unit="h", scale="log", typical=LogNormal(median=0.7, sd_log=0.5), between=HalfNormal(sd=0.5),
                  source=WIDE),
        Parameter("ka", unit="1/h", scale="log", typical=LogNormal(median=1.0, sd_log=0.7), between=HalfNormal(sd=0.7),
                  source=WIDE),
        Parameter("CL", unit="L/h", scale="log", typical=LogNormal(median=0.15, sd_log=0.5), between=HalfNormal(sd=0.5),
                  covariates=(Power("weight_kg", reference=70, exponent=Normal(mean=0.75, sd=0.2)),), source="holford1986"),
        Parameter("V", unit="L", scale="log", typical=LogNormal(median=9.0, sd_log=0.5), between=HalfNormal(sd=0.5),
                  covariates=(Power("weight_kg", reference=70, exponent=Normal(mean=1.0, sd=0.2)),), source="holford1986"),
    ),
    correlation=LKJ(concentration=2.0, over=("CL", "V")),
    outputs={"concentration": concentration},
    observations=(
        Observation("concentration", unit="mg/L", error=Combined(sd=HalfNormal(sd=0.5), cv=HalfNormal(sd=0.2)),
                    plausible=(0.0, 60.0), positive=False, label="warfarin"),
    ),
    treatments=(
        Treatment("single_dose", label="100 mg once", regimen=Regimen.single("100 mg", route="oral"), starts_with="dose"),
    ),
    covariate_units={"weight_kg": "kg"},
)
