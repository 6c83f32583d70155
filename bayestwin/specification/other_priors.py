"""Priors from outside a model file: the same equations, fitted under other priors, without touching the model.

A file of priors names each population-level site as the fit prints it, its prior as a model file writes it:

    CL_pop = "LogNormal(median=2.8, sd_log=0.5)"        typical value
    omega_CL = "HalfNormal(sd=0.5)"                     SD between patients, transformed scale
    beta_CL_weight_kg = "Fixed(value=0.75)"             covariate effect
    sigma_add_concentration = "HalfCauchy(scale=1)"     residual error
    correlation = "LKJ(concentration=2)"                correlation of random effects; of several blocks
                                                        correlation_<first parameter>; occasion_correlation

What is not named keeps the model file's prior.
"""

import ast
import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from math import isfinite
from pathlib import Path
from typing import Any

from bayestwin.errors import ModelError
from bayestwin.specification.horseshoe import Horseshoe
from bayestwin.specification.parameters import Power, Slope
from bayestwin.specification.priors import FAMILIES, FRACTION, LKJ, POSITIVE, REAL, holds
from bayestwin.specification.sites import OfSites, Sites

CORRELATION = "correlation"


def read_priors(path) -> dict[str, Any]:
    """Site -> prior from a TOML file; "correlation" -> the concentration of its LKJ.

    Raises
    ------
    ModelError      the file cannot be read; an entry is no prior, with its name, what stands there and what is allowed
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:  # not UTF-8, no TOML, thousands of digits or brackets
        raise ModelError(
            f"the file of priors cannot be read: {error}",
            subject=path.name,
            next_step='Write lines such as CL_pop = "LogNormal(median=2.8, sd_log=0.5)".',
        ) from error
    found = {name: parse_prior(text, subject=path.name, place=name) for name, text in table.items()}
    for name, prior in found.items():
        if (name.removeprefix("occasion_").partition("_")[0] == CORRELATION) != isinstance(prior, float):
            raise ModelError(
                "an LKJ prior belongs to the correlation, and to nothing else",
                subject=path.name,
                place=name,
                value=str(table[name])[:80],
                allowed='correlation = "LKJ(concentration=2)"',
            )
    return found


def parse_prior(text, *, subject: str, place: str):
    """A prior from its words, for example "HalfNormal(sd=0.5)"; of LKJ the concentration, a number."""
    allowed = f"a word such as HalfNormal(sd=0.5), one of {', '.join(FAMILIES)}, or LKJ(concentration=2)"
    problem = ModelError("this is no prior", subject=subject, place=place, value=str(text)[:80], allowed=allowed)
    try:
        call = ast.parse(text, mode="eval").body
        family, given = call.func.id, {k.arg: _number(ast.literal_eval(k.value)) for k in call.keywords}
    except (AttributeError, SyntaxError, TypeError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise problem from error
    if call.args or None in given or len(given) < len(call.keywords) or family not in (*FAMILIES, "LKJ"):
        raise problem
    if family == "LKJ":
        if set(given) != {"concentration"} or not given["concentration"] > 0:
            raise problem
        return given["concentration"]
    try:
        return FAMILIES[family](**given)
    except TypeError as error:
        wanted = ", ".join(f"{field.name}=..." for field in fields(FAMILIES[family]))
        raise ModelError(
            "a prior is given the wrong numbers",
            subject=subject,
            place=place,
            value=text,
            allowed=f"{family}({wanted})",
        ) from error
    except ModelError as error:  # the family knows its numbers, not where they stand
        raise ModelError(
            error.problem, subject=subject, place=place, value=text, allowed=error.allowed, next_step=error.next_step
        ) from error


def _number(value) -> float:
    """A finite number; ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(value)
    return float(value)


def with_priors(model, priors: Mapping[str, Any]):
    """The same model under other priors; it keeps its identity, since equations and likelihood are the same.

    Raises
    ------
    ModelError      a site that the model does not have; a prior that does not fit its scale
    """
    left = dict(priors)
    concentrations = [left.pop(block.prior_name, block.prior.concentration) for block in model.correlation_blocks]
    blocks = [replace(b.prior, concentration=c) for b, c in zip(model.correlation_blocks, concentrations)]
    parameters = tuple(_parameter(model, k, left) for k in range(len(model.parameters)))
    drift = tuple(replace(d, sd=_positive(model, f"drift_sd_{d.parameter}", d.sd, left)) for d in model.drift)
    observations = tuple(
        replace(o, distribution=_distribution(model, o, left))
        if o.discrete
        else replace(
            o,
            error=_error(model, o, left),
            assay_scale=_assays(model, o, "assay_scale", left),
            assay_bias=_assays(model, o, "assay_bias", left),
        )
        for o in model.observations
    )
    occasions = model.occasions
    if occasions is not None:
        gammas = {name: _positive(model, f"gamma_{name}", prior, left) for name, prior in occasions.sd.items()}
        of_occasions = blocks.pop() if occasions.correlation is not None else None
        occasions = replace(occasions, sd=gammas, correlation=of_occasions)
    distributions = tuple(_covariate(model, one, left) for one in model.covariate_distributions)
    if left:
        raise ModelError(
            "the model has no such prior",
            subject=f"model {model.name}",
            place="priors",
            value=next(iter(left)),
            allowed=", ".join(site_names(model)),
        )
    correlation = None if not blocks else blocks[0] if isinstance(model.correlation, LKJ) else tuple(blocks)
    parts = {"parameters": parameters, "drift": drift, "observations": observations, "occasions": occasions}
    return replace(model, correlation=correlation, covariate_distributions=distributions, **parts)


