"""Theophylline after one oral dose of 320 mg in closed form: the fastest model with three individual parameters.

    concentration = 320 ka / (V (ka - k)) (exp(-k t) - exp(-ka t)),    k = CL / V

Where ka and k are equal to a millionth they are taken a millionth apart. Context of use: calibration of the fit.
"""

import jax.numpy as jnp

from bayestwin.specification import (
    Additive,
    LogNormal,
    Model,
    Observation,
    Parameter,
    Steps,
)

SPREAD = LogNormal(median=0.3, sd_log=0.3)


def initial_state(p):
    """Nothing is solved."""
    return {"one": 1.0}


def vector_field(t, y, p, u):
    """Nothing is solved."""
    return {"one": 0.0 * y.one}


def concentration(t, y, p, u):
    """Plasma concentration, mg/L."""
    k = p.CL / p.V
    gap = jnp.where(jnp.abs(p.ka - k) < 1e-6, 1e-6, p.ka - k)
    return 320.0 * p.ka / (p.V * gap) * (jnp.exp(-k * t) - jnp.exp(-p.ka * t)) * y.one


model = Model(
    name="theophylline_closed",
    time_unit="h",
    states=("one",),
    initial_state=initial_state,
    vector_field=vector_field,
    steps=Steps(first=1000.0, growth=1.0, largest=1000.0),
    parameters=(
        Parameter("ka", unit="1/h", scale="log", typical=LogNormal(median=1.5, sd_log=0.5), between=SPREAD),
        Parameter("CL", unit="L/h", scale="log", typical=LogNormal(median=2.8, sd_log=0.5), between=SPREAD),
        Parameter("V", unit="L", scale="log", typical=LogNormal(median=32.0, sd_log=0.5), between=SPREAD),
    ),
    outputs={"concentration": concentration},
    observations=(
        Observation(
            "concentration",
            unit="mg/L",
            error=Additive(sd=LogNormal(median=0.5, sd_log=0.3)),
            plausible=(0.0, 60.0),
            positive=False,
            lower_limit=1.0,
        ),
    ),
)
