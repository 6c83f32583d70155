"""ln p(patient's record | population draw), the patient's own parameters integrated out: what leave-one-patient-out
cross-validation, model comparison and stacking rest on.

    p(y_i | m) = integral of p(y_i | psi, m) p(psi | m) d psi      m : population draw

by importance sampling from q, a mixture of a Student-t (5 degrees of freedom) around the patient's posterior, found by
tempered SMC and widened, and of what the population says (10 %). The same S points serve every m, so that the
differences between draws, which the cross-validation lives on, are quiet. Whole patients are left out, since a patient
to come is what a population is for; leaving out single labs asks another question.

The result is a DataTree with a `log_likelihood` group over patients: ArviZ's `loo`, `compare` (stacking) and `loo_pit`
take it as it is, and, with the `log_prior` group, `psense` (does the posterior hang on a prior?). `ess`: how many of
the S points carry the integral of each patient.

Sources: Merkle, Furr and Rabe-Hesketh (2019), Psychometrika 84:802 (marginal against conditional likelihoods); Vehtari,
Gelman and Gabry (2017), Stat Comput 27:1413 (PSIS-LOO); Yao et al. (2018), Bayesian Anal 13:917 (stacking).
"""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.errors import FitError
from bayestwin.individual import compile_record
from bayestwin.population import PopulationPosterior
from bayestwin.population.hyper import hyper_sites
from bayestwin.population.program import distribution
from bayestwin.twin.oracle import rebuild_twin
from bayestwin.twin.particles import log_sum_exp, population_for
from bayestwin.twin.target import evaluator, full_likelihood, log_target

FREEDOM, WIDER, SHARE_PRIOR = 5.0, 1.3, 0.1
AT_ONCE = 4000  # pairs of point and population draw in one call


def patient_log_likelihood(
    population, cohort, *, random_seed: int, draws: int = 200, points: int = 200, progress=False
) -> xr.DataTree:
    """Marginal log-likelihood of every patient under population draws.

    Parameters
    ----------
    population : PopulationPosterior     fitted on these patients
    draws : int                          population draws, evenly through the chains
    points : int                         points of the importance sampling per patient

    Returns
    -------
    DataTree        posterior (the draws used), log_prior of each of its sites (chain, draw), log_likelihood with
                    `patient_record` (chain, draw, patient), and, in `importance`, ess (patient): effective number of
                    points, of the draw where it is least; log_prior's attribute `without` names the sites that the
                    fit had other priors for (`--priors`), which the group leaves out

    Raises
    ------
    FitError        no patient has a lab or an event that the model gives a chance to
    """
    from tqdm import tqdm

    model = population.model
    known = [record for record in cohort if record.labs or (model.hazards and record.events)]
    if not known:
        raise FitError(
            "no patient has a lab, or an event that the model gives a chance to",
            subject=f"model {model.name}",
            next_step="Give the cohort that the population was fitted on.",
        )
    values, ess = [], []
    with jax.enable_x64(True):
        hyper, take = population.hyper_draws(draws)
        for number, record in enumerate(tqdm(known, unit="patient", disable=not progress)):
            rng = np.random.default_rng([random_seed, number])
            own, effective = _of_patient(population, record, hyper, points, rng, random_seed)
            values.append(own)
            ess.append(effective)
    return _as_tree(population, take, np.array(values), np.array(ess), [record.key for record in known])


def _of_patient(population, record, hyper, points: int, rng, random_seed: int):
    """ln p(y | m) for every draw (M,), and the least effective number of points."""
    model = population.model
    sizes: dict[str, Any] = {"particles": 400, "islands": 4, "population_draws": 100}
    twin, _ = rebuild_twin(_strangers(population), record, random_seed=random_seed, **sizes)
    data = jax.tree.map(jnp.asarray, compile_record(model, record))
    pop = population_for(model, hyper, data.terms)
    psi, log_q = _proposals(np.asarray(twin.particles.psi), twin.weights, pop, points, rng)
    m = pop.draws
    pairs = np.array(np.meshgrid(np.arange(points), np.arange(m), indexing="ij")).reshape(2, -1)
    found = np.empty(pairs.shape[1])
    run = evaluator(model, NO_GRADIENT)
    for start in range(0, pairs.shape[1], AT_ONCE):
        at = np.resize(np.arange(start, min(start + AT_ONCE, pairs.shape[1])), AT_ONCE)  # one shape, one program
        s, d = pairs[:, at]
        pieces = run(jnp.asarray(psi[s]), jnp.asarray(d), pop, data, population.rho)
        found[at] = np.asarray(log_target(0.0, pieces.log_class, 0.0, full_likelihood(pieces), 1.0))
    likelihood = np.where(np.isfinite(found), found, -np.inf).reshape(points, m)
    weights = likelihood + _log_population(psi, pop) - log_q[:, None]
    total = log_sum_exp(weights, axis=0)
    share = np.exp(weights - total)
    return total - np.log(points), float((1.0 / (share**2).sum(axis=0)).min())


