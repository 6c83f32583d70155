"""From a twin's particles to draws for a forecast.

Another rho, fresh values where the record is silent, one response class each.
Parameters of treatments not yet started and growth steps still to come have no data: they are drawn anew from their
conditional prior given the rest (Matheron's rule), so that resampling does not thin them out. Under another rho the
frailty is drawn anew too and the particles are reweighted by the ratio of the targets:

    w' = w p_rho'(psi_A | m) sum_c pi_rho'(c | psi) L_c / (p_rho(psi_A | m) sum_c pi_rho(c | psi) L_c)

with psi_A the parameters the record speaks of and L_c the stored likelihood of each response class.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from bayestwin.individual import class_log_probability, compile_record, response_structure
from bayestwin.twin.particles import effective_size, normalised
from bayestwin.twin.target import hyper_of


class Draws(NamedTuple):
    """psi (P, D), draw (P,), log_weights (P,) normalised within islands, known (P,) row of the started response
    classes, class_rows (P, X) response class of every treatment, ess"""

    psi: jax.Array
    draw: jax.Array
    log_weights: jax.Array
    known: jax.Array
    class_rows: jax.Array
    ess: float


def silent_parameters(model, record, now: float) -> np.ndarray:
    """True for individual parameters of which the record says nothing, (D,)."""
    data = compile_record(model, record)
    started = {c.treatment for k, c in enumerate(model.response_classes) if data.relevant[k] > 0}
    by_name = {p.name: p.treatment for p in model.parameters}
    silent = [bool(by_name.get(name)) and by_name[name] not in started for name in model.individual_names]
    for drift in model.drift:
        for k, name in enumerate(drift.names):
            silent[model.individual_names.index(name)] = (k + 1) * drift.every >= now
    return np.array(silent)


def forecast_draws(twin, rho: float, key) -> Draws:
    """Draws for a forecast under `rho`; see the module text."""
    model, pop, parts = twin.model, twin.population, twin.particles
    data = compile_record(model, twin.record)
    silent = silent_parameters(model, twin.record, twin.time)
    other_rho = model.response_correlation is not None and abs(rho - twin.rho) > 1e-12
    if other_rho:
        silent[model.individual_names.index(model.response_correlation.frailty)] = True
    scale = pop.scale
    if other_rho:
        scale = _with_rho(model, scale, twin.rho, rho)
    key_noise, key_class, key_new = jax.random.split(key, 3)
    psi = _redrawn(parts.psi, parts.draw, pop.mean, scale, silent, key_noise)
    log_weights = parts.log_weights
    labs = parts.labs + parts.alive + parts.other
    started = jnp.asarray(data.classes)
    log_class = parts.log_class
    if other_rho:
        log_class = _class_prior(model, psi, parts.draw, pop, data, started, jnp.asarray(data.relevant), rho)
        active = np.flatnonzero(~silent)
        gain = _marginal(parts.psi, parts.draw, pop.mean, scale, active) - _marginal(
            parts.psi, parts.draw, pop.mean, pop.scale, active
        )
        gain += logsumexp(log_class + labs, axis=1) - logsumexp(parts.log_class + labs, axis=1)
        log_weights = normalised(jnp.asarray(log_weights) + gain, twin.islands)
    known = jax.random.categorical(key_class, log_class + labs, axis=1)
    rows = started[known]
    if model.response_classes:
        ones = jnp.ones((1, len(model.response_classes)), dtype=int)
        p_nonresponse = jnp.stack(
            [
                jnp.exp(
                    _class_prior(model, psi, parts.draw, pop, data, ones, jnp.eye(len(model.response_classes))[k], rho)[
                        :, 0
                    ]
                )
                for k in range(len(model.response_classes))
            ],
            axis=1,
        )
        fresh = (jax.random.uniform(key_new, p_nonresponse.shape) < p_nonresponse).astype(int)
        rows = jnp.where(jnp.asarray(data.relevant) > 0, rows, fresh)
    return Draws(psi, parts.draw, log_weights, known, rows, effective_size(log_weights, twin.islands))


def _class_prior(model, psi, draw, pop, data, classes, relevant, rho):
    def one(p, d):
        return jax.vmap(
            lambda c: class_log_probability(model, p, hyper_of(pop, d), jnp.asarray(data.terms), c, relevant, rho)
        )(classes)

    return jax.vmap(one)(psi, draw)


def _with_rho(model, scale, old: float, new: float):
    """Cholesky factors of the individual covariance with another response correlation, (M, D, D)."""
    cov = jnp.einsum("mde,mfe->mdf", scale, scale)
    changed = response_structure(model, 0.25) != response_structure(model, 0.0)
    sd = jnp.sqrt(jnp.diagonal(cov, axis1=1, axis2=2))
    target = sd[:, :, None] * sd[:, None, :] * jnp.asarray(response_structure(model, new))
    return jnp.linalg.cholesky(jnp.where(jnp.asarray(changed), target, cov))


def _redrawn(psi, draw, mean, scale, silent, key):
    """Silent parameters drawn from their conditional prior given the others (Matheron's rule)."""
    if not silent.any():
        return psi
    a, i = np.flatnonzero(~silent), np.flatnonzero(silent)
    cov = jnp.einsum("mde,mfe->mdf", scale, scale)
    gain = jnp.swapaxes(jnp.linalg.solve(cov[:, a][:, :, a], cov[:, a][:, :, i]), 1, 2)
    fresh = mean[draw] + jnp.einsum("pde,pe->pd", scale[draw], jax.random.normal(key, psi.shape))
    filled = fresh[:, i] + jnp.einsum("pia,pa->pi", gain[draw], psi[:, a] - fresh[:, a])
    return psi.at[:, i].set(filled)


def _marginal(psi, draw, mean, scale, active):
    """ln density of the active parameters, (P,)."""
    cov = jnp.einsum("mde,mfe->mdf", scale, scale)[:, active][:, :, active]
    chol = jnp.linalg.cholesky(cov)
    white = jax.vmap(lambda c, x: jax.scipy.linalg.solve_triangular(c, x, lower=True))(
        chol[draw], (psi - mean[draw])[:, active]
    )
    return -0.5 * (white**2).sum(-1) - jnp.log(jnp.diagonal(chol, axis1=1, axis2=2)).sum(-1)[draw]
