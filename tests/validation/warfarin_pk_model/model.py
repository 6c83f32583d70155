"""Warfarin after one oral dose, concentrations alone: absorption in two equal steps, as in `models/warfarin_pkpd`.

    d depot/dt   = -k depot                        k = 2 / MAT: MAT is the mean absorption time
    d transit/dt =  k depot - k transit
    d central/dt =  k transit - CL C               C = central / V

The pharmacokinetic half of `models/warfarin_pkpd`, with its priors, so that a program in closed form can stand beside
it: what the labs cannot tell apart (a lag and a rate of each volunteer, `models/warfarin`) no sampler has to separate.
Sources: there, and docs/decisions/0016-absorption-that-the-samples-can-tell.md.
"""

from bayestwin.specification import (
    LKJ,
    Combined,
    HalfNormal,
    Linear,
    LogNormal,
    Model,
    Normal,
    Observation,
    Parameter,
    Power,
)

FASTEST = 0.65  # h: samples lie half an hour apart at least


def initial_state(p):
    """Amounts before the first dose, mg."""
    return {"depot": 0.0, "transit": 0.0, "central": 0.0}


def vector_field(t, y, p, u):
    """Flows, mg/h."""
    k = 2.0 / (p.MAT**4 + FASTEST**4) ** 0.25
    return {
        "depot": -k * y.depot,
        "transit": k * (y.depot - y.transit),
        "central": k * y.transit - p.CL / p.V * y.central,
    }


def concentration(t, y, p, u):
    """Plasma concentration of total warfarin, mg/L."""
    return y.central / p.V


HOLFORD = "holford1986"

model = Model(
    name="warfarin_pk",
    label="warfarin, oral, two equal steps of absorption",
    context_of_use="testing: a population fit beside a second program",
    time_unit="h",
    dose_unit="mg",
    steps=Linear(),
    states=("depot", "transit", "central"),
    initial_state=initial_state,
    vector_field=vector_field,
    routes={"oral": "depot", "iv": "central"},
    parameters=(
        Parameter(
            "MAT",
            unit="h",
            scale="log",
            typical=LogNormal(median=2.0, sd_log=0.5),
            between=HalfNormal(sd=0.5),
            source="highest between 2 and 6 h (holford1986)",
            mark="assumed",
        ),
        Parameter(
            "CL",
            unit="L/h",
            scale="log",
            typical=LogNormal(median=0.17, sd_log=0.5),
            between=HalfNormal(sd=0.5),
            covariates=(Power("weight_kg", reference=70, exponent=Normal(mean=0.75, sd=0.2)),),
            source=HOLFORD,
        ),
        Parameter(
            "V",
            unit="L",
            scale="log",
            typical=LogNormal(median=10.0, sd_log=0.5),
            between=HalfNormal(sd=0.5),
            covariates=(Power("weight_kg", reference=70, exponent=Normal(mean=1.0, sd=0.2)),),
            source=HOLFORD,
        ),
    ),
    correlation=LKJ(concentration=2.0, over=("CL", "V")),
    outputs={"concentration": concentration},
    observations=(
        Observation(
            "concentration",
            unit="mg/L",
            error=Combined(sd=HalfNormal(sd=0.5), cv=HalfNormal(sd=0.2)),
            plausible=(0.0, 60.0),
            positive=False,
            label="warfarin",
        ),
    ),
    covariate_units={"weight_kg": "kg"},
)
