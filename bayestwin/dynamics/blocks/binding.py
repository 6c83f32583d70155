"""Target-mediated disposition: how much of a drug is free, where binding is fast against everything else.

    total drug  T = C + X,   total target  S = R + X,   C R = K X
    C = (b + sqrt(b^2 + 4 K T)) / 2,   b = T - S - K

    quasi-equilibrium     K = Kd = koff / kon
    quasi-steady state    K = Kss = (koff + kint) / kon          where the complex is taken in as fast as it falls apart

All concentrations in one molar unit. A model writes its own flows with what comes back, for example with a target that
turns over (Gibiansky's full form) or with a constant total target (then S is a parameter and no state):

    bound = quasi_equilibrium(y.central / p.V, y.target, p.Kd)
    "central": -p.CL * bound.free - p.kint * bound.complex * p.V
    "target":  turnover(bound.target, p.ksyn, p.kdeg) - p.kint * bound.complex

Sources: Mager and Krzyzanski (2005), Pharm Res 22:1589; Gibiansky et al. (2008), J Pharmacokinet Pharmacodyn 35:573.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp


class Bound(NamedTuple):
    """Concentrations: free drug, complex, free target."""

    free: Any
    complex: Any
    target: Any


def quasi_equilibrium(total, total_target, dissociation) -> Bound:
    """Free drug, complex and free target from the totals; dissociation : Kd."""
    drug, target = jnp.maximum(total, 0.0), jnp.maximum(total_target, 0.0)
    excess = drug - target - dissociation
    root = jnp.sqrt(excess**2 + 4.0 * dissociation * drug)
    # each branch adds numbers of one sign, so that nothing cancels where little is free or little is bound
    below = 2.0 * dissociation * drug / (root + jnp.abs(excess))
    free = jnp.where(excess > 0.0, 0.5 * (excess + root), below)
    free_target = target * dissociation / (dissociation + free)
    return Bound(free + jnp.minimum(total, 0.0), target * free / (dissociation + free), free_target)


def quasi_steady_state(total, total_target, association, dissociation, internalised) -> Bound:
    """As `quasi_equilibrium` with Kss = (koff + kint) / kon; kon 1/(concentration time), koff and kint 1/time."""
    return quasi_equilibrium(total, total_target, (dissociation + internalised) / association)
