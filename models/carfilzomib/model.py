"""Carfilzomib: dose intensity (K-PD), for the kill of a disease model.

    d carfilzomib/dt = -kE carfilzomib        doses go into the virtual depot; intensity = kE carfilzomib, mg/day

Monthly M-protein cannot see hourly concentrations: what counts is how much was given and how long it acts. Over a long
time the mean intensity is the dose per day whatever kE is. Form: Jacqmin et al. (2007), J Pharmacokinet Pharmacodyn 34:57.
kE: inhibition of the proteasome fades with a half-life of 24 to 72 h (assumed); the drug itself is gone within hours.
"""

from math import log

from bayestwin.dynamics.blocks import dose_intensity
from bayestwin.specification import LogNormal, Model, Parameter, Regimen, Treatment


def initial_state(p):
    """Nothing given yet, mg."""
    return {"carfilzomib": 0.0}


def vector_field(t, y, p, u):
    """Loss of the virtual depot, mg/day."""
    return {"carfilzomib": -dose_intensity(y.carfilzomib, p.kE)}


def intensity(t, y, p, u):
    """The rate at which doses act, mg/day."""
    return dose_intensity(y.carfilzomib, p.kE)


first = Regimen.on_days("20 mg/m2", days=(1, 2), route="iv", duration="10 min")
first = first.then(Regimen.on_days("27 mg/m2", days=(1, 2, 8, 9), route="iv", duration="10 min"), at="7 days")
later = Regimen.on_days("27 mg/m2", days=(1, 2, 8, 9, 15, 16), route="iv", duration="10 min")
cycles = first.then(later.again(every="28 days", times=12), at="28 days")

model = Model(
    name="carfilzomib",
    label="carfilzomib, dose intensity",
    context_of_use="Research use only: the drug part of a disease model of multiple myeloma; it measures nothing by itself.",
    time_unit="day",
    dose_unit="mg",
    states=("carfilzomib",),
    initial_state=initial_state,
    vector_field=vector_field,
    routes={"iv": "carfilzomib"},
    parameters=(
        Parameter("kE", unit="1/day", scale="log", typical=LogNormal(median=log(2.0) / (24.0 * 72.0) ** 0.5 * 24.0, sd_log=0.56),
                  source="half-life of the inhibition 24 to 72 h", mark="assumed"),
    ),
    outputs={"intensity": intensity},
    observations=(),
    treatments=(
        Treatment("krd", label="20, then 27 mg/m2 on days 1, 2, 8, 9, 15 and 16 of 28", starts_with="dose", regimen=cycles, source="ASPIRE, label"),
    ),
)
