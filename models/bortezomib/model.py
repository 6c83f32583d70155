"""Bortezomib: dose intensity (K-PD), for the kill of a disease model.

    d bortezomib/dt = -kE bortezomib        doses go into the virtual depot; intensity = kE bortezomib, mg/day

Monthly M-protein cannot see hourly concentrations: what counts is how much was given and how long it acts. Over a long
time the mean intensity is the dose per day whatever kE is. Form: Jacqmin et al. (2007), J Pharmacokinet Pharmacodyn 34:57.
kE: inhibition of the proteasome fades with a half-life of 24 to 72 h (assumed); the drug itself stays far longer in tissue.
"""

from math import log

from bayestwin.dynamics.blocks import dose_intensity
from bayestwin.specification import LogNormal, Model, Parameter, Regimen, Treatment


def initial_state(p):
    """Nothing given yet, mg."""
    return {"bortezomib": 0.0}


def vector_field(t, y, p, u):
    """Loss of the virtual depot, mg/day."""
    return {"bortezomib": -dose_intensity(y.bortezomib, p.kE)}


def intensity(t, y, p, u):
    """The rate at which doses act, mg/day."""
    return dose_intensity(y.bortezomib, p.kE)


cycles = Regimen.on_days("1.3 mg/m2", days=(1, 4, 8, 11), route="sc").again(every="21 days", times=8)

model = Model(
    name="bortezomib",
    label="bortezomib, dose intensity",
    context_of_use="Research use only: the drug part of a disease model of multiple myeloma; it measures nothing by itself.",
    time_unit="day",
    dose_unit="mg",
    states=("bortezomib",),
    initial_state=initial_state,
    vector_field=vector_field,
    routes={"sc": "bortezomib"},
    parameters=(
        Parameter("kE", unit="1/day", scale="log", typical=LogNormal(median=log(2.0) / (24.0 * 72.0) ** 0.5 * 24.0, sd_log=0.56),
                  source="half-life of the inhibition 24 to 72 h", mark="assumed"),
    ),
    outputs={"intensity": intensity},
    observations=(),
    treatments=(
        Treatment("vd", label="1.3 mg/m2 on days 1, 4, 8 and 11 of 21", starts_with="dose", regimen=cycles, source="CASTOR, label"),
    ),
)
