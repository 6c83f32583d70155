"""A patient whose covariate is not known: it is integrated over its distribution among patients.

A covariate x with slopes b on the parameters it acts on (transformed scale), x (or ln x) = c + s u, u ~ Normal(0, 1):

    summed out   it acts linearly, on parameters that vary between patients: psi stays normal,
                 psi ~ Normal(mean at x = c, Omega + s^2 b b')                                            exact
    categories   P(level l) = share_l: psi ~ sum over l of share_l Normal(mean at l, Omega)               exact
    latent       anything else: u is a further individual parameter, and the parameters get what x adds:
                 psi means the patient at the reference; for patients whose x is known u keeps its prior
                 a category `as_normal`: indicators p + L u of the levels but the first, L L' = diag(p) - p p',
                 p their shares; that of the first is what the others leave of 1

Several are summed out one after the other, several categories as the product of their levels. Only a covariate that the
record never says is missing: one that it says later holds from the beginning, since who has it now is taken to have had
it then (docs/decisions/0022-missing-covariates-are-integrated-over.md). A category that is `acquired` is missing until
it is said.
"""

from collections.abc import Mapping
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.errors import RecordError
from bayestwin.records.record import covariate_changes
from bayestwin.specification.missing_covariates import CategoryCovariate, LogNormalCovariate, is_summed_out, mixed
from bayestwin.specification.parameters import Category, Power

SMALLEST = 1e-12  # share of a level, so that nothing is divided by 0


def first_covariates(model, record) -> dict:
    """Covariates at the beginning; one that has a distribution and is said only later holds from the beginning, but for
    one that is acquired."""
    found, acquired = dict(record.covariates), model.acquired
    lacking = [one.covariate for one in model.covariate_distributions if found.get(one.covariate) is None]
    lacking = [name for name in lacking if name not in acquired]
    for _, name, value in covariate_changes(record, lacking) if lacking else ():
        if found.get(name) is None:
            found[name] = value
    return found


def missing_flags(model, covariates: Mapping) -> np.ndarray:
    """1 for each covariate with a distribution that is missing, 0 for each that is known, (K,)."""
    return np.array([float(covariates.get(one.covariate) is None) for one in model.covariate_distributions])


def same_level(value, level: str) -> bool:
    """True where a recorded covariate is this level: the same word, or the same number written otherwise."""
    return str(value) == level or _number(value) == _number(level) is not None


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def known_values(model, record) -> np.ndarray | None:
    """Known covariates with a distribution, on the scale on which that is normal, or the position of the level; 0 for
    a missing one; (K,), None where no covariate has a distribution.

    Raises
    ------
    RecordError      a value that the distribution cannot have; names the patient
    """
    if not model.covariate_distributions:
        return None
    first = first_covariates(model, record)
    return np.array([_known(record, one, first.get(one.covariate)) for one in model.covariate_distributions])


def _known(record, one, value) -> float:
    if value is None:
        return 0.0
    where = {"subject": f"patient {record.key}", "place": f"covariate {one.covariate}", "value": value}
    if isinstance(one, CategoryCovariate):
        found = [k for k, level in enumerate(one.levels) if same_level(value, level)]
        if not found:
            step = "Correct the level, or name it in the model's covariate_distributions."
            raise RecordError("no such level", allowed=", ".join(one.levels), next_step=step, **where)
        return float(found[0])
    number = _number(value)
    positive = isinstance(one, LogNormalCovariate)
    if number is None or not np.isfinite(number) or (positive and not number > 0):
        raise RecordError(
            "the distribution of this covariate cannot give this value",
            allowed="a positive number" if positive else "a number",
            next_step="Correct the value, or leave it out: it then counts as missing.",
            **where,
        )
    return float(np.log(number)) if positive else number


def numbers_of(model, natural: Mapping) -> list:
    """What the distributions are known by, from values of their sites: centre and SD of each number, ln of the share
    of every level of each category."""
    found: list = []
    for one in model.covariate_distributions:
        values = [natural[site] for site in one.sites]
        if isinstance(one, CategoryCovariate):
            left = jnp.zeros_like(jnp.asarray(values[0]))
            for share in values:
                found.append(left + jnp.log(share))
                left = left + jnp.log1p(-share)
            found.append(left)
        else:
            found += [jnp.log(values[0]) if isinstance(one, LogNormalCovariate) else values[0], values[1]]
    return found


