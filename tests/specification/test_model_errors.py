"""Every contradiction a modeller can mend is found when the model is made, with value and what is allowed."""

import math
from dataclasses import replace

import pytest

from bayestwin.errors import ModelError
from bayestwin.specification import (
    LKJ,
    Additive,
    Category,
    CategoryCovariate,
    Dosing,
    Drift,
    Fixed,
    HalfNormal,
    LogitNormal,
    LogNormal,
    Model,
    Normal,
    Observation,
    Occasions,
    Parameter,
    Power,
    Progression,
    Regimen,
    ResponseClass,
    ResponseCorrelation,
    SerologicalRule,
    Slope,
    Steps,
    Treatment,
)
from bayestwin.specification.other_priors import site_names, with_priors

WIDE, HALF = LogNormal(median=1.0, sd_log=1.0), HalfNormal(sd=0.5)
K = Parameter("k", unit="1/day", scale="log", typical=WIDE, between=HALF)
F = Parameter("f", unit="", scale="logit", typical=LogitNormal(median=0.1, sd_logit=1.0), between=HALF)
CHANCE = Parameter("p", unit="", scale="logit", typical=LogitNormal(median=0.2, sd_logit=1.0))
SIZE = Observation("size", unit="mm", error=Additive(sd=HALF), plausible=(0, 100))
RULE = SerologicalRule("size", relative=0.2, absolute=5.0)


def small(**changes):
    """A whole small model with some parts replaced."""
    parts = dict(
        name="small",
        time_unit="day",
        states=("size",),
        initial_state=lambda p: {"size": 1.0},
        vector_field=lambda t, y, p, u: {"size": p.k * y.size},
        parameters=(K, F, CHANCE),
        outputs={"size": lambda t, y, p, u: y.size},
        observations=(SIZE,),
        treatments=(Treatment("drug", label="a drug"),),
        hazards={"death": lambda t, y, p, u: p.k},
    )
    return Model(**(parts | changes))


def classed(parameter="f", replaced_by="f", probability="p", treatment="drug"):
    return {"response_classes": (ResponseClass(treatment, parameter, replaced_by, probability),)}


def regimen(duration):
    dose = Regimen.single("1 mg", route="size", duration=duration)
    return {"treatments": (Treatment("drug", label="a drug", regimen=dose),), "dose_unit": "mg"}


def with_rules(*rules, **more):
    return {"endpoints": (Progression(rules=rules, visit_every=28.0, **more),)}