def _strangers(population):
    """The same draws without a note of who was fitted: the twin only says where a patient's parameters lie."""
    tree = population.tree.copy()
    tree.attrs.update(fitted_patients="[]", fitted_records="{}")
    return PopulationPosterior(population.model, tree)


def _proposals(particles, weights, pop, points: int, rng):
    """Points (S, D) of q and ln q of each."""
    mean = weights @ particles
    centred = particles - mean
    covariance = (weights[:, None] * centred).T @ centred
    size = len(mean)
    covariance = covariance + 1e-9 * max(np.trace(covariance), 1e-12) / size * np.eye(size)
    lower = WIDER * np.linalg.cholesky(covariance)
    heavy = rng.standard_normal((points, size)) / np.sqrt(rng.chisquare(FREEDOM, (points, 1)) / FREEDOM)
    psi = mean + heavy @ lower.T
    own = rng.random(points) < SHARE_PRIOR
    draw = pop.with_level(rng.integers(pop.draws, size=points), rng)
    new = np.asarray(pop.mean)[draw] + np.einsum(
        "pde,pe->pd", np.asarray(pop.scale)[draw], rng.standard_normal((points, size))
    )
    psi = np.where(own[:, None], new, psi)
    from_t = np.log1p(-SHARE_PRIOR) + _log_student(np.linalg.solve(lower, (psi - mean).T).T, lower)
    prior = _log_population(psi, pop)
    from_prior = np.log(SHARE_PRIOR) + log_sum_exp(prior, axis=1) - np.log(prior.shape[1])
    return psi, np.logaddexp(from_t, from_prior)


def _log_student(z, lower):
    """ln density of a multivariate Student-t at standardised points z (S, D)."""
    from scipy.special import gammaln

    size = z.shape[1]
    constant = gammaln((FREEDOM + size) / 2) - gammaln(FREEDOM / 2) - 0.5 * size * np.log(FREEDOM * np.pi)
    body = (FREEDOM + size) / 2 * np.log1p((z**2).sum(axis=1) / FREEDOM)
    return constant - body - np.log(np.diag(lower)).sum()


def _log_population(psi, pop):
    """ln p(psi | m), (S, M)."""
    mean, whiten, log_det = (np.asarray(a) for a in (pop.mean, pop.whiten, pop.log_det))
    z = np.einsum("mde,sme->smd", whiten, psi[:, None, :] - mean[None])
    by_row = -0.5 * (z**2).sum(axis=-1) - log_det - 0.5 * psi.shape[1] * np.log(2 * np.pi)
    if pop.which is None:
        return by_row
    by_level = (by_row + np.asarray(pop.log_share)).reshape(len(psi), -1, pop.draws)
    return log_sum_exp(by_level, axis=1)


def _as_tree(population, take, values, ess, keys) -> xr.DataTree:
    """Groups as ArviZ wants them; the draws used stand as one chain per chain they came from where that divides."""
    posterior = population.posterior.stack(sample=("chain", "draw")).isel(sample=take)
    chains = population.posterior.sizes["chain"]
    chains = chains if len(take) % chains == 0 else 1
    shape = (chains, len(take) // chains)
    data = {
        str(name): (("chain", "draw", *(d for d in v.dims if d != "sample")), _folded(v, shape))
        for name, v in posterior.data_vars.items()
    }
    likelihood = values.T.reshape(*shape, len(keys))
    groups = {
        "posterior": xr.Dataset(data),
        "log_prior": _log_priors(population, data),
        "log_likelihood": xr.Dataset({"patient_record": (("chain", "draw", "patient"), likelihood)}, {"patient": keys}),
        "importance": xr.Dataset({"ess": (("patient",), ess)}, {"patient": keys}),
    }
    return xr.DataTree.from_dict(groups)


def _log_priors(population, data) -> xr.Dataset:
    """ln prior density of every site at its draws by the model file's priors, the correlation's up to a constant;
    without constants, and without sites that the fit had other priors for."""
    model, fitted = population.model, json.loads(population.attributes.get("other_priors") or "{}")
    sites, found = hyper_sites(model), {}
    with jax.enable_x64(True):
        for name, (dims, values) in data.items():
            if name in sites and name not in fitted and np.std(values) > 0:
                found[name] = (dims, np.asarray(distribution(sites[name]).log_prob(jnp.asarray(values))))
    for block in model.correlation_blocks:
        lower = data.get(block.site)
        if lower is not None and block.prior_name not in fitted:  # det(R)^(concentration - 1)
            log_det = 2.0 * np.log(np.diagonal(lower[1], axis1=-2, axis2=-1)).sum(axis=-1)
            found[block.prior_name] = (lower[0][:2], (block.prior.concentration - 1.0) * log_det)
    return xr.Dataset(found, attrs={"without": ", ".join(fitted)})


def _folded(variable, shape):
    """Values with the sample axis first and split into chains."""
    values = variable.transpose("sample", ...).values
    return values.reshape(*shape, *values.shape[1:])
