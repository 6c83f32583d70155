"""The joint density of a cohort in the pieces that a sampler with blocks needs; the same functions as the program.

    ln p(h) + sum over patients of [ln Normal(z_i; 0, I) + ln p(labs_i, events_i | psi_i, shared(h))]
    psi_i = mean_i(h) + S(h) z_i

h : the population-level sites on their unbounded scale, one vector; `shared` : what of them the likelihood sees
besides psi: typical values, covariate effects and residual parameters. Of these only some act: the typical value of a
parameter that varies between patients reaches the labs through psi alone.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpyro.infer import Predictive
from numpyro.infer.util import constrain_fn, potential_energy, unconstrain_fn

from bayestwin.individual import Hyper
from bayestwin.population.hyper import assemble
from bayestwin.population.program import (
    individual_prior,
    over_patients,
    patient_log_likelihood,
    population_program,
)
from bayestwin.population.site_factors import raw_sites
from bayestwin.specification.horseshoe import horseshoes


class Joint(NamedTuple):
    """A hierarchical model as functions; H population coordinates, N patients, D individual parameters.

    log_prior (H,) -> (); individual (H,) -> means (N, D), scale (D, D), lower triangular; shared (H,) -> (J,)
    likelihood (psi (N, D), shared (J,)) -> (N,), and its slopes in psi (N, D) and shared (N, J)
    acting (H,) : True for a coordinate that the likelihood sees by itself; prior_sd (H,) : of its prior
    sites : dict of the sites, unbounded, from the vector
    """

    log_prior: Callable
    individual: Callable
    shared: Callable
    likelihood: Callable
    acting: np.ndarray
    prior_sd: np.ndarray
    sites: Callable


def joint_of(model, groups, *, rho: float, accuracy) -> Joint:
    """The pieces of `population_program(model, groups, rho=rho, accuracy=accuracy)`."""

    def program():
        population_program(model, [], rho=rho)

    prior = jax.tree.map(np.asarray, Predictive(program, num_samples=200)(jax.random.key(0)))
    free = jax.vmap(lambda natural: unconstrain_fn(program, (), {}, natural))(prior)
    start, sites = ravel_pytree(jax.tree.map(lambda a: a[0], free))
    spread = jax.vmap(lambda one: ravel_pytree(one)[0])(free)

    def hyper_at(h):
        return assemble(model, constrain_fn(program, (), {}, sites(h)), rho)

    def shared(h):
        hyper = hyper_at(h)
        return jnp.concatenate([hyper.typical, hyper.effects, hyper.sigma])

    def one(psi, seen, data):
        cut = np.cumsum([len(model.parameters), len(model.effects)])
        typical, effects, sigma = jnp.split(seen, cut)
        hyper = Hyper(typical, effects, None, None, sigma)
        return patient_log_likelihood(model, psi, hyper, data, rho=rho, accuracy=accuracy)

    def likelihood(psi, seen):
        both = jax.value_and_grad(one, argnums=(0, 1))
        found = over_patients(lambda psi_i, data: both(psi_i, seen, data), groups, psi)
        value, (by_psi, by_shared) = jax.tree.map(lambda *parts: jnp.concatenate(parts), *found)
        return value, by_psi, by_shared

    return Joint(
        log_prior=lambda h: -potential_energy(program, (), {}, sites(h)),
        individual=lambda h: individual_prior(model, hyper_at(h), groups),
        shared=shared,
        likelihood=likelihood,
        acting=acting_coordinates(model, groups, sites(jnp.arange(len(start)))),
        prior_sd=np.asarray(spread.std(axis=0)),
        sites=sites,
    )


def acting_coordinates(model, groups, places: dict) -> np.ndarray:
    """True for every coordinate that reaches the likelihood other than through the individual parameters.

    places : site -> its places in the vector
    """
    probabilities = {cls.probability for cls in model.response_classes}
    acted = {k for k, p in enumerate(model.parameters) if k not in model.varying or p.name in probabilities}
    own = {model.parameters[k].name for k in acted}
    moves = any(group.changes is not None for group in groups)  # a covariate that changes in time shifts psi by itself
    acting = {f"{name}_pop" for name in own} | set(model.residual_parameters)
    acting |= set(raw_sites(model))
    acting |= {name for name, where, _ in model.effects if moves or model.parameters[where].name in own}
    found = np.zeros(sum(np.size(v) for v in places.values()), dtype=bool)
    if any((moves or model.effects[k][1] in acted) for slopes in horseshoes(model).values() for k in slopes):
        return np.ones_like(found)  # a slope is made of several sites and an omega: let all be seen
    for name in acting & set(places):
        found[np.asarray(places[name]).astype(int)] = True
    return found
