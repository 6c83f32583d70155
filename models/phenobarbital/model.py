"""Phenobarbital in newborns, many intravenous doses: one compartment, first-order elimination.

    d central/dt = - (CL/V) central          concentration = central / V

Clearance and volume grow with weight; the volume is another where the Apgar score at five minutes was below 5.
Sources: Grasela and Donn (1985), Dev Pharmacol Ther 8:374 (data, model and published estimates); Boeckmann, Sheiner
and Beal (1994), NONMEM user's guide V (the data as they are passed on).
"""

from bayestwin.specification import (
    LKJ,
    Category,
    CategoryCovariate,
    HalfNormal,
    Linear,
    LogNormal,
    LogNormalCovariate,
    Model,
    Normal,
    Observation,
    Parameter,
    Power,
    Proportional,
    Regimen,
    Treatment,
)


def initial_state(p):
    """Amount before the first dose, mg."""
    return {"central": 0.0}


def vector_field(t, y, p, u):
    """Flow, mg/h."""
    return {"central": -p.CL / p.V * y.central}


def concentration(t, y, p, u):
    """Serum concentration, mg/L."""
    return y.central / p.V


MEDIAN_WEIGHT = 1.3  # kg, of the 59 newborns: CL and V are those of a newborn of this weight
WIDE = "assumed: wide around half-lives of days"

model = Model(
    name="phenobarbital",
    label="phenobarbital, newborns, intravenous",
    context_of_use="teaching and testing: sparse routine data with many doses",
    time_unit="h",
    dose_unit="mg",
    steps=Linear(),
    states=("central",),
    initial_state=initial_state,
    vector_field=vector_field,
    routes={"iv": "central"},
    parameters=(
        Parameter("CL", unit="L/h", scale="log", typical=LogNormal(median=0.008, sd_log=0.7), between=HalfNormal(sd=0.5),
                  covariates=(Power("weight_kg", reference=MEDIAN_WEIGHT, exponent=Normal(mean=1.0, sd=0.3)),),
                  source=WIDE, mark="assumed"),
        Parameter("V", unit="L", scale="log", typical=LogNormal(median=1.0, sd_log=0.5), between=HalfNormal(sd=0.5),
                  covariates=(Power("weight_kg", reference=MEDIAN_WEIGHT, exponent=Normal(mean=1.0, sd=0.3)),
                              Category("apgar_below_5", "1", shift=Normal(mean=0.0, sd=0.3))),
                  source=WIDE, mark="assumed"),
    ),
    correlation=LKJ(concentration=2.0, over=("CL", "V")),
    covariate_distributions=(  # a newborn whose weight or score is not known is integrated over them
        LogNormalCovariate("weight_kg", median=LogNormal(median=MEDIAN_WEIGHT, sd_log=0.3), sd_log=HalfNormal(sd=0.5)),
        CategoryCovariate("apgar_below_5", levels=("0", "1")),
    ),
    outputs={"concentration": concentration},
    observations=(
        Observation("concentration", unit="mg/L", error=Proportional(cv=HalfNormal(sd=0.3)), plausible=(0.5, 200.0),
                    label="phenobarbital"),
    ),
    treatments=(
        Treatment("loading_and_maintenance", label="25 mg, then 3.5 mg every 12 h", starts_with="dose",
                  regimen=Regimen((("0 h", "25 mg", "iv", ""),
                                   *((f"{12 * k} h", "3.5 mg", "iv", "") for k in range(1, 13))))),
    ),
    covariate_units={"weight_kg": "kg"},
)
