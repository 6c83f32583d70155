"""Lenalidomide: dose intensity (K-PD), for the kill of a disease model.

    d lenalidomide/dt = -kE lenalidomide        doses go into the virtual depot; intensity = kE lenalidomide, mg/day

Monthly M-protein cannot see hourly concentrations: what counts is how much was given and how long it acts. Over a long
time the mean intensity is the dose per day whatever kE is. Form: Jacqmin et al. (2007), J Pharmacokinet Pharmacodyn 34:57.
kE: half-life in plasma 3 to 4 h (review, abstract), kept until something says that the effect outlasts it.
"""

from math import log

from bayestwin.dynamics.blocks import dose_intensity
from bayestwin.specification import LogNormal, Model, Parameter, Regimen, Treatment


def initial_state(p):
    """Nothing given yet, mg."""
    return {"lenalidomide": 0.0}


def vector_field(t, y, p, u):
    """Loss of the virtual depot, mg/day."""
    return {"lenalidomide": -dose_intensity(y.lenalidomide, p.kE)}


def intensity(t, y, p, u):
    """The rate at which doses act, mg/day."""
    return dose_intensity(y.lenalidomide, p.kE)


cycles = Regimen.on_days("25 mg", days=range(1, 22), route="oral").again(every="28 days", times=13)

model = Model(
    name="lenalidomide",
    label="lenalidomide, dose intensity",
    context_of_use="Research use only: the drug part of a disease model of multiple myeloma; it measures nothing by itself.",
    time_unit="day",
    dose_unit="mg",
    states=("lenalidomide",),
    initial_state=initial_state,
    vector_field=vector_field,
    routes={"oral": "lenalidomide"},
    parameters=(
        Parameter("kE", unit="1/day", scale="log", typical=LogNormal(median=24.0 * log(2.0) / 3.5, sd_log=0.5),
                  source="half-life 3 to 4 h, review", mark="verified abstract; that the effect follows plasma is assumed"),
    ),
    outputs={"intensity": intensity},
    observations=(),
    treatments=(
        Treatment("rd", label="25 mg on days 1 to 21 of 28", starts_with="dose", regimen=cycles, source="POLLUX, label"),
    ),
)
