"""A prognosis as one netCDF file.

ArviZ-style groups, one per treatment, with plans and provenance in the attributes.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayestwin.dosing import Policy, Rule
from bayestwin.prognosis.endpoint import EventTimes
from bayestwin.prognosis.life_table import life_table_of
from bayestwin.prognosis.moments import Moment
from bayestwin.prognosis.plan import Plan
from bayestwin.prognosis.result import QUANTILES, Course, Prognosis, TreatmentPrognosis
from bayestwin.prognosis.time_on import TimeOnTreatment
from bayestwin.specification.sites import sites_as_text, with_sites_from
from bayestwin.store import of_this_version, read_tree, refuse_other_model, write_tree
from bayestwin.twin.save import record_from_json

_EVENT_DIMS = {
    "event": ("particle",),
    "died": ("particle",),
    "progression": ("particle",),
    "survival": ("particle", "landmark"),
    "squared": ("particle", "landmark"),
    "free": ("particle", "landmark"),
    "alive": ("particle", "landmark"),
    "alive_squared": ("particle", "landmark"),
    "death": ("particle",),
    "first": ("particle", "landmark", "first_event"),
}


def _courses(courses, prefix) -> dict:
    data: dict[str, Any] = {}
    for c in courses:
        time = f"{prefix}time"
        data[time] = ((time + "_pred",), c.times)
        data[f"{prefix}{c.output}_quantiles"] = (("quantile", time + "_pred"), c.quantiles)
        data[f"{prefix}{c.output}_samples"] = (("sample", time + "_pred"), c.samples)
        if c.errors is not None:
            data[f"{prefix}{c.output}_errors"] = (("quantile", time + "_pred"), c.errors)
    return data


def prognosis_to_tree(p: Prognosis) -> xr.DataTree:
    """DataTree: constant_data (draw, log_weights), past, and one group per treatment under predictions."""
    groups = {
        "constant_data": xr.Dataset(
            {"population_draw": (("particle",), p.draw), "log_weights": (("particle",), p.log_weights)}
        ),
        "past": xr.Dataset(_courses(p.past, "past_")),
    }
    for row in p.rows:
        data = _courses(row.courses, "")
        if row.events is not None:
            known = {k: v for k, v in row.events._asdict().items() if v is not None}
            data.update({k: (_EVENT_DIMS[k], np.asarray(v)) for k, v in known.items()})
        for rho, pair in (row.by_rho or {}).items():
            if pair is not None:
                data[f"survival_rho_{rho:g}"] = (("particle", "landmark"), pair[0])
                data[f"log_weights_rho_{rho:g}"] = (("particle",), pair[1])
        for name, moment in (row.moments or {}).items():
            for key, value in moment._asdict().items():
                dims = ("particle", "landmark")[: np.ndim(value)]
                data[f"from_{name}_{key}"] = (dims, np.asarray(value))
        if row.time_on is not None:
            data["time_on_share"] = (("particle", "treatment"), row.time_on.share)
            data["first_change"] = (("particle",), row.time_on.first_change)
            data["treatment"] = (("treatment",), np.array(row.time_on.treatments, dtype=object))
        dataset = xr.Dataset(data)
        rhos = {f"{rho:g}": pair is not None for rho, pair in (row.by_rho or {}).items()}
        dataset.attrs.update(
            plan=json.dumps(asdict(row.plan), default=str),
            refused=row.refused,
            solver_failures=row.solver_failures,
            rhos=json.dumps(rhos),
            moments=json.dumps(list(row.moments or {})),
        )
        groups[f"predictions/{_group(row.plan.name)}"] = dataset
    tree = xr.DataTree.from_dict(groups)
    tree.attrs.update(
        kind="prognosis",
        model=p.model.name,
        model_hash=p.model.hash,
        **sites_as_text(p.model),
        patient=p.patient,
        now=p.now,
        horizon=p.horizon,
        order=json.dumps(p.names),
        landmarks=json.dumps(p.landmarks),
        islands=p.islands,
        rho=p.rho,
        verdict=p.verdict,
        random_seed=p.random_seed,
        twin_hash=p.twin_hash,
        population_hash=p.population_hash,
        quantiles=json.dumps(QUANTILES),
        life_table=life_table_of(p.model).source if life_table_of(p.model) else "",
        intended_use="research use only",
    )
    return tree


def save_prognosis(prognosis: Prognosis, path) -> Path:
    """Write one netCDF file."""
    return write_tree(prognosis_to_tree(prognosis), path)


def load_prognosis(path, model=None) -> Prognosis:
    """Read a prognosis; it refuses a model whose hash is not its own."""
    tree = read_tree(path, "prognosis", made_by="bayestwin forecast")
    path = Path(path)
    with of_this_version("prognosis", path, made_by="bayestwin forecast"):
        return _prognosis_from(tree, path, model)


def _prognosis_from(tree, path, model):
    """What a tree holds; the model is its own unless one is given."""
    from bayestwin.specification import load_model

    attrs = tree.attrs
    model = load_model(attrs["model"]) if model is None else model
    refuse_other_model(tree, model, path, made_by="bayestwin forecast")
    model = with_sites_from(model, attrs)
    outputs = [o.output for o in model.observations]
    names = json.loads(attrs["order"])
    rows = tuple(_row_from(tree["predictions"][_group(name)].to_dataset(), outputs) for name in names)
    constant = tree["constant_data"].to_dataset()
    return Prognosis(
        model,
        attrs["patient"],
        float(attrs["now"]),
        float(attrs["horizon"]),
        rows,
        tuple(json.loads(attrs["landmarks"])),
        constant["population_draw"].values,
        constant["log_weights"].values,
        int(attrs["islands"]),
        float(attrs["rho"]),
        attrs["verdict"],
        int(attrs["random_seed"]),
        attrs["twin_hash"],
        attrs["population_hash"],
        _courses_from(tree["past"].to_dataset(), "past_", outputs),
    )


def _courses_from(data, prefix, outputs):
    if f"{prefix}time" not in data:
        return ()
    return tuple(
        Course(
            o,
            data[f"{prefix}time"].values,
            data[f"{prefix}{o}_quantiles"].values,
            data[f"{prefix}{o}_samples"].values,
            data[f"{prefix}{o}_errors"].values if f"{prefix}{o}_errors" in data else None,
        )
        for o in outputs
        if f"{prefix}{o}_quantiles" in data
    )


def _group(name: str) -> str:
    """A row's name as the name of a group, in which a slash would start a group of its own."""
    return name.replace("%", "%25").replace("/", "%2F")


