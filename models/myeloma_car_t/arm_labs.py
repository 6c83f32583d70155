"""What the labs of a virtual patient come to in a fit to published arms, smooth in the population parameters.

A threshold is passed at a visit by a margin, in ln, that goes through a logistic of scale SOFT instead of a step;
immunofixation has its own chance at each visit (markers.py). Response needs two visits running after the baseline, and
before progression and death: those who die or progress first are not responders, as in imwg.py. Limits are those of
virtual trials (response_of_arrays.py).
"""

from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp

from . import mechanism
from .response_of_arrays import LEAST_SEEN, NORMAL, STEEP, TRIALS

SOFT = 0.03  # ln units over which a threshold counts as half passed


class Seen(NamedTuple):
    """Of one patient who neither dies nor progresses without a rise: chance that a response, a complete response has
    been confirmed by each visit, and that no rise of the marker has been, (V,)."""

    response: jax.Array
    complete: jax.Array
    free: jax.Array


def outcomes_of(values, m, ln_b, sigma, assay, rule, chains) -> Seen:
    """What the labs of one patient come to by each visit.

    m, ln_b (V,) at the visits; assay (V, 2); sigma (3,) SD and CV of M-protein, SD of ln light chains; rule, chains :
    the rules for M-protein and for light chains
    """
    light = values["light_chain"] > 0.5
    free = mechanism.flc(ln_b, SimpleNamespace(**values))
    serum = jnp.maximum(m + jnp.sqrt(sigma[0] ** 2 + (sigma[1] * m) ** 2) * assay[:, 0], LEAST_SEEN)
    seen_chains = free * jnp.exp(sigma[2] * assay[:, 1])
    seen = jnp.where(light, seen_chains, serum)
    floor = jnp.where(light, values["FLC_floor"], 0.0)
    twice = jnp.maximum(seen[1:], seen[:-1])[1:]  # both of two visits, the first after the baseline
    depth = jax.lax.cummax(jnp.log(0.5 * seen[0] + 0.5 * floor) - jnp.log(twice))
    response = jnp.concatenate([jnp.zeros(2), jax.nn.sigmoid(depth / SOFT)])
    negative = jax.nn.sigmoid(STEEP * (jnp.log(values["IFE_limit"]) - jnp.log(jnp.maximum(m, 1e-6))))
    limit = jnp.log(NORMAL * values["FLC_floor"])
    normal = jax.nn.sigmoid((limit - jnp.log(seen_chains)) / SOFT)
    complete = twice_running(negative * jnp.where(light, normal, 1.0))
    lowest = jax.lax.cummin(jnp.concatenate([seen[:1], jnp.maximum(seen[1:], seen[:-1])]))
    serum_rise = jnp.where(
        lowest >= rule.high_nadir, rule.high_absolute, jnp.maximum(rule.relative * lowest, rule.absolute)
    )
    least = jnp.where(light, jnp.maximum(chains.relative * lowest, chains.absolute), serum_rise)
    needed = jnp.log((lowest + least)[:-1])
    rise = jnp.log(seen[1:]) - needed  # at visit i + 1, over the nadir until i
    confirmed = jnp.minimum(rise[:-1], jnp.log(seen[2:]) - needed[:-1])
    passed = jax.lax.cummax(confirmed)
    kept = 1.0 - jax.nn.sigmoid(passed / SOFT)
    return Seen(response, complete, jnp.concatenate([jnp.ones(1), kept, kept[-1:]]))


def twice_running(chance):
    """Chance (V,) that two visits running after the baseline have had what each has by itself with this chance (V,)."""

    def step(before, q):
        none, one, both = before  # not yet twice running: the last visit without, with; already
        return ((none + one) * (1.0 - q), none * q, both + one * q), both + one * q

    _, by = jax.lax.scan(step, (1.0, 0.0, 0.0), chance[1:])
    return jnp.concatenate([jnp.zeros(1), by])


def best_response(by, going_on, alive):
    """Chance of a best response, and with it of PFS and of being alive at each visit: (), (V,), (V,).

    by : chance that it has been confirmed by each visit, given that nothing came before (V,); going_on : chance of
    being alive without progression, alive : of being alive (V,). What comes before a response prevents it.
    """
    new = jnp.diff(by, prepend=0.0)
    reached, living = jnp.cumsum(new * going_on), jnp.cumsum(new * going_on / jnp.maximum(alive, 1e-12))
    later = reached[-1] - reached
    return reached[-1], by * going_on + later, living * alive + later


def entry(values):
    """Weight of a patient in an arm: near 1 with disease that a trial can follow at screening, else near 0."""
    chains = values["FLC0"] + values["FLC_floor"]
    enough = jnp.minimum(chains / TRIALS.chains_measurable, chains / (NORMAL * values["FLC_floor"]))
    return jax.nn.sigmoid(
        jnp.log(jnp.where(values["light_chain"] > 0.5, enough, values["P0"] / TRIALS.serum_measurable)) / SOFT
    )
