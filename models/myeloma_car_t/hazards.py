"""Ways to progress without a rise of the marker, and ways to die, 1/day; B burden relative to time zero.

    bone or symptoms         h_other B^0.1                          extramedullary    h_extramedullary B^0.1
    myeloma or background    h_background + h_disease B^death_on_burden
    infection                h_infection times the factor of the treatment (treatments.py; 7 under a BCMA bispecific)
                             + h_infection_cells e^(-t/180) after an infusion of cells

Death of myeloma is calibrated to the survival of trials' patients (evidence_fit.py), who got further therapy after
progression: that therapy is in its size, not in B.

Sources and marks stand with the parameters; the time constant of 180 days and the factors are assumed.
"""

import jax.numpy as jnp

from bayestwin.specification import Category, Fixed, LogNormal, Normal, Parameter, Slope

from .access import DEPRIVATION
from .mechanism import CELLS, DRUGS, HIGHEST, log_burden, weighed
from .treatments import ROWS
from .usual_mix import FEMALE

EARLY = 180.0  # days


def _burden_to(power, y):
    return jnp.exp(power * jnp.minimum(log_burden(y), HIGHEST))


def progression_other(t, y, p, u):
    """Hazard of progression by bone lesions or symptoms without a serological rise, 1/day."""
    return p.h_other * _burden_to(0.1, y)


def extramedullary_progression(t, y, p, u):
    """Hazard of progression by extramedullary disease without a serological rise, 1/day."""
    return p.h_extramedullary * _burden_to(0.1, y)


def death(t, y, p, u):
    """Hazard of death of anything but infection, 1/day."""
    return p.h_background + p.h_disease * _burden_to(p.death_on_burden, y)


def infection_death(t, y, p, u):
    """Hazard of death of infection, 1/day."""
    early = sum(jnp.where(u.since(x) >= 0.0, jnp.exp(-jnp.maximum(u.since(x), 0.0) / EARLY), 0.0) for x in CELLS)
    factor = 1.0 + weighed(u, **{name: ROWS[name].infection - 1.0 for name in DRUGS})
    return p.h_infection * factor + p.h_infection_cells * early


HAZARDS = {
    "progression_other": progression_other,
    "extramedullary_progression": extramedullary_progression,
    "death": death,
    "infection_death": infection_death,
}
RECORDED_AS = {
    "extramedullary_progression": ("extramedullary", "plasmacytoma", "soft tissue"),
    "infection_death": ("infect", "sepsis", "septic", "pneumonia", "covid"),
}
PARAMETERS = (
    Parameter(
        "h_other",
        unit="1/day",
        scale="log",
        typical=LogNormal(median=5.0e-5, sd_log=0.5),
        source="half of 1e-4/d for every progression without a rise (1.5e-4/d with deaths)",
        mark="assumed",
    ),
    Parameter(
        "h_extramedullary",
        unit="1/day",
        scale="log",
        typical=LogNormal(median=5.0e-5, sd_log=0.5),
        covariates=(Category("extramedullary", "1", shift=Normal(mean=2.08, sd=0.3)),),
        source="the other half; x8 with extramedullary disease, so that both together are x4.5 (x4 to 5)",
        mark="assumed",
    ),
    Parameter(
        "h_background",
        unit="1/day",
        scale="log",
        typical=Fixed(value=0.015 / 365.25),
        covariates=(
            Slope("age_years", reference=65.0, slope=Fixed(value=0.095)),
            Category("sex", "female", shift=Fixed(value=-0.57), unknown=FEMALE),
            *DEPRIVATION,
        ),
        source="Gompertz line through German life-table values at 65 and 75 years",
        mark="memory",
    ),
    Parameter(
        "h_disease",
        unit="1/day",
        scale="log",
        typical=LogNormal(median=4.0e-4, sd_log=0.8),
        covariates=(Slope("prior_lines", reference=4.0, slope=Normal(mean=0.1, sd=0.1)),),
        source="median survival of one to five years in relapsed disease, wide",
        mark="assumed",
    ),
    Parameter(
        "death_on_burden",
        unit="",
        scale="log",
        typical=LogNormal(median=0.4, sd_log=0.4),
        source="a tenfold burden doubles or triples the hazard",
        mark="assumed",
    ),
    Parameter(
        "h_infection",
        unit="1/day",
        scale="log",
        typical=LogNormal(median=2.0e-5, sd_log=0.7),
        covariates=DEPRIVATION,
        source="order of 1 % a year without T-cell therapy; x7 under a bispecific",
        mark="assumed",
    ),
    Parameter(
        "h_infection_cells",
        unit="1/day",
        scale="log",
        typical=LogNormal(median=2.5e-4, sd_log=0.6),
        source="4 % in the first year: 1-year non-relapse mortality 2 and 13 % by CAR-HEMATOTOX, 10 % real-world cilta-cel",  # noqa: E501
        mark="derived",
    ),
)
