"""Is a population fit what its specification says? A second program in PyMC, sampled, and compared with the fit.

For every population parameter the posterior mean and SD of both, with the Monte Carlo error that ArviZ gives each:

    z = (ours - PyMC's) / sqrt(mcse_ours^2 + mcse_pymc^2)        Holm's adjusted p over all means and SDs

Two programs of one posterior are called different in at most one cross-check of a hundred. What a difference must have
been to be declared stands beside it, in posterior SDs. A sampler that did not arrive shows nothing.

Sources: Vehtari et al. (2021), Bayesian Analysis 16:667 (Monte Carlo error of means and SDs); docs/crosscheck.md.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from bayestwin.dynamics import Accuracy
from bayestwin.errors import FitError
from bayestwin.evaluation.scores import holm
from bayestwin.evaluation.verification.equality import FALSE_ALARM, smallest_seen, welch
from bayestwin.evaluation.verification.moments import Estimate
from bayestwin.population import Diagnostics, PopulationPosterior, fit_population
from bayestwin.population.centring_choice import well_identified
from bayestwin.population.crosscheck import check_sampler, pymc_program, refuse_unsupported, sample_pymc, scalars
from bayestwin.population.diagnostics import diagnose
from bayestwin.population.hyper import hyper_sites
from bayestwin.population.methods import METHODS
from bayestwin.population.result import sites_with_priors
from bayestwin.specification.other_priors import with_priors

BLIND = 1.0  # a difference of a posterior SD that could not have been seen: nothing is shown
SHARED = (
    "Checked: priors, transforms, covariates, hierarchy, residual errors, censoring and the sampler. "
    "Shared by both: the solution of the model's equations."
)
SEPARATE = "Checked: everything, the solution of the model's equations by a closed form."


@dataclass(frozen=True, eq=False)
class Crosscheck:
    """A fit beside the PyMC program.

    population : the fit; posterior, stats : draws of the PyMC program (chain, draw) and what its sampler said
    sampler : "pymc" or "nutpie"; closed_form : True where the equations were solved by other means
    """

    population: PopulationPosterior
    posterior: xr.Dataset
    stats: xr.Dataset
    sampler: str
    closed_form: bool

    @cached_property
    def pymc_diagnostics(self) -> Diagnostics:
        """Did the PyMC program's sampler arrive? By the same limits as a fit."""
        return diagnose(self.posterior, self.stats)

    @cached_property
    def table(self):
        """One line per population parameter (DataFrame).

        parameter; mean, sd and their Monte Carlo errors mcse_mean, mcse_sd of the fit, the same of PyMC (pymc_*);
        z_mean, z_sd; p_adjusted : the smaller of the two, Holm over the whole table; gap : difference of the means in
        posterior SDs; smallest_seen : the gap that would have been declared; verdict : "agrees" or "DIFFERS"
        """
        import pandas as pd

        lines = []
        ours, theirs = self._estimates(self.population.posterior), self._estimates(self.posterior)
        for name in ours:
            found = {which: welch(ours[name][which], theirs[name][which]) for which in ("mean", "sd")}
            line: dict[str, Any] = {"parameter": name}
            for whose, estimates in (("", ours[name]), ("pymc_", theirs[name])):
                for which, e in estimates.items():
                    line |= {f"{whose}{which}": e.value, f"{whose}mcse_{which}": e.error}
            line |= {"z_mean": found["mean"].z, "z_sd": found["sd"].z}
            line |= {"p_mean": found["mean"].p, "p_sd": found["sd"].p}
            sd = ours[name]["sd"].value
            seen = smallest_seen(found["mean"].error, found["mean"].freedom, 2 * len(ours))
            lines.append(line | {"gap": found["mean"].difference / sd, "smallest_seen": seen / sd})
        table = pd.DataFrame(lines)
        adjusted = holm(table[["p_mean", "p_sd"]].to_numpy().ravel()).reshape(-1, 2)
        table["p_adjusted"] = adjusted.min(axis=1)
        table["verdict"] = np.where(table["p_adjusted"] < FALSE_ALARM, "DIFFERS", "agrees")
        last = ["gap", "smallest_seen", "p_adjusted", "verdict"]
        return table[[c for c in table.columns if c not in (*last, "p_mean", "p_sd")] + last]

    @property
    def unequal(self) -> tuple[str, ...]:
        """Parameters on which the two differ by more than Monte Carlo error."""
        return tuple(self.table.loc[self.table["verdict"] == "DIFFERS", "parameter"])

    @property
    def not_shown(self) -> tuple[str, ...]:
        """Why the comparison shows nothing: a sampler that did not arrive, an error that hides a posterior SD."""
        reasons = [f"the fit: {reason}" for reason in self.population.diagnostics.reasons]
        reasons += [f"PyMC: {reason}" for reason in self.pymc_diagnostics.reasons]
        hidden = self.table.loc[~(self.table["smallest_seen"] <= BLIND), "parameter"]
        return (*reasons, *(f"a difference of a posterior SD could not be seen in {name}" for name in hidden))

    @property
    def agrees(self) -> bool:
        """True where both samplers arrived, differences could be seen, and there is none."""
        return not (self.unequal or self.not_shown)

    @property
    def sentence(self) -> str:
        """The result in words, with what it rests on."""
        table, said = self.table, []
        if self.unequal:
            said.append(f"DIFFERENT beyond Monte Carlo error: {', '.join(self.unequal)}.")
        if self.not_shown:
            said.append(f"NOT SHOWN: {'; '.join(self.not_shown)}.")
        if not said:
            said.append(f"The fit and the PyMC program AGREE within Monte Carlo error in all {len(table)} parameters.")
        largest = table[["z_mean", "z_sd"]].abs().to_numpy()
        row, which = np.unravel_index(largest.argmax(), largest.shape)
        said.append(
            f"Largest: {('mean', 'SD')[which]} of {table['parameter'].iloc[row]}, |z| = {largest.max():.2f} of "
            f"{largest.size} comparisons, smallest adjusted p {table['p_adjusted'].min():.2g} (under {FALSE_ALARM:g}: "
            f"different). Means that differ by {table['smallest_seen'].max():.2f} posterior SD would have been seen."
        )
        return " ".join([*said, SEPARATE if self.closed_form else SHARED])

    def __repr__(self) -> str:
        return f"<Crosscheck of {self.population.model.name} by {self.sampler}. {self.sentence}>"

    def _estimates(self, posterior) -> dict[str, dict[str, Estimate]]:
        """name -> mean and SD of every population parameter; the ESS stands for the degrees of freedom of the error."""
        import arviz_stats

        found = scalars(posterior, self.population.model.correlation_blocks)
        draws = xr.Dataset({name: (("chain", "draw"), values) for name, values in found.items()})
        of_mean, of_sd = (arviz_stats.mcse(draws, method=method) for method in ("mean", "sd"))
        ess = arviz_stats.ess(draws, method="bulk")
        return {
            name: {
                "mean": Estimate(float(values.mean()), float(of_mean[name]), float(ess[name])),
                "sd": Estimate(float(values.std(ddof=1)), float(of_sd[name]), float(ess[name])),
            }
            for name, values in found.items()
        }


