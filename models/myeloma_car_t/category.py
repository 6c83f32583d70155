"""IMWG response category where a registry knows no more: an ordinal reading of the marker, CR deepest, PD highest.

With m the ln of the marker (serum M-protein, in light-chain disease the involved chain), thresholds from the marker r
at the start of the last treatment, observation apart, its running nadir n, s = 0.12 the scale of a reading (logistic;
SD 0.2 of ln):

    T1 CR     serum: limit of immunofixation           light chains: 1.5 times their floor c (a normal ratio)
    T2 VGPR   serum: max(0.1 r, 1 g/L)                 light chains: 0.1 r + 0.9 c       (a fall of the difference)
    T3 PR     0.5 r                                    0.5 r + 0.5 c
    T4 MR     0.75 r                                   0.75 r + 0.25 c
    T5 PD     n + max(0.25 n, 5 g/L), n + 10 g/L       n + max(0.25 n, 100 mg/L)
              from a nadir of 50 g/L on

    severity  sum over T1 .. T4 of clip((m - T) / s, -a, b), no less than c5 + (m - T5) / s (12 times as steep below T5)

Each ramp is exact around its threshold and flat where its neighbours begin, so that the thresholds of every patient
fall on the same cut points. Criteria: IMWG 2016 as in docs/endpoints.md [verified]; the visual limit
of 1 g/L [verified], s, one instead of two assessments, and urine, marrow and lesions not looked at [assumed].
"""

import jax.numpy as jnp

from bayestwin.specification import Fixed, Observation, Ordinal

from .mechanism import NADIR_UNIT, ln_marker, log_burden

NAMES = ("CR", "VGPR", "PR", "MR", "SD", "PD")
SCALE = 0.12
RAMPS = ((15.0, 0.8), (0.8, 0.8), (0.8, 0.2), (0.2, 0.2))  # ln, below and above T1 .. T4
PROGRESSED = 2.5  # c5, ln
STEEP = 12.0  # below T5, so that its ramp is no reading of what lies below
VISUAL_LIMIT, ABSOLUTE, ABSOLUTE_CHAINS = 1.0, 5.0, 100.0  # g/L, g/L, mg/L
HIGH_NADIR, HIGH_ABSOLUTE = 50.0, 10.0  # g/L: from so high a nadir on a rise by so much is progression


def cut_points() -> tuple[float, ...]:
    """Severity at each threshold, on the scale of ln: what the other ramps add up to there."""
    found = [sum(b for _, b in RAMPS[:k]) - sum(a for a, _ in RAMPS[k + 1 :]) for k in range(len(RAMPS))]
    return (*found, PROGRESSED)


def response_category(t, y, p, u):
    """Severity of the response category since the start of the last treatment, on the logit scale."""
    marker, chains = ln_marker(y.m_protein, log_burden(y), p), p.light_chain > 0.5
    reference, nadir, floor = (
        jnp.exp(y.ln_reference),
        jnp.exp(NADIR_UNIT * y.nadir),
        jnp.where(chains, p.FLC_floor, 0.0),
    )
    fallen = [x * reference + (1.0 - x) * floor for x in (0.1, 0.5, 0.75)]
    complete = jnp.where(chains, 1.5 * p.FLC_floor, p.IFE_limit)
    partial = jnp.where(chains, fallen[0], jnp.minimum(jnp.maximum(fallen[0], VISUAL_LIMIT), 0.8 * fallen[1]))
    depth = 0.0
    for threshold, (below, above) in zip((complete, partial, *fallen[1:]), RAMPS):
        depth = depth + jnp.clip(marker - jnp.log(threshold), -below, above)
    quarter = 0.25 * nadir
    serum = jnp.where(nadir >= HIGH_NADIR, HIGH_ABSOLUTE, jnp.maximum(quarter, ABSOLUTE))
    rise = jnp.where(chains, jnp.maximum(quarter, ABSOLUTE_CHAINS), serum)
    above = marker - jnp.log(nadir + rise)
    progressed = PROGRESSED + jnp.where(above > 0.0, jnp.minimum(above, 1.0), STEEP * jnp.maximum(above, -15.0))
    return jnp.maximum(depth, progressed) / SCALE


_CUTS = [c / SCALE for c in cut_points()]
OBSERVATION = Observation(
    "response_category",
    unit="",
    label="IMWG response category",
    layer="registry",
    distribution=Ordinal(
        categories=NAMES, cut_points=(Fixed(value=_CUTS[0]), *(Fixed(value=b - a) for a, b in zip(_CUTS, _CUTS[1:])))
    ),
    derived_from=("m_protein", "involved_flc"),
    derived_within=14.0,
    source="IMWG 2016; scale assumed",
)
