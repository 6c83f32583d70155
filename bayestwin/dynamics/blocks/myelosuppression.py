"""Blood cells under a drug that hinders their making: proliferating cells, transit compartments, circulating cells.

    dP/dt  = ktr P ((1 - E) (C0 / C)^gamma - 1)
    dT1/dt = ktr (P - T1),   dT2/dt = ktr (T1 - T2),   dT3/dt = ktr (T2 - T3)
    dC/dt  = ktr (T3 - C)                                ktr = (n + 1) / MTT, n transit compartments (3)

E is the drug's effect, for example slope * concentration; above 1 proliferating cells die. Without drug every
compartment stays at C0. In logs (`log_myelosuppression`) a count stays positive however strong the effect, and its
slopes finite.

Source: Friberg, Henningsson, Maas, Nguyen and Karlsson (2002), J Clin Oncol 20:4713.
"""

import jax.numpy as jnp

LOWEST = 1e-9  # of C0: feedback grows no further below it


def myelosuppression(proliferating, transits, circulating, *, baseline, transit_time, feedback, effect):
    """Derivatives (proliferating, *transits, circulating) of cell counts.

    transits : counts of the n transit compartments; baseline : C0; transit_time : MTT; feedback : gamma; effect : E
    """
    ktr = (len(transits) + 1) / transit_time
    share = jnp.maximum(circulating / baseline, LOWEST)
    made = ktr * proliferating * (1.0 - effect) * share**-feedback
    chain = (proliferating, *transits, circulating)
    return made - ktr * proliferating, *(ktr * (before - now) for before, now in zip(chain, chain[1:]))


def log_myelosuppression(proliferating, transits, circulating, *, baseline, transit_time, feedback, effect):
    """The same for states that are logarithms of counts; `baseline` is the count C0."""
    ktr = (len(transits) + 1) / transit_time
    share = jnp.maximum(circulating - jnp.log(baseline), jnp.log(LOWEST))
    chain = (proliferating, *transits, circulating)
    made = ktr * ((1.0 - effect) * jnp.exp(-feedback * share) - 1.0)
    return made, *(ktr * jnp.expm1(before - now) for before, now in zip(chain, chain[1:]))
