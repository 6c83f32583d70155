"""Contradictions of a model file that a modeller can mend, found when the model is made."""

from bayestwin.errors import BayestwinError, ModelError
from bayestwin.specification.correlation import check_correlation
from bayestwin.specification.dose_parameters import check_dosing
from bayestwin.specification.horseshoe import check_horseshoes
from bayestwin.specification.missing_covariates import check_distributions
from bayestwin.specification.occasions import check_occasions
from bayestwin.specification.parameters import Category, Linear, Power, Steps
from bayestwin.units import parse_dose, time_word


def check_model(model) -> None:
    """Raise ModelError for the first contradiction, with model, place, value and what is allowed."""
    _name_and_time(model)
    _names_are_distinct(model)
    _steps(model)
    _observations(model)
    _doses(model)
    _treatments(model)
    _individual_parameters(model)
    _response_classes(model)
    _covariate_effects(model)
    _waits(model)
    check_distributions(model)
    check_horseshoes(model)
    check_occasions(model)
    check_correlation(model)
    _endpoints(model)


def _need(model, name, place, allowed) -> None:
    """A name must be one of those allowed."""
    if name not in allowed:
        raise ModelError(
            "unknown name",
            subject=f"model {model.name}",
            place=place,
            value=name,
            allowed=f"one of {', '.join(sorted(allowed))}",
        )


def _name_and_time(model) -> None:
    """A name that messages and attributes of files can carry, and a unit of time that files can be read in."""
    if not isinstance(model.name, str) or not model.name.strip() or not model.name.isprintable():
        raise ModelError("the model has no name", place="name", value=model.name, allowed="a text of one line")
    if not isinstance(model.time_unit, str) or time_word(model.time_unit) is None:
        raise ModelError(
            "this is not a unit of time",
            subject=f"model {model.name}",
            place="time_unit",
            value=model.time_unit,
            allowed="h, day, week or month",
        )


def _names_are_distinct(model) -> None:
    for kind, listed in (
        ("parameter", [p.name for p in model.parameters]),
        ("state", model.states),
        ("treatment", [t.name for t in model.treatments]),
        ("observation", [o.output for o in model.observations]),
    ):
        twice = sorted({name for name in listed if list(listed).count(name) > 1})
        if twice:
            raise ModelError(
                f"two {kind}s share a name", subject=f"model {model.name}", value=twice[0], allowed="distinct names"
            )


def _steps(model) -> None:
    if isinstance(model.steps, Linear) and model.hazards:
        raise ModelError(
            "a model with hazards cannot be Linear: their integrals are not linear in the states",
            subject=f"model {model.name}",
            place="steps",
            allowed="Steps(...) or None",
        )
    if model.dosing and isinstance(model.steps, Steps):
        raise ModelError(
            "a fixed grid cannot follow doses whose times are parameters",
            subject=f"model {model.name}",
            place="steps",
            value=model.steps,
            allowed="Linear() or None",
        )
    if model.at_treatment is not None and not model.treatments:
        raise ModelError("at_treatment needs treatments", subject=f"model {model.name}")


def _observations(model) -> None:
    for observation in model.observations:
        _need(model, observation.output, "observations", set(model.outputs))
        for source in observation.derived_from:
            _need(
                model, source, f"observation {observation.output}, derived_from", {o.output for o in model.observations}
            )
        serial = None if observation.discrete else observation.error.serial
        if serial is not None and serial.scaled_by is not None:
            place = f"observation {observation.output}, serial scaled_by"
            _need(model, serial.scaled_by, place, {p.name for p in model.parameters if p.scale == "log"})


def _doses(model) -> None:
    for route, compartment in model.routes.items():
        _need(model, compartment, f"route {route}", set(model.states))
    check_dosing(model)


def _treatments(model) -> None:
    """What starts a treatment, and where its doses go."""
    for t in model.treatments:
        _need(model, t.starts_with, f"treatment {t.name}, starts_with", {"line_of_therapy", "infusion", "dose"})
        for dose in t.regimen.doses:
            _need(model, dose[2], f"treatment {t.name}, regimen", {*model.routes, *model.states})
            _amount(model, f"treatment {t.name}, regimen", dose[1])


def _amount(model, place: str, amount: str) -> None:
    """An amount must convert to the model's unit of amounts."""
    try:
        parse_dose(amount, model.dose_unit, {"weight_kg": 70.0, "bsa_m2": 1.8})
    except BayestwinError as problem:
        raise ModelError(
            problem.problem,
            subject=f"model {model.name}",
            place=place,
            value=amount,
            allowed=f"an amount in {model.dose_unit or 'no unit'} or a unit that converts to it, also per kg or per m2",
            next_step="Correct the amount, or the model's dose_unit.",
        ) from problem


