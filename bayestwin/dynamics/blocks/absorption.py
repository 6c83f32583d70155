"""How a dose reaches the blood: first order, or after a delay that is spread out (transit compartments).

    first order      flow = ka A
    transit          dA0/dt = -ktr A0,   dAk/dt = ktr (A(k-1) - Ak),   flow = ktr An     mean transit time (n + 1) / ktr
    closed form      flow = sum over doses of  dose ktr (ktr s)^n exp(-ktr s) / Gamma(n + 1),   s = time since the dose

Zero order is no term of a vector field: a dose into the central compartment whose duration is a parameter
(`Dosing("central", duration="D")`).

The chain takes any number of doses at any times, as the dose engine gives them, and its n is a whole number. The closed
form takes any n, also one that is estimated, but it has to be told every dose that is still on its way: a vector field
knows since when a treatment runs (`u.since`) and no dose. It forgets a dose that it is not told.

Source: Savic, Jonker, Kerbusch and Karlsson (2007), J Pharmacokinet Pharmacodyn 34:711.
"""

import jax
import jax.numpy as jnp

TINY = 1e-12  # of a mean transit time: the logarithm of a time since the dose ends there


def first_order(amount, rate):
    """Flow out of a compartment, amount per time; rate 1/time."""
    return rate * amount


def transit_chain(amounts, rate):
    """Derivatives of a chain of compartments in series, and the flow out of the last one.

    amounts : (A0, ..., An), doses go into the first; rate : ktr, 1/time, (n + 1) / mean transit time

    Returns
    -------
    derivatives (n + 1,), flow
    """
    flows = [rate * amount for amount in amounts]
    return tuple(into - out for into, out in zip((0.0, *flows), flows)), flows[-1]


def gamma_input(since, dose, rate, n):
    """Flow that one dose, or several, bring through n transit compartments, in closed form; nothing before the dose.

    since : time since each dose, negative before it; dose : amounts; both scalars or arrays of doses
    rate : ktr, 1/time; n : number of compartments, 0 or more, whole or not
    """
    since, dose = jnp.broadcast_arrays(jnp.asarray(since, dtype=float), jnp.asarray(dose, dtype=float))
    given = since >= 0.0
    passed = rate * jnp.where(given, since, 1.0)
    # x^n at x = 0 is 1 for n = 0 and 0 else; its logarithm and that slope stay finite from TINY on
    log_density = n * jnp.log(jnp.maximum(passed, TINY)) - passed - jax.lax.lgamma(jnp.asarray(n, dtype=float) + 1.0)
    return jnp.where(given, dose * rate * jnp.exp(log_density), 0.0).sum()
