"""One patient's parameters given the population: prior mean and covariance, natural values, response classes.

A population draw is a `Hyper`. With theta the typical values on the transformed scale, x the patient's covariate
terms and R the correlation matrix,

    psi | draw ~ Normal(theta + x beta, diag(omega) R diag(omega))           D individual parameters
    P(non-responder to x | psi) = Phi((Phi^-1(p_x) + sqrt(rho) c) / sqrt(1 - rho)),  c the frailty in psi
    logit p_x = its typical value + slope * z, z an individual parameter, where the response class says `moved_by`

A larger frailty is worse: it raises both the resistant fraction and the chance of non-response.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, logit, ndtri

from bayestwin.dynamics.names import CHANGED, ChangedCovariates, shifted
from bayestwin.errors import RecordError
from bayestwin.individual.missing import (
    effects_by_parameter,
    first_covariates,
    has_categories,
    latent_shift,
    levels_of,
    log_normal,
    missing_flags,
    same_level,
    terms_at_centre,
    widened,
    with_levels,
)
from bayestwin.individual.occasions import begins_another, occasion_count, occasion_shifts, occasion_terms
from bayestwin.labs import OCCASION
from bayestwin.records.record import covariate_changes
from bayestwin.specification.occasions import NEXT
from bayestwin.specification.parameters import Category, Power


class Hyper(NamedTuple):
    """Population-level quantities of one draw (or stacked over M draws).

    typical (Q,) : typical values, transformed scale; effects (F,) : covariate coefficients
    omega (D,) : SDs of the individual parameters; correlation (D, D); sigma (R,) : residual SDs and CVs
    covariates (S,) : what the distributions of covariates are known by (`missing.numbers_of`), None without any
    """

    typical: jax.Array
    effects: jax.Array
    omega: jax.Array
    correlation: jax.Array
    sigma: jax.Array
    covariates: jax.Array | None = None


def to_transformed(value, scale: str):
    """Natural value to the transformed scale."""
    return jnp.log(value) if scale == "log" else logit(value) if scale == "logit" else value


def to_natural(value, scale: str):
    """Transformed value to the natural scale; logits are kept off 0 and 1."""
    if scale == "log":
        return jnp.exp(jnp.clip(value, -60.0, 60.0))
    return jax.nn.sigmoid(jnp.clip(value, -30.0, 30.0)) if scale == "logit" else value


def covariate_terms(model, covariates, subject: str = "") -> np.ndarray:
    """What each covariate coefficient is multiplied with for this patient, F numbers; a missing covariate gives 0,
    of a `Category` what it says in `unknown`.

    RecordError, which names `subject`, where the model cannot calculate with a covariate.

    After them 1 for the occasion that is on and 0 for the others, where the model tells occasions apart, and 1 for each
    covariate that is missing and has a distribution, 0 for one that is known (missing.py).
    """
    terms = []
    for _, _, effect in model.effects:
        value = covariates.get(effect.covariate)
        if value is None:
            terms.append(effect.unknown if isinstance(effect, Category) else 0.0)
        elif isinstance(effect, Category):
            terms.append(1.0 if same_level(value, effect.level) else 0.0)
        else:
            terms.append(_calculated(effect, value, subject))
    return np.concatenate(
        [np.array(terms, dtype=float), occasion_terms(model, covariates), missing_flags(model, covariates)]
    )


def _calculated(effect, value, subject: str) -> float:
    """ln(value / reference) of a `Power`, value - reference of a `Slope`."""
    power = isinstance(effect, Power)
    try:
        with np.errstate(all="ignore"):
            term = np.log(float(value) / effect.reference) if power else float(value) - effect.reference
    except (TypeError, ValueError):
        term = np.nan
    if np.isfinite(term):
        return float(term)
    raise RecordError(
        f"the model cannot calculate with this {effect.covariate}",
        subject=subject,
        place="covariates",
        value=value,
        allowed="a number more than 0" if power else "a finite number",
        next_step="Correct it, or leave the covariate out where it is not known.",
    )


def shifted_typical(model, hyper: Hyper, terms):
    """Typical values of all Q parameters for a patient with these covariate terms, transformed scale.

    A number that is missing and summed out stands at the centre of its distribution, any other at the reference.
    """
    if not model.effects:
        return hyper.typical
    known = terms[..., : len(model.effects)]
    if model.covariate_distributions:
        known = known + terms_at_centre(model, hyper, terms)
    return hyper.typical + (hyper.effects * known) @ effects_by_parameter(model)


def prior_mean(model, hyper: Hyper, terms):
    """Mean of psi, (D,); where a category is missing that of its reference (see `prior_moments`)."""
    typical = shifted_typical(model, hyper, terms)
    extra = len(model.individual_names) - len(model.varying)
    varying = typical[..., np.array(model.varying, dtype=int)]
    return jnp.concatenate([varying, jnp.zeros((*typical.shape[:-1], extra))], axis=-1)


def response_structure(model, rho: float) -> np.ndarray:
    """Correlations among individual parameters that the declared response correlation sets, (D, D)."""
    names = model.individual_names
    structure = np.eye(len(names))
    rc = model.response_correlation
    if rc is not None:
        members = [names.index(n) for n in rc.parameters]
        c = names.index(rc.frailty)
        structure[np.ix_(members, members)] = [[rc.of(a, b, rho) for b in rc.parameters] for a in rc.parameters]
        structure[c, members] = structure[members, c] = np.sqrt(rho)
        np.fill_diagonal(structure, 1.0)
    return structure


def prior_moments(model, hyper: Hyper, terms):
    """Mean (D,) and Cholesky factor (D, D) of psi given covariates, missing ones summed out.

    They are the whole prior where no category is missing; where one is, `log_levels` says the rest.
    """
    mean, scale = normal_given_levels(model, hyper, terms)
    return with_levels(model, hyper, terms, mean, scale)


def normal_given_levels(model, hyper: Hyper, terms):
    """Mean (D,) and Cholesky factor (D, D) of psi, missing categories standing at their reference."""
    mean = prior_mean(model, hyper, terms)
    size = len(model.individual_names)
    scale = hyper.omega[:, None] * (jnp.linalg.cholesky(hyper.correlation) if size else hyper.correlation)
    return mean, widened(model, hyper, terms, scale)


def log_levels(model, psi, hyper: Hyper, terms):
    """ln p(psi | covariates) - ln Normal(psi; `prior_moments`): 0 unless a category is missing."""
    if not has_categories(model):
        return jnp.zeros(())
    mean, scale = normal_given_levels(model, hyper, terms)
    log_share, shifts = levels_of(model, hyper, terms)
    mixture = jax.scipy.special.logsumexp(log_share + jax.vmap(lambda d: log_normal(psi, mean + d, scale))(shifts))
    return mixture - log_normal(psi, *with_levels(model, hyper, terms, mean, scale))


def log_prior(model, psi, hyper: Hyper, terms):
    """ln p(psi | population draw, covariates), missing covariates summed out."""
    return log_normal(psi, *prior_moments(model, hyper, terms)) + log_levels(model, psi, hyper, terms)


class CovariateChanges(NamedTuple):
    """Changes of covariates in time, J of them (padded with some that never come).

    times (J,) in order; terms (J, F + occasions) : covariate terms from then on
    """

    times: np.ndarray
    terms: np.ndarray


def covariate_course(model, record, size: int | None = None, *, cut: float | None = None) -> CovariateChanges | None:
    """The record's changes of covariates that act on parameters and of occasions, padded to `size`; None without any.

    size : None for the next power of two, 0 where nobody in a stack has any
    cut : of a forecast, which may begin a new occasion there (`Occasions.future`)
    """
    known, reached = first_covariates(model, record), {}
    said: list[tuple] = covariate_changes(record, model.acting_covariates)
    if cut is not None and begins_another(model, record, cut):
        said = sorted([*said, (cut, OCCASION, NEXT)], key=lambda one: one[:2])
    for time, name, value in said:
        known[name] = value
        reached[time] = covariate_terms(model, known, f"patient {record.key}")
    if size == 0 or (size is None and not reached):
        return None
    more = (1 << (len(reached) - 1).bit_length() if size is None else size) - len(reached)
    times = [*reached, *[np.inf] * more]
    padding = [np.zeros(len(model.effects) + occasion_count(model) + len(model.covariate_distributions))] * more
    return CovariateChanges(np.array(times), np.array([*reached.values(), *padding]))


def natural_values(model, psi, hyper: Hyper, terms, response_class=None, changes=None) -> dict:
    """Natural parameter values, drift steps and effects of occasions by name, scalars; what changes do under CHANGED.

    changes : CovariateChanges or None; the individual parameters stand at the first covariates and in the first
        occasion, `terms`

    response_class : (number of response classes,) 0 responder, 1 non-responder per treatment, or None for all 0
    """
    # all parameters at once, in few large operations: the compiler's time grows with the number of operations
    transformed = (
        shifted_typical(model, hyper, terms).at[np.array(model.varying, dtype=int)].set(psi[: len(model.varying)])
    )
    if model.latent_covariates:
        transformed = transformed + latent_shift(model, psi, hyper, terms)
    by_occasion, occasions = None, slice(len(model.effects), len(model.effects) + occasion_count(model))
    if model.occasions:
        by_occasion = occasion_shifts(model, psi[len(psi) - len(model.occasions.names) :])
        transformed = transformed + terms[occasions] @ by_occasion
    scales = [p.scale for p in model.parameters]
    natural = jnp.where(np.array([x == "log" for x in scales]), to_natural(transformed, "log"), transformed)
    natural = jnp.where(np.array([x == "logit" for x in scales]), to_natural(transformed, "logit"), natural)
    values = dict(zip(model.parameter_names, jnp.unstack(natural)))
    extra = slice(len(model.varying), None)  # frailty, drift steps and effects of occasions
    values.update(zip(model.individual_names[extra], jnp.unstack(psi[extra])))
    if changes is not None:
        where, moved, count = effects_by_parameter(model), changes.terms - terms, len(model.effects)
        shifts = (hyper.effects * moved[:, :count]) @ where
        if by_occasion is not None:
            shifts = shifts + moved[:, occasions] @ by_occasion
        if model.acquired:  # missing until it was said
            known = jax.vmap(lambda later: latent_shift(model, psi, hyper, later))(changes.terms)
            shifts = shifts + known - latent_shift(model, psi, hyper, terms)
        values[CHANGED] = ChangedCovariates(changes.times, shifts)
    if response_class is not None:
        for k, cls in enumerate(model.response_classes):
            is_other, instead = response_class[k] > 0, in_other_class(model, cls, values)
            values[cls.parameter] = jnp.where(is_other, instead, values[cls.parameter])
            if changes is not None and cls.without:
                at, by = (model.parameter_names.index(name) for name in (cls.parameter, cls.without))
                shifts = shifts.at[:, at].add(jnp.where(is_other, -shifts[:, by], 0.0))
                values[CHANGED] = ChangedCovariates(changes.times, shifts)
    return values


def in_other_class(model, cls, values: dict):
    """What `parameter` of a response class is in a non-responder, natural scale; less what the model will add to it
    where the class is `without` that."""
    if not cls.without:
        return values[cls.replaced_by]
    scale = model.parameters[model.parameter_names.index(cls.parameter)].scale
    return shifted(values[cls.replaced_by], -values[cls.without], scale)


def class_log_probability(model, psi, hyper: Hyper, terms, response_class, relevant, rho):
    """ln P(response classes | psi, population draw); treatments not `relevant` (never started) do not count."""
    if not model.response_classes:
        return jnp.zeros(())
    positions = np.array([model.parameter_names.index(cls.probability) for cls in model.response_classes])
    typical = shifted_typical(model, hyper, terms)
    probability = jax.nn.sigmoid(typical[positions] + _moved(model, psi, typical))
    frailty = (
        psi[model.individual_names.index(model.response_correlation.frailty)] if model.response_correlation else 0.0
    )
    liability = (ndtri(probability) + jnp.sqrt(rho) * frailty) / jnp.sqrt(1.0 - rho)
    return (relevant * log_ndtr(jnp.where(jnp.asarray(response_class) > 0, liability, -liability))).sum()


def _moved(model, psi, typical):
    """What individual parameters add to the logit of each class probability."""
    if not any(cls.moved_by for cls in model.response_classes):
        return 0.0
    at = [model.individual_names.index(c.moved_by) if c.moved_by else 0 for c in model.response_classes]
    by = [model.parameter_names.index(c.slope) if c.slope else 0 for c in model.response_classes]
    there = np.array([float(bool(c.moved_by)) for c in model.response_classes])
    return there * psi[np.array(at)] * typical[np.array(by)]


def prior_at(model, z, u, hyper: Hyper, terms):
    """psi at standard normals z (D,), (D,); of missing categories at the levels that a uniform number u says."""
    mean, scale = normal_given_levels(model, hyper, terms)
    if has_categories(model):
        log_share, shifts = levels_of(model, hyper, terms)
        edges = jnp.cumsum(jnp.exp(log_share))
        mean = mean + shifts[jnp.clip(jnp.searchsorted(edges, u * edges[-1]), 0, len(shifts) - 1)]
    return mean + scale @ z


def draw_prior(model, key, hyper: Hyper, terms):
    """One psi from the population draw, (D,)."""
    z = jax.random.normal(key, (len(model.individual_names),))
    mean, scale = normal_given_levels(model, hyper, terms)
    if has_categories(model):
        log_share, shifts = levels_of(model, hyper, terms)
        mean = mean + shifts[jax.random.categorical(jax.random.fold_in(key, 1), log_share)]
    return mean + scale @ z


__all__ = [
    "Hyper",
    "class_log_probability",
    "covariate_terms",
    "draw_prior",
    "log_levels",
    "log_prior",
    "natural_values",
    "prior_at",
    "prior_mean",
    "prior_moments",
    "response_structure",
    "shifted_typical",
    "to_natural",
    "to_transformed",
]
