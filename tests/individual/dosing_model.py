"""A model whose doses carry parameters, with its closed form: tablets with a lag and a share, infusions left open.

One compartment, first-order absorption from the depot, k = CL / V:

    tablet     A = F dose ka / (ka - k) (exp(-k s) - exp(-ka s)),       s = t - time of the dose - lag > 0
    infusion   A = R / k (1 - exp(-k min(s, T))) exp(-k max(s - T, 0)),  s = t - time of the dose > 0
               R the parameter and T = dose / R, or T the parameter and R = dose / T
"""

import jax.numpy as jnp

from bayestwin.dosing import DoseEvent
from bayestwin.specification import load_model

TEXT = '''
"""Tablets with a lag, infusions whose rate or duration is a parameter."""
from bayestwin.specification import *

def initial_state(p):
    return {"depot": 0.0, "central": 0.0}

def vector_field(t, y, p, u):
    return {"depot": -p.ka * y.depot, "central": p.ka * y.depot - p.CL / p.V * y.central}

def log(name, median, sd, **more):
    typical, between = LogNormal(median=median, sd_log=sd), HalfNormal(sd=0.3)
    return Parameter(name, unit="", scale="log", typical=typical, between=between, **more)

model = Model(
    name="lagged", time_unit="h", dose_unit="mg", states=("depot", "central"), steps=Linear(),
    initial_state=initial_state, vector_field=vector_field, routes={"oral": "depot", "iv": "central"},
    parameters=(
        log("ka", 1.5, 0.3), log("CL", 3.0, 0.3), log("V", 30.0, 0.3),
        log("lag", 1.0, 0.5, covariates=(Slope("fed", reference=0.0, slope=Normal(mean=0.5, sd=0.2)),)),
        Parameter("F", unit="", scale="logit", typical=LogitNormal(median=0.7, sd_logit=0.5),
                  between=HalfNormal(sd=0.3)),
        log("rate", 40.0, 0.4), log("duration", 2.0, 0.4),
    ),
    dosing=(Dosing("oral", lag="lag", bioavailability="F"), Dosing("iv", rate="rate", duration="duration")),
    outputs={"concentration": lambda t, y, p, u: y.central / p.V},
    observations=(Observation("concentration", unit="mg/L", error=Additive(sd=HalfNormal(sd=0.5)),
                              plausible=(-10.0, 1000.0), positive=False),),
    treatments=(Treatment("tablet", label="300 mg once", starts_with="dose",
                          regimen=Regimen.single("300 mg", route="oral")),),
    covariate_units={"fed": ""},
)
'''

DOSES = (
    DoseEvent(0.0, 300.0, "oral", addl=1, ii=12.0),
    DoseEvent(3.0, 100.0, "iv", modelled="duration", order=1),
    DoseEvent(7.0, 80.0, "iv", modelled="rate", order=1),
)


def write_dosing_model(folder):
    """The model, loaded from a folder of its own."""
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(TEXT, encoding="utf-8")
    return load_model(folder)


def concentration(values, times, doses=DOSES):
    """The closed form at `times`, (N,); values : name -> natural value of one patient."""
    v = {name: jnp.asarray(value) for name, value in values.items()}
    k, amount = v["CL"] / v["V"], jnp.zeros(len(times))
    for dose in (one for whole in doses for one in whole.expanded()):
        if dose.target == "oral":
            s = jnp.maximum(jnp.asarray(times) - dose.time - v["lag"], 0.0)
            share = v["F"] * dose.amount * v["ka"] / (v["ka"] - k)
            amount += share * (jnp.exp(-k * s) - jnp.exp(-v["ka"] * s))
            continue
        rate = v["rate"] if dose.modelled == "rate" else dose.amount / v["duration"]
        length = dose.amount / rate
        s = jnp.maximum(jnp.asarray(times) - dose.time, 0.0)
        amount += rate / k * -jnp.expm1(-k * jnp.minimum(s, length)) * jnp.exp(-k * jnp.maximum(s - length, 0.0))
    return amount / v["V"]
