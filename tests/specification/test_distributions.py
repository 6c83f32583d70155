"""Observations that are counted or graded, and findings in words: what a model file may say, and what is refused."""

import pytest

from bayestwin.errors import ModelError
from bayestwin.specification import (
    Additive,
    Bernoulli,
    Fixed,
    LogNormal,
    Model,
    NegativeBinomial,
    Normal,
    Observation,
    Ordinal,
    Parameter,
    Poisson,
)
from bayestwin.specification.other_priors import parse_prior, with_priors
from bayestwin.specification.priors import HalfNormal

CUTS = (Normal(mean=0.0, sd=1.0), LogNormal(median=1.0, sd_log=0.5))
GRADES = Ordinal(categories=(0, 1, 2), cut_points=CUTS)


def model_of(*observations):
    return Model(
        name="counts",
        time_unit="day",
        states=("x",),
        initial_state=lambda p: {"x": p.x0},
        vector_field=lambda t, y, p, u: {"x": 0.0},
        parameters=(Parameter("x0", unit="", scale="identity", typical=Normal(mean=0, sd=1)),),
        outputs={o.output: (lambda t, y, p, u: y.x) for o in observations},
        observations=observations,
    )


def test_a_model_prints_its_categories_and_the_priors_of_cut_points_and_overdispersion():
    model = model_of(
        Observation("grade", unit="grade", distribution=GRADES),
        Observation(
            "cells", unit="", plausible=(0, 99), distribution=NegativeBinomial(overdispersion=HalfNormal(sd=0.5))
        ),
    )
    said = " ".join(str(model).split())
    assert "grade grade Ordinal(cut_1_grade Normal(mean 0, SD 1); cut_step_2_grade LogNormal(median 1" in said
    assert "0, 1, 2" in said and "NegativeBinomial(overdispersion_cells HalfNormal(SD 0.5)) 0 to 99" in said
    assert list(model.residual_parameters) == ["cut_1_grade", "cut_step_2_grade", "overdispersion_cells"]
    assert model.discrete == (0, 1) and model.serial == ()


def test_another_distribution_is_another_model():
    words = Ordinal(categories=("none", "mild", "severe"), cut_points=CUTS)
    models = [model_of(Observation("grade", unit="", distribution=law)) for law in (GRADES, words, Bernoulli())]
    assert len({m.hash for m in models}) == 3
    spec = models[1].record_schema().labs["grade"]
    assert spec.words == {"none": 0, "mild": 1, "severe": 2} and spec.plausible == (0, 2) and not spec.unit_required


def test_priors_from_a_file_reach_cut_points_and_overdispersion():
    model = model_of(
        Observation("grade", unit="", distribution=GRADES),
        Observation(
            "cells", unit="", plausible=(0, 99), distribution=NegativeBinomial(overdispersion=Fixed(value=1.0))
        ),
        Observation("plain", unit="", plausible=(0, 99), distribution=Poisson()),
    )
    asked = {"cut_1_grade": "StudentT(df=3, location=-1, scale=2)", "overdispersion_cells": "HalfNormal(sd=2)"}
    changed = with_priors(model, {k: parse_prior(v, subject="f", place=k) for k, v in asked.items()})
    assert changed.residual_parameters["cut_1_grade"].location == -1
    assert changed.residual_parameters["cut_step_2_grade"] == CUTS[1]
    assert changed.residual_parameters["overdispersion_cells"] == HalfNormal(sd=2)
    for name in ("cut_step_2_grade", "overdispersion_cells"):
        with pytest.raises(ModelError, match=f"priors, {name}.*all above 0"):
            with_priors(model, {name: Normal(mean=0, sd=1)})
    with pytest.raises(ModelError, match="priors, cut_1_grade.*Normal, StudentT"):
        with_priors(model, {"cut_1_grade": HalfNormal(sd=1)})


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"distribution": GRADES, "error": Additive(sd=Fixed(value=1.0))}, "has no error"),
        ({"distribution": GRADES, "lower_limit": 1.0}, "has no lower_limit"),
        ({"distribution": Bernoulli(), "assay_scale": {"a": Fixed(value=2.0)}}, "has no assay_scale"),
        ({"distribution": Bernoulli(), "findings": ("negative", "positive")}, "has no findings"),
        ({"distribution": "poisson"}, r"unknown distribution.*poisson.*Bernoulli\(\), Poisson\(\)"),
        ({"distribution": Poisson()}, "a count needs its plausible range"),
        (
            {"distribution": NegativeBinomial(overdispersion=Normal(mean=0, sd=1))},
            "overdispersion_y needs a prior of pos",
        ),
        ({"distribution": Ordinal(categories=(0, 1, 2), cut_points=CUTS[:1])}, "3 categories have 2 cut points"),
        ({"distribution": Ordinal(categories=(0, 1, 3), cut_points=CUTS)}, "two or more, in order"),
        ({"distribution": Ordinal(categories=("a", "a", "b"), cut_points=CUTS)}, "two or more, in order"),
        ({"distribution": Ordinal(categories=(0,), cut_points=())}, "two or more, in order"),
        ({"distribution": Ordinal(categories=(), cut_points=())}, "two or more, in order"),
        ({"distribution": Ordinal(categories=(0, 1, 2), cut_points=CUTS[::-1])}, "cut_1_y needs a prior of any number"),
        ({"distribution": Ordinal(categories=(0, 1, 2), cut_points=(CUTS[0], CUTS[0]))}, "cut_step_2_y needs a prior"),
        ({"plausible": (0, 1)}, "unknown error model.*or a distribution instead"),
        ({"error": Additive(sd=Fixed(value=1.0))}, "plausible is missing"),
        *(
            (
                {"error": Additive(sd=Fixed(value=1.0)), "plausible": (0, 9), "findings": words},
                "below and for above a limit",
            )
            for words in (("negative",), ("no", "No"), ("negative", ""), "negative", ("a", "b", "c"), (0, 1))
        ),
    ],
)
def test_a_contradiction_is_told_with_what_is_allowed(asked, says):
    with pytest.raises(ModelError, match=says) as caught:
        Observation("y", unit="", **asked)
    assert "observation y" in str(caught.value) and "expected" in str(caught.value)


def test_progression_is_not_coded_from_what_is_graded():
    from bayestwin.specification import Progression, SerologicalRule

    with pytest.raises(ModelError, match="progression rule.*'grade'"):
        model = model_of(Observation("grade", unit="", distribution=GRADES))
        type(model)(
            **{f: getattr(model, f) for f in ("name", "time_unit", "states", "initial_state", "vector_field")},
            parameters=model.parameters,
            outputs=model.outputs,
            observations=model.observations,
            endpoints=(Progression(rules=(SerologicalRule("grade", relative=0.25, absolute=1.0),), visit_every=28.0),),
        )
