"""A twin as one netCDF file (DataTree), with its record, its checks and the population draws it rests on."""

import json
from dataclasses import asdict
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from bayestwin.dosing import DoseEvent
from bayestwin.records import Refusal
from bayestwin.records.record import ClinicalEvent, Lab, PatientRecord, Superseded
from bayestwin.specification.sites import sites_as_text, with_sites_from
from bayestwin.store import of_this_version, read_tree, refuse_other_model, write_tree
from bayestwin.twin.particles import Particles, Population
from bayestwin.twin.state import FROM_FIT, Twin, UpdateInfo
from bayestwin.twin.surprise import Surprise

_PARTICLE_DIMS = {
    "psi": ("particle", "parameter"),
    "draw": ("particle",),
    "log_weights": ("particle",),
    "labs": ("particle", "response_class"),
    "alive": ("particle", "response_class"),
    "other": ("particle", "response_class"),
    "log_class": ("particle", "response_class"),
    "state": ("particle", "response_class", "state"),
}
_POPULATION_DIMS = {
    "typical": ("population_draw", "typical_parameter"),
    "effects": ("population_draw", "effect"),
    "sigma": ("population_draw", "residual"),
    "mean": ("population_draw", "parameter"),
    "scale": ("population_draw", "parameter", "parameter_b"),
    "whiten": ("population_draw", "parameter", "parameter_b"),
    "log_det": ("population_draw",),
    "covariates": ("population_draw", "covariate_number"),
    "log_share": ("population_draw",),
    "which": ("population_draw",),
    "joined": ("joined_parameter",),
}


def twin_to_tree(twin: Twin) -> xr.DataTree:
    """A twin as a DataTree; record and checks are JSON in the attributes."""
    particles = xr.Dataset(
        {k: (_PARTICLE_DIMS[k], np.asarray(getattr(twin.particles, k))) for k in Particles._fields},
        coords={"parameter": list(twin.model.individual_names)},
    )
    population = xr.Dataset(
        {k: (_POPULATION_DIMS[k], np.asarray(a)) for k, a in twin.population._asdict().items() if a is not None}
    )
    tree = xr.DataTree.from_dict({"particles": particles, "population": population})
    tree.attrs.update(
        kind="twin",
        model=twin.model.name,
        model_hash=twin.model.hash,
        **sites_as_text(twin.model),
        patient=twin.key,
        data_hash=twin.record.data_hash,
        time=twin.time,
        applied=int(twin.applied),
        islands=twin.islands,
        rho=twin.rho,
        population_hash=twin.population_hash,
        random_seed=twin.random_seed,
        updates=twin.updates,
        size=twin.size,
        from_fit=int(twin.from_fit),
        feedback=int(twin.feedback),
        finer=twin.finer,
        record=json.dumps(asdict(twin.record)),
        history=json.dumps([asdict(i) for i in twin.history]),
        refusals=json.dumps([r.as_row() for r in twin.refusals]),
    )
    return tree


def save_twin(twin: Twin, path) -> Path:
    """Write a twin to one file."""
    return write_tree(twin_to_tree(twin), path)


def load_twin(path, model=None) -> Twin:
    """Read a twin; it refuses a model whose hash is not its own."""
    tree = read_tree(path, "twin", made_by="bayestwin start")
    path = Path(path)
    with of_this_version("twin", path, made_by="bayestwin start"):
        return _twin_from(tree, path, model)


def _twin_from(tree, path, model):
    """What a tree holds; the model is its own unless one is given."""
    from bayestwin.specification import load_model

    attrs = tree.attrs
    raw = json.loads(attrs["record"])
    history = tuple(_info(i) for i in json.loads(attrs["history"]))
    refusals = tuple(Refusal(**r) for r in json.loads(attrs["refusals"]))
    model = load_model(attrs["model"]) if model is None else model
    refuse_other_model(tree, model, path, made_by="bayestwin start")
    model = with_sites_from(model, attrs)
    record = record_from_json(raw)
    with jax.enable_x64(True):
        particles = Particles(*(jnp.asarray(tree["particles"][k].values) for k in Particles._fields))
        held = tree["population"].to_dataset()
        population = Population(**{k: jnp.asarray(held[k].values) for k in Population._fields if k in held})
    return Twin(
        model,
        record,
        particles,
        population,
        float(attrs["time"]),
        bool(attrs["applied"]),
        int(attrs["islands"]),
        float(attrs["rho"]),
        str(attrs["population_hash"]),
        int(attrs["random_seed"]),
        int(attrs["updates"]),
        history,
        refusals,
        int(attrs.get("size", 0)),
        bool(attrs.get("from_fit", history[0].path == FROM_FIT)),
        bool(attrs.get("feedback", True)),
        int(attrs.get("finer", 1)),
    )


def record_from_json(raw: dict) -> PatientRecord:
    """The record, with the rows once believed and no longer, so that `known_at` still answers."""
    past = tuple(Superseded(_past_row(s["row"]), s["until"]) for s in raw.get("past", ()))
    return PatientRecord(
        raw["key"],
        labs=tuple(Lab(**r) for r in raw["labs"]),
        doses=tuple(DoseEvent(**r) for r in raw["doses"]),
        events=tuple(ClinicalEvent(**r) for r in raw["events"]),
        covariates=raw["covariates"],
        time_zero=raw["time_zero"],
        past=past,
    )


def _past_row(row: dict):
    """A superseded row, whose kind shows in its fields."""
    return Lab(**row) if "output" in row else DoseEvent(**row) if "amount" in row else ClinicalEvent(**row)


def _info(raw: dict) -> UpdateInfo:
    surprise = tuple(_surprise(s) for s in raw.pop("surprise"))
    return UpdateInfo(**{**raw, "surprise": surprise, "reasons": tuple(raw["reasons"])})


def _surprise(raw: dict) -> Surprise:
    ranges = {k: tuple(raw[k]) for k in ("pit_range", "interval_range") if raw.get(k) is not None}
    return Surprise(**{**raw, **ranges, "quantiles": {float(k): v for k, v in raw["quantiles"].items()}})
