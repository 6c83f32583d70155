"""`fit_population`: model and cohort in, checked draws of the population parameters out."""

from typing import Any

import jax

from bayestwin.dynamics import Accuracy
from bayestwin.errors import FitError, refuse_other, refuse_seed
from bayestwin.population.centring import centred_mask
from bayestwin.population.centring_choice import chosen_centring
from bayestwin.population.methods import check_method
from bayestwin.population.posterior import PopulationPosterior
from bayestwin.population.provenance import versions
from bayestwin.population.result import posterior_from
from bayestwin.population.runs import Runner, sampled
from bayestwin.population.site_factors import with_sites_of
from bayestwin.population.stacks import stack_cohort
from bayestwin.population.start_values import chain_starts
from bayestwin.specification.other_priors import with_priors

DRAWS, MOST_DRAWS = 500, 4000  # of each chain, where the caller does not say


def fit_population(
    model,
    cohort,
    *,
    random_seed: int,
    method: str = "nuts",
    chains: int | None = None,
    warmup: int | None = None,
    draws: int | None = None,
    target_accept: float | None = None,
    max_tree_depth: int | None = None,
    rho: float | None = None,
    centred: bool | str | tuple[str, ...] | None = None,
    climb: int | None = None,
    priors=None,
    start_from: PopulationPosterior | None = None,
    work=None,
    accuracy: Accuracy = Accuracy(),
    progress=False,
) -> PopulationPosterior:
    """Sample the population posterior of a model given a cohort.

    Parameters
    ----------
    model : Model
    cohort : Cohort          patients; records in the model's units and time
    random_seed : int        decides every random number
    method : str             "nuts": joint NUTS, the reference; "gibbs": HMC within Gibbs, as exact and faster for many
                             patients; "approximate": a variational normal (`approximate_population`)
    chains, warmup, draws :  default 4 chains side by side in one program, 500 draws of warm-up (gibbs: 300);
                             draws None: 500 of each chain, and where R-hat or effective sample size alone fall short,
                             as many again, up to MOST_DRAWS
    target_accept : float    None: 0.95 (gibbs: 0.8), and, with draws None, where divergences fail the diagnostics once
                             more from the start at 0.99 (0.95); the result's attribute `method_note` says so
    max_tree_depth : int     of NUTS, default 8
    rho : float              response correlation, default the model's declared one
    centred : bool           of NUTS, parameterisation of individual effects; None: centred where labs outnumber
                             individual parameters at least two to one (well identified patients), else non-centred;
                             names: those parameters; "auto": those that most patients' labs tell better than the
                             population does (`informed_names`). The method "gibbs" learns it for every patient
    climb : int              of NUTS, steps of gradient ascent before warm-up (see run_nuts); few where effects are
                             centred: the density has no highest point there, an omega without a prior away from 0
                             falls to it
    priors : dict            site -> prior instead of the model file's (`read_priors`); noted in the result
    start_from : PopulationPosterior      an earlier posterior: every chain begins at one of its draws, by name of site
                             and key of patient (new ones as without it); a shorter warm-up may then do
    work : path              a folder that keeps the run block by block (with patients' own parameters in it): the same
                             call goes on after a kill, with the same draws
    progress : bool or callable(done, total, message)

    Returns
    -------
    PopulationPosterior      whose `diagnostics` say whether it may be used;
                             individual parameters are inside until saved

    Raises
    ------
    FitError                 no patient has an observation, the start has no finite density, the method is unknown,
                             does not take a setting or cannot sample the model; `work` is of another run
    """
    refuse_other(model, "fit_population, model", "a Model: load_model(...)", "parameters", "vector_field")
    refuse_other(cohort, "fit_population, cohort", "a Cohort: read_records(...).cohort", "patients", "data_hash")
    refuse_seed(random_seed, "fit_population")
    own: dict[str, Any] = {"chains": chains, "warmup": warmup, "target_accept": target_accept}
    own |= {"max_tree_depth": max_tree_depth, "centred": centred, "climb": climb, "start_from": start_from}
    model = with_sites_of(model, cohort)
    settings = check_method(model, method, own | {"work": work})
    refuse_without_labs(model, cohort)
    common: dict[str, Any] = {"random_seed": random_seed, "progress": progress}
    if method == "approximate":
        from bayestwin.population.variational import approximate_population

        common |= {"rho": rho, "priors": priors, "accuracy": accuracy} | ({} if draws is None else {"draws": draws})
        return approximate_population(model, cohort, **common)
    rho = (model.response_correlation.rho if model.response_correlation else 0.0) if rho is None else rho
    fitted, chains = with_priors(model, priors or {}), chains or 4
    how: dict[str, Any] = {"chains": chains, "warmup": warmup or settings.warmup, "climb": climb or 0}
    how |= {"max_tree_depth": max_tree_depth or 8, "draws": DRAWS if draws is None else draws}
    named = {"model": model.hash, "cohort": cohort.data_hash, "versions": versions()}
    named |= {"priors": {k: str(v) for k, v in (priors or {}).items()}}
    named |= {"start_from": start_from.hash if start_from is not None else ""}
    with jax.enable_x64(True):
        groups, order = stack_cohort(model, cohort)
        centred = chosen_centring(centred, method, fitted, groups, order, rho=rho, accuracy=accuracy)
        mask = centred_mask(model, centred)
        how |= {"rho": rho, "centred": centred, "accuracy": accuracy, "search": start_from is None}
        began: dict[str, Any] = {"chains": chains, "random_seed": random_seed, "rho": rho, "centred": centred}
        start = chain_starts(fitted, order, groups, start_from, **began)
        most = MOST_DRAWS if draws is None else None
        runner = Runner(method, fitted, groups, start, how, named, most=most, work=work, **common)
        drawn, note = sampled(runner, settings, target_accept)
        as_named = {"fitted": fitted, "method": method, "note": note, "mask": mask}
        return posterior_from(model, order, drawn, rho, cohort, random_seed, **as_named)


def refuse_without_labs(model, cohort) -> None:
    """FitError where no patient has a lab."""
    if not any(record.labs for record in cohort):
        raise FitError(
            "no patient has a lab",
            subject=f"model {model.name}",
            next_step="Give labs.csv or an event table with observations.",
        )
