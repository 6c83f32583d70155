"""A first look at a population posterior: a multivariate normal fitted by stochastic variational inference.

Labelled approximate everywhere it goes: a normal approximation can be too narrow, and no R-hat or ESS speaks for it.
The reference is `fit_population` (NUTS). Same program, same priors, same likelihood.

Source: Kucukelbir et al. (2017), JMLR 18:14.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro.handlers import block
from numpyro.infer import SVI, Trace_ELBO, init_to_median
from numpyro.infer.autoguide import (
    AutoBatchedMultivariateNormal,
    AutoGuideList,
    AutoMultivariateNormal,
    AutoNormal,
)

from bayestwin.dynamics import Accuracy
from bayestwin.errors import FitError
from bayestwin.population.centring_choice import well_identified
from bayestwin.population.program import population_program
from bayestwin.population.result import posterior_from
from bayestwin.population.sampling import Draws, reporter
from bayestwin.population.site_factors import with_sites_of
from bayestwin.population.stacks import stack_cohort
from bayestwin.specification.other_priors import with_priors

START = {"init_loc_fn": init_to_median(num_samples=15), "init_scale": 0.05}
CHAINS = 4  # as many as a sampler has; the draws are independent


def _by_patient(program):
    """Population and every patient a normal of their own."""
    parts = AutoGuideList(program)
    own = ["psi", "z", "patient"]
    population, patients = block(program, hide=own), block(program, expose=own)
    parts.append(AutoMultivariateNormal(population, prefix="population", **START))
    parts.append(AutoBatchedMultivariateNormal(patients, prefix="patient", batch_ndim=1, **START))
    return parts


GUIDES = {
    "full": lambda program: AutoMultivariateNormal(program, **START),
    "independent": lambda program: AutoNormal(program, **START),
    "by_patient": _by_patient,
}


def approximate_population(
    model,
    cohort,
    *,
    random_seed: int,
    steps: int = 8000,
    draws: int = 800,
    rate: float = 0.01,
    guide: str = "full",
    rho: float | None = None,
    priors=None,
    accuracy: Accuracy = Accuracy(),
    progress=False,
):
    """A variational population posterior, marked approximate.

    Parameters
    ----------
    steps, rate : int, float     optimisation steps and learning rate, kept for a tenth of them, then falling to a
                                 fortieth: at a constant rate the noise of the gradient hid 200 units of the bound
    draws : int                  independent draws from the fitted normal, in four "chains": a multiple of 4
    guide : str                  "full": one normal over everything, non-centred; "by_patient": population and every
                                 patient a normal of their own, for many patients or individual parameters. Centred
                                 where labs are many (`well_identified`), then without correlation between patient
                                 and population, so that population SDs come out too small; else non-centred

    priors : dict                site -> prior instead of the model file's, as for `fit_population`

    Returns
    -------
    PopulationPosterior          whose diagnostics say "approximate" and give the last change of the bound

    Raises
    ------
    FitError                     an unknown guide; draws that are no multiple of 4
    """
    if draws < CHAINS or draws % CHAINS:
        raise FitError(
            f"draws stand in {CHAINS} chains of one length",
            subject=f"model {model.name}",
            place="draws",
            value=draws,
            allowed=f"a multiple of {CHAINS}",
        )
    if guide not in GUIDES:
        raise FitError("no such guide", subject=f"model {model.name}", value=guide, allowed=" or ".join(GUIDES))
    rho = (model.response_correlation.rho if model.response_correlation else 0.0) if rho is None else rho
    model = with_sites_of(model, cohort)
    fitted = with_priors(model, priors or {})
    if guide == "by_patient" and not model.individual_names:
        guide = "full"
    report, close = reporter(progress, steps)
    with jax.enable_x64(True):
        groups, order = stack_cohort(model, cohort)

        centred = guide == "by_patient" and well_identified(model, order)

        def program(labs=True):
            population_program(fitted, groups, rho=rho, centred=centred, labs=labs, accuracy=accuracy)

        normal = GUIDES[guide](program)

        def schedule(i):
            return rate * 40.0 ** (-jnp.clip((i / steps - 0.1) / 0.8, 0.0, 1.0))

        svi = SVI(program, normal, numpyro.optim.ClippedAdam(schedule, clip_norm=200.0), Trace_ELBO())
        key_start, key_draw = jax.random.split(jax.random.key(random_seed))
        # without the likelihood: it decides nothing here, is slow uncompiled, and may have no number at random patients
        state = svi.init(key_start, labs=False)

        @jax.jit
        def fifty(state):
            return jax.lax.scan(lambda s, _: svi.stable_update(s), state, None, length=50)

        losses, done = [], 0
        while done < steps:
            state, loss = fifty(state)
            losses.append(float(np.nanmean(loss)))
            done += 50
            report(min(done, steps), f"negative bound {losses[-1]:.1f}")
        close()
        params = svi.get_params(state)
        flat = normal.sample_posterior(key_draw, params, sample_shape=(draws,))
        samples = {k: np.asarray(v).reshape(CHAINS, draws // CHAINS, *v.shape[1:]) for k, v in flat.items()}
        empty = np.zeros((CHAINS, draws // CHAINS))
        stats = {
            "diverging": empty.astype(bool),
            "energy": np.asarray(jax.random.normal(key_draw, empty.shape)),
            "lp": empty,
        }
        tail = losses[-max(len(losses) // 5, 2) :]
        return posterior_from(
            model,
            order,
            Draws(samples, stats),
            rho,
            cohort,
            random_seed,
            fitted=fitted,
            method="variational",
            note=f"negative bound {np.mean(tail):.1f}, "
            f"moving by {max(tail) - min(tail):.1f} over the last fifth of {steps} steps",
        )
