"""Building blocks of vector fields: short terms that a model file puts together. docs/blocks.md shows them at work.

    from bayestwin.dynamics.blocks import eliminated, exchanged, first_order, michaelis_menten

    def vector_field(t, y, p, u):
        absorbed = first_order(y.depot, p.ka)
        removed = eliminated(y.central, p.CL, p.V) + michaelis_menten(y.central, p.Vmax, p.Km, p.V)
        shared = exchanged(y.central, p.V, y.peripheral, p.V2, p.Q)
        return {"depot": -absorbed, "central": absorbed - removed - shared, "peripheral": shared}

A block is a function of named states and parameters, scalars in consistent units, that returns a flow, a derivative
or a share. Blocks know no drug, no dose and no solver. Values and slopes stay finite where a state is zero or, by the
error of a solver, a little below it.
"""

from bayestwin.dynamics.blocks.absorption import first_order, gamma_input, transit_chain
from bayestwin.dynamics.blocks.binding import Bound, quasi_equilibrium, quasi_steady_state
from bayestwin.dynamics.blocks.disposition import compartments, eliminated, exchanged, michaelis_menten
from bayestwin.dynamics.blocks.myelosuppression import log_myelosuppression, myelosuppression
from bayestwin.dynamics.blocks.response import (
    dose_intensity,
    effect_compartment,
    inhibited,
    log_turnover,
    saturation,
    stimulated,
    turnover,
)
from bayestwin.dynamics.blocks.time_course import exponential_decline, sigmoid_decline

__all__ = [
    "Bound",
    "compartments",
    "dose_intensity",
    "effect_compartment",
    "eliminated",
    "exchanged",
    "exponential_decline",
    "first_order",
    "gamma_input",
    "inhibited",
    "log_myelosuppression",
    "log_turnover",
    "michaelis_menten",
    "myelosuppression",
    "quasi_equilibrium",
    "quasi_steady_state",
    "saturation",
    "sigmoid_decline",
    "stimulated",
    "transit_chain",
    "turnover",
]
