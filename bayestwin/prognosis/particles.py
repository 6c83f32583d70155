"""From a twin's particles to draws for a forecast.

Another rho, fresh values where the record is silent, one response class each.
Parameters of treatments not yet started, growth steps still to come and occasions not begun have no data: they are
drawn anew from their conditional prior given the rest (Matheron's rule), so that resampling does not thin them out.
Under another rho the frailty is drawn anew too and the particles are reweighted by the ratio of the targets:

    w' = w p_rho'(psi_A | m) sum_c pi_rho'(c | psi) L_c / (p_rho(psi_A | m) sum_c pi_rho(c | psi) L_c)

with psi_A the parameters the record speaks of and L_c the stored likelihood of each response class.
"""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from bayestwin.dynamics import treatment_starts
from bayestwin.individual import (
    begun_effects,
    class_log_probability,
    compile_record,
    first_covariates,
    response_structure,
)
from bayestwin.twin.particles import effective_size, log_sum_exp, normalised, within_draws
from bayestwin.twin.target import hyper_of


class Draws(NamedTuple):
    """psi (P, D), draw (P,), log_weights (P,) normalised within islands, known (P,) row of the started response
    classes, class_rows (P, X) response class of every treatment, ess"""

    psi: np.ndarray
    draw: np.ndarray
    log_weights: np.ndarray
    known: np.ndarray
    class_rows: np.ndarray
    ess: float


def silent_parameters(model, record, now: float) -> np.ndarray:
    """True for individual parameters of which the record says nothing, (D,)."""
    started = {name for _, name in treatment_starts(model, record)} | _dosed(model, record, now)
    by_name = {p.name: p.treatment for p in model.parameters}
    silent = [bool(by_name.get(name)) and by_name[name] not in started for name in model.individual_names]
    for drift in model.drift:
        for k, name in enumerate(drift.names):
            silent[model.individual_names.index(name)] = (k + 1) * drift.every >= now
    known = first_covariates(model, record)
    for covariate, names in model.latent_covariates.items():
        for name in names:
            silent[model.individual_names.index(name)] = known.get(covariate) is not None
    begun = begun_effects(model, record, now)
    for name in model.occasions.names if model.occasions else ():
        silent[model.individual_names.index(name)] = name not in begun
    return np.array(silent)


def _dosed(model, record, now: float) -> set[str]:
    """Treatments that start with doses and have one by `now`; a dose that names no treatment may be of any of them."""
    given = {dose.treatment for dose in record.doses if dose.time <= now}
    return {t.name for t in model.treatments if t.starts_with == "dose" and given & {t.name, ""}}


def forecast_draws(twin, rho: float, rng: np.random.Generator) -> Draws:
    """Draws for a forecast under `rho`; see the module text."""
    model = twin.model
    pop, parts = (jax.tree.map(np.asarray, t) for t in (twin.population, twin.particles))
    data = compile_record(model, twin.record)
    silent = silent_parameters(model, twin.record, twin.time)
    other_rho = model.response_correlation is not None and abs(rho - twin.rho) > 1e-12
    if other_rho:
        silent[model.individual_names.index(model.response_correlation.frailty)] = True
    scale = _with_rho(model, pop.scale, rho) if other_rho else pop.scale
    psi = _redrawn(parts.psi, parts.draw, pop.mean, scale, silent, rng)
    labs = parts.labs + parts.alive + parts.other
    log_class, log_weights = parts.log_class, parts.log_weights
    if other_rho:
        log_class = _class_prior(model, psi, parts.draw, twin.population, data.terms, data.classes, data.relevant, rho)
        active = np.flatnonzero(~silent)
        gain = _marginal(parts.psi, parts.draw, pop.mean, scale, active)
        gain = gain - _marginal(parts.psi, parts.draw, pop.mean, pop.scale, active)
        gain += log_sum_exp(log_class + labs, axis=1) - log_sum_exp(parts.log_class + labs, axis=1)
        joint = log_weights + gain
        if not twin.feedback:  # a cut posterior: the population draws keep their weights
            joint = within_draws(joint, twin.islands, twin.population.drawn(parts.draw))
        log_weights = normalised(joint, twin.islands)
    known = _categorical(rng, log_class + labs)
    rows = data.classes[known]
    if model.response_classes:
        each, ones = np.eye(len(model.response_classes)), np.ones((1, len(model.response_classes)), dtype=int)
        chances = [
            np.exp(_class_prior(model, psi, parts.draw, twin.population, data.terms, ones, one, rho)) for one in each
        ]
        p_nonresponse = np.concatenate(chances, axis=1)
        fresh = (rng.random(p_nonresponse.shape) < p_nonresponse).astype(int)
        rows = np.where(data.relevant > 0, rows, fresh)
    return Draws(psi, parts.draw, log_weights, known, rows, effective_size(log_weights, twin.islands))


def _categorical(rng, log_p) -> np.ndarray:
    """One column per row, with chances proportional to exp(log_p)."""
    return (log_p + rng.gumbel(size=log_p.shape)).argmax(axis=1)


@partial(jax.jit, static_argnums=0)
def _class_log_probabilities(model, psi, draw, pop, terms, classes, relevant, rho):
    def one(p, d):
        return jax.vmap(lambda c: class_log_probability(model, p, hyper_of(pop, d), terms, c, relevant, rho))(classes)

    return jax.vmap(one)(psi, draw)


def _class_prior(*arguments) -> np.ndarray:
    """ln P(response classes | psi, draw), (P, C)."""
    return np.asarray(_class_log_probabilities(*arguments))


def _with_rho(model, scale, new: float):
    """Cholesky factors of the individual covariance with another response correlation, (M, D, D)."""
    cov = scale @ np.swapaxes(scale, 1, 2)
    changed = response_structure(model, 0.25) != response_structure(model, 0.0)
    sd = np.sqrt(np.diagonal(cov, axis1=1, axis2=2))
    target = sd[:, :, None] * sd[:, None, :] * response_structure(model, new)
    return np.linalg.cholesky(np.where(changed, target, cov))


def _redrawn(psi, draw, mean, scale, silent, rng):
    """Silent parameters drawn from their conditional prior given the others (Matheron's rule)."""
    if not silent.any():
        return psi
    a, i = np.flatnonzero(~silent), np.flatnonzero(silent)
    cov = scale @ np.swapaxes(scale, 1, 2)
    gain = np.swapaxes(np.linalg.solve(cov[:, a][:, :, a], cov[:, a][:, :, i]), 1, 2)
    fresh = mean[draw] + np.einsum("pde,pe->pd", scale[draw], rng.standard_normal(psi.shape))
    filled = psi.copy()
    filled[:, i] = fresh[:, i] + np.einsum("pia,pa->pi", gain[draw], psi[:, a] - fresh[:, a])
    return filled


def _marginal(psi, draw, mean, scale, active):
    """ln density of the active parameters up to a constant, (P,)."""
    cov = (scale @ np.swapaxes(scale, 1, 2))[:, active][:, :, active]
    chol = np.linalg.cholesky(cov)
    white = np.einsum("pde,pe->pd", np.linalg.inv(chol)[draw], (psi - mean[draw])[:, active])
    return -0.5 * (white**2).sum(-1) - np.log(np.diagonal(chol, axis1=1, axis2=2)).sum(-1)[draw]
