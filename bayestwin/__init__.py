"""bayestwin: Bayesian digital twins of patients, from population posterior to prognosis per treatment.

This is the face of the package: the names that a notebook needs, each loaded from its room when it is
first asked for, so that `import bayestwin` costs milliseconds. Nothing inside the package imports it.

    import bayestwin as bt

    model = bt.load_model("theophylline")
    reading = bt.read_records(model.record_schema(), patients="patients.csv", labs="labs.csv", doses="doses.csv")
    population = bt.fit_population(model, reading.cohort, random_seed=1)
    twin = bt.start_twin(population, reading.cohort["P-001"], random_seed=2)
    twin, info = bt.update_twin(twin, newer_record, random_seed=3)
    prognosis = bt.forecast(twin, None, horizon_months=36, random_seed=4)

Research use only.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# room -> the names it shows here
_HOMES = {
    "bayestwin.specification": ("load_model", "Model"),
    "bayestwin.dosing": ("Regimen",),
    "bayestwin.records": ("read_records", "PatientRecord", "Cohort"),
    "bayestwin.population": ("fit_population", "load_population", "PopulationPosterior"),
    "bayestwin.twin": ("start_twin", "update_twin", "rebuild_twin", "load_twin", "Twin", "UpdateInfo"),
    "bayestwin.prognosis": (
        "forecast",
        "Prognosis",
        "compare_treatments",
        "TreatmentComparison",
        "response_table",
        "response_schema",
    ),
    "bayestwin.report": ("write_report",),
}
_HOME_OF = {name: room for room, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]

if TYPE_CHECKING:
    from bayestwin.dosing import Regimen as Regimen
    from bayestwin.population import PopulationPosterior as PopulationPosterior
    from bayestwin.population import fit_population as fit_population
    from bayestwin.population import load_population as load_population
    from bayestwin.prognosis import Prognosis as Prognosis
    from bayestwin.prognosis import TreatmentComparison as TreatmentComparison
    from bayestwin.prognosis import compare_treatments as compare_treatments
    from bayestwin.prognosis import forecast as forecast
    from bayestwin.prognosis import response_schema as response_schema
    from bayestwin.prognosis import response_table as response_table
    from bayestwin.records import Cohort as Cohort
    from bayestwin.records import PatientRecord as PatientRecord
    from bayestwin.records import read_records as read_records
    from bayestwin.report import write_report as write_report
    from bayestwin.specification import Model as Model
    from bayestwin.specification import load_model as load_model
    from bayestwin.twin import Twin as Twin
    from bayestwin.twin import UpdateInfo as UpdateInfo
    from bayestwin.twin import load_twin as load_twin
    from bayestwin.twin import rebuild_twin as rebuild_twin
    from bayestwin.twin import start_twin as start_twin
    from bayestwin.twin import update_twin as update_twin


def __getattr__(name: str) -> Any:
    """Load `name` from its room on first use."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'bayestwin' has no attribute {name!r}; it offers {', '.join(sorted(__all__))}")
    found = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
