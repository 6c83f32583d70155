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
from numpyro.distributions import constraints
from numpyro.infer import Predictive
from numpyro.infer.util import constrain_fn, potential_energy, unconstrain_fn

from bayestwin.individual import (
    ClassLikelihood,
    Hyper,
    class_likelihood,
    class_log_likelihood,
    class_log_probability,
    total_log_likelihood,
    under_population,
    unread,
)
from bayestwin.population.gibbs_roles import Roles, roles_of
from bayestwin.population.hyper import assemble, omega_priors
from bayestwin.population.program import (
    distribution,
    individual_prior,
    over_patients,
    population_program,
)
from bayestwin.population.site_factors import raw_sites
from bayestwin.specification.horseshoe import horseshoes


class Joint(NamedTuple):
    """A hierarchical model as functions; H population coordinates, N patients, D individual parameters.

    log_prior (H,) -> (); individual (H,) -> means (N, D), scale (D, D), lower triangular; shared (H,) -> (J,)
    likelihood (psi (N, D), shared (J,)) -> (N,), its slopes in psi (N, D) and shared (N, J), and what was solved for
    given_solved (psi, shared, what was solved for) -> (N,): the likelihood at another `shared`, nothing solved
    acting (H,) : True for a coordinate that the likelihood sees by itself; prior_sd, prior_median (H,) : of its prior
    spreads (H,) : True for one that is the logarithm of an SD of individual parameters
    observing (H,) : True for one of those that `given_solved` is right for: what is solved for does not depend on it
    sites : dict of the sites, unbounded, from the vector
    roles : parameters that may exchange their roles in a response class, None: none
    by_class (psi, shared, what was solved for) -> (N, C): ln P(class | psi) p(data | class), of the rows of `roles`
    log_class (psi, shared, classes (N, X)) -> (N,): ln P(classes | psi)
    chances (H,) : True for one of `observing` that is the chance of a response class; None: none
    """

    log_prior: Callable
    individual: Callable
    shared: Callable
    likelihood: Callable
    given_solved: Callable
    acting: np.ndarray
    observing: np.ndarray
    prior_sd: np.ndarray
    sites: Callable
    spreads: np.ndarray
    prior_median: np.ndarray
    roles: Roles | None = None
    by_class: Callable | None = None
    log_class: Callable | None = None
    chances: np.ndarray | None = None


def joint_of(model, groups, *, rho: float, accuracy) -> Joint:
    """The pieces of `population_program(model, groups, rho=rho, accuracy=accuracy)`."""

    def program():
        population_program(model, [], rho=rho)

    prior = jax.tree.map(np.asarray, Predictive(program, num_samples=200)(jax.random.key(0)))
    free = jax.vmap(lambda natural: unconstrain_fn(program, (), {}, natural))(prior)
    start, sites = ravel_pytree(jax.tree.map(lambda a: a[0], free))
    spread = jax.vmap(lambda one: ravel_pytree(one)[0])(free)

    sizes = max(g.classes.shape[1] for g in groups), max(g.mask.shape[1] for g in groups)

    def hyper_at(h):
        return assemble(model, constrain_fn(program, (), {}, sites(h)), rho)

    def shared(h):
        hyper = hyper_at(h)
        given = () if hyper.covariates is None else (hyper.covariates,)  # known shares: no coordinate moves them
        return jnp.concatenate([hyper.typical, hyper.effects, hyper.sigma, *given])

    def hyper_of(seen):
        cut = np.cumsum([len(model.parameters), len(model.effects), len(model.residual_parameters)])
        typical, effects, sigma, covariates = jnp.split(seen, cut)
        return Hyper(typical, effects, None, None, sigma, covariates if model.covariate_distributions else None)

    def one(psi, seen, data):
        pieces = class_likelihood(model, psi, hyper_of(seen), data, rho=rho, accuracy=accuracy)
        return total_log_likelihood(pieces), packed(pieces, *sizes)

    def again(psi, solved, seen, data):
        return under_population(model, psi, hyper_of(seen), data, unpacked(solved, data), rho=rho)

    def likelihood(psi, seen):
        both = jax.value_and_grad(one, argnums=(0, 1), has_aux=True)
        found = over_patients(lambda psi_i, data: both(psi_i, seen, data), groups, psi)
        (value, solved), (by_psi, by_shared) = jax.tree.map(lambda *parts: jnp.concatenate(parts), *found)
        return value, by_psi, by_shared, solved

    def given_solved(psi, seen, solved):
        parts = over_patients(lambda p, s, data: total_log_likelihood(again(p, s, seen, data)), groups, psi, solved)
        return jnp.concatenate(parts)

    def by_class(psi, seen, solved):
        def one_of(p, s, data):
            found = class_log_likelihood(again(p, s, seen, data))
            return jnp.pad(found, (0, sizes[0] - len(found)), constant_values=-jnp.inf)

        return jnp.concatenate(over_patients(one_of, groups, psi, solved))

    def log_class(psi, seen, classes):
        def one_of(p, row, data):
            return class_log_probability(model, p, hyper_of(seen), data.terms, row, data.relevant, rho)

        return jnp.concatenate(over_patients(one_of, groups, psi, classes))

    places = sites(jnp.arange(len(start)))
    observing = observing_coordinates(model, groups, places)
    return Joint(
        log_prior=lambda h: -potential_energy(program, (), {}, sites(h)),
        individual=lambda h: individual_prior(model, hyper_at(h), groups),
        shared=shared,
        likelihood=likelihood,
        given_solved=given_solved,
        acting=acting_coordinates(model, groups, places),
        observing=observing,
        prior_sd=np.asarray(spread.std(axis=0)),
        prior_median=np.median(spread, axis=0),
        spreads=spread_coordinates(model, places),
        sites=sites,
        roles=roles_of(model, groups),
        by_class=by_class,
        log_class=log_class,
        chances=chance_coordinates(model, observing, places),
    )


