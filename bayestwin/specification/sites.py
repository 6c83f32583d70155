"""Laboratories or products that the records name: a factor for each, drawn from a distribution that they share.

    ln factor_s ~ Normal(0, sd^2),   s every laboratory that a cohort's labs name, and one more, "other"

The model file says that laboratories differ and what is believed of sd; which there are, a fit reads from its cohort
(`lab` or `product` of labs.csv). No lab of the cohort speaks of "other": its factor is, draw by draw of the population,
that of a laboratory nobody has seen, and stands for any such laboratory of a later patient. A lab that names none reads
as the middle laboratory does, factor 1.

Source: Gelman and Hill (2007), Data Analysis Using Regression and Multilevel Models, chapter 12 (varying intercepts).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bayestwin.errors import ModelError

OTHER = "other"  # a level that stands for all that are not named
KINDS = ("assay_scale", "assay_bias")


class OfSites:
    """In the place of a prior: this number is drawn with those of the other sites, from a distribution they share."""

    def __repr__(self):
        return "drawn with the other sites"

    def __eq__(self, other):
        return isinstance(other, OfSites)

    def __hash__(self):
        return hash(OfSites)


@dataclass(frozen=True, kw_only=True)
class Sites(Mapping):
    """`Observation(assay_bias=Sites(sd=...))` or `assay_scale`: a factor for every laboratory or product.

    sd : prior of the SD between sites of ln factor; 0.1 is about 10 %
    levels : the sites that a cohort names; read by the fit, kept in its result, never written in a model file
    """

    sd: Any
    levels: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self):
        if OTHER in self.levels:
            raise ModelError(
                "a site has the name that stands for those not seen in a fit",
                place="Sites",
                value=OTHER,
                allowed="another name",
                next_step=f"Give the laboratory or product {OTHER!r} a name of its own in the labs.",
            )

    def __getitem__(self, level: str) -> OfSites:
        if level not in (*self.levels, OTHER):
            raise KeyError(level)
        return OfSites()

    def __iter__(self) -> Iterator[str]:
        return iter((*self.levels, OTHER))

    def __len__(self) -> int:
        return len(self.levels) + 1


def sites_of(model) -> dict[tuple[str, str], Sites]:
    """(kind, output) -> Sites, of every output whose laboratories or products differ by a factor of each."""
    found = {(kind, o.output): getattr(o, kind) for o in model.observations for kind in KINDS}
    return {key: said for key, said in found.items() if isinstance(said, Sites)}


def with_sites(model, levels: Mapping[tuple[str, str], tuple[str, ...]]):
    """The same model, its sites known by name; it keeps its hash, and is not equal to the model without them.

    levels : (kind, output) -> names
    """
    if not levels:
        return model
    observations = []
    for o in model.observations:
        named = {k: replace(getattr(o, k), levels=levels[k, o.output]) for k in KINDS if (k, o.output) in levels}
        observations.append(replace(o, **named) if named else o)
    return replace(model, observations=tuple(observations))


def sites_as_text(model) -> dict[str, str]:
    """Attribute of a saved object that names the sites; none where the model has none."""
    said = [[kind, output, list(one.levels)] for (kind, output), one in sites_of(model).items()]
    return {"sites": json.dumps(said)} if said else {}


def with_sites_from(model, attributes: Mapping):
    """The model with the sites that a saved object names."""
    said = json.loads(attributes.get("sites", "[]"))
    return with_sites(model, {(kind, output): tuple(levels) for kind, output, levels in said})
