"""Which markers of many act? A decision rule on the slopes of a fit.

A marker is found where its slope is further from 0 than `larger_than` SDs between patients with a posterior probability
of at least `probability`:

    P(|b_j| > larger_than omega | data) >= probability

so that a slope that is surely not 0 but too small to matter is not found, and neither is one of which the labs say
little. With a regularised horseshoe over the group the shrinkage of slopes that do not act is in b_j already; how often
the default rule finds what acts, and what does not, was measured: docs/validation/markers.md.
"""

import numpy as np

from bayestwin.errors import FitError
from bayestwin.specification.horseshoe import horseshoes

LARGER_THAN, PROBABILITY = 0.2, 0.8


def selected_markers(
    population, *, larger_than: float = LARGER_THAN, probability: float = PROBABILITY, group: str | None = None
):
    """Slopes of the markers of a fit, those first that are likeliest to act.

    Parameters
    ----------
    larger_than : float     in SDs between patients of the parameter that the marker acts on
    probability : float     posterior probability from which on a marker counts as found
    group : str             of which horseshoe; None: all

    Returns
    -------
    DataFrame               effect, parameter, covariate, mean, sd, low, high (90 % interval), probability, found;
                            slopes in SDs between patients

    Raises
    ------
    FitError                the model has no horseshoe, or none of that name
    """
    import pandas as pd

    model, rows = population.model, []
    groups = {one.group: slopes for one, slopes in horseshoes(model).items()}
    if not groups or (group is not None and group not in groups):
        raise FitError(
            "no such group of markers",
            subject=f"model {model.name}",
            value=group,
            allowed=", ".join(groups) or "a model with slopes under a Horseshoe",
        )
    hyper, _ = population.hyper_draws()
    for k in [k for name, slopes in groups.items() if group in (None, name) for k in slopes]:
        name, position, effect = model.effects[k]
        slope = hyper.effects[:, k] / hyper.omega[:, model.varying.index(position)]
        low, high = np.quantile(slope, (0.05, 0.95))
        chance = float((np.abs(slope) > larger_than).mean())
        about = {"effect": name, "parameter": model.parameter_names[position], "covariate": effect.covariate}
        about |= {"mean": slope.mean(), "sd": slope.std(ddof=1), "low": low, "high": high}
        rows.append(about | {"probability": chance, "found": chance >= probability})
    return pd.DataFrame(rows).sort_values("probability", ascending=False, kind="stable", ignore_index=True)
