"""Diameter of one target lesion under atezolizumab or docetaxel.

With a the patient's activity (how much this lesion moves at all) and tau the time since the first dose of treatment x:

    d ln D / dt = a (g - m_x r_x exp(-r_x tau))    growth, and a kill that wears off
    ln diameter = ln D + a w(t) + e                w : Ornstein-Uhlenbeck departure (`serial`), e : reading error

m_x, the depth, is what the whole kill takes off ln D (per activity). It is a patient's own and may be negative: under
treatment x this lesion grows faster than before. Depth and rate are told apart better than the rate of kill at the
first dose (m_x r_x) and r_x are. A diameter under 2 mm, complete resolution among them, is censored there.

Sources: growth and wearing-off kill on the log scale after Claret et al. (2009), J Clin Oncol 27:4103; the departure after
Karlsson, Beal and Sheiner (1995); priors wide and assumed, see card.md.
"""

import jax.numpy as jnp

from bayestwin.specification import (
    LKJ,
    Fixed,
    HalfNormal,
    LogNormal,
    LogNormalError,
    Model,
    Normal,
    Observation,
    Parameter,
    SerialCorrelation,
    Steps,
    Treatment,
)


def initial_state(p):
    """Diameter at the first scan."""
    return {"ln_diameter": jnp.log(p.D0)}


def vector_field(t, y, p, u):
    """Rates, 1/day."""
    kill = sum(
        u.on(name) * depth * rate * jnp.exp(-rate * jnp.maximum(u.since(name), 0.0))
        for name, depth, rate in (("atezolizumab", p.depth_atz, p.r_atz), ("docetaxel", p.depth_doc, p.r_doc))
    )
    return {"ln_diameter": jnp.minimum(p.activity, 30.0) * (p.g - kill)}


def diameter(t, y, p, u):
    """Longest diameter, mm."""
    return jnp.exp(jnp.clip(y.ln_diameter, -10.0, 7.0))


model = Model(
    name="tumour_lesions",
    label="target lesion under atezolizumab or docetaxel",
    context_of_use="Research use only: one target lesion per patient, solid tumours under atezolizumab or docetaxel.",
    time_unit="day",
    steps=Steps(first=21.0, growth=1.2, largest=42.0),
    states=("ln_diameter",),
    initial_state=initial_state,
    vector_field=vector_field,
    parameters=(
        Parameter("D0", unit="mm", scale="log", typical=LogNormal(median=33.0, sd_log=0.3), between=HalfNormal(sd=0.8),
                  source="target lesions measure at least 10 mm", mark="assumed"),
        Parameter("activity", unit="", scale="log", typical=Fixed(value=1.0), between=HalfNormal(sd=1.0),
                  source="some lesions hardly move in a year, others double in a month", mark="assumed"),
        Parameter("g", unit="1/day", scale="log", typical=LogNormal(median=0.0003, sd_log=1.0),
                  source="wide", mark="assumed"),
        Parameter("depth_atz", unit="", scale="identity", typical=Normal(mean=0.0, sd=0.5), between=HalfNormal(sd=1.0),
                  treatment="atezolizumab", source="wide: half or double the diameter", mark="assumed"),
        Parameter("depth_doc", unit="", scale="identity", typical=Normal(mean=0.0, sd=0.5), between=HalfNormal(sd=1.0),
                  treatment="docetaxel", source="wide: half or double the diameter", mark="assumed"),
        Parameter("r_atz", unit="1/day", scale="log", typical=LogNormal(median=0.012, sd_log=0.4),
                  treatment="atezolizumab", source="most of a response is seen within two or three scans", mark="assumed"),
        Parameter("r_doc", unit="1/day", scale="log", typical=LogNormal(median=0.012, sd_log=0.4),
                  treatment="docetaxel", source="most of a response is seen within two or three scans", mark="assumed"),
    ),
    # not across treatments: nobody has had both, so the data say nothing of it
    correlation=LKJ(concentration=2.0, over=("activity", "depth_atz")),
    outputs={"diameter": diameter},
    observations=(
        Observation("diameter", unit="mm", plausible=(0.5, 400.0), lower_limit=2.0, label="target lesion",
                    error=LogNormalError(sd=LogNormal(median=0.03, sd_log=0.3),
                                         serial=SerialCorrelation(sd=LogNormal(median=0.15, sd_log=0.4),
                                                                  time=LogNormal(median=150.0, sd_log=0.7), scaled_by="activity")),
                    source="diameters are read to the millimetre"),
    ),
    treatments=(
        Treatment("atezolizumab", label="atezolizumab", evidence="four trials, one lesion per patient",
                  source="Ghaffari Laleh 2022"),
        Treatment("docetaxel", label="docetaxel", evidence="control arm of one randomised trial, one lesion per patient",
                  source="Ghaffari Laleh 2022"),
    ),
)
