"""Which individual parameters may exchange their roles in a response class; the move is in gibbs_exchange.py."""

from typing import NamedTuple

import jax
import numpy as np

from bayestwin.individual import unread


class Roles(NamedTuple):
    """Which parameters may exchange their roles, for N patients with C rows of X response classes.

    pairs (K, 2) : places in psi of a and b; classes (K,) : their response class; counts (N, K) : 1 where it counts for
    the patient, else 0; rows (N, C, X) : classes that are summed over, filled up
    """

    pairs: np.ndarray
    classes: np.ndarray
    counts: np.ndarray
    rows: np.ndarray


def roles_of(model, groups) -> Roles | None:
    """Response classes of which a and b vary between patients on one scale and are read in their class alone; None
    without any.

    What shifts a and b by itself (covariates that change or are missing, occasions) would tell them apart: then none.
    Nor where a class is `without` what the model adds to the other.
    What moves the chance of a class exchanges nothing. A parameter that stands in several classes of a patient, as one
    share of non-responders, does not count for him.
    """
    names, scale = list(model.individual_names), {p.name: p.scale for p in model.parameters}
    shifted = model.latent_covariates or model.occasions or any(g.changes is not None for g in groups)
    alone = {c.replaced_by for c in model.response_classes}
    chosen = {c.moved_by for c in model.response_classes}  # what moves a chance must not be summed out of it
    kept = [
        k
        for k, c in enumerate(model.response_classes)
        if not (shifted or c.without)
        and set(_both(c)) <= set(names) - chosen
        and scale[c.parameter] == scale[c.replaced_by]
    ]
    if not kept:
        return None
    for group in groups:
        alone &= unread(model, alone, jax.tree.map(lambda a: a[0], group))
    classes = [model.response_classes[k] for k in kept]
    relevant = np.concatenate([np.asarray(g.relevant, dtype=float) for g in groups])
    counts = np.zeros((len(relevant), len(kept)))
    for at, (k, own) in enumerate(zip(kept, classes)):
        alike = [j for j, c in enumerate(model.response_classes) if {c.parameter, c.replaced_by} & {*_both(own)}]
        counts[:, at] = (relevant[:, k] > 0) & (relevant[:, alike].sum(1) == 1) & (own.replaced_by in alone)
    if not counts.any():
        return None
    most = max(g.classes.shape[1] for g in groups)
    rows = [np.pad(np.asarray(g.classes), ((0, 0), (0, most - g.classes.shape[1]), (0, 0))) for g in groups]
    pairs = np.array([[names.index(name) for name in _both(c)] for c in classes])
    return Roles(pairs, np.array(kept), counts, np.concatenate(rows))


def _both(response_class) -> tuple[str, str]:
    return response_class.parameter, response_class.replaced_by