def _plan_from(raw: dict) -> Plan:
    """A plan from its JSON object."""
    if raw.get("otherwise") is not None:
        raw["otherwise"] = _plan_from(raw["otherwise"])
    raw["record"] = record_from_json(raw["record"])
    raw["unknown"], raw["treatments"] = tuple(raw["unknown"]), tuple(raw.get("treatments", ()))
    raw["sequence"] = tuple((time, name) for time, name in raw.get("sequence", ()))
    if raw.get("policy") is not None:
        raw["policy"] = Policy(**{**raw["policy"], "rules": tuple(Rule(**rule) for rule in raw["policy"]["rules"])})
    return Plan(**raw)


def _row_from(data, outputs):
    events = None  # a file of an earlier version has fewer of them
    if "event" in data:
        events = EventTimes(*(data[k].values if k in data else None for k in EventTimes._fields))
    by_rho = {
        float(rho): ((data[f"survival_rho_{rho}"].values, data[f"log_weights_rho_{rho}"].values) if there else None)
        for rho, there in json.loads(data.attrs["rhos"]).items()
    } or None
    time_on = None
    if "time_on_share" in data:
        names = tuple(str(name) for name in data["treatment"].values)
        time_on = TimeOnTreatment(names, data["time_on_share"].values, data["first_change"].values)
    return TreatmentPrognosis(
        _plan_from(json.loads(data.attrs["plan"])),
        data.attrs["refused"],
        events,
        _courses_from(data, "", outputs),
        by_rho,
        float(data.attrs["solver_failures"]),
        time_on,
        _moments_from(data),
    )


def _moments_from(data) -> dict[str, Moment] | None:
    names = json.loads(data.attrs.get("moments", "[]"))
    return {name: Moment(*(data[f"from_{name}_{key}"].values[()] for key in Moment._fields)) for name in names} or None
