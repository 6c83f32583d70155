"""Priors of the model language as PyMC variables, written from their definitions in `specification.priors`."""

import numpy as np

from bayestwin.errors import ModelError
from bayestwin.specification.priors import (
    Beta,
    Exponential,
    Fixed,
    Gamma,
    HalfCauchy,
    HalfNormal,
    InverseGamma,
    LogitNormal,
    LogNormal,
    Normal,
    StudentT,
    TruncatedNormal,
    Uniform,
)


def variable(name: str, prior):
    """A free variable of the PyMC model in hand, or the number of a Fixed prior, as a tensor."""
    import pymc as pm
    import pytensor.tensor as pt

    match prior:
        case Fixed(value=value):
            return pt.as_tensor(value, dtype="float64")
        case LogNormal(median=median, sd_log=sd):
            return pm.LogNormal(name, mu=np.log(median), sigma=sd)
        case LogitNormal(median=median, sd_logit=sd):
            # PyMC 6.4 leaves it unbounded by default, and would step out of (0, 1)
            bounded = {"default_transform": pm.distributions.transforms.logodds}
            return pm.LogitNormal(name, mu=np.log(median) - np.log1p(-median), sigma=sd, **bounded)
        case Normal(mean=mean, sd=sd):
            return pm.Normal(name, mu=mean, sigma=sd)
        case HalfNormal(sd=sd):
            return pm.HalfNormal(name, sigma=sd)
        case HalfCauchy(scale=scale):
            return pm.HalfCauchy(name, beta=scale)
        case Exponential(rate=rate):
            return pm.Exponential(name, lam=rate)
        case Gamma(shape=shape, rate=rate):
            return pm.Gamma(name, alpha=shape, beta=rate)
        case InverseGamma(shape=shape, scale=scale):
            return pm.InverseGamma(name, alpha=shape, beta=scale)
        case TruncatedNormal(mean=mean, sd=sd):
            return pm.TruncatedNormal(name, mu=mean, sigma=sd, lower=0.0)
        case Beta(a=a, b=b):
            return pm.Beta(name, alpha=a, beta=b)
        case StudentT(df=df, location=location, scale=scale):
            return pm.StudentT(name, nu=df, mu=location, sigma=scale)
        case Uniform(low=low, high=high):
            return pm.Uniform(name, lower=low, upper=high)
    raise ModelError(
        "the cross-check does not know this prior",
        place=name,
        value=prior,
        allowed="a prior of bayestwin.specification",
    )
