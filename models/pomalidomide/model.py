"""Pomalidomide: dose intensity (K-PD), for the kill of a disease model.

    d pomalidomide/dt = -kE pomalidomide        doses go into the virtual depot; intensity = kE pomalidomide, mg/day

Monthly M-protein cannot see hourly concentrations: what counts is how much was given and how long it acts. Over a long
time the mean intensity is the dose per day whatever kE is. Form: Jacqmin et al. (2007), J Pharmacokinet Pharmacodyn 34:57.
kE: mean residence in the body after Li et al. (2015), n = 240 (CL/F 7.78 L/h, V2/F 69.9 and V3/F 71.5 L; second-hand).
"""

from bayestwin.dynamics.blocks import dose_intensity
from bayestwin.specification import LogNormal, Model, Parameter, Regimen, Treatment


def initial_state(p):
    """Nothing given yet, mg."""
    return {"pomalidomide": 0.0}


def vector_field(t, y, p, u):
    """Loss of the virtual depot, mg/day."""
    return {"pomalidomide": -dose_intensity(y.pomalidomide, p.kE)}


def intensity(t, y, p, u):
    """The rate at which doses act, mg/day."""
    return dose_intensity(y.pomalidomide, p.kE)


cycles = Regimen.on_days("4 mg", days=range(1, 22), route="oral").again(every="28 days", times=13)

model = Model(
    name="pomalidomide",
    label="pomalidomide, dose intensity",
    context_of_use="Research use only: the drug part of a disease model of multiple myeloma; it measures nothing by itself.",
    time_unit="day",
    dose_unit="mg",
    states=("pomalidomide",),
    initial_state=initial_state,
    vector_field=vector_field,
    routes={"oral": "pomalidomide"},
    parameters=(
        Parameter("kE", unit="1/day", scale="log", typical=LogNormal(median=24.0 * 7.78 / (69.9 + 71.5), sd_log=0.5),
                  source="li2015, CL over the whole volume", mark="derived"),
    ),
    outputs={"intensity": intensity},
    observations=(),
    treatments=(
        Treatment("pd", label="4 mg on days 1 to 21 of 28", starts_with="dose", regimen=cycles, source="APOLLO, label"),
    ),
)
