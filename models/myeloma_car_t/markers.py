"""Routine and research labs beside M-protein, light chains, transgene: algebraic in the states, one level per patient.

B burden, N normal plasma cells relative to health, C transgene of the current product, tau days since its infusion:

    immunofixation    logit P(positive) = 3 ln((P + band) / limit), band of a therapeutic antibody while it is given
    uninvolved FLC    U N                                     (half-life of hours: follows at once)
    IgG, IgA, IgM     11, 2, 1 g/L times level N, and the M-protein of that class
    lymphocytes       L (1 - 0.9 e^(-tau / recovery)) + bystanders k C / 1000         10*9/L, k C CAR+ cells per uL
    CAR+ cells        k C                                     (k by product: copies/ug of two products are no one scale)
    LDH, B2M          level (1 - s + s B)
    ferritin, CRP     level (1 + release x e^(1 - x)), x = tau / 8 after an infusion of cells
    plasma cells      100 sigma(logit phi + ln B) %           Deauville severity  level + slope ln B
    soluble BCMA      floor + level B                         (half-life of a day or two: follows at once)

Sources and marks stand with each line; where it says assumed the size is a guess within what is printed, so wide.
"""

import jax
import jax.numpy as jnp

from bayestwin.specification import (
    Category,
    Fixed,
    LogitNormal,
    LogNormal,
    LogNormalError,
    Normal,
    Observation,
    Ordinal,
    Parameter,
    Power,
)

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
    return p.LDH_level * (1.0 - p.LDH_share + p.LDH_share * _burden(y))


def b2m(t, y, p, u):
    """Beta-2 microglobulin, mg/L."""
    return p.B2M_level * (1.0 - p.B2M_share + p.B2M_share * _burden(y))


def _release(p, u):
    """Course of cytokine release after the last infusion of cells, 1 at its peak."""
    x = jnp.minimum(_depletion(p, u)[1] / PEAK, 100.0)
    return x * jnp.exp(1.0 - x)


def ferritin(t, y, p, u):
    """Ferritin, ug/L."""
    return p.ferritin_level * (1.0 + p.ferritin_release * _release(p, u))


def crp(t, y, p, u):
    """C-reactive protein, mg/L."""
    return p.CRP_level * (1.0 + p.CRP_release * _release(p, u))


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


RENAL = (Power("egfr", reference=80.0, exponent=Normal(mean=-0.5, sd=0.3)),)  # assumed


def level(name, unit, median, sd, source, mark="assumed", scale="log", covariates=()):
    """A patient's own level: its spread is fixed, so that a patient without such labs costs no move."""
    known = Fixed(value=median)
    return Parameter(
        name,
        unit=unit,
        scale=scale,
        typical=known,
        between=Fixed(value=sd),
        covariates=covariates,
        source=source,
        mark=mark,
    )


def link(name, unit, median, sd_log, source, mark="assumed", treatment=""):
    """What a lab has to do with the states; the same for every patient."""
    return Parameter(
        name,
        unit=unit,
        scale="log",
        typical=LogNormal(median=median, sd_log=sd_log),
        treatment=treatment,
        source=source,
        mark=mark,
    )


def flag(name, *levels, otherwise=0.0):
    """1 for patients of these isotypes, else 0 (`otherwise` for everybody else)."""
    shifts = tuple(Category("isotype", x, shift=Fixed(value=1.0 - 2.0 * otherwise)) for x in levels)
    return Parameter(
        name,
        unit="",
        scale="identity",
        typical=Fixed(value=otherwise),
        covariates=shifts,
        source="isotype",
        mark="verified",
    )


