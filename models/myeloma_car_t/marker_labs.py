"""Routine and research labs of markers.py: their parameters, errors, plausible ranges and layers.

Sources and marks stand with each line; where it says assumed the size is a guess within what is printed, so wide.
"""

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

from .markers import IMMUNOGLOBULINS

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


def split(sd):
    """SD of the median, and between patients, of a quantity known to `sd` for a patient: four fifths of the variance
    are between patients [assumed]."""
    return 0.447 * sd, Fixed(value=round(0.894 * sd, 3))


def link(name, unit, median, sd, source, mark="assumed", treatment="", scale="log"):
    """What a lab has to do with the states, known to `sd` for a patient on its scale."""
    of_median, between = split(sd)
    known = (
        LogitNormal(median=median, sd_logit=of_median)
        if scale == "logit"
        else LogNormal(median=median, sd_log=of_median)
    )
    return Parameter(
        name, unit=unit, scale=scale, typical=known, between=between, treatment=treatment, source=source, mark=mark
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
    link("LDH_share", "", 0.08, 0.8, "small", scale="logit"),
    Parameter(
        "LDH_on_growth",
        unit="",
        scale="identity",
        typical=Normal(mean=0.15, sd=0.1),
        source="growth twice as fast: LDH 11 % higher; a correlation of 0.3 in ln with growth between patients",
        mark="assumed",
    ),
    level("B2M_level", "mg/L", 3.9, 0.5, "isatuximab cohort median 3.9 mg/L (Fau 2020)", "verified", covariates=RENAL),
    link("B2M_share", "", 0.4, 0.6, "rest is healthy cells and kidney", scale="logit"),
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
