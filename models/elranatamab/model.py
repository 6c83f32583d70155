"""Elranatamab subcutaneously or intravenously: two compartments, bound to soluble BCMA in quasi-equilibrium.

Total drug A (mg, or a nmol) and total soluble BCMA S (nmol) in plasma share a complex X (nmol), each in a volume of its
own; with a' = a - X, s' = S - X free:   (a'/Vc) (s'/Vs) = Kd X/Vx

    d depot/dt      = -ka depot                        a share F of a subcutaneous dose arrives
    d central/dt    =  ka depot - (CL/Vc) A' - (CLx/Vx) X - Q (A'/Vc - peripheral/Vp)        A' = a' in mg, X in mg
    d peripheral/dt =  Q (A'/Vc - peripheral/Vp)
    d target/dt     =  CLs (S0 - s'/Vs) - (CLx/Vx) X                                         nmol/day

Source: Hibma et al. (2026), Clin Pharmacokinet 65:1173, n = 321 (table 2, read through the transcription in nlmixr2lib:
second-hand). Here the printed "CV" is 100 omega. The variability of CLs (448 %, no physiological turnover), Vs, CLx and Vx is left
out, and so is that which the paper fixed at 15 % for its algorithm. The SD of a typical value's prior is its published
relative standard error. Marks: verified (second-hand).
"""

from math import log

from bayestwin.dynamics.blocks import eliminated, exchanged, first_order, quasi_equilibrium, turnover
from bayestwin.specification import (
    Category,
    Dosing,
    LogitNormal,
    LogNormal,
    Model,
    Normal,
    Observation,
    Parameter,
    Power,
    Proportional,
    Regimen,
    Treatment,
)

NMOL = 1000.0 / 148.0  # per mg; molar mass 148 kDa


def initial_state(p):
    """No drug; soluble BCMA at its baseline, nmol."""
    return {"depot": 0.0, "central": 0.0, "peripheral": 0.0, "target": p.S0 * p.Vs}


def bound(y, p):
    """Free drug, complex and free soluble BCMA, nmol."""
    return quasi_equilibrium(y.central * NMOL, y.target, p.Kd * p.Vc * p.Vs / p.Vx)


def vector_field(t, y, p, u):
    """Flows, mg/day; of the target nmol/day."""
    now = bound(y, p)
    free, complex_lost = now.free / NMOL, eliminated(now.complex, p.CLx, p.Vx)
    absorbed, shared = first_order(y.depot, p.ka), exchanged(free, p.Vc, y.peripheral, p.Vp, p.Q)
    return {
        "depot": -absorbed,
        "central": absorbed - eliminated(free, p.CL, p.Vc) - complex_lost / NMOL - shared,
        "peripheral": shared,
        "target": turnover(now.target / p.Vs, p.CLs * p.S0, p.CLs) - complex_lost,
    }


def concentration(t, y, p, u):
    """Free drug in serum, mg/L."""
    return bound(y, p).free / NMOL / p.Vc


def total_concentration(t, y, p, u):
    """Free and bound drug in serum, mg/L."""
    now = bound(y, p)
    return (now.free / p.Vc + now.complex / p.Vx) / NMOL


def free_sbcma(t, y, p, u):
    """Free soluble BCMA, nmol/L; 1 nmol/L is 5.4 ng/mL."""
    return bound(y, p).target / p.Vs


def total_sbcma(t, y, p, u):
    """Free and bound soluble BCMA, nmol/L."""
    now = bound(y, p)
    return now.target / p.Vs + now.complex / p.Vx


def between(omega):
    """Prior of the SD between patients around the published one; its spread is assumed."""
    return LogNormal(median=omega, sd_log=0.2)


def error(cv):
    """Proportional residual error around a published one."""
    return Proportional(cv=LogNormal(median=cv, sd_log=0.1))