def _places(model) -> list[tuple[int, object, slice]]:
    """(position, distribution, its numbers within `Hyper.covariates`) of each covariate with a distribution."""
    found, begin = [], 0
    for k, one in enumerate(model.covariate_distributions):
        size = len(one.levels) if isinstance(one, CategoryCovariate) else 2
        found.append((k, one, slice(begin, begin + size)))
        begin += size
    return found


def _flags(model, terms):
    return terms[..., terms.shape[-1] - len(model.covariate_distributions) :]


def _acting(model, one) -> np.ndarray:
    """1 for each effect of this covariate, (F,)."""
    return np.array([float(effect.covariate == one.covariate) for _, _, effect in model.effects])


def effects_by_parameter(model) -> np.ndarray:
    """1 where an effect acts on a parameter, (F, Q)."""
    where = np.zeros((len(model.effects), len(model.parameters)))
    for k, (_, position, _) in enumerate(model.effects):
        where[k, position] = 1.0
    return where


def _references(model) -> np.ndarray:
    """Where each effect is zero, on the scale on which it is linear, (F,)."""
    found = []
    for _, _, effect in model.effects:
        reference = getattr(effect, "reference", 0.0)
        found.append(np.log(reference) if isinstance(effect, Power) else reference)
    return np.array(found, dtype=float)


def _numbers_summed_out(model):
    return [p for p in _places(model) if not isinstance(p[1], CategoryCovariate) and is_summed_out(model, p[1])]


def has_categories(model) -> bool:
    """True where the levels of a category are the components of a mixture."""
    return bool(mixed(model))


def prior_is_own(model) -> bool:
    """True where the prior of psi depends on which covariates of a patient are missing: some are summed out."""
    return len(model.latent_covariates) < len(model.covariate_distributions)


def terms_at_centre(model, hyper, terms):
    """Terms of numbers that are missing and summed out, at the centre of their distribution; 0 for all others, (F,)."""
    found = jnp.zeros(len(model.effects))
    for k, one, at in _numbers_summed_out(model):
        gap = hyper.covariates[..., at][..., 0, None] - _references(model)
        found = found + _flags(model, terms)[..., k, None] * _acting(model, one) * gap
    return found


def widened(model, hyper, terms, scale):
    """The Cholesky factor (D, D) of psi's covariance, wider by what missing numbers leave open."""
    places = _numbers_summed_out(model)
    if not places:
        return scale
    covariance = scale @ scale.T
    for k, one, at in places:
        slope = _on_psi(model, hyper.effects * _acting(model, one)) * hyper.covariates[at][1] * _flags(model, terms)[k]
        covariance = covariance + slope[:, None] * slope[None, :]
    return jnp.linalg.cholesky(covariance)


def _on_psi(model, by_effect):
    """What amounts (F,) by effect add to each individual parameter, (D,)."""
    moved = (by_effect @ effects_by_parameter(model))[np.array(model.varying, dtype=int)]
    return jnp.concatenate([moved, jnp.zeros(len(model.individual_names) - len(model.varying))])


def levels_of(model, hyper, terms):
    """ln share (L,) of every combination of levels, and what it adds to the mean of psi, (L, D); nothing for a category
    that is known."""
    places = [p for p in _places(model) if p[1] in mixed(model)]
    flags, shares, shifts = _flags(model, terms), [], []
    for chosen in product(*(range(len(one.levels)) for _, one, _ in places)):
        log_share, added = jnp.zeros(()), jnp.zeros(len(model.effects))
        for (k, one, at), level in zip(places, chosen):
            log_share = log_share + hyper.covariates[at][level]
            added = added + flags[k] * _on_levels(model, one)[level]
        shares.append(log_share)
        shifts.append(_on_psi(model, hyper.effects * added))
    return jnp.stack(shares), jnp.stack(shifts)


