"""Dexamethasone: dose intensity (K-PD), for the kill of a disease model.

    d dexamethasone/dt = -kE dexamethasone        doses go into the virtual depot; intensity = kE dexamethasone, mg/day

Monthly M-protein cannot see hourly concentrations: what counts is how much was given and how long it acts. Over a long
time the mean intensity is the dose per day whatever kE is. Form: Jacqmin et al. (2007), J Pharmacokinet Pharmacodyn 34:57.
kE: half-life in plasma 4.1 h, from Ozdin et al. (2025), CL 15.8 L/h and V 93 L after conversion from the phosphate (second-hand).
"""

from bayestwin.dynamics.blocks import dose_intensity
from bayestwin.specification import LogNormal, Model, Parameter, Regimen, Treatment


def initial_state(p):
    """Nothing given yet, mg."""
    return {"dexamethasone": 0.0}


def vector_field(t, y, p, u):
    """Loss of the virtual depot, mg/day."""
    return {"dexamethasone": -dose_intensity(y.dexamethasone, p.kE)}


def intensity(t, y, p, u):
    """The rate at which doses act, mg/day."""
    return dose_intensity(y.dexamethasone, p.kE)


cycles = Regimen.repeated("40 mg", route="oral", every="7 days", times=52)

model = Model(
    name="dexamethasone",
    label="dexamethasone, dose intensity",
    context_of_use="Research use only: the drug part of a disease model of multiple myeloma; it measures nothing by itself.",
    time_unit="day",
    dose_unit="mg",
    states=("dexamethasone",),
    initial_state=initial_state,
    vector_field=vector_field,
    routes={"oral": "dexamethasone"},
    parameters=(
        Parameter("kE", unit="1/day", scale="log", typical=LogNormal(median=24.0 * 15.8 / 93.0, sd_log=1.0),
                  source="ozdin2025, CL over V", mark="derived; that the effect follows plasma is assumed"),
    ),
    outputs={"intensity": intensity},
    observations=(),
    treatments=(
        Treatment("weekly", label="40 mg weekly", starts_with="dose", regimen=cycles, source="Rd, label"),
    ),
)
