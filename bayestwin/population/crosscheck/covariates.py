"""Covariates with a distribution, in PyMC: those that are known have its density; a missing one is refused.

NormalCovariate x ~ Normal(mean, sd)      LogNormalCovariate ln x ~ Normal(ln median, sd_log)
CategoryCovariate: level k with probability share_k times the product of 1 - share_j over the levels before it
"""

import numpy as np

from bayestwin.errors import ModelError
from bayestwin.population.crosscheck.priors import variable
from bayestwin.specification.missing_covariates import CategoryCovariate, LogNormalCovariate


def refuse_missing(model, records) -> None:
    """ModelError for a patient whose value would have to be integrated over."""
    for one in model.covariate_distributions:
        for record in records:
            if record.covariates.get(one.covariate) is None:
                raise ModelError(
                    "the cross-check takes covariates with a distribution that are known from the beginning",
                    subject=f"patient {record.key}",
                    place=one.covariate,
                    value="missing",
                    allowed="patients whose value is known",
                    next_step="Leave that patient out of both fits.",
                )


def add_covariates(model, records, same_level) -> None:
    """What the known covariates say of their distributions."""
    import pymc as pm
    import pytensor.tensor as pt

    for one in model.covariate_distributions:
        sites = [variable(name, prior) for name, prior in one.sites.items()]
        given, name = [record.covariates[one.covariate] for record in records], f"known_{one.covariate}"
        if isinstance(one, CategoryCovariate):
            total = pt.as_tensor(0.0, dtype="float64")
            for value in given:
                for level, share in zip(one.levels, sites):
                    if same_level(value, level):
                        total = total + pt.log(share)
                        break
                    total = total + pt.log1p(-share)
            pm.Potential(name, total)
        elif isinstance(one, LogNormalCovariate):
            pm.Normal(name, mu=pt.log(sites[0]), sigma=sites[1], observed=np.log(np.array(given, dtype=float)))
        else:
            pm.Normal(name, mu=sites[0], sigma=sites[1], observed=np.array(given, dtype=float))
