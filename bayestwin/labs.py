"""What a record may hold for one model: labs with their unit and plausible range, doses, treatments.

A `Model` writes a `RecordSchema`; the readers in `records/` check every row against it. It stands on
the ground floor so that neither room needs the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

# The least value of which a logarithm is taken, in the model's unit; a datum at or below it is refused on a log scale
TINY = 1e-12
OCCASION = "occasion"  # what a record calls the number of a patient's occasion
FLAG = ("0", "1")
# Levels that every hospital codes alike: immunoglobulin classes of myeloma after the IMWG, sex as life tables know it
GENERAL = {
    "sex": ("female", "male"),
    "isotype": ("IgG", "IgA", "IgD", "IgM", "IgE", "light_chain", "non_secretory"),
}

# Of a human body, in the unit of the name: a weight in pounds or a height in metres is caught here.
# An albumin in g/dL would be a tenth of the lowest. Deprivation is a quintile; F-ara-A is summed over its three doses.
HUMAN = {
    **{"weight_kg": (0.3, 400.0), "height_cm": (20.0, 260.0), "bsa_m2": (0.1, 3.5), "age_years": (0.0, 120.0)},
    **{"albumin_g_per_l": (5.0, 80.0), "egfr": (1.0, 250.0), "prior_lines": (0.0, 30.0), "deprivation": (1.0, 5.0)},
    "fludarabine_auc": (0.0, 100.0),
}
COUNTED = ("prior_lines",)


def complete_list(name: str, named: tuple[str, ...], all_named: bool = False) -> tuple[str, ...] | None:
    """All levels a covariate may have; None where only those the model names are known.

    all_named : the model names them all, as where it says how they are distributed
    """
    if all_named and named:
        return named
    if set(named) <= set(FLAG):
        return FLAG
    general = GENERAL.get(name, ())
    return general if set(named) <= set(general) else None


@dataclass(frozen=True)
class LabSpec:
    """One measurable output.

    name : output name, as in labs.csv
    unit : the model's unit; rows in other units are converted, rows of another dimension refused
    plausible : (low, high) in `unit`; values outside are refused
    scale : "ln" where errors are judged on the log scale, else "natural"
    unit_required : a row without a unit is refused (a factor of ten is at stake: g/dL and g/L)
    positive : zero and negative values are impossible, as they always are on scale "ln"
    assays : laboratories, or products where assay_by says so, whose residual error the model tells apart
    words : of a finding in words, what each stands for ("negative": 0); nothing else is then accepted
    findings : of what is measured, the words for below and for above the limit that the row gives in `lloq`
    whole : counted or graded, not measured: whole numbers, none of them beyond a limit
    categories : the only values there are, in order; () for a count
    """

    name: str
    unit: str
    plausible: tuple[float, float]
    scale: str = "natural"
    unit_required: bool = True
    positive: bool = True
    label: str = ""
    assays: tuple[str, ...] = ()
    assay_by: str = "laboratory"
    words: Mapping[str, float] = field(default_factory=dict, hash=False)
    findings: tuple[str, ...] = ()
    whole: bool = False
    categories: tuple[int, ...] = ()

    def possible(self) -> str:
        """In words, which values of a whole quantity there are."""
        if self.words:
            return ", ".join(f"{word} ({code:g})" for word, code in self.words.items())
        low, high = self.plausible
        return ", ".join(map(str, self.categories)) or f"whole numbers from {max(low, 0.0):g} to {high:g}"

    @property
    def some_value(self) -> float:
        """A value that a lab may have, for one that is only forecast and never learnt."""
        if self.categories:
            return float(self.categories[0])
        return max(1.0, float(self.plausible[0])) if self.whole else 1.0

    def is_possible(self, value: float) -> bool:
        """Is this one of the values of a whole quantity?"""
        if self.categories:
            return value in self.categories
        return value == int(value) and max(self.plausible[0], 0.0) <= value <= self.plausible[1]

    def above(self, *, censored: bool) -> float:
        """A value, or the limit of a censored one, must lie above this; -inf where any number will do.

        A quantity that cannot be negative has no limit at or below zero, even where a measured 0 is possible.
        """
        if self.scale == "ln":
            return TINY
        return 0.0 if self.positive or (censored and self.plausible[0] >= 0) else float("-inf")


@dataclass(frozen=True)
class RecordSchema:
    """Everything the readers need to know of a model.

    time_unit : "h" or "day"; dose_unit : unit of amounts; covariates : name -> unit ("" if none)
    levels : covariate -> the levels the model names (effects, rules, eligibility); every other value is its reference
    all_levels : covariates of which those are all there are
    numeric : covariates the model calculates with, so a word is refused
    positive : those of them whose logarithm it takes, so 0 and less are refused
    effects : covariates that act on parameters, so that a change in time counts
    eligibility : covariates that say who may have a treatment, so that a change in time counts for a forecast
    distributed : those of them whose distribution the model gives: where nothing says one it is integrated over
    acquired : those of the latter that patients come to have, so that what is said later says nothing of before
    averaged : those of them that act in part where nothing says them, as on the average of patients
    occasions : how many a patient can have, numbered from 1; 0 where the model tells none apart
    dosed_per : treatment -> "kg", "m2" or both, where a forecast of it needs the patient's size
    modelled : compartment -> what parameters say of doses into it: lag, bioavailability, rate, duration
    compartments : names; routes : route name -> compartment; treatments : names; infused : those that begin with an
        infusion of cells
    """

    model: str
    time_unit: str
    labs: Mapping[str, LabSpec]
    compartments: tuple[str, ...] = ()
    routes: Mapping[str, str] = field(default_factory=dict)
    dose_unit: str = ""
    treatments: tuple[str, ...] = ()
    infused: tuple[str, ...] = ()
    covariates: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    all_levels: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    positive: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()
    eligibility: tuple[str, ...] = ()
    distributed: tuple[str, ...] = ()
    acquired: tuple[str, ...] = ()
    averaged: tuple[str, ...] = ()
    occasions: int = 0
    modelled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dosed_per: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def changing(self) -> tuple[str, ...]:
        """Covariates of which a change in time means something."""
        return tuple(dict.fromkeys((*self.effects, *self.eligibility)))

    def says(self, target: str, what: str) -> bool:
        """True where a parameter of the model says `what` of doses into a compartment or by a route."""
        return what in self.modelled.get(self.routes.get(target, target), ())
