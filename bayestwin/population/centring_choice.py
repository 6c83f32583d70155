"""Which individual effects are centred, where the caller does not name them."""

import jax
import jax.numpy as jnp

from bayestwin.dynamics import Accuracy
from bayestwin.population.centring import AUTO, informed_names
from bayestwin.population.hyper import assemble
from bayestwin.population.program import individual_prior, over_patients, patient_log_likelihood
from bayestwin.population.start_values import median_sites


def chosen_centring(centred, method: str, fitted, groups, order, **how):
    """True, False or names, of what a caller of `fit_population` says.

    how : as for `centred_by_labs`
    """
    if centred is None:
        return method == "nuts" and well_identified(fitted, order)
    if isinstance(centred, str) and centred == AUTO:
        return centred_by_labs(fitted, groups, **how)
    return centred


def well_identified(model, records) -> bool:
    """True where labs outnumber individual parameters at least two to one: then individual effects are centred.

    Never where patients have occasions: an occasion that a patient does not reach has no lab, and centred, its effect
    and the SD between occasions would form a funnel.
    """
    return model.occasions is None and sum(len(r.labs) for r in records) >= 2 * len(model.individual_names) * len(
        records
    )


def centred_by_labs(model, groups, *, rho: float, accuracy: Accuracy) -> tuple[str, ...]:
    """Names of the individual parameters to be centred, at the prior medians of the population (centring.py)."""
    hyper = assemble(model, median_sites(model), rho)
    means, scale = individual_prior(model, hyper, groups)

    def one(psi, data):
        return patient_log_likelihood(model, psi, hyper, data, rho=rho, accuracy=accuracy)

    slopes = jax.jit(lambda psi: jnp.concatenate(over_patients(jax.grad(one), groups, psi)))
    return informed_names(model, slopes, means, scale)
