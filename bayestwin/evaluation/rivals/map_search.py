"""The mode of one patient's individual parameters, for many panels at once.

With psi = mean + omega chol(R) x the prior of x is standard normal, and for each response class c

    minimise over x     |x|^2 / 2 - ln P(c | psi) - ln p(labs, events | psi, c)

by BFGS from several starts; a lane is one panel, class and start. The prior alone has curvature 1 in x, so that a
gradient shorter than `NEAR` puts the mode within about as many prior SDs: that is the check. A solver that gives up
makes the objective infinite, which the line search steps back from.

Source: Sheiner and Beal (1982), J Pharm Sci 71:1344.
"""

from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import Accuracy
from bayestwin.evaluation.rivals.bfgs import minimise_each
from bayestwin.individual import Hyper, PatientData, class_likelihood, prior_moments

LANES = 32  # evaluated at once by one compiled program; fewer are padded
NEAR = 0.1


class Modes(NamedTuple):
    """Of each panel, M of them: x (M, D) whitened, row (M, X) of the more likely class, and the check.

    objective (M,) : minus log posterior density of x and class; slope (M,) length of its gradient; ok (M,)
    """

    x: np.ndarray
    row: np.ndarray
    objective: np.ndarray
    slope: np.ndarray
    ok: np.ndarray


def find_modes(model, hyper: Hyper, data: PatientData, starts, *, rho: float) -> Modes:
    """The mode of each panel, over classes and starts.

    Parameters
    ----------
    hyper : one draw              what is taken as known of the population
    data : stacked PatientData    of what each panel knows, leading axis M
    starts : (S, D) or (M, S, D) whitened starts
    """
    panels, classes = data.classes.shape[:2]
    starts = np.broadcast_to(starts, (panels, *np.shape(starts)[-2:]))
    panel, c, s = (i.ravel() for i in np.indices((panels, classes, starts.shape[1])))
    real = (c == 0) | data.classes[panel, c].any(axis=1)  # further rows without a non-responder are padding
    panel, c, s = panel[real], c[real], s[real]
    own = _with_class(_taken(data, panel), data.classes[panel, c])
    x, value, slope = minimise_each(lambda x, lanes: _in_chunks(model, x, hyper, own, rho, lanes)[:2], starts[panel, s])
    in_order = np.lexsort((value, panel))
    best = in_order[np.searchsorted(panel[in_order], np.arange(panels))]
    fine = np.isfinite(value[best])
    # without any mode: the typical patient
    found = np.where(fine[:, None], x[best], 0.0)
    return Modes(found, data.classes[panel, c][best], value[best], slope[best], fine & (slope[best] < NEAR))


def predictions_at(model, hyper: Hyper, data: PatientData, modes: Modes):
    """Of every row at the modes: predictions (M, N), departure (M, N, 2) or None; solved (M,)."""
    own = _with_class(data, modes.row)
    predicted, solved, *departure = _in_chunks(model, modes.x, hyper, own, 0.0, np.arange(len(modes.x)))[2:]
    return predicted, solved, departure[0] if departure else None


def _with_class(data, row):
    """The data with one response class each, (L, 1, X)."""
    return data._replace(classes=row[:, None, :])


def _in_chunks(model, x, hyper, data, rho, lanes):
    """Objective, gradient, predictions, success (and departure) of lanes, a chunk at a time; the last lane repeats as
    padding."""
    found = []
    for first in range(0, len(lanes), LANES):
        mine = np.arange(first, min(first + LANES, len(lanes)))
        take = np.pad(mine, (0, LANES - len(mine)), mode="edge")
        parts = evaluator(model)(x[take], hyper, _taken(data, lanes[take]), rho)
        found.append([np.asarray(part)[: len(mine)] for part in parts if part is not None])
    return tuple(np.concatenate(parts) for parts in zip(*found))


def _taken(data, lanes):
    return jax.tree.map(lambda a: a[lanes], data)


@lru_cache(maxsize=16)
def evaluator(model, accuracy: Accuracy = Accuracy()):
    """Compiled (x (L, D), hyper, data, rho) -> objective (L,), gradient (L, D), predictions (L, N), solved (L,),
    mean and variance of the departure given the rows seen (L, N, 2) or None without one.

    One program for search and forecast, since compiling the gradient takes a minute or more.
    """

    def objective(x, hyper, data, rho):
        mean, scale = prior_moments(model, hyper, data.terms)
        psi = mean + scale @ x
        pieces = class_likelihood(model, psi, hyper, data, rho=rho, accuracy=accuracy)
        likelihood = (pieces.log_class + pieces.rows.sum(-1) + pieces.alive + pieces.other)[0]
        return 0.5 * jnp.sum(x**2) - likelihood, (
            pieces.prediction[0],
            pieces.ok[0],
            None if pieces.departure is None else pieces.departure[0],
        )

    def one(*args):
        (value, more), slope = jax.value_and_grad(objective, has_aux=True)(*args)
        return value, slope, *more

    return jax.jit(jax.vmap(one, in_axes=(0, None, 0, None)))
