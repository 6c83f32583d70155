"""What a drug does to something that is made and lost: turnover, the four indirect responses, a delay, a dose alone.

    saturation           E = C^h / (C50^h + C^h)
    turnover             dR/dt = kin - kout R                           steady state kin / kout
    indirect response    I    turnover(R, inhibited(kin, E), kout)      II   turnover(R, kin, inhibited(kout, E))
                         III  turnover(R, stimulated(kin, E), kout)     IV   turnover(R, kin, stimulated(kout, E))
    effect compartment   dCe/dt = ke0 (C - Ce)
    K-PD                 dA/dt = -kE A (doses go into A),  intensity = kE A,  E = saturation(intensity, EDK50)

E is multiplied by the largest effect first: inhibited(kin, Imax * E), Imax at most 1. `log_turnover` is the same for a
state that is ln R, for what spans decades.

Sources: Dayneka, Garg and Jusko (1993), J Pharmacokinet Biopharm 21:457 (indirect responses); Sheiner et al. (1979),
Clin Pharmacol Ther 25:358 (effect compartment); Jacqmin et al. (2007), J Pharmacokinet Pharmacodyn 34:57 (K-PD).
"""

import jax
import jax.numpy as jnp

TINY = 1e-9  # of C50: the logarithm of a concentration ends there


def saturation(concentration, half, hill=None):
    """Share of the largest effect, 0 to 1; `half` the concentration of half of it. Without `hill` exponent 1."""
    if hill is None:
        positive = jnp.maximum(concentration, 0.0)
        return positive / (half + positive)
    return jax.nn.sigmoid(hill * jnp.log(jnp.maximum(concentration / half, TINY)))


def turnover(level, production, loss_rate):
    """Derivative of a level that is produced at a rate and lost in proportion."""
    return production - loss_rate * level


def log_turnover(log_level, production, loss_rate):
    """Derivative of the logarithm of such a level."""
    return production * jnp.exp(-log_level) - loss_rate


def inhibited(rate, effect):
    """A rate under inhibition; effect 0 to 1."""
    return rate * (1.0 - effect)


def stimulated(rate, effect):
    """A rate under stimulation; effect 0 or more."""
    return rate * (1.0 + effect)


def effect_compartment(effect_concentration, concentration, rate):
    """Derivative of the concentration at the site of effect, which follows that in plasma at ke0."""
    return rate * (concentration - effect_concentration)


def dose_intensity(depot, rate):
    """K-PD: the rate at which doses act, and what the virtual depot loses; in steady state dose / interval."""
    return rate * depot
