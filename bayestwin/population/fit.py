"""`fit_population`: model and cohort in, checked draws of the population parameters out."""

import json
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from bayestwin.dynamics import Accuracy
from bayestwin.errors import FitError
from bayestwin.individual import (
    compile_record,
    covariate_terms,
    first_covariates,
    padded_alike,
    prior_moments,
    used_sizes,
)
from bayestwin.population.centring import AUTO, centred_mask, informed_names, joined
from bayestwin.population.diagnostics import diagnose
from bayestwin.population.hyper import assemble, hyper_sites, vector_sites, with_derived
from bayestwin.population.methods import check_method, run
from bayestwin.population.posterior import PopulationPosterior, patient_mark
from bayestwin.population.program import individual_prior, over_patients, patient_log_likelihood
from bayestwin.population.sampling import scattered
from bayestwin.population.saved_run import SavedRun
from bayestwin.population.site_factors import factor_names, with_sites_of
from bayestwin.population.start_values import median_sites, starts_like, unconstrained_medians
from bayestwin.specification.other_priors import with_priors
from bayestwin.specification.sites import sites_as_text

DRAWS, MOST_DRAWS = 500, 4000  # of each chain, where the caller does not say
OVERHEAD = 32  # an interval of a stack costs as much by itself as so many patients (measured: about 40)