def packed(pieces, classes: int, labs: int):
    """What a patient's solve found, (classes, 1 + labs): ln p of events, -inf where the solver gave up, and
    predictions; filled up."""
    events = jnp.where(pieces.ok, pieces.alive + pieces.other, -jnp.inf)
    found = jnp.concatenate([events[:, None], jnp.where(pieces.ok[:, None], pieces.prediction, 1.0)], -1)
    short = [(0, whole - size) for whole, size in zip((classes, 1 + labs), found.shape)]
    return jax.lax.stop_gradient(jnp.pad(found, short))


def unpacked(solved, data) -> ClassLikelihood:
    """The pieces of one patient that `packed` kept."""
    own = solved[: data.classes.shape[0], : 1 + data.mask.shape[0]]
    events, ok = own[:, 0], jnp.isfinite(own[:, 0])
    nothing = jnp.zeros(len(own))
    return ClassLikelihood(own[:, 1:], nothing, events, nothing, own[:, 1:], None, nothing, ok, nothing)


def observing_coordinates(model, groups, places: dict) -> np.ndarray:
    """True for every coordinate that reaches residual errors and chances of response classes only.

    places : site -> its places in the vector
    """
    named = {name for c in model.response_classes for name in (c.probability, c.slope) if name}
    single = {name for name in named if model.parameter_names.index(name) not in model.varying}
    for group in groups:
        single &= unread(model, single, jax.tree.map(lambda a: a[0], group))
    found = np.zeros(sum(np.size(v) for v in places.values()), dtype=bool)
    observing = {f"{name}_pop" for name in single} | set(model.residual_parameters) | set(raw_sites(model))
    observing |= {name for name, where, _ in model.effects if model.parameters[where].name in single}
    for name in observing & set(places):
        found[np.asarray(places[name]).astype(int)] = True
    return found


def chance_coordinates(model, observing, places: dict) -> np.ndarray:
    """True for every observing coordinate that is the typical chance of a response class.

    places : site -> its places in the vector
    """
    named = [f"{c.probability}_pop" for c in model.response_classes]
    at = [int(places[name]) for name in named if name in places]
    return observing & np.isin(np.arange(len(observing)), at)


def spread_coordinates(model, places: dict) -> np.ndarray:
    """True for the logarithm of every SD between patients or occasions that is sampled.

    places : site -> its places in the vector
    """
    found = np.zeros(sum(np.size(v) for v in places.values()), dtype=bool)
    for name, prior in omega_priors(model):
        if name in places and distribution(prior).support is constraints.positive:
            found[np.asarray(places[name]).astype(int)] = True
    return found


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
    latent = [k for k, (_, _, effect) in enumerate(model.effects) if effect.covariate in model.latent_covariates]
    acting |= {name for name, where, _ in model.effects if moves or model.parameters[where].name in own}
    acting |= {model.effects[k][0] for k in latent}  # who lacks the covariate has its effect beside psi
    found = np.zeros(sum(np.size(v) for v in places.values()), dtype=bool)
    shrunk = [k for slopes in horseshoes(model).values() for k in slopes]
    if any(moves or k in latent or model.effects[k][1] in acted for k in shrunk):
        return np.ones_like(found)  # a slope is made of several sites and an omega: let all be seen
    for name in acting & set(places):
        found[np.asarray(places[name]).astype(int)] = True
    return found
