"""MRD: the share of myeloma cells that a marrow sample sees, and when a test of a given sensitivity finds none.

phi plasma cells in marrow at baseline, B burden relative to it, c a local factor of the sample:

    share seen       c phi min(B, 1)                  ln c ~ Normal(shift, SD)
    P(negative at s)  Phi((ln s - ln phi - min(ln B, 0) - shift) / SD)        s the sensitivity, 1e-4, 1e-5, 1e-6

A sample is no part of the whole disease: it sees 6 % of the burden in the median, and another a fifteenth or fifteen
times of that (one SD); counting error and what differs between methods are inside the SD. A negative result is a
measurement that lies below its sensitivity, so one output serves every sensitivity, and a sample that is negative at
1e-5 and positive at 1e-6 is one measurement between the two. Both numbers are calibrated in-sample to three published
ones, beside the population (docs/validation/mrd.md): the lab and the virtual arms read them here.

Two samples of one patient are independent given burden and phi [assumed]; above the baseline a sample says no more
than at it [assumed], because nobody looks for MRD there.
"""

import jax.numpy as jnp

from bayestwin.specification import Fixed, LogNormalError, Observation, Parameter

from .mechanism import log_burden

USUAL = 1.0e-5  # sensitivity that trials and the IMWG ask for [verified]
CALIBRATED = "calibrated in-sample to MRD of KarMMa and CARTITUDE-1 (docs/validation/mrd.md)"
SHIFT = Parameter(
    "MRD_shift",
    unit="",
    scale="identity",
    typical=Fixed(value=-2.8),
    source=f"mean of ln c, {CALIBRATED}",
    mark="derived",
)
OBSERVATION = Observation(
    "mrd",
    unit="cells/cell",
    error=LogNormalError(sd=Fixed(value=2.7)),
    plausible=(0.0, 1.0),
    lower_limit=USUAL,
    findings=("negative", "positive"),
    label="MRD",
    layer="research",
    source=f"SD of ln c between samples, {CALIBRATED}",
)


def ln_share(share, ln_b, shift):
    """ln of the share of myeloma cells that the median sample sees; share phi, ln_b ln B."""
    return jnp.log(share) + jnp.minimum(ln_b, 0.0) + shift


def mrd(t, y, p, u):
    """Share of myeloma cells among those of a marrow sample, median over samples."""
    return jnp.exp(ln_share(p.marrow_share, log_burden(y), p.MRD_shift))
