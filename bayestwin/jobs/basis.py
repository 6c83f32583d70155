"""What the updates of a store rest on: the population posterior in use, its model, the store's seed and sizes."""

import hashlib
import json
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from bayestwin.errors import StoreError
from bayestwin.population import load_population
from bayestwin.specification import load_model
from bayestwin.store import audit, tree_bytes

LIBRARIES = ("bayestwin", "jax", "jaxlib", "numpyro", "diffrax", "numpy", "xarray")
POPULATION = "population"


@dataclass(frozen=True)
class Basis:
    """name : the population's object in the store; sizes : particles and the like, for start_twin"""

    name: str
    model: Any
    population: Any
    seed: int
    sizes: dict[str, Any]

    def seed_for(self, key: str, state_hash: str) -> int:
        """Seed of one patient's update: the same for the same record, whichever run or process does it."""
        text = f"{self.seed}:{key}:{state_hash}:{self.name}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def versions() -> dict[str, str]:
    """Versions of the libraries that numbers depend on."""
    return {name: metadata.version(name) for name in LIBRARIES}


def keep_population(store, population, *, model_text: str) -> bool:
    """Put a population posterior into the store and let updates rest on it from now on.

    model_text : the model's name or folder, as `load_model` takes it. Returns False where it is in use already.

    Raises
    ------
    StoreError      the store is of another model; the diagnostics of the posterior failed
    """
    named = store.settings["model_name"]
    if population.model.name != named:
        raise StoreError(
            "this store is of another model",
            place="population",
            value=population.model.name,
            allowed=named,
            next_step="Make a store of its own for each disease.",
        )
    if not (population.diagnostics.passed or population.diagnostics.approximate):
        raise StoreError(
            "the population posterior failed its diagnostics, and no twin is started from it",
            place="population",
            value="; ".join(population.diagnostics.reasons) or None,
            next_step="Fit again with longer chains.",
        )
    tree = population.tree.copy()
    tree.attrs["kind"] = POPULATION
    attrs = population.attributes
    kept = store.put(
        tree_bytes(tree),
        kind=POPULATION,
        suffix=".nc",
        model=population.model.name,
        model_hash=population.model.hash,
        model_text=model_text,
        population_hash=population.hash,
        data_hash=str(attrs.get("data_hash", "")),
        seed=str(attrs.get("random_seed", "")),
        versions=json.loads(attrs.get("versions") or "{}"),
    )
    with store.writing() as connection:
        if store.basis(connection) == kept.name:
            return False
        store.record_object(connection, kept)
        store.set_basis(connection, kept.name)
        audit.note(connection, "population in use", object=kept.name, population_hash=population.hash)
    return True


def load_basis(store, *, model_text: str | None = None) -> Basis:
    """The basis of a store, ready to start and update twins from.

    model_text : where the model's folder has moved, its new place
    """
    with store.reading() as connection:
        name = store.basis(connection)
        kept = store.object(connection, name) if name else None
    if kept is None:
        raise StoreError(
            "this store holds no population posterior", place="store", next_step="Run `bayestwin store-population`."
        )
    try:
        place, seed = kept.provenance["model_text"], int(store.settings["seed"])
        sizes = dict(store.settings["sizes"])
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            "the settings of this store are damaged",
            place="tables meta and objects",
            next_step="`bayestwin verify-store` checks every row; restore the database from a backup.",
        ) from error
    model = load_model(model_text or place)
    with store.files.at_hand(kept.name, kept.suffix) as path:
        population = load_population(path, model)
    return Basis(kept.name, population.model, population, seed, sizes)