def _individual_parameters(model) -> None:
    """Drift and the response correlation."""
    varying = {p.name for p in model.parameters if p.between is not None}
    for drift in model.drift:
        _need(model, drift.parameter, "drift", {p.name for p in model.parameters})
        for name, least, allowed in (("every", 0.0, f"more than 0 {model.time_unit}s"), ("steps", 0, "1 or more")):
            value = getattr(drift, name)
            if not least < value < float("inf"):
                raise ModelError(
                    "a drift needs steps in time",
                    subject=f"model {model.name}",
                    place=f"drift of {drift.parameter}, {name}",
                    value=value,
                    allowed=allowed,
                )
    for name in model.response_correlation.parameters if model.response_correlation else ():
        _need(model, name, "response correlation", varying)


def _response_classes(model) -> None:
    named = {p.name: p for p in model.parameters}
    known = set(named) | ({model.response_correlation.frailty} if model.response_correlation else set())
    for cls in model.response_classes:
        _need(model, cls.parameter, "response class", known)
        _need(model, cls.replaced_by, "response class", known)
        _need(model, cls.probability, "response class", set(named))
        _need(model, cls.treatment, "response class", {t.name for t in model.treatments})
        if cls.moved_by or cls.slope:
            _need(
                model, cls.moved_by, "response class, moved_by", {n for n, p in named.items() if p.between is not None}
            )
            _need(model, cls.slope, "response class, slope", {n for n, p in named.items() if p.between is None})
        if cls.without:
            _need(model, cls.parameter, "response class without another parameter", set(named))
            plain = {n for n, p in named.items() if p.scale == "identity"} - {cls.parameter, cls.replaced_by}
            _need(model, cls.without, "response class, without", plain)
        chance = named[cls.probability]
        if chance.scale != "logit" or chance.between is not None:
            raise ModelError(
                "the chance of a response class is a logit-scaled parameter that does not vary between patients",
                subject=f"model {model.name}",
                place=f"parameter {chance.name}",
                value=chance.scale,
                allowed='scale="logit", between=None',
            )


def _covariate_effects(model) -> None:
    for parameter in model.parameters:
        for effect in parameter.covariates:
            if not isinstance(effect, (Power, Category)) and not hasattr(effect, "slope"):
                raise ModelError(
                    "unknown covariate effect",
                    subject=f"model {model.name}",
                    place=f"parameter {parameter.name}",
                    value=effect,
                )
        if parameter.treatment:
            _need(model, parameter.treatment, f"parameter {parameter.name}", {t.name for t in model.treatments})
    named = [name for name, _, _ in model.effects]
    for name, position, _ in model.effects:
        if named.count(name) > 1:
            raise ModelError(
                "two covariate effects share a name, and so would share a coefficient",
                subject=f"model {model.name}",
                place=f"parameter {model.parameters[position].name}",
                value=name,
                allowed="one effect of a covariate on a parameter (of a category: one for each level)",
                next_step="Keep one of them; where covariate or level differ, rename one.",
            )


def _waits(model) -> None:
    """What is said of the way to a treatment fits together."""
    at_once = {t.name for t in model.treatments if t.starts_with != "dose" and not t.wait}
    for t in model.treatments:
        place = f"treatment {t.name}"
        for name in ("wait", "to_leukapheresis"):
            if not getattr(t, name) >= 0.0:
                raise ModelError(
                    "a waiting time below zero",
                    subject=f"model {model.name}",
                    place=f"{place}, {name}",
                    value=getattr(t, name),
                    allowed=f"0 or more {model.time_unit}s",
                )
        if (t.to_leukapheresis or t.delays) and not t.cell_therapy:
            raise ModelError(
                "a way to leukapheresis needs a cell therapy",
                subject=f"model {model.name}",
                place=place,
                allowed="to_leukapheresis and delays where cell_therapy=True",
            )
        if (t.never_starts or t.instead) and not t.wait:
            raise ModelError(
                "who starts at once cannot drop out before",
                subject=f"model {model.name}",
                place=place,
                allowed="never_starts and instead where there is a wait",
            )
        if t.instead:
            _need(model, t.instead, f"{place}, instead", at_once)


def _endpoints(model) -> None:
    for endpoint in (e for e in model.endpoints if hasattr(e, "rules")):
        for rule in endpoint.rules:
            _need(model, rule.output, "progression rule", {o.output for o in model.observations if not o.discrete})
        if all(rule.when is not None for rule in endpoint.rules):
            raise ModelError(
                "no progression rule for everybody else",
                subject=f"model {model.name}",
                next_step="Add a rule without `when`.",
            )
        for name in (*endpoint.progression_hazards, *endpoint.death_hazards):
            _need(model, name, "progression endpoint", set(model.hazards))
        for name in endpoint.recorded_as:
            _need(model, name, "recorded_as", {*endpoint.progression_hazards, *endpoint.death_hazards})
