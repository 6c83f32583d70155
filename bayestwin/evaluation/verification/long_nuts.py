"""The reference of the proof against a sampler that shares nothing with it: long NUTS of one patient's posterior.

A twin's target over (psi, m), m being one of M population draws, with m summed out exactly:

    p(psi | labs)  proportional to  sum over m of p(psi | m) p(labs, events | psi, m)

so that NUTS moves psi alone and both samplers rest on the same M draws. Every gradient solves the patient M times, so M
is small (8). The data travel as arguments, so one program is compiled for many patients. Axes are turned and scaled by
the covariance of the reference, which makes the steps longer and leaves the target as it is. Means and SDs are compared
with their Monte Carlo errors, those of NUTS by ArviZ.

Source: Hoffman and Gelman (2014), JMLR 15:1593; Vehtari et al. (2021), Bayesian Analysis 16:667 (R-hat, ESS, MCSE).
"""

import time as clock
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.evaluation.verification.equality import welch
from bayestwin.evaluation.verification.moments import Estimate, parameter_moments, pooled
from bayestwin.evaluation.verification.reference import reference_of
from bayestwin.evaluation.verification.simulated_proof import kinds_of
from bayestwin.individual import class_likelihood, compile_record, total_log_likelihood
from bayestwin.twin.particles import log_prior_of, population_for
from bayestwin.twin.state import PASS

CHAINS, WARMUP = 4, 500
RHAT, DIVERGENT = 1.01, 0.001  # NUTS beyond these is not trusted as a judge
FAILED = "WITHHELD"


def nuts_rows(
    population,
    record,
    *,
    random_seed: int,
    population_draws: int = 8,
    reference_particles: int = 100_000,
    draws: int = 2000,
) -> list[dict]:
    """The from-scratch reference of a record beside four chains of NUTS.

    draws : of each chain, after 500 of warm-up

    Returns
    -------
    list of dicts     one per parameter and statistic: NUTS as `reference`, the particles as `twin`, z, verdicts, R-hat
    """
    seeds = [int(s) for s in np.random.default_rng([random_seed, 3]).integers(2**31, size=2)]
    begin = clock.perf_counter()
    reference = reference_of(population, record, reference_particles, population_draws, seeds[1])
    runs = reference.runs
    spent, names = clock.perf_counter() - begin, kinds_of(population.model, record)
    found = pooled([parameter_moments(run, tuple(names)) for run in runs])
    mean, factor = _shape(runs)
    begin = clock.perf_counter()
    psi, divergences = long_nuts(
        population, record, mean, factor, population_draws=population_draws, draws=draws, random_seed=seeds[0]
    )
    about = {"patient": record.key, "labs": len(record.labs), "population_draws": population_draws}
    about |= {"verdict": reference.verdict, "path": runs[0].info.path, "refused": reference.refused}
    about |= {"reference_particles": sum(len(run.weights) for run in runs), "reference_seconds": spent}
    about |= {"nuts_draws": int(psi.shape[0] * psi.shape[1]), "nuts_seconds": clock.perf_counter() - begin}
    rows: list[dict[str, Any]] = []
    for name, label in names.items():
        chains = psi[:, :, population.model.individual_names.index(name)]
        judged = _judged(chains)
        own = found[label].estimates(label)
        for statistic, other in (("mean", judged["mean"]), ("sd", judged["sd"])):
            mine = own[label, statistic]
            gap = welch(mine, other)
            line = {"quantity": label, "kind": "parameter", "statistic": statistic, "twin": mine.value}
            line |= {"monte_carlo_error": mine.error, "reference": other.value, "reference_error": other.error}
            line |= {"difference_in_sd": gap.difference / judged["sd"].value, "z": gap.z, "p": gap.p}
            rows.append(line | {"rhat": judged["rhat"], "nuts_ess": judged["ess"]})
    sound = max(row["rhat"] for row in rows) < RHAT and divergences <= DIVERGENT
    about |= {"reference_verdict": PASS if sound else FAILED, "divergences": divergences}
    return [about | row for row in rows]