ONLY_IGA = replace(RULE, when=("isotype", "IgA"))
LOGNORMAL_CHANCE = Parameter("p", unit="", scale="log", typical=WIDE)
CONTRADICTIONS = {
    "parameter twice": ({"parameters": (K, K)}, "two parameters share a name", "'k'"),
    "state twice": ({"states": ("size", "size")}, "two states share a name", "'size'"),
    "treatment twice": ({"treatments": (Treatment("drug", label=""),) * 2}, "two treatments share a name", "'drug'"),
    "observation twice": ({"observations": (SIZE, SIZE)}, "two observations share a name", "'size'"),
    "dose in another unit": (
        regimen("") | {"dose_unit": "mL"},
        "treatment drug, regimen: mg and mL measure different things",
        "'1 mg'",
    ),
    "dose per kg in another unit": (
        {
            "dose_unit": "mL",
            "treatments": (Treatment("drug", label="", regimen=Regimen.single("1 mg/kg", route="size")),),
        },
        "treatment drug, regimen: mg and mL measure different things",
        "an amount in mL or a unit that converts to it, also per kg or per m2",
    ),
    "unknown output": (
        {"observations": (replace(SIZE, output="weight"),)},
        "observations: unknown name",
        "one of size",
    ),
    "route to nowhere": ({"routes": {"oral": "gut"}}, "route oral: unknown name", "'gut'"),
    "correlation over": ({"correlation": LKJ(over=("p",))}, "correlation: unknown name", "one of f, k"),
    "drift that stands still": (
        {"drift": (Drift("k", every=0.0, steps=4, sd=HALF),)},
        "drift of k, every: a drift needs steps",
        "more than 0 days",
    ),
    "drift without steps": (
        {"drift": (Drift("k", every=90, steps=0, sd=HALF),)},
        "drift of k, steps: a drift needs steps",
        "1 or more",
    ),
    "other way to die": (
        {"endpoints": (Progression((RULE,), 28.0, death_hazard="death", other_death_hazards=("no_such_hazard",)),)},
        "progression endpoint: unknown name",
        "'no_such_hazard'",
    ),
    "drift of": ({"drift": (Drift("g", every=90, steps=4, sd=HALF),)}, "drift: unknown name", "'g'"),
    "class parameter": (classed(parameter="x"), "response class: unknown name", "'x'"),
    "class replacement": (classed(replaced_by="y"), "response class: unknown name", "'y'"),
    "class chance": (classed(probability="z"), "response class: unknown name", "'z'"),
    "class treatment": (classed(treatment="cure"), "response class: unknown name", "one of drug"),
    "chance that varies": (classed(probability="f"), "does not vary between patients", "between=None"),
    "chance on log": (
        classed() | {"parameters": (K, F, LOGNORMAL_CHANCE)},
        "chance of a response class is a logit-scaled parameter",
        "'log'",
    ),
    "response correlation": (
        {"response_correlation": ResponseCorrelation(parameters=("p",))},
        "response correlation: unknown name",
        "'p'",
    ),
    "both correlations": (
        {"response_correlation": ResponseCorrelation(parameters=("f",)), "correlation": LKJ(over=("k", "f"))},
        "cannot stand in the LKJ block and in the response correlation",
        "'f'",
    ),
    "two effects of one covariate": (
        {
            "parameters": (
                replace(
                    K,
                    covariates=(
                        Power("weight", reference=70.0, exponent=Normal(mean=0.75, sd=0.2)),
                        Slope("weight", reference=70.0, slope=Normal(mean=0.0, sd=0.1)),
                    ),
                ),
                F,
            )
        },
        "parameter k: two covariate effects share a name",
        "'beta_k_weight'",
    ),
    "a level twice": (
        {"parameters": (replace(K, covariates=(Category("sex", "f", shift=Normal(mean=0, sd=1)),) * 2),)},
        "two covariate effects share a name",
        "'beta_k_sex_f'",
    ),
    "names that run together": (
        {
            "parameters": tuple(
                replace(K, name=name, covariates=(Slope(covariate, reference=0.0, slope=Normal(mean=0.0, sd=0.1)),))
                for name, covariate in (("k", "m_weight"), ("k_m", "weight"))
            )
        },
        "parameter k: two covariate effects share a name",
        "rename one",
    ),
    "strange effect": ({"parameters": (replace(K, covariates=("weight",)),)}, "unknown covariate effect", "'weight'"),
    "parameter's treatment": (
        {"parameters": (replace(K, treatment="cure"),)},
        "parameter k: unknown name",
        "one of drug",
    ),
    "rule's output": (with_rules(replace(RULE, output="weight")), "progression rule: unknown name", "'weight'"),
    "no rule for the rest": (with_rules(ONLY_IGA), "no progression rule for everybody else", "without `when`"),
    "death hazard": (with_rules(RULE, death_hazard="dying"), "progression endpoint: unknown name", "one of death"),
    "other hazard": (with_rules(RULE, progression_hazards=("x",)), "progression endpoint: unknown name", "'x'"),
    "treatment that nothing starts": (
        {"treatments": (Treatment("drug", label="a drug", starts_with="line_of_treatment"),)},
        "treatment drug, starts_with: unknown name (found 'line_of_treatment')",
        "one of dose, infusion, line_of_therapy",
    ),
    "regimen to nowhere": (
        {"treatments": (Treatment("drug", label="a drug", regimen=Regimen.single("1 mg", route="sc")),)},
        "treatment drug, regimen: unknown name (found 'sc')",
        "one of size",
    ),
    "rate left to nothing": (
        regimen("modelled rate") | {"dosing": (Dosing("size", duration="k"),)},
        "regimen of drug: the model has no parameter for the rate of doses into size",
        "'1 mg size, modelled rate'",
    ),
    "duration left to nothing": (regimen("modelled"), "no parameter for the duration", 'Dosing("size", duration=...)'),
    "jump of nothing": (
        {"at_treatment": lambda y, p, u: {}, "treatments": ()},
        "at_treatment needs treatments",
        "model small",
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_contradiction_in_a_model_is_named_with_what_is_allowed(case):
    changes, problem, detail = CONTRADICTIONS[case]
    with pytest.raises(ModelError) as caught:
        small(**changes)
    assert problem in str(caught.value) and detail in str(caught.value) and "model small" in str(caught.value)


def test_the_whole_small_model_is_accepted():
    assert small(**classed(), **with_rules(RULE, ONLY_IGA, death_hazard="death")).individual_names == ("k", "f")
    small(**regimen("modelled rate"), dosing=(Dosing("size", rate="k"),))


PARTS = {
    "plausible the wrong way round": (
        lambda: replace(SIZE, plausible=(100, 0)),
        "observation size: no value is plausible (found (100, 0))",
        "low below high",
    ),
    "unknown scale": (lambda: replace(K, scale="ln"), "parameter k: unknown scale", "log, logit or identity"),
    "prior of another scale": (
        lambda: replace(K, typical=Normal(mean=0, sd=1)),
        "prior does not fit scale log",
        "LogNormal or HalfNormal or",
    ),
    "SD with a normal prior": (
        lambda: replace(K, between=Normal(mean=0, sd=1)),
        "between-patient SD needs a prior for a positive number",
        "LogNormal, HalfNormal, HalfCauchy",
    ),
    "fixed SD of zero": (
        lambda: replace(K, between=Fixed(value=0.0)),
        "between-patient SD must be positive",
        "same for all",
    ),
    "fixed value off the log scale": (
        lambda: replace(K, typical=Fixed(value=-1.0)),
        "inside scale log",
        "a positive number",
    ),
    "fixed value off the logit scale": (
        lambda: replace(CHANCE, typical=Fixed(value=1.0)),
        "inside scale logit",
        "between 0 and 1",
    ),
    "power of a fraction": (
        lambda: replace(F, covariates=(Power("weight_kg", 70, Normal(mean=1, sd=1)),)),
        "Power effect belongs to a parameter on the log scale",
        "Slope",
    ),
    "unknown error model": (
        lambda: replace(SIZE, error="additive"),
        "observation size: unknown error model",
        "Combined",
    ),
    "half degrees of freedom": (
        lambda: replace(SIZE, error=Additive(sd=HALF, nu=4.5)),
        "whole degrees of freedom",
        "whole number from 1 to 10",
    ),
    "negative median": (lambda: LogNormal(median=-1.0, sd_log=1.0), "LogNormal needs a positive median", "median > 0"),
    "endless spread": (lambda: LogNormal(median=1.0, sd_log=math.inf), "needs a positive sd_log", "finite"),
    "mean of nothing": (lambda: Normal(mean=math.nan, sd=1.0), "Normal needs a finite mean", "a number"),
    "a reference without a logarithm": (
        lambda: replace(K, covariates=(Power("weight_kg", reference=0, exponent=Normal(mean=0.75, sd=0.2)),)),
        "parameter k: the reference of a Power effect of weight_kg has no logarithm",
        "more than 0",
    ),
    "no name": (lambda: small(name=None), "the model has no name", "a text of one line"),
    "a name of two lines": (lambda: small(name="a\nb"), "the model has no name", "a text of one line"),
    "no unit of time": (lambda: small(time_unit="fortnight"), "time_unit: this is not a unit of time", "h, day, week"),
    "no spread": (lambda: Normal(mean=0.0, sd=0.0), "Normal needs a positive sd", "sd > 0"),
    "half normal without spread": (lambda: HalfNormal(sd=-1.0), "HalfNormal needs a positive sd", "-1.0"),
    "fraction of one": (lambda: LogitNormal(median=1.0, sd_logit=1.0), "between 0 and 1", "0 < median < 1"),
    "alike twice": (
        lambda: ResponseCorrelation(("f", "g", "h"), alike=(("f", "g"), ("g", "h"))),
        "a group of treatments that are alike",
        "each in one group at most",
    ),
    "alike but unknown": (
        lambda: ResponseCorrelation(("f", "g"), alike=(("f", "k"),)),
        "a group of treatments that are alike",
        "parameters of the response correlation",
    ),
    "less alike": (lambda: ResponseCorrelation(("f",), closeness=0.5), "no less alike", "1 or more"),
    "full correlation": (lambda: ResponseCorrelation(("f",), rho=1.0), "lies in [0, 1)", "0 <= rho < 1"),
    "standing steps": (lambda: Steps(first=0.0, growth=1.1, largest=1.0), "starts with a positive step", "0 < first"),
    "negative dose": (lambda: Regimen.single("-5 mg", route="oral"), "regimen: this is not a dose", "above 0"),
    "dose of infinity": (lambda: Regimen.single("1e999 mg", route="oral"), "regimen: this is not a dose", "'1e999 mg'"),
    "dose in words": (lambda: Regimen.single("five mg", route="oral"), "regimen: this is not a dose", "'five mg'"),
    "dose before the start": (lambda: Regimen((("-1 day", "5 mg", "iv", ""),)), "before the start", "0 or later"),
    "duration in words": (lambda: Regimen.single("5 mg", route="iv", duration="soon"), "not a duration", "'soon'"),
    "duration below 0": (lambda: Regimen.single("5 mg", route="iv", duration="-1 h"), "less than no time", "'-1 h'"),
    "half a dose": (lambda: Regimen((("0 day", "5 mg"),)), "a dose of a regimen has four texts", '"16 mg/kg", "iv"'),
    "empty regimen": (
        lambda: Regimen.repeated("1 mg", route="oral", every="1 day", times=0),
        "needs at least one dose",
        "times >= 1",
    ),
    "day nought of a cycle": (
        lambda: Regimen.on_days("1 mg", days=(0, 7), route="oral"),
        "the first day of a cycle is day 1",
        "days >= 1",
    ),
    "unknown treatment": (lambda: small().treatment("cure"), "unknown treatment", "one of drug"),
}


@pytest.mark.parametrize("case", PARTS)
def test_a_part_that_cannot_be_is_refused_with_what_is_allowed(case):
    make, problem, detail = PARTS[case]
    with pytest.raises(ModelError) as caught:
        make()
    assert problem in str(caught.value) and detail in str(caught.value)


def test_priors_take_keywords_only():
    for prior in (LogNormal, LogitNormal, Normal, HalfNormal, Fixed, LKJ):
        with pytest.raises(TypeError):
            prior(1.0, 1.0)


def test_a_model_made_by_hand_is_known_by_its_numbers_steps_and_outputs():
    grid = {"steps": Steps(first=0.1, growth=1.1, largest=1.0)}
    versions = [small(), small(**grid), small(parameters=(K, F, replace(CHANCE, unit="1"))), small(hazards={})]
    versions.append(small(drift=(Drift("k", every=90, steps=4, sd=HALF),)))
    assert len({m.hash for m in versions}) == len(versions)
    assert small(**grid).hash == small(**grid).hash and small() == small()
    effect = Category("sex", "female", shift=Normal(mean=0, sd=1))
    assert small(parameters=(replace(K, covariates=(effect,)), F, CHANCE)) != small()


def test_a_share_of_an_effect_that_is_none_is_named_with_what_is_allowed():
    for share in (-0.1, 1.5, float("nan")):
        with pytest.raises(ModelError, match="effect of sex = f, unknown: the share of an effect.*expected 0 to 1"):
            Category("sex", "f", shift=Normal(mean=0, sd=1), unknown=share)
    varying = replace(K, between=HALF, covariates=(Category("sex", "f", shift=Normal(mean=0, sd=1), unknown=0.4),))
    sexes = CategoryCovariate("sex", levels=("f", "m"), counts=(1.0, 1.0))
    with pytest.raises(ModelError, match="sex.*a share of its effect there too .found 'unknown = 0.4'"):
        small(parameters=(varying, F, CHANCE), covariate_distributions=(sexes,))
    assert "0.4 of it if not known" in str(varying.covariates[0])


def test_a_class_without_another_parameter_names_one_that_the_model_can_add():
    added = Parameter("shift", unit="", scale="identity", typical=Normal(mean=0.0, sd=1.0))
    cls = ResponseClass("drug", "f", "f", "p", without="shift")
    model = small(parameters=(K, F, CHANCE, added), response_classes=(cls,))
    assert "f becomes f, without shift" in str(model)
    assert model.hash != replace(model, response_classes=(replace(cls, without=""),), source_hash="").hash
    for without in ("k", "f", "nothing"):
        with pytest.raises(ModelError, match=f"response class, without.*{without}"):
            small(parameters=(K, F, CHANCE, added), response_classes=(replace(cls, without=without),))


def test_a_latent_covariate_acts_on_nothing_that_is_read_without_it():
    added = Parameter("moves", unit="", scale="identity", typical=Normal(mean=0.0, sd=1.0), between=HALF)
    slope = Parameter("slope", unit="", scale="identity", typical=Normal(mean=0.0, sd=1.0))
    effect = Category("sex", "f", shift=Normal(mean=0, sd=1))
    sexes = CategoryCovariate("sex", levels=("m", "f"), shares=(0.5, 0.5), as_normal=True)
    cls = ResponseClass("drug", "f", "f", "p", moved_by="moves", slope="slope")
    for one, other in ((replace(added, covariates=(effect,)), slope), (added, replace(slope, covariates=(effect,)))):
        with pytest.raises(ModelError, match="sex.*what moves its chance"):
            small(parameters=(K, F, CHANCE, one, other), response_classes=(cls,), covariate_distributions=(sexes,))


def test_occasions_that_make_no_sense_are_named_with_what_is_allowed():
    def one(match, sd=None, most=2, **more):
        with pytest.raises(ModelError, match=match):
            small(occasions=Occasions(sd={"k": HALF} if sd is None else sd, most=most, **more))

    one(r"model small, occasions: too few occasions \(found 1\), expected most, a whole number from 2", most=1)
    one("too few occasions", most=2.5)
    one('unknown future.*expected "last" or "next"', future="mean")
    one("no parameter varies between occasions.*Write for example Occasions", sd={})
    one("occasions, CL: unknown name.*'CL'.*one of f, k, p", sd={"CL": HALF})
    one("occasions, k: the SD between occasions needs a prior for a positive number", sd={"k": Fixed(value=0.0)})
    with pytest.raises(ModelError, match="occasions, f: a parameter that belongs to a response class cannot vary"):
        small(occasions=Occasions(sd={"f": HALF}, most=2), **classed())
    with pytest.raises(ModelError, match="occasions: a covariate has the name of the occasion"):
        small(occasions=Occasions(sd={"k": HALF}, most=2), covariate_units={"occasion": ""})


def test_a_model_says_what_varies_between_occasions():
    model = small(occasions=Occasions(sd={"k": HALF, "p": Fixed(value=0.1)}, most=2, future="next"))
    assert model.individual_names[2:5] == ("k_occasion_1", "k_occasion_2", "k_occasion_next")
    assert model.record_schema().occasions == 2 and "occasion" in model.record_schema().effects
    said = "k SD HalfNormal(SD 0.5), p SD fixed at 0.1; up to 2 per patient; a forecast begins a new one"
    assert f"occasions of one patient (SD on the transformed scale): {said}" in str(model)
    assert model.hash != small().hash
    other = with_priors(model, {"gamma_k": HalfNormal(sd=0.1)})
    assert other.occasions.sd["k"] == HalfNormal(sd=0.1) and {"gamma_k", "gamma_p"} < set(site_names(model))
