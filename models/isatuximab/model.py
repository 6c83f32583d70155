"""Isatuximab intravenously: two compartments, a linear clearance that falls as a sigmoid of time, and a saturable one.

    d central/dt    = -(CL(t)/Vc) central - Vm Vc C / (Km + C) - Q (central/Vc - peripheral/Vp)
    d peripheral/dt =  Q (central/Vc - peripheral/Vp)                         C = central / Vc
    CL(t) = CL_steady exp(CL_fall (1 - t^h / (t50^h + t^h)))                  t since the first dose

Source: Fau et al. (2020), CPT Pharmacometrics Syst Pharmacol 9:649, n = 476 (table S3, read through the transcription in
nlmixr2lib: second-hand). Published per hour, here per day; Vm is a rate per volume, so that Vm Vc is an amount per day. Omegas
from CV: omega^2 = ln(1 + CV^2); CL_fall is normal, its SD 0.972 * 0.664. The reference is not IgG here and IgG in the paper:
the same model, but a patient without an isotype stands at the other end. Vc is that of the marketed material (P2F2).
SDs of typical values and effects: assumed. Marks: verified (second-hand), derived, assumed.
"""

from math import exp

import jax.numpy as jnp

from bayestwin.dynamics.blocks import eliminated, exchanged, michaelis_menten, sigmoid_decline
from bayestwin.specification import (
    Category,
    Combined,
    Fixed,
    LogNormal,
    Model,
    Normal,
    Observation,
    Parameter,
    Power,
    Regimen,
    Treatment,
    omega_from_cv,
)

HOURS = 24.0  # per day


def initial_state(p):
    """Amounts before the first dose, mg."""
    return {"central": 0.0, "peripheral": 0.0}


def clearance(t, p):
    """Linear clearance t days after the first dose, L/day."""
    return p.CL_steady * jnp.exp(p.CL_fall * sigmoid_decline(t, p.t50, p.hill))


def vector_field(t, y, p, u):
    """Flows, mg/day."""
    saturable = michaelis_menten(y.central, p.Vm * p.Vc, p.Km, p.Vc)
    shared = exchanged(y.central, p.Vc, y.peripheral, p.Vp, p.Q)
    return {"central": -eliminated(y.central, clearance(t, p), p.Vc) - saturable - shared, "peripheral": shared}


def concentration(t, y, p, u):
    """Serum concentration, mg/L."""
    return y.central / p.Vc


def between(cv):
    """Prior of the SD between patients around a published CV in percent; its spread is assumed."""
    return LogNormal(median=omega_from_cv(cv), sd_log=0.2)


def typical(value):
    """Prior of a typical value whose published standard error was not at hand."""
    return LogNormal(median=value, sd_log=0.1)


def effect(value):
    """Prior of a covariate effect whose published standard error was not at hand."""
    return Normal(mean=value, sd=0.25 * abs(value))


FAU = {"source": "fau2020", "mark": "verified"}
weekly = Regimen.repeated("10 mg/kg", route="iv", every="7 days", times=4, duration="3 h")
fortnightly = Regimen.repeated("10 mg/kg", route="iv", every="14 days", times=24, duration="1.5 h")

model = Model(
    name="isatuximab",
    label="isatuximab, intravenous",
    context_of_use="Research use only: adults with multiple myeloma under intravenous isatuximab; concentrations and their spread.",
    time_unit="day",
    dose_unit="mg",
    states=("central", "peripheral"),
    initial_state=initial_state,
    vector_field=vector_field,
    routes={"iv": "central"},
    parameters=(
        Parameter("CL_steady", unit="L/day", scale="log", typical=typical(HOURS * 0.00955 * exp(-0.751)), between=between(47.5),
                  covariates=(Power("weight_kg", reference=75.6, exponent=effect(0.621)),
                              Power("b2m_mg_per_l", reference=3.9, exponent=effect(0.343)),
                              Category("isotype", "IgG", shift=effect(0.751))), source="fau2020, not IgG", mark="derived"),
        Parameter("CL_fall", unit="", scale="identity", typical=effect(0.664), between=LogNormal(median=0.972 * 0.664, sd_log=0.2), **FAU),
        Parameter("t50", unit="day", scale="log", typical=typical(1055.0 / HOURS * exp(-0.931)), between=between(115.0),
                  covariates=(Category("isotype", "IgG", shift=effect(0.931)),), source="fau2020, not IgG", mark="derived"),
        Parameter("hill", unit="", scale="log", typical=typical(3.91), between=between(118.0), **FAU),
        Parameter("Vc", unit="L", scale="log", typical=typical(5.13 * exp(-0.137)), between=between(25.7),
                  covariates=(Power("weight_kg", reference=75.6, exponent=effect(0.472)),
                              Category("sex", "female", shift=effect(-0.126)),
                              Category("asian", "1", shift=effect(-0.275))), source="fau2020, marketed material", mark="derived"),
        Parameter("Vp", unit="L", scale="log", typical=typical(3.62), between=between(45.6),
                  covariates=(Power("weight_kg", reference=75.6, exponent=effect(0.719)),), **FAU),
        Parameter("Q", unit="L/day", scale="log", typical=typical(HOURS * 0.0432), between=between(85.8),
                  covariates=(Power("weight_kg", reference=75.6, exponent=Normal(mean=0.477, sd=0.274)),), **FAU),
        Parameter("Vm", unit="mg/L/day", scale="log", typical=typical(HOURS * 0.136), between=between(61.5), **FAU),
        Parameter("Km", unit="mg/L", scale="log", typical=typical(0.300), between=between(88.9), **FAU),
    ),
    outputs={"concentration": concentration},
    observations=(
        Observation("concentration", unit="mg/L", error=Combined(sd=Fixed(value=0.00196), cv=LogNormal(median=0.225, sd_log=0.1)),
                    plausible=(0.0, 5_000.0), label="isatuximab", source="fau2020"),
    ),
    treatments=(
        Treatment("standard", label="10 mg/kg weekly x 4, then every two weeks", starts_with="dose",
                  regimen=weekly.then(fortnightly, at="28 days"), source="fau2020; infusion times assumed"),
    ),
    covariate_units={"weight_kg": "kg", "b2m_mg_per_l": "mg/L", "isotype": "", "sex": "", "asian": ""},
)
