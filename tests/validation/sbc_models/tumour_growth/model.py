"""The size of a tumour under treatment in closed form: a part shrinks, the rest grows.

    size = base (exp(-d t) + exp(g t) - 1)

Source: Stein et al. (2011), Clin Cancer Res 17:907. Context of use: calibration of the fit.
"""

import jax.numpy as jnp

from bayestwin.specification import LogNormal, LogNormalError, Model, Observation, Parameter, Steps


def initial_state(p):
    """Nothing is solved."""
    return {"one": 1.0}


def vector_field(t, y, p, u):
    """Nothing is solved."""
    return {"one": 0.0 * y.one}


def size(t, y, p, u):
    """Sum of longest diameters, mm."""
    return p.base * (jnp.exp(-p.d * t) + jnp.expm1(jnp.minimum(p.g * t, 20.0))) * y.one


model = Model(
    name="tumour_growth",
    time_unit="day",
    states=("one",),
    initial_state=initial_state,
    vector_field=vector_field,
    steps=Steps(first=1000.0, growth=1.0, largest=1000.0),
    parameters=(
        Parameter(
            "base",
            unit="mm",
            scale="log",
            typical=LogNormal(median=60.0, sd_log=0.3),
            between=LogNormal(median=0.4, sd_log=0.3),
        ),
        Parameter(
            "d",
            unit="1/day",
            scale="log",
            typical=LogNormal(median=0.008, sd_log=0.4),
            between=LogNormal(median=0.5, sd_log=0.3),
        ),
        Parameter(
            "g",
            unit="1/day",
            scale="log",
            typical=LogNormal(median=0.0015, sd_log=0.4),
            between=LogNormal(median=0.5, sd_log=0.3),
        ),
    ),
    outputs={"size": size},
    observations=(
        Observation(
            "size",
            unit="mm",
            error=LogNormalError(sd=LogNormal(median=0.12, sd_log=0.3)),
            plausible=(0.5, 400.0),
            lower_limit=20.0,
        ),
    ),
)