PARAMETERS = (
    flag("light_chain", "light_chain"),
    flag("is_igg", "IgA", "light_chain", otherwise=1.0),
    flag("is_iga", "IgA"),
    Parameter(
        "is_igm",
        unit="",
        scale="identity",
        typical=Fixed(value=0.0),
        source="IgM disease is outside the context of use",
        mark="assumed",
    ),
    link(
        "paresis_burden",
        "",
        0.7,
        0.5,
        "burden that halves normal plasma cells; most patients at relapse are below normal",
    ),
    link("normal_recovery", "1/day", 0.015, 0.4, "recovery over two to three months"),
    link("normal_harm", "1/day", 0.03, 0.5, "hypogammaglobulinaemia within two months of BCMA-directed treatment"),
    link("IFE_limit", "g/L", 0.17, 0.3, "0.1 to 0.25 g/L", "verified"),
    link("antibody_band", "g/L", 0.8, 0.5, "false band of 0.5 to 2 g/L of therapeutic IgG antibodies", "memory"),
    level(
        "uninvolved_level",
        "mg/L",
        10.0,
        0.4,
        "normal kappa 3.3 to 19.4, lambda 5.7 to 26.3 mg/L",
        "memory",
        covariates=RENAL,
    ),
    level("immunoglobulin_level", "", 1.0, 0.35, "normal ranges 7 to 16, 0.7 to 4, 0.4 to 2.3 g/L", "memory"),
    level("ALC_level", "10*9/L", 1.2, 0.4, "normal 1 to 4, lower after several lines"),
    link("ALC_recovery", "day", 21.0, 0.4, "recovery of lymphocytes after fludarabine"),
    link(
        "ALC_bystanders",
        "",
        2.5,
        0.5,
        "lymphocytes per CAR+ cell at the peak; the peak follows CAR+ cells, R = 0.79, n = 355",
    ),
    link(
        "cells_per_copy_ide_cel",
        "",
        0.0025,
        0.7,
        "as cilta-cel, its copies/ug a quarter as many cells",
        treatment="ide_cel",
    ),
    link(
        "cells_per_copy_cilta_cel",
        "",
        0.0099,
        0.7,
        "6.6e-6 WBC / VCN, WBC 3000 per uL, VCN 2",
        "derived",
        treatment="cilta_cel",
    ),
    level("LDH_level", "U/L", 210.0, 0.35, "upper limit of normal about 250, by laboratory"),
    Parameter(
        "LDH_share",
        unit="",
        scale="logit",
        typical=LogitNormal(median=0.08, sd_logit=0.8),
        source="small",
        mark="assumed",
    ),
    level("B2M_level", "mg/L", 3.9, 0.5, "isatuximab cohort median 3.9 mg/L (Fau 2020)", "verified", covariates=RENAL),
    Parameter(
        "B2M_share",
        unit="",
        scale="logit",
        typical=LogitNormal(median=0.4, sd_logit=0.6),
        source="rest is healthy cells and kidney",
        mark="assumed",
    ),
    level("ferritin_level", "ug/L", 350.0, 1.0, "normal to 400, often higher after several lines"),
    link("ferritin_release", "", 2.0, 0.7, "several-fold rise with cytokine release"),
    level("CRP_level", "mg/L", 4.0, 0.9, "normal below 5"),
    link("CRP_release", "", 8.0, 0.7, "rise with fever of cytokine release"),
    level("marrow_share", "", 0.3, 1.3, "30 % plasma cells at baseline, 5 to 90 %", scale="logit"),
    level(
        "PET_level",
        "",
        1.5,
        1.0,
        "most have an avid lesion at relapse",
        scale="identity",
        covariates=(Category("extramedullary", "1", shift=Normal(mean=1.0, sd=0.7)),),
    ),
    link("PET_slope", "", 0.5, 0.5, "a tenfold fall takes about one score"),
    level(
        "sBCMA_level",
        "ng/mL",
        45.0,
        0.9,
        "MagnetisMM median 8.29 nM = 45 ng/mL, 0 to 267 nM; Poels 1 to 830 ng/mL",
        "verified",
    ),
    link("sBCMA_floor", "ng/mL", 5.0, 0.7, "what is left in deep remission"),
)


def lab(output, unit, high, sd, label, source, layer="routine", low=None):
    """A lab with a log-normal error and heavy tails: real extracts contain errors of unit and sample."""
    return Observation(
        output,
        unit=unit,
        error=LogNormalError(sd=Fixed(value=sd), nu=5.0),
        plausible=(0.0, high),
        positive=True,
        lower_limit=low,
        label=label,
        layer=layer,
        source=source,
    )


OBSERVATIONS = (
    Observation(
        "ife_serum",
        unit="",
        distribution=Ordinal(categories=("negative", "positive"), cut_points=(Fixed(value=0.0),)),
        label="immunofixation, serum",
        source="CR by immunofixation, 0.1 to 0.25 g/L; steepness assumed",
    ),
    lab("uninvolved_flc", "mg/L", 20_000.0, 0.25, "uninvolved free light chains", "0.15 to 0.25"),
    *(
        lab(
            name,
            "g/L",
            150.0,
            0.25,
            f"total {name[0].upper()}{name[1]}{name[2].upper()}",
            "assay and level of the class; assumed",
        )
        for name in IMMUNOGLOBULINS
    ),
    lab("alc", "10*9/L", 200.0, 0.35, "lymphocytes", "0.25 for blood counts, and viral infections; assumed"),
    lab("ldh", "U/L", 20_000.0, 0.2, "LDH", "assumed"),
    lab("b2m", "mg/L", 200.0, 0.2, "beta-2 microglobulin", "assumed"),
    lab("ferritin", "ug/L", 500_000.0, 0.5, "ferritin", "0.5"),
    lab("crp", "mg/L", 1_000.0, 0.9, "C-reactive protein", "0.5, and infections; assumed", low=1.0),
    lab("marrow_plasma_cells", "%", 100.0, 0.8, "plasma cells in marrow", "a local sample; assumed"),
    Observation(
        "deauville",
        unit="",
        distribution=Ordinal(categories=(1, 2, 3, 4, 5), cut_points=(Fixed(value=-2.0), *[Fixed(value=1.0)] * 3)),
        label="Deauville score of PET-CT",
        source="assumed",
    ),
    lab(
        "car_t_cells",
        "cells/uL",
        1e6,
        0.6,
        "CAR+ T cells by flow cytometry",
        "0.56 as for transgene (Stein 2019)",
        "research",
        1.0,
    ),
    lab("sbcma", "ng/mL", 1e5, 0.4, "soluble BCMA", "0.35 to 0.5 (Hibma)", "research", 1.0),
)
