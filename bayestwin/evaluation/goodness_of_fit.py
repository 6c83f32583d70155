"""Observed against predicted, and what is left over: tables behind the goodness-of-fit plots of a fitted population.

    PRED    a patient without random effects, averaged over population draws
    IPRED   the same patient with their own parameters: posterior mean of the prediction, from the joint draws of a fit
            that kept its individuals; where two response classes are possible each counts by its chance
    IWRES   (y - IPRED) / residual SD at IPRED on the error scale, with posterior mean residual parameters; brought to a
            standard normal where the error is a Student-t. None where a value is censored, counted or graded.

IPRED has seen the labs it stands beside, so IWRES look better than a forecast would; NPDE
(`evaluation.predictive_checks`) have not seen them lab by lab. Where labs are serially correlated so are IWRES.

Source: Karlsson and Savic (2007), Clin Pharmacol Ther 82:17 (diagnosing model diagnostics).
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.evaluation.random_effects import fitted_records
from bayestwin.evaluation.replicates import expected_values
from bayestwin.individual import compile_record, informative_labs
from bayestwin.individual.data import used_sizes
from bayestwin.individual.residuals import location_and_scale, on_error_scale
from bayestwin.records.record import Lab
from bayestwin.twin.particles import population_for
from bayestwin.twin.target import class_shares, evaluator, full_likelihood

DRAWS = 200
COLUMNS = ("patient", "lab_id", "output", "time", "observed", "limit_flag", "pred", "ipred", "iwres")
POINTS = 80  # of an individual's course


def goodness_of_fit(population, cohort, *, draws: int = DRAWS):
    """PRED, IPRED and IWRES of every lab of the fitted patients.

    Parameters
    ----------
    population : PopulationPosterior     with individual parameters (`keep_individuals`)
    cohort : Cohort                      patients who were not in the fit are left out
    draws : int                          joint draws, evenly through the chains

    Returns
    -------
    DataFrame       one row per lab: COLUMNS; natural units, iwres without unit

    Raises
    ------
    FitError        the fit kept no individual parameters, or none of these patients was in it
    """
    import pandas as pd

    model, rows = population.model, []
    known = fitted_records(population, cohort)
    with jax.enable_x64(True):
        hyper, take = population.hyper_draws(draws)
        sizes = tuple(np.max([used_sizes(compile_record(model, record)) for record in known], axis=0))
        for record in known:
            labs = informative_labs(model, record)
            pred, ipred = _both(population, record, labs, hyper, take, sizes)
            left = _weighted(model, labs, ipred, np.asarray(hyper.sigma).mean(axis=0))
            for lab, *said in zip(labs, pred, ipred, left):
                row = (record.key, lab.lab_id, lab.output, lab.time, lab.value, lab.censoring, *said)
                rows.append(dict(zip(COLUMNS, row)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def individual_courses(population, record, output: str, *, times=None, draws: int = DRAWS):
    """PRED and IPRED of one fitted patient along time, for a plot of the individual fit.

    times : increasing; default from the first to the last of the patient's doses and labs of `output`, at every one of
            their times and evenly in between

    Returns
    -------
    DataFrame       time, pred, ipred, low, high (80 % of what the posterior says of the latent value)
    """
    import pandas as pd

    model = population.model
    (known,) = fitted_records(population, [record])
    if times is None:
        own = [lab.time for lab in known.labs if lab.output == output]
        ends = [*own, *(dose.time for dose in known.doses)] or [0.0]
        times = np.unique([*own, *np.linspace(min(ends), max(ends), POINTS)])
    asked = tuple(Lab(f"asked {t:g}", output, float(t), 1.0, float(t)) for t in times)
    with jax.enable_x64(True):
        hyper, take = population.hyper_draws(draws)
        data = jax.tree.map(jnp.asarray, compile_record(model, known))
        pop = population_for(model, hyper, data.terms)
        psi = jnp.asarray(population.individual_draws(known)[take])
        share = _shares(model, psi, pop, data, population.rho)
        course = replace(known, labs=asked)
        data = jax.tree.map(jnp.asarray, compile_record(model, course))
        typical = _typical(pop)
        pred, _ = _expected(model, asked, jnp.asarray(pop.mean)[typical], typical, pop, data, population.rho, None)
        ipred, mine = _expected(model, asked, psi, np.arange(len(psi)), pop, data, population.rho, share)
        low, high = np.quantile(mine, [0.1, 0.9], axis=0)
    return pd.DataFrame({"time": times, "pred": pred, "ipred": ipred, "low": low, "high": high})


def _both(population, record, labs, hyper, take, sizes):
    """PRED and IPRED of every lab, (N,) each."""
    model = population.model
    data = jax.tree.map(jnp.asarray, compile_record(model, record, sizes=sizes))
    pop = population_for(model, hyper, data.terms)
    psi = jnp.asarray(population.individual_draws(record)[take])
    share = _shares(model, psi, pop, data, population.rho)
    typical = _typical(pop)
    pred, _ = _expected(model, labs, jnp.asarray(pop.mean)[typical], typical, pop, data, population.rho, None)
    ipred, _ = _expected(model, labs, psi, np.arange(len(psi)), pop, data, population.rho, share)
    return pred, ipred


def _typical(pop) -> np.ndarray:
    """A row of `pop` for each population draw; where a category of the patient is missing, with a level at random."""
    return pop.with_level(np.arange(pop.draws), np.random.default_rng(0))


def _shares(model, psi, pop, data, rho):
    """P(response class | psi, labs), (P, C)."""
    pieces = evaluator(model, NO_GRADIENT)(psi, jnp.arange(len(psi)), pop, data, rho)
    return class_shares(np.asarray(pieces.log_class) + np.asarray(full_likelihood(pieces)))


def _expected(model, labs, psi, rows, pop, data, rho, share):
    """Expected value of every lab (N,), and by draw (P, N); share None: the classes by their chance before any lab."""
    pieces = evaluator(model, NO_GRADIENT)(psi, jnp.asarray(rows), pop, data, rho)
    share = class_shares(np.asarray(pieces.log_class)) if share is None else share
    return expected_values(model, labs, pieces, share, np.asarray(pop.sigma)[rows])


def _weighted(model, labs, ipred, sigma) -> np.ndarray:
    """IWRES of every lab, NaN where there is none."""
    found = np.full(len(labs), np.nan)
    for n, lab in enumerate(labs):
        k = model.observation_index[lab.output]
        observation = model.observations[k]
        if observation.discrete or lab.censoring != "none":
            continue
        location, scale = location_and_scale(model, k, ipred[n], sigma, assay=observation.assay_of(lab), xp=np)
        x = (float(on_error_scale(observation, lab.value)[0]) - location) / scale
        found[n] = normal_score(float(x), observation.error.nu)
    return found


def normal_score(x: float, nu) -> float:
    """The standard normal deviate with as much below it as the Student-t with `nu` degrees of freedom has below x."""
    from scipy import special, stats

    return x if nu is None else float(-np.sign(x) * special.ndtri_exp(stats.t.logcdf(-abs(x), nu)))
