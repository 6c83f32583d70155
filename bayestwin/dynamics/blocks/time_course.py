"""Elimination that wanes with time on treatment, as factors between 1 and 0 to multiply with.

    exponential   exp(-k t)
    sigmoid       1 - t^h / (t50^h + t^h)

t counts from the start of treatment; before it the factor is 1. For example

    CL(t)   = CL_steady + CL_wanes * exponential_decline(t, p.kdes)                   teclistamab
    CL(t)   = CL_steady * exp(change * sigmoid_decline(t, p.t50, p.hill))             isatuximab
    Vmax(t) = Vmax * exponential_decline(t, p.kdes)                                   daratumumab

Published clearances that wane already contain the target and the tumour that are lost under treatment: to tie them to
a modelled tumour as well counts the same thing twice.

Sources: Xu et al. (2020), Fau et al. (2020), Miao et al. (2023); see the model folders of these drugs.
"""

import jax
import jax.numpy as jnp

TINY = 1e-9  # of t50: the logarithm of time ends there


def exponential_decline(t, rate):
    """exp(-rate t); rate 1/time, t time since the start of treatment."""
    return jnp.exp(-rate * jnp.maximum(t, 0.0))


def sigmoid_decline(t, half_time, hill):
    """1 - t^h / (t50^h + t^h); 1 at the start, 1/2 at t50, 0 at last."""
    return jax.nn.sigmoid(-hill * jnp.log(jnp.maximum(t / half_time, TINY)))
