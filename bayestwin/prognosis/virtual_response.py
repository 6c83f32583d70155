"""Response of thousands of simulated courses, coded by the criteria of the model's folder where it can.

A folder whose endpoints.py holds

    RESPONSE_OUTPUTS         names of the outputs that the coding reads
    RESPONSE_PARAMETERS      names of parameters that it needs of each patient; optional
    response_of_arrays(SimulatedLabs) -> (entered, response, complete), bool (P,) each

is asked who has disease that the criteria can follow at screening (a trial takes nobody else), who responds (partial
response or better) and who completely. Any other model has virtual trials of progression and survival alone.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bayestwin.errors import ModelError
from bayestwin.specification.load import model_part


class SimulatedLabs(NamedTuple):
    """P simulated courses.

    screening : output -> (P,) its value at screening, with assay error
    seen : output -> (P, V) at the visits, the screening first, not a number from progression, death or drop-out on
    latent : output -> (P, V) without assay error, beyond the end too; values : parameter -> (P,)
    begin : position of the visit at which the treatment starts; rng : for findings that the coding draws itself
    """

    screening: dict[str, np.ndarray]
    seen: dict[str, np.ndarray]
    latent: dict[str, np.ndarray]
    values: dict[str, np.ndarray]
    begin: int
    rng: np.random.Generator


class Coder(NamedTuple):
    """How response is coded; `code` is None where it is not."""

    outputs: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    code: Callable[..., Any] | None = None


NO_CODER = Coder()


def coder_of(model) -> Coder:
    """The coder of a model's folder, NO_CODER where it has none."""
    part = model_part(model, "endpoints")
    if not hasattr(part, "response_of_arrays"):
        return NO_CODER
    outputs, parameters = tuple(part.RESPONSE_OUTPUTS), tuple(getattr(part, "RESPONSE_PARAMETERS", ()))
    known = {
        "RESPONSE_OUTPUTS": (outputs, model.observation_index),
        "RESPONSE_PARAMETERS": (parameters, model.parameter_names),
    }
    for place, (names, allowed) in known.items():
        for name in names:
            if name not in allowed:
                raise ModelError(
                    "the coding of response asks for what the model does not have",
                    subject=f"model {model.name}",
                    place=f"endpoints.py, {place}",
                    value=name,
                    allowed=f"one of {', '.join(allowed)}",
                )
    return Coder(outputs, parameters, part.response_of_arrays)
