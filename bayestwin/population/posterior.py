"""The result of a population fit: draws with provenance, saved as one netCDF file and loaded back.

A file holds population-level draws only; individual parameters are written when asked for and the file says so.
Groups as in ArviZ: posterior (chain, draw), sample_stats, and, where kept, individuals
(chain, draw, patient, parameter).
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from bayestwin.errors import StoreError
from bayestwin.population.diagnostics import APPROXIMATIONS, Diagnostics, approximate, diagnose, moving
from bayestwin.population.hyper import assemble
from bayestwin.population.possible import refuse_impossible
from bayestwin.specification.sites import with_sites_from
from bayestwin.store import of_this_version, read_tree, refuse_other_model, write_tree


def patient_mark(record) -> str:
    """A mark by which a fitted patient is recognised without naming them in the file."""
    return hashlib.sha256(f"bayestwin:{record.key}".encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class PopulationPosterior:
    """Draws of the population parameters for one model.

    tree : DataTree with posterior, sample_stats, perhaps individuals; attributes carry the provenance
    """

    model: Any
    tree: xr.DataTree

    @property
    def attributes(self) -> dict:
        """Provenance: model, hashes, seed, versions, created_at, rho."""
        return dict(self.tree.attrs)

    @property
    def rho(self) -> float:
        """The declared response correlation used in the fit."""
        return float(self.tree.attrs["rho"])

    @property
    def posterior(self) -> xr.Dataset:
        """Population-level draws (chain, draw)."""
        return self.tree["posterior"].to_dataset()

    @property
    def diagnostics(self) -> Diagnostics:
        """Convergence verdict, computed from the draws."""
        method = str(self.tree.attrs.get("method", "nuts"))
        if method in APPROXIMATIONS:
            return approximate(self.posterior, method, str(self.tree.attrs.get("method_note", "")))
        return diagnose(self.posterior, self.tree["sample_stats"].to_dataset(), fixed=self._fixed)

    @property
    def _fixed(self) -> list[str]:
        """Sites kept as constants: what a file of priors fixed."""
        changed = json.loads(self.tree.attrs.get("other_priors") or "{}")
        return [name for name, prior in changed.items() if prior.startswith("fixed")]

    @cached_property
    def hash(self) -> str:
        """SHA-256 over model hash and draws; every update asks for it."""
        digest = hashlib.sha256(self.model.hash.encode())
        for name in sorted(str(n) for n in self.posterior.data_vars):
            digest.update(name.encode() + np.ascontiguousarray(self.posterior[name].values).tobytes())
        return digest.hexdigest()

    def to_datatree(self) -> xr.DataTree:
        """The DataTree itself; every ArviZ function takes it."""
        return self.tree

    def to_dataframe(self):
        """One row per draw."""
        return self.posterior.to_dataframe()

    def summary(self, ci_prob: float = 0.9):
        """Mean, SD, interval, R-hat and ESS of every population parameter that moves (pandas)."""
        import arviz_stats

        return arviz_stats.summary(moving(self.posterior), ci_prob=ci_prob, ci_kind="eti", round_to="none")

    @property
    def size(self) -> int:
        """Number of draws, of all chains."""
        sizes = self.tree["posterior"].sizes
        return sizes["chain"] * sizes["draw"]

    def hyper_draws(self, count: int | None = None):
        """Population draws as a stacked `Hyper`, and their positions in chain-major order.

        count : so many draws, evenly spaced through all chains; None for all
        """
        posterior = self.posterior.stack(sample=("chain", "draw")).transpose("sample", ...)
        total = posterior.sizes["sample"]
        take = (
            np.arange(total)
            if count is None or count >= total
            else np.floor(np.arange(count) * total / count).astype(int)
        )
        with jax.enable_x64(True):
            natural = {k: jax.numpy.asarray(posterior[k].values[take]) for k in posterior.data_vars}
            hyper = jax.tree.map(np.asarray, assemble(self.model, natural, self.rho))
        return hyper, take

    def thinned(self, count: int) -> "PopulationPosterior":
        """The same with those draws alone that `hyper_draws(count)` takes; itself where it has no more."""
        if count >= self.size:
            return self
        _, take = self.hyper_draws(count)
        kept = self.posterior.stack(sample=("chain", "draw")).transpose("sample", ...).isel(sample=take)
        data = {k: (("chain", "draw", *v.dims[1:]), v.values[None]) for k, v in kept.data_vars.items()}
        tree = xr.DataTree.from_dict({"posterior": xr.Dataset(data), "sample_stats": xr.Dataset()})
        tree.attrs.update(self.tree.attrs)
        return PopulationPosterior(self.model, tree)

    def knows(self, record) -> bool:
        """True where this patient was in the fitted cohort."""
        return patient_mark(record) in json.loads(self.tree.attrs.get("fitted_patients", "[]"))

    def fitted_as(self, record) -> bool:
        """True where the fit saw exactly this record (files without that note are taken at their word)."""
        seen = json.loads(self.tree.attrs.get("fitted_records", "{}"))
        return seen.get(patient_mark(record), record.data_hash) == record.data_hash

    def individual_draws(self, record):
        """psi draws (chain * draw, D) of a fitted patient, or None where the file does not hold them."""
        if "individuals" not in self.tree.children:
            return None
        psi = self.tree["individuals"].to_dataset()["psi"]
        if record.key not in psi.patient.values:
            return None
        return psi.sel(patient=record.key).stack(sample=("chain", "draw")).transpose("sample", "parameter").values

    def save(self, path, *, keep_individuals: bool = False) -> Path:
        """Write one netCDF file; individual parameters only if asked, and then marked."""
        tree = self.tree.copy()
        if "individuals" in tree.children and not keep_individuals:
            del tree["individuals"]
        tree.attrs["holds_individuals"] = int("individuals" in tree.children)
        tree.attrs["kind"] = "population"
        return write_tree(tree, path)

    def __repr__(self):
        sizes = self.posterior.sizes
        return (
            f"<PopulationPosterior {self.model.name} ({self.model.hash[:8]}): "
            f"{sizes['chain']} chains x {sizes['draw']} draws, "
            f"{len(self.posterior.data_vars)} parameters, {self.tree.attrs.get('verdict', 'not judged')}>"
        )


def combine_chains(parts) -> PopulationPosterior:
    """One posterior from fits of the same cohort that ran as separate processes; their chains stand side by side."""
    first = parts[0].tree.attrs
    for part in parts[1:]:
        for name in ("model_hash", "data_hash", "rho"):
            if part.tree.attrs[name] != first[name]:
                raise StoreError(
                    "these fits do not belong together", place=name, value=part.tree.attrs[name], allowed=first[name]
                )
    trees, groups = [p.tree for p in parts], {}
    for name in first_groups(trees):
        datasets = [t[name].to_dataset() for t in trees]
        start = np.cumsum([0] + [d.sizes["chain"] for d in datasets])
        groups[name] = xr.concat(
            [d.assign_coords(chain=np.arange(d.sizes["chain"]) + k) for d, k in zip(datasets, start)], dim="chain"
        )
    tree = xr.DataTree.from_dict(groups)
    seeds = json.dumps([t.attrs["random_seed"] for t in trees], default=int)  # of a file they are NumPy numbers
    tree.attrs.update(first, random_seed=seeds)
    combined = PopulationPosterior(parts[0].model, tree)
    verdict = combined.diagnostics
    tree.attrs.update(verdict=verdict.status, diagnostics=str(verdict))
    return combined


def first_groups(trees) -> list[str]:
    """Names of the groups all trees have."""
    return [name for name in trees[0].children if all(name in t.children for t in trees)]


def load_population(path, model=None) -> PopulationPosterior:
    """Load a population posterior; it refuses a model whose hash is not its own.

    model : the Model, its name or folder; None takes the name in the file
    """
    from bayestwin.specification import load_model

    tree = read_tree(path, "population", made_by="bayestwin fit")
    path = Path(path)
    with of_this_version("population", path, made_by="bayestwin fit"):
        if model is None or isinstance(model, (str, Path)):
            model = load_model(tree.attrs["model"] if model is None else model)
        refuse_other_model(tree, model, path, made_by="bayestwin fit")
        found = PopulationPosterior(with_sites_from(model, tree.attrs), tree)
        found.hyper_draws(1)  # everything that the model asks of a draw is there
    refuse_impossible(found, file=path.name)
    return found