def site_names(model) -> list[str]:
    """Every population-level site that a file of priors may name."""
    names = [f"{p.name}_pop" for p in model.parameters]
    names += [f"omega_{p.name}" for p in model.parameters if p.between is not None]
    names += [name for name, _, _ in model.effects] + [f"drift_sd_{d.parameter}" for d in model.drift]
    names += [f"gamma_{name}" for name in model.occasions.sd] if model.occasions else []
    names += [site for one in model.covariate_distributions for site in one.sites]
    names += [name for name, prior in model.residual_parameters.items() if not isinstance(prior, OfSites)]
    return names + [block.prior_name for block in model.correlation_blocks]


def _parameter(model, position: int, left: dict):
    """The parameter at `position` with each of its priors exchanged where named."""
    parameter = model.parameters[position]
    between = parameter.between
    if between is not None:
        between = left.pop(f"omega_{parameter.name}", between)
    effects = []
    for name, _, effect in (one for one in model.effects if one[1] == position):
        field = "exponent" if isinstance(effect, Power) else "slope" if isinstance(effect, Slope) else "shift"
        prior = left.pop(name, getattr(effect, field))
        if not holds(REAL, prior) and not isinstance(prior, Horseshoe):
            raise _misfit(model, name, prior, REAL)
        effects.append(replace(effect, **{field: prior}))
    typical = left.pop(f"{parameter.name}_pop", parameter.typical)
    return replace(parameter, typical=typical, between=between, covariates=tuple(effects))


def _covariate(model, one, left: dict):
    """The distribution of a covariate with each of its priors exchanged where named."""
    found = []
    for name, prior in one.sites.items():
        found.append(left.pop(name, prior))
        kinds = FRACTION if name.startswith("share_") else REAL if name.startswith("mean_") else POSITIVE
        if not holds(kinds, found[-1]):
            raise _misfit(model, name, found[-1], kinds)
    return one if found == list(one.sites.values()) else one.with_priors(tuple(found))


def _error(model, observation, left: dict):
    """The residual error with each of its priors exchanged where named."""
    error, of = observation.error, observation.output
    short = {"sd": "sigma_log" if observation.log_scale else "sigma_add", "cv": "sigma_prop", "low": "sigma_low"}
    changed = {
        field: _positive(model, f"{name}_{of}", getattr(error, field), left)
        for field, name in short.items()
        if getattr(error, field, None) is not None
    }
    if error.serial is not None:
        parts = {"sd": "serial_sd", "time": "serial_time", "low": "serial_low"}
        changed["serial"] = replace(
            error.serial,
            **{
                field: _positive(model, f"{name}_{of}", getattr(error.serial, field), left)
                for field, name in parts.items()
                if getattr(error.serial, field) is not None
            },
        )
    return replace(error, **changed)


def _distribution(model, observation, left: dict):
    """The distribution of what is counted or graded with each of its priors exchanged where named."""
    found = {}
    for name, prior in observation.residual_parameters.items():
        if name.startswith("cut_1_"):
            found[name] = left.pop(name, prior)
            if not holds(REAL, found[name]):
                raise _misfit(model, name, found[name], REAL)
        else:
            found[name] = _positive(model, name, prior, left)
    return observation.distribution.with_parameters(tuple(found.values()))


def _assays(model, observation, kind: str, left: dict):
    said = getattr(observation, kind)
    if isinstance(said, Sites):
        return replace(said, sd=_positive(model, f"{kind}_sd_{observation.output}", said.sd, left))
    names = {level: f"{kind}_{level}_{observation.output}" for level in said}
    return {level: _positive(model, name, said[level], left) for level, name in names.items()}


def _positive(model, name: str, prior, left: dict):
    found = left.pop(name, prior)
    if not holds(POSITIVE, found):
        raise _misfit(model, name, found, POSITIVE)
    return found


def _misfit(model, name, prior, kinds) -> ModelError:
    return ModelError(
        "this prior does not fit what it stands for",
        subject=f"model {model.name}",
        place=f"priors, {name}",
        value=prior,
        allowed=", ".join(kind.__name__ for kind in kinds) + (", all above 0" if kinds is POSITIVE else ""),
    )
