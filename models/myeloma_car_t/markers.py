"""Routine and research labs beside M-protein, light chains, transgene: algebraic in the states, one level per patient.

B burden, N normal plasma cells relative to health, C transgene of the current product, tau days since its infusion:

    immunofixation    logit P(positive) = 3 ln((P + band) / limit), band of a therapeutic antibody while it is given
    uninvolved FLC    U N                                     (half-life of hours: follows at once)
    IgG, IgA, IgM     11, 2, 1 g/L times level N, and the M-protein of that class
    lymphocytes       L (1 - 0.9 e^(-tau / recovery)) + bystanders k C / 1000         10*9/L, k C CAR+ cells per uL
    CAR+ cells        k C                                     (k by product: copies/ug of two products are no one scale)
    LDH, B2M          level (1 - s + s B), LDH times (g / 0.0075)^a: more where the disease grows faster
    ferritin, CRP     level e^(-l z (1 - c)) (1 + release c), c = x e^(1 - x), x = tau / 8 after an infusion of cells,
                      z T-cell fitness: at the peak of release, which follows expansion, they say nothing of it
    plasma cells      100 sigma(logit phi + ln B) %           Deauville severity  level + slope ln B
    soluble BCMA      floor + level B                         (half-life of a day or two: follows at once)

What they are made of stands in marker_labs.py.
"""

import jax
import jax.numpy as jnp

from .access import TYPICAL_GROWTH
from .mechanism import CELLS, HIGHEST, given, log_burden, log_transgene

IMMUNOGLOBULINS = {"igg": 11.0, "iga": 2.0, "igm": 1.0}  # g/L, middle of the normal range (memory)
DEPLETED = 0.9  # share of lymphocytes that lymphodepletion takes
PEAK = 8.0  # days after infusion at which cytokine release peaks, assumed; median onset 1 d ide-cel, 7 d cilta-cel


def _burden(y):
    return jnp.exp(jnp.minimum(log_burden(y), 0.6 * HIGHEST))  # what follows B directly ends at 67 times the baseline


def ife_serum(t, y, p, u):
    """Log-odds of a positive immunofixation of serum."""
    band = p.antibody_band * given(u, "igg_kappa")
    return 3.0 * (jnp.log(jnp.maximum(y.m_protein, 1e-6) + band) - jnp.log(p.IFE_limit))


def uninvolved_flc(t, y, p, u):
    """Uninvolved free light chains, mg/L."""
    return p.uninvolved_level * y.normal_cells


def _immunoglobulin(name):
    def total(t, y, p, u):
        """Total immunoglobulin of one class, g/L, M-protein included."""
        return IMMUNOGLOBULINS[name] * p.immunoglobulin_level * y.normal_cells + getattr(p, f"is_{name}") * y.m_protein

    return total


def car_t_cells(t, y, p, u):
    """CAR+ T cells in blood by flow cytometry, cells/uL."""
    return sum(
        getattr(p, f"cells_per_copy_{x}")
        * jnp.exp(log_transgene(u.since(x), getattr(p, f"Cmax_{x}"), getattr(p, f"fB_{x}"), getattr(p, f"beta_{x}"), p))
        for x in CELLS
    )


def _depletion(p, u):
    """Share of lymphocytes that the last lymphodepletion still takes."""
    since = jnp.stack([u.since(x) for x in CELLS])
    last = jnp.min(jnp.where(since >= 0.0, since, 1e6))
    return DEPLETED * jnp.exp(-last / p.ALC_recovery), last


def alc(t, y, p, u):
    """Absolute lymphocyte count, 10*9/L."""
    depleted, _ = _depletion(p, u)
    return p.ALC_level * (1.0 - depleted) + p.ALC_bystanders * car_t_cells(t, y, p, u) / 1000.0


def ldh(t, y, p, u):
    """Lactate dehydrogenase, U/L."""
    return p.LDH_level * (1.0 - p.LDH_share + p.LDH_share * _burden(y)) * (p.g / TYPICAL_GROWTH) ** p.LDH_on_growth


def b2m(t, y, p, u):
    """Beta-2 microglobulin, mg/L."""
    return p.B2M_level * (1.0 - p.B2M_share + p.B2M_share * _burden(y))


def _release(p, u):
    """Course of cytokine release after the last infusion of cells, 1 at its peak."""
    x = jnp.minimum(_depletion(p, u)[1] / PEAK, 100.0)
    return x * jnp.exp(1.0 - x)


def ferritin(t, y, p, u):
    """Ferritin, ug/L."""
    course = _release(p, u)
    unfit = jnp.exp(-p.loading_ferritin * p.fitness * (1.0 - course))
    return p.ferritin_level * unfit * (1.0 + p.ferritin_release * course)


def crp(t, y, p, u):
    """C-reactive protein, mg/L."""
    course = _release(p, u)
    unfit = jnp.exp(-p.loading_crp * p.fitness * (1.0 - course))
    return p.CRP_level * unfit * (1.0 + p.CRP_release * course)


def marrow_plasma_cells(t, y, p, u):
    """Plasma cells in marrow, %."""
    logit = jnp.log(p.marrow_share) - jnp.log1p(-p.marrow_share)
    return 100.0 * jax.nn.sigmoid(logit + jnp.clip(log_burden(y), -25.0, HIGHEST))


def deauville(t, y, p, u):
    """Severity of the Deauville score of PET-CT, logit scale."""
    return p.PET_level + p.PET_slope * jnp.clip(log_burden(y), -12.0, HIGHEST)


def sbcma(t, y, p, u):
    """Soluble BCMA, ng/mL."""
    return p.sBCMA_floor + p.sBCMA_level * _burden(y)


OUTPUTS = {
    "ife_serum": ife_serum,
    "uninvolved_flc": uninvolved_flc,
    **{k: _immunoglobulin(k) for k in IMMUNOGLOBULINS},
    "alc": alc,
    "ldh": ldh,
    "b2m": b2m,
    "ferritin": ferritin,
    "crp": crp,
    "marrow_plasma_cells": marrow_plasma_cells,
    "deauville": deauville,
    "car_t_cells": car_t_cells,
    "sbcma": sbcma,
}