HIBMA = {"source": "hibma2026", "mark": "verified"}
step_up = Regimen.single("12 mg", route="sc").then(Regimen.single("32 mg", route="sc"), at="3 days")
weekly = Regimen.repeated("76 mg", route="sc", every="7 days", times=24)
fortnightly = Regimen.repeated("76 mg", route="sc", every="14 days", times=14)

model = Model(
    name="elranatamab",
    label="elranatamab, subcutaneous",
    context_of_use="Research use only: adults with relapsed multiple myeloma under elranatamab; concentrations, soluble BCMA and their spread.",
    time_unit="day",
    dose_unit="mg",
    states=("depot", "central", "peripheral", "target"),
    initial_state=initial_state,
    vector_field=vector_field,
    routes={"sc": "depot", "iv": "central"},
    dosing=(Dosing("sc", bioavailability="F"),),
    parameters=(
        Parameter("CL", unit="L/day", scale="log", typical=LogNormal(median=0.324, sd_log=0.091), between=between(1.00),
                  covariates=(Category("sex", "female", shift=Normal(mean=log(0.508), sd=0.12)),), **HIBMA),
        Parameter("Vc", unit="L", scale="log", typical=LogNormal(median=4.777, sd_log=0.057), between=between(0.686),
                  covariates=(Power("weight_kg", reference=71.45, exponent=Normal(mean=1.017, sd=0.227)),), **HIBMA),
        Parameter("Vp", unit="L", scale="log", typical=LogNormal(median=2.83, sd_log=0.018), **HIBMA),
        Parameter("Q", unit="L/day", scale="log", typical=LogNormal(median=0.225, sd_log=0.019), **HIBMA),
        Parameter("ka", unit="1/day", scale="log", typical=LogNormal(median=0.287, sd_log=0.044), between=between(0.684),
                  covariates=(Power("age_years", reference=66.0, exponent=Normal(mean=-1.459, sd=0.292)),), **HIBMA),
        Parameter("F", unit="", scale="logit", typical=LogitNormal(median=0.562, sd_logit=0.02), **HIBMA),
        Parameter("CLs", unit="L/day", scale="log", typical=LogNormal(median=0.273, sd_log=0.21), **HIBMA),
        Parameter("Vs", unit="L", scale="log", typical=LogNormal(median=15.418, sd_log=0.109), **HIBMA),
        Parameter("S0", unit="nmol/L", scale="log", typical=LogNormal(median=6.914, sd_log=0.078), between=between(1.346), **HIBMA),
        Parameter("CLx", unit="L/day", scale="log", typical=LogNormal(median=0.164, sd_log=0.092), **HIBMA),
        Parameter("Vx", unit="L", scale="log", typical=LogNormal(median=3.802, sd_log=0.048), **HIBMA),
        Parameter("Kd", unit="nmol/L", scale="log", typical=LogNormal(median=3.138, sd_log=0.033), **HIBMA),
    ),
    outputs={"concentration": concentration, "total_concentration": total_concentration,
             "free_sbcma": free_sbcma, "total_sbcma": total_sbcma},
    observations=(
        Observation("concentration", unit="mg/L", error=error(0.347), plausible=(0.0, 2_000.0), label="elranatamab, free", source="hibma2026"),
        Observation("total_concentration", unit="mg/L", error=error(0.422), plausible=(0.0, 2_000.0), label="elranatamab, total", source="hibma2026"),
        Observation("free_sbcma", unit="nmol/L", error=error(0.518), plausible=(0.0, 10_000.0), label="soluble BCMA, free", source="hibma2026"),
        Observation("total_sbcma", unit="nmol/L", error=error(0.347), plausible=(0.0, 10_000.0), label="soluble BCMA, total", source="hibma2026"),
    ),
    treatments=(
        Treatment("standard", label="12, 32, then 76 mg weekly, every two weeks after 24 weeks", starts_with="dose",
                  regimen=step_up.then(weekly, at="7 days").then(fortnightly, at="175 days"), source="hibma2026"),
    ),
    covariate_units={"weight_kg": "kg", "age_years": "year", "sex": ""},
)
