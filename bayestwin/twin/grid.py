"""How fine a model's fixed grid of steps must be for a patient: some draws fail on the model's own.

A failed solve has likelihood 0. Where fast clearance fails on steps of a fortnight, what is left is the slow part of
the posterior; so the grid is made finer until hardly a draw fails, and the twin remembers it.
"""

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.individual import compile_record
from bayestwin.specification import Steps
from bayestwin.twin.target import evaluator

BORNE = 0.001  # share of draws that may fail on a grid
MOST_FAILED = 0.05  # share beyond which what is left may be what the solver could follow, and no result stands
FINER = (2, 4)  # times that the grids tried next are finer than the model's


def next_grid(model, finer: int) -> int | None:
    """The grid after the one so many times finer than the model's; None where there is none."""
    if not isinstance(model.steps, Steps):
        return None
    return next((times for times in FINER if times > finer), None)


def carried(model, record, psi, draw, population, rho: float, accuracy, *, finer: int = 1) -> tuple:
    """A record on the coarsest grid on which at most BORNE of the draws fail, or on the finest there is.

    psi (P, D), draw (P,) : the draws, of a population; finer : the first grid that is tried

    Returns
    -------
    PatientData, ClassLikelihood of the draws, how many times finer the grid is than the model's
    """
    while True:
        data = compile_record(model, record, finer=finer)
        pieces = evaluator(model, accuracy)(psi, draw, population, jax.tree.map(jnp.asarray, data), rho)
        further = next_grid(model, finer)
        if further is None or not (~np.asarray(pieces.ok)).mean() > BORNE:
            return data, pieces, finer
        finer = further


def told(model, finer: int) -> tuple[str, ...]:
    """The line of an update's reasons; empty on the model's own grid."""
    if finer == 1:
        return ()
    largest = model.steps.finer(finer).largest
    borne = f"{1000 * BORNE:g} in 1,000"  # reports print no percentage with decimals
    return (f"solved in steps of at most {largest:g}, since more than {borne} of the draws failed on longer ones",)