def _on_levels(model, one) -> np.ndarray:
    """1 for each effect of each level of this category, (L, F)."""
    effects = [effect for _, _, effect in model.effects]
    return np.array(
        [
            [float(isinstance(e, Category) and (e.covariate, e.level) == (one.covariate, v)) for e in effects]
            for v in one.levels
        ]
    )


def with_levels(model, hyper, terms, mean, scale):
    """Mean and Cholesky factor of psi over all levels of missing categories, from those at the reference."""
    if not has_categories(model):
        return mean, scale
    log_share, shifts = levels_of(model, hyper, terms)
    share = jnp.exp(log_share)
    middle = share @ shifts
    apart = shifts - middle
    return mean + middle, jnp.linalg.cholesky(scale @ scale.T + (share[:, None] * apart).T @ apart)


def log_normal(psi, mean, scale):
    """ln of the normal density with this Cholesky factor."""
    white = jax.scipy.linalg.solve_triangular(scale, psi - mean, lower=True)
    return -0.5 * (white**2).sum() - jnp.log(jnp.diagonal(scale)).sum() - 0.5 * psi.shape[-1] * jnp.log(2 * jnp.pi)


def latent_shift(model, psi, hyper, terms):
    """What missing covariates that are individual parameters of their own add to every parameter, (Q,)."""
    found, places = jnp.zeros(len(model.effects)), {one.covariate: (k, one, at) for k, one, at in _places(model)}
    for covariate, names in model.latent_covariates.items():
        k, one, at = places[covariate]
        u = psi[np.array([model.individual_names.index(name) for name in names])]
        if isinstance(one, CategoryCovariate):
            found = found + _flags(model, terms)[k] * (_indicators(hyper.covariates[at], u) @ _on_levels(model, one))
            continue
        centre, sd = hyper.covariates[at]
        x = centre + sd * u[0]
        natural = jnp.exp(jnp.clip(x, -60.0, 60.0)) if isinstance(one, LogNormalCovariate) else x
        power = np.array([isinstance(effect, Power) for _, _, effect in model.effects])
        added = jnp.where(power, x, natural) - _references(model)
        found = found + _flags(model, terms)[k] * _acting(model, one) * added
    return (hyper.effects * found) @ effects_by_parameter(model)


def _indicators(log_share, u):
    """Normal indicators (L,) of the levels of a category, of which ln shares (L,) and standard normals (L - 1,) are
    given: each has the mean and variance that 0 and 1 have, two of them their covariance.

    diag(p) - p p' = F F' with q_k = 1 - p_1 - ... - p_k: F_kk = sqrt(p_k q_k / q_(k-1)), below it
    F_ik = -p_i sqrt(p_k / (q_(k-1) q_k)). Source: Tanabe and Sagae (1992), J R Stat Soc B 54:211 (memory); checked in
    the tests.
    """
    share = jnp.maximum(jnp.exp(log_share), SMALLEST)
    p, left = share[1:], jnp.cumsum(share[::-1])[::-1] - share  # of those that follow each level
    left = left + share[0]  # q_k: the first is never used up
    before = left + share
    factor = jnp.sqrt(p * left[1:] / before[1:])
    below = -p[:, None] * jnp.sqrt(p / (before[1:] * left[1:]))
    lower = jnp.tril(below, -1) + jnp.diag(factor)
    others = p + lower @ u
    return jnp.concatenate([1.0 - others.sum(keepdims=True), others])


def log_of_covariates(model, hyper, terms, known):
    """ln p(known covariates of one patient | population draw), those that have a distribution."""
    total, flags = jnp.zeros(()), _flags(model, terms)
    for k, one, at in _places(model):
        numbers = hyper.covariates[at]
        if isinstance(one, CategoryCovariate):
            found = numbers[known[k].astype(int)]
        else:
            found = -0.5 * ((known[k] - numbers[0]) / numbers[1]) ** 2 - jnp.log(numbers[1]) - 0.5 * jnp.log(2 * jnp.pi)
        total = total + (1.0 - flags[k]) * found
    return total


def some_category_missing(model, terms) -> bool:
    """True where a category of this patient is missing."""
    flags = np.asarray(_flags(model, np.asarray(terms)))
    return any(flags[k] > 0 for k, one, _ in _places(model) if one in mixed(model))