def long_nuts(population, record, mean, factor, *, population_draws: int, draws: int, random_seed: int):
    """psi (chains, draws, D) of one patient, and the share of divergent transitions.

    mean (D,), factor (D, D) : psi = mean + factor x, x what NUTS moves
    """
    model = population.model
    with jax.enable_x64(True):
        data = jax.tree.map(jnp.asarray, compile_record(model, record))
        hyper, _ = population.hyper_draws(population_draws)
        hyper = jax.tree.map(jnp.asarray, hyper)
        pop = population_for(model, hyper, data.terms)
        sampler = _sampler(model, draws)
        sampler.run(
            jax.random.key(random_seed),
            *(data, hyper, pop, jnp.asarray(mean), jnp.asarray(factor), population.rho),
            extra_fields=("diverging",),
        )
        x = np.asarray(sampler.get_samples(group_by_chain=True)["x"])
        diverged = float(np.asarray(sampler.get_extra_fields()["diverging"]).mean())
    return mean + x @ np.asarray(factor).T, diverged


@lru_cache(maxsize=4)
def _sampler(model, draws: int):
    """One compiled sampler for all patients of a model whose records fill the same padded sizes."""
    from numpyro.infer import MCMC, NUTS, init_to_value

    kernel = NUTS(
        partial(_program, model),
        target_accept_prob=0.9,
        dense_mass=True,
        forward_mode_differentiation=True,  # few parameters, and the solver without gradients is the faster one
        init_strategy=init_to_value(values={"x": np.zeros(len(model.individual_names))}),
    )
    return MCMC(
        kernel,
        num_warmup=WARMUP,
        num_samples=draws,
        num_chains=CHAINS,
        chain_method="vectorized",
        progress_bar=False,
        jit_model_args=True,
    )


def _program(model, data, hyper, population, mean, factor, rho):
    import numpyro
    import numpyro.distributions as dist

    size = len(model.individual_names)
    x = numpyro.sample("x", dist.ImproperUniform(dist.constraints.real_vector, (), (size,)))
    numpyro.factor("target", log_marginal(model, mean + factor @ x, data, hyper, population, rho))


def log_marginal(model, psi, data, hyper, population, rho):
    """ln sum over population draws of p(psi | m) p(labs, events | psi, m), up to a constant."""
    count = population.log_det.shape[0]
    prior = log_prior_of(jnp.tile(psi, (count, 1)), jnp.arange(count), population)

    def one(draw):
        return total_log_likelihood(class_likelihood(model, psi, draw, data, rho=rho, accuracy=NO_GRADIENT))

    likelihood = jax.vmap(one)(hyper)
    likelihood = likelihood if population.which is None else likelihood[population.which]
    return jax.scipy.special.logsumexp(prior + likelihood)


def _shape(runs):
    """Mean and Cholesky factor of all particles of the reference."""
    psi = np.concatenate([np.asarray(run.particles.psi) for run in runs])
    weights = np.concatenate([run.weights for run in runs])
    covariance = np.cov(psi.T, aweights=weights).reshape(psi.shape[1], -1)
    return np.average(psi, axis=0, weights=weights), np.linalg.cholesky(covariance)


def _judged(chains) -> dict[str, Any]:
    """Mean and SD of one quantity (chains, draws) with their MCSE, R-hat and bulk ESS, by ArviZ."""
    import arviz_stats

    ess = float(arviz_stats.ess(chains))
    freedom = max(ess - 1.0, 1.0)
    return {
        "mean": Estimate(float(chains.mean()), float(arviz_stats.mcse(chains, method="mean")), freedom),
        "sd": Estimate(float(chains.std(ddof=1)), float(arviz_stats.mcse(chains, method="sd")), freedom),
        "rhat": float(arviz_stats.rhat(chains)),
        "ess": ess,
    }
