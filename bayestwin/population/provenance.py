"""What a population's file says about where it came from."""

import json
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from bayestwin.population.posterior import patient_mark
from bayestwin.specification.sites import sites_as_text


def versions() -> dict[str, str]:
    """Versions of the packages a result depends on."""
    found = {}
    for name in ("bayestwin", "jax", "numpyro", "diffrax", "numpy", "xarray"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def provenance(model, cohort, order, *, rho: float, random_seed: int) -> dict:
    """Attributes of a result: model, records, seed, versions and time; patients by marks that do not name them."""
    return {
        "kind": "population",
        "model": model.name,
        "model_hash": model.hash,
        "data_hash": cohort.data_hash,
        "n_patients": len(order),
        "random_seed": random_seed,
        "rho": rho,
        "versions": json.dumps(versions()),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "fitted_patients": json.dumps(sorted(patient_mark(r) for r in order)),
        "fitted_records": json.dumps({patient_mark(r): r.data_hash for r in order}),
        **sites_as_text(model),
    }
