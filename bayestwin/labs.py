"""What a record may hold for one model: labs with their unit and plausible range, doses, treatments.

A `Model` writes a `RecordSchema`; the readers in `records/` check every row against it. It stands on
the ground floor so that neither room needs the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LabSpec:
    """One measurable output.

    name : output name, as in labs.csv
    unit : the model's unit; rows in other units are converted, rows of another dimension refused
    plausible : (low, high) in `unit`; values outside are refused
    scale : "ln" where errors are judged on the log scale, else "natural"
    unit_required : a row without a unit is refused (a factor of ten is at stake: g/dL and g/L)
    positive : zero and negative values are impossible
    """

    name: str
    unit: str
    plausible: tuple[float, float]
    scale: str = "natural"
    unit_required: bool = True
    positive: bool = True
    label: str = ""


@dataclass(frozen=True)
class RecordSchema:
    """Everything the readers need to know of a model.

    time_unit : "h" or "day"; dose_unit : unit of amounts; covariates : name -> unit ("" if none)
    compartments : names; routes : route name -> compartment; treatments : names
    """

    model: str
    time_unit: str
    labs: Mapping[str, LabSpec]
    compartments: tuple[str, ...] = ()
    routes: Mapping[str, str] = field(default_factory=dict)
    dose_unit: str = ""
    treatments: tuple[str, ...] = ()
    covariates: Mapping[str, str] = field(default_factory=dict)
