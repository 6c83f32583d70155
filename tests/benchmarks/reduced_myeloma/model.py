"""Multiple myeloma under one drug, reduced to what M-protein and free light chains tell: the core of `myeloma_car_t`.

Burden B = S + R relative to the start of treatment; a share f of it does not respond, and with chance p a patient is a
non-responder, whose share is f_nr:

    d ln S/dt = g (1 - B/1000) - kS        d ln R/dt = g (1 - B/1000)        dP/dt = kP (P0 B^gamma - P)
    FLC = floor + FLC0 B^gF

Equations, priors and errors are those of models/myeloma_car_t (sources there), the drug's are of its row dara_pd;
twenty treatments, drift, hazards and the other labs are left out. Context of use: a benchmark of population fits.
"""

import jax.numpy as jnp

from bayestwin.specification import (
    Combined,
    Fixed,
    HalfNormal,
    LogitNormal,
    LogNormal,
    LogNormalError,
    Model,
    Observation,
    Parameter,
    ResponseClass,
    Steps,
    Treatment,
)

GUARD, HIGHEST = 1000.0, 7.0


def initial_state(p):
    """Half of the burden in each part, until the treatment starts; M-protein at its baseline."""
    return {"ln_sensitive": jnp.log(0.5), "ln_resistant": jnp.log(0.5), "m_protein": p.P0}


def burden(y):
    """B."""
    return jnp.exp(jnp.minimum(jnp.logaddexp(y.ln_sensitive, y.ln_resistant), HIGHEST))


def vector_field(t, y, p, u):
    """Growth and kill, 1/day; turnover of M-protein, g/L/day."""
    growth = p.g * (1.0 - burden(y) / GUARD)
    return {
        "ln_sensitive": growth - p.kS * u.on("drug"),
        "ln_resistant": growth,
        "m_protein": p.kP * (p.P0 * burden(y) ** p.gamma - y.m_protein),
    }


def at_treatment(y, p, u):
    """The burden is split anew."""
    ln_b = jnp.logaddexp(y.ln_sensitive, y.ln_resistant)
    return {"ln_sensitive": ln_b + jnp.log1p(-p.f), "ln_resistant": ln_b + jnp.log(p.f), "m_protein": y.m_protein}


def m_protein(t, y, p, u):
    """Serum M-protein, g/L."""
    return y.m_protein


def involved_flc(t, y, p, u):
    """Involved free light chains, mg/L."""
    return p.FLC_floor + p.FLC0 * burden(y) ** p.gF


def parameter(name, unit, median, sd_log, between):
    """A parameter on the log scale."""
    typical = LogNormal(median=median, sd_log=sd_log)
    return Parameter(name, unit=unit, scale="log", typical=typical, between=between)


model = Model(
    name="reduced_myeloma",
    label="multiple myeloma under one drug, reduced",
    context_of_use="testing: speed of a population fit",
    time_unit="day",
    steps=Steps(first=2.0, growth=1.2, largest=14.0),
    states=("ln_sensitive", "ln_resistant", "m_protein"),
    initial_state=initial_state,
    vector_field=vector_field,
    at_treatment=at_treatment,
    parameters=(
        parameter("P0", "g/L", 18.0, 0.1, LogNormal(median=0.59, sd_log=0.1)),
        parameter("kP", "1/day", 0.0504, 0.25, Fixed(value=0.15)),
        parameter("gamma", "", 1.0, 0.09, Fixed(value=0.18)),
        parameter("g", "1/day", 0.0075, 0.4, LogNormal(median=0.7, sd_log=0.2)),
        parameter("FLC0", "mg/L", 200.0, 0.7, HalfNormal(sd=1.5)),
        parameter("FLC_floor", "mg/L", 8.0, 0.4, HalfNormal(sd=0.4)),
        parameter("gF", "", 1.0, 0.09, Fixed(value=0.18)),
        parameter("kS", "1/day", 0.05, 0.5, LogNormal(median=0.8, sd_log=0.3)),
        Parameter(
            "f",
            unit="",
            scale="logit",
            typical=LogitNormal(median=0.01, sd_logit=1.0),
            between=LogNormal(median=2.67, sd_log=0.2),
        ),
        Parameter(
            "f_nonresponder",
            unit="",
            scale="logit",
            typical=LogitNormal(median=0.82, sd_logit=0.3),
            between=Fixed(value=0.25),
        ),
        Parameter("p_nonresponse", unit="", scale="logit", typical=LogitNormal(median=0.22, sd_logit=0.5)),
    ),
    response_classes=(ResponseClass("drug", parameter="f", replaced_by="f_nonresponder", probability="p_nonresponse"),),
    outputs={"m_protein": m_protein, "involved_flc": involved_flc},
    observations=(
        Observation(
            "m_protein",
            unit="g/L",
            plausible=(0.0, 120.0),
            lower_limit=0.5,
            positive=False,
            label="M-protein",
            error=Combined(sd=LogNormal(median=0.5, sd_log=0.15), cv=LogNormal(median=0.10, sd_log=0.15), nu=5.0),
        ),
        Observation(
            "involved_flc",
            unit="mg/L",
            plausible=(0.1, 200_000.0),
            label="involved free light chains",
            error=LogNormalError(sd=LogNormal(median=0.2, sd_log=0.15), nu=5.0),
        ),
    ),
    treatments=(Treatment("drug", label="a drug"),),
)