def crosscheck(
    model,
    cohort,
    population: PopulationPosterior | None = None,
    *,
    random_seed: int,
    sampler: str = "pymc",
    chains: int = 4,
    tune: int = 1000,
    draws: int = 1000,
    target_accept: float = METHODS["nuts"].cautious,
    centred: bool | tuple[str, ...] | None = None,
    priors=None,
    closed_form=None,
    accuracy: Accuracy = Accuracy(),
    progress: bool = False,
) -> Crosscheck:
    """Sample the PyMC program of a model and a cohort, and compare it with a fit of the same.

    Parameters
    ----------
    population : PopulationPosterior   None: `fit_population` with its defaults
    sampler : str                      "pymc", or "nutpie" where that is installed
    chains, tune, draws, target_accept :  of the PyMC program; small steps, since it is sampled once
    centred : bool                     its parameterisation, or names (`pymc_program`); None: by the rule of
                                       `fit_population`
    priors : dict                      site -> prior, as the fit had them
    closed_form : callable             see `pymc_program`; None: the equations are solved by the same code as in the fit

    Raises
    ------
    ModelError      what the PyMC program cannot say: response classes, hazards, changing covariates
    FitError        the fit is of other records, under other priors or only approximate; no such sampler
    """
    check_sampler(sampler)
    refuse_unsupported(model, cohort)
    if population is None:
        population = fit_population(model, cohort, random_seed=random_seed, priors=priors, progress=progress)
    refuse_other_fit(population, model, cohort, priors or {})
    centred = well_identified(model, tuple(cohort)) if centred is None else centred
    program = pymc_program(model, cohort, centred=centred, priors=priors, closed_form=closed_form, accuracy=accuracy)
    names = list(hyper_sites(with_priors(model, priors or {})))
    names += [block.site for block in model.correlation_blocks]
    sizes: dict[str, Any] = {"chains": chains, "tune": tune, "draws": draws, "target_accept": target_accept}
    posterior, stats = sample_pymc(program, names, random_seed=random_seed, sampler=sampler, progress=progress, **sizes)
    return Crosscheck(population, posterior, stats, sampler, closed_form is not None)


def refuse_other_fit(population, model, cohort, priors) -> None:
    """FitError where a fit cannot be expected to agree: other records, other priors, or no sampler at all."""
    known, subject = population.attributes, f"population of {model.name}"
    if known.get("method", "nuts") not in ("nuts", "gibbs"):
        raise FitError(
            "only a sampled population has a Monte Carlo error to be judged by",
            subject=subject,
            value=known["method"],
            allowed="a population fitted by nuts or gibbs",
            next_step="Fit it without --approximate, or leave --population out: then the fit is made here.",
        )
    if known.get("model_hash") != model.hash or known.get("data_hash") != cohort.data_hash:
        raise FitError(
            "it was fitted to other records, or to another model",
            subject=subject,
            next_step="Give the files of the fit, all of them and with the same --as-of.",
        )
    own, used = sites_with_priors(model), sites_with_priors(with_priors(model, priors))
    changed = {name: str(used[name]) for name in used if used[name] != own[name]}
    fitted = json.loads(known.get("other_priors", "{}"))
    if changed != fitted:
        raise FitError(
            "it was fitted under other priors",
            subject=subject,
            value=changed or "those of the model file",
            allowed=str(fitted or "those of the model file"),
            next_step="Give the fit's file of priors with --priors.",
        )