def versions() -> dict[str, str]:
    """Versions of the packages a result depends on."""
    found = {}
    for name in ("bayestwin", "jax", "numpyro", "diffrax", "numpy", "xarray"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def stack_cohort(model, cohort, *, by_length: bool = True):
    """Groups of stacked PatientData, one per number of response classes, and the patients in that order.

    by_length : long histories are stacked by themselves where short ones would wait for them (`apart`)
    """
    compiled = [(record, compile_record(model, record)) for record in cohort]
    groups, order = [], []
    for classes in sorted({data.classes.shape[0] for _, data in compiled}):
        alike = [(r, d) for r, d in compiled if d.classes.shape[0] == classes]
        lengths = np.array([used_sizes(d).intervals for _, d in alike])
        for places in apart(lengths) if by_length else [np.arange(len(alike))]:
            members = [alike[k] for k in places]
            padded = padded_alike(model, [r for r, _ in members], [d for _, d in members])
            groups.append(jax.tree.map(lambda *a: np.stack(a), *padded))
            order += [r for r, _ in members]
    return groups, order


def apart(lengths) -> list[np.ndarray]:
    """Places of histories that are stacked together, short ones first; in a stack all are as long as the longest.

    A further stack is a further program to compile, so one is made only where it halves the work: a stack of n
    histories of G intervals costs G (OVERHEAD + n), an interval's own overhead being that of so many patients
    (tests/benchmarks/long_histories.py).
    """
    rising = np.argsort(lengths, kind="stable")
    return [np.sort(rising[a:b]) for a, b in _cut(np.asarray(lengths)[rising], 0)]


def _cut(sizes, first: int) -> list[tuple[int, int]]:
    """(begin, end) of each stack of histories of rising sizes, counted from `first`."""
    if not len(sizes):
        return []
    n = np.arange(1, len(sizes) + 1)
    together = sizes[-1] * (OVERHEAD + n[-1])
    in_two = (sizes * (OVERHEAD + n) + sizes[-1] * (OVERHEAD + n[::-1] - 1))[:-1]
    if not len(in_two) or in_two.min() >= 0.5 * together:
        return [(first, first + len(sizes))]
    at = int(np.argmin(in_two)) + 1
    return _cut(sizes[:at], first) + _cut(sizes[at:], first + at)


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
    own: dict[str, Any] = {
        "chains": chains,
        "warmup": warmup,
        "target_accept": target_accept,
        "max_tree_depth": max_tree_depth,
    }
    own |= {"centred": centred, "climb": climb, "start_from": start_from, "work": work}
    model = with_sites_of(model, cohort)
    settings = check_method(model, method, own)
    if not any(record.labs for record in cohort):
        raise FitError(
            "no patient has a lab",
            subject=f"model {model.name}",
            next_step="Give labs.csv or an event table with observations.",
        )
    common: dict[str, Any] = {
        "random_seed": random_seed,
        "rho": rho,
        "priors": priors,
        "accuracy": accuracy,
        "progress": progress,
    }
    if method == "approximate":
        from bayestwin.population.variational import approximate_population

        return approximate_population(model, cohort, **(common if draws is None else common | {"draws": draws}))
    rho = (model.response_correlation.rho if model.response_correlation else 0.0) if rho is None else rho
    fitted, chains = with_priors(model, priors or {}), chains or 4
    with jax.enable_x64(True):
        groups, order = stack_cohort(model, cohort)
        if centred is None:
            centred = method == "nuts" and well_identified(model, order)
        elif isinstance(centred, str) and centred == AUTO:
            centred = centred_by_labs(fitted, groups, rho=rho, accuracy=accuracy)
        mask = centred_mask(model, centred)
        start: Any = partial(scattered, unconstrained_medians(fitted, groups, rho=rho, centred=centred))
        if start_from is not None:
            begin = start(jax.random.split(jax.random.key(random_seed), chains))
            begin = starts_like(start_from, fitted, order, groups, begin, rho=rho, centred=centred)
            start = lambda keys: begin  # noqa: E731
        boldly = draws is None and target_accept is None  # then divergences are a reason to sample again, not longer
        how: dict[str, Any] = {
            "rho": rho,
            "centred": centred,
            "accuracy": accuracy,
            "chains": chains,
            "warmup": warmup or settings.warmup,
            "max_tree_depth": max_tree_depth or 8,
            "climb": climb or 0,
            "draws": DRAWS if draws is None else draws,
        }

        def sampled(accept):
            run_of = {"model": model.hash, "cohort": cohort.data_hash, "method": method, "seed": random_seed}
            run_of |= {name: str(value) for name, value in how.items() if name != "draws"} | {"versions": versions()}
            run_of |= {"priors": {k: str(v) for k, v in (priors or {}).items()}, "target_accept": accept}
            run_of |= {"start_from": start_from.hash if start_from is not None else ""}
            return run(
                method,
                fitted,
                groups,
                start,
                key=jax.random.key(random_seed),
                most=MOST_DRAWS if draws is None else None,
                enough=lambda drawn: long_enough(drawn, give_up=boldly and accept == settings.bold),
                target_accept=accept,
                saved=None if work is None else SavedRun(Path(work) / f"acceptance-{accept:g}", run_of),
                progress=progress,
                **how,
            )

        try:
            drawn, note = _boldly_first(sampled, settings) if boldly else (sampled(target_accept or settings.bold), "")
        except RuntimeError as error:
            raise FitError(
                f"the sampler could not start: {error}",
                subject=f"model {model.name}",
                next_step="Look for a lab far outside what the priors allow.",
            ) from error
        how_named = {"fitted": fitted, "method": method, "note": note, "mask": mask}
        return posterior_from(model, order, drawn, rho, cohort, random_seed, **how_named)


def _boldly_first(sampled, settings):
    """Draws of `sampled(acceptance)` and a note: boldly; where divergences fail that, from the start with caution."""
    drawn = sampled(settings.bold)
    found = diagnosed(drawn)
    if found is None or not found.too_bold:
        return drawn, ""
    note = (
        f"sampled again at target acceptance {settings.cautious}, after {found.divergences} divergences "
        f"at {settings.bold}"
    )
    return sampled(settings.cautious), note


def long_enough(drawn, *, give_up: bool = False) -> bool:
    """False where the population-level sites of a run fail for its length; give_up : not where divergences fail too."""
    found = diagnosed(drawn)
    return found is None or not found.too_short or (give_up and found.too_bold)


def diagnosed(drawn):
    """Diagnostics of the population-level sites of a run; None without any, or with one chain."""
    sites = {name: values for name, values in drawn.samples.items() if name not in ("psi", "z")}
    if not sites or next(iter(sites.values())).shape[0] < 2:
        return None
    arrays = {k: (("chain", "draw", *(f"{k}_{d}" for d in range(v.ndim - 2))), v) for k, v in sites.items()}
    stats = {name: (("chain", "draw"), drawn.stats[name]) for name in ("energy", "diverging")}
    return diagnose(xr.Dataset(arrays), xr.Dataset(stats))


def well_identified(model, records) -> bool:
    """True where labs outnumber individual parameters at least two to one: then individual effects are centred.

    Never where patients have occasions: an occasion that a patient does not reach has no lab, and centred, its effect
    and the SD between occasions would form a funnel.
    """
    return model.occasions is None and sum(len(r.labs) for r in records) >= 2 * len(model.individual_names) * len(
        records
    )


def sites_with_priors(model) -> dict:
    """Every population-level site and its prior, fixed ones too, and the concentration of each correlation."""
    more = {block.prior_name: block.prior.concentration for block in model.correlation_blocks}
    return hyper_sites(model, fixed=True) | more


def centred_by_labs(model, groups, *, rho: float, accuracy: Accuracy) -> tuple[str, ...]:
    """Names of the individual parameters to be centred, at the prior medians of the population (centring.py)."""
    hyper = assemble(model, median_sites(model), rho)
    means, scale = individual_prior(model, hyper, groups)

    def one(psi, data):
        return patient_log_likelihood(model, psi, hyper, data, rho=rho, accuracy=accuracy)

    slopes = jax.jit(lambda psi: jnp.concatenate(over_patients(jax.grad(one), groups, psi)))
    return informed_names(model, slopes, means, scale)


def _psi_of(model, hyper, order, psi, z, mask):
    """Individual parameters (chain, draw, N, D) of centred and non-centred effects."""
    terms = np.stack([covariate_terms(model, first_covariates(model, r)) for r in order])

    def individual(h, *parts):
        means, scale = jax.vmap(lambda x: prior_moments(model, h, x))(terms)
        return joined(means, scale, mask, *parts)

    return np.asarray(jax.jit(jax.vmap(jax.vmap(individual)))(hyper, psi, z))


def posterior_from(
    model, order, drawn, rho, cohort, random_seed, *, fitted, method: str = "nuts", note: str = "", mask=None
) -> PopulationPosterior:
    """Draws with their names, dimensions and provenance; method "variational" marks them approximate.

    fitted : the model under the priors that were used; what they fix and the model file does not is kept as constant
    mask : which individual parameters are centred; None: all where the draws hold "psi", else none
    """
    n_chains, n_draws = next(iter(drawn.stats.values())).shape[:2]
    own_psi, z = drawn.samples.pop("psi", None), drawn.samples.pop("z", None)
    if mask is None:
        mask = centred_mask(model, own_psi is not None)
    if own_psi is None and z is None:
        z = np.zeros((n_chains, n_draws, len(order), 0))
    own, used = sites_with_priors(model), sites_with_priors(fitted)
    kept = {name: np.asarray(a) for name, a in with_derived(fitted, drawn.samples).items()}
    drawn = drawn._replace(samples={name: a for name, a in kept.items() if name not in vector_sites(fitted)})
    for name in hyper_sites(model):
        if name not in drawn.samples and name in used:
            drawn.samples[name] = np.full((n_chains, n_draws), used[name].value)
    changed = {name: str(used[name]) for name in used if used[name] != own.get(name)}
    coords: dict[str, Any] = {"chain": np.arange(n_chains), "draw": np.arange(n_draws)}
    own_dims = {block.site: block.dims for block in model.correlation_blocks}
    own_dims |= {name: (f"{name}_site",) for name in factor_names(model)}
    data = {name: (("chain", "draw", *own_dims.get(name, ())), values) for name, values in drawn.samples.items()}
    for block in model.correlation_blocks:
        coords |= block.coords
    coords |= {f"{name}_site": list(named) for name, named in factor_names(model).items()}
    hyper = assemble(model, {k: jnp.asarray(v) for k, v in drawn.samples.items()}, rho)
    psi = own_psi if own_psi is not None and z is None else _psi_of(model, hyper, order, own_psi, z, mask)
    individuals = xr.Dataset(
        {"psi": (("chain", "draw", "patient", "parameter"), psi)},
        coords={
            "chain": coords["chain"],
            "draw": coords["draw"],
            "patient": [r.key for r in order],
            "parameter": list(model.individual_names),
        },
    )
    stats = xr.Dataset(
        {k: (("chain", "draw"), v) for k, v in drawn.stats.items()}, coords={k: coords[k] for k in ("chain", "draw")}
    )
    tree = xr.DataTree.from_dict(
        {"posterior": xr.Dataset(data, coords=coords), "sample_stats": stats, "individuals": individuals}
    )
    tree.attrs.update(
        kind="population",
        model=model.name,
        model_hash=model.hash,
        data_hash=cohort.data_hash,
        n_patients=len(order),
        random_seed=random_seed,
        rho=rho,
        versions=json.dumps(versions()),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        fitted_patients=json.dumps(sorted(patient_mark(r) for r in order)),
        fitted_records=json.dumps({patient_mark(r): r.data_hash for r in order}),
        **sites_as_text(model),
    )
    if mask.any() and not mask.all():
        tree.attrs["centred"] = ", ".join(np.array(model.individual_names)[mask])
    tree.attrs.update(method=method, method_note=note, other_priors=json.dumps(changed))
    posterior = PopulationPosterior(model, tree)
    verdict = posterior.diagnostics
    tree.attrs.update(verdict=verdict.status, diagnostics=str(verdict))
    return posterior
