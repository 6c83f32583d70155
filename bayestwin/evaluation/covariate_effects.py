"""How far each covariate moves each parameter, as a forest plot shows it.

The coefficient's posterior times what it is multiplied with at a low and a high value of the covariate among the
patients (5th and 95th percentile), or at each category, against the model's reference value; on the natural scale a
ratio for parameters on the log scale, an odds ratio on the logit scale, a difference on the identity scale. Several
effects of one covariate on one parameter are taken together.

Source: Menon-Andersen et al. (2011), Clin Pharmacol Ther 90:219 (forest plots of covariate effects).
"""

import numpy as np

from bayestwin.errors import FitError
from bayestwin.individual import covariate_terms

LEVELS = {"low_90": 0.05, "low_50": 0.25, "median": 0.5, "high_50": 0.75, "high_90": 0.95}
KINDS = {"log": ("ratio", np.exp), "logit": ("odds ratio", np.exp), "identity": ("difference", np.asarray)}
FEWEST = 5  # patients with the covariate, from whom percentiles are taken


def covariate_effects(population, cohort, *, draws: int = 1000):
    """Effect of every covariate on every parameter.

    Parameters
    ----------
    population : PopulationPosterior
    cohort : Cohort         says which values of a covariate there are

    Returns
    -------
    DataFrame       a row per parameter, covariate and value: parameter, covariate, value, kind ("ratio", "odds ratio",
                    "difference"), low_90, low_50, median, high_50, high_90, patients (who have the covariate)

    Raises
    ------
    FitError        the model has no covariate effect, or no patient has one of its covariates
    """
    import jax
    import pandas as pd

    model, rows = population.model, []
    with jax.enable_x64(True):
        hyper, _ = population.hyper_draws(draws)
        slopes = np.asarray(hyper.effects)
    for position, covariate in dict.fromkeys((position, effect.covariate) for _, position, effect in model.effects):
        mine = [k for k, (_, p, effect) in enumerate(model.effects) if (p, effect.covariate) == (position, covariate)]
        levels = [model.effects[k][2].level for k in mine if hasattr(model.effects[k][2], "level")]
        known = [record.covariates[covariate] for record in cohort if record.covariates.get(covariate) is not None]
        parameter = model.parameters[position]
        kind, back = KINDS[parameter.scale]
        for value in levels or _low_and_high(known):
            terms = covariate_terms(model, {covariate: value})
            moved = back(slopes[:, mine] @ terms[mine])
            said = dict(zip(LEVELS, np.quantile(moved, list(LEVELS.values()))))
            place = {"parameter": parameter.name, "covariate": covariate, "value": value, "kind": kind}
            rows.append(place | said | {"patients": len(known)})
    if not rows:
        raise FitError(
            "no covariate effect to show",
            subject=f"model {model.name}",
            value=", ".join(dict.fromkeys(effect.covariate for _, _, effect in model.effects))
            or "no covariate effects",
            allowed=f"a model with covariate effects and at least {FEWEST} patients who have the covariate",
        )
    return pd.DataFrame(rows)


def _low_and_high(values) -> list[float]:
    """5th and 95th percentile; nothing where too few patients say the covariate."""
    if len(values) < FEWEST:
        return []
    return [float(f"{value:.3g}") for value in np.unique(np.quantile(np.array(values, dtype=float), [0.05, 0.95]))]
