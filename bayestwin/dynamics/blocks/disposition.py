"""Where a drug goes: exchange between compartments, linear and saturable elimination, as flows of amounts.

    linear             CL A / V                                       CL volume / time
    Michaelis-Menten   Vmax C / (Km + C),  C = A / V                  Vmax amount / time, Km amount / volume
    exchange           Q (A1 / V1 - A2 / V2), from 1 to 2             Q volume / time

    dA/dt = -CL A / V - sum of exchanges,    dA2/dt = exchange        one, two, three compartments

Source: Gibaldi and Perrier (1982), Pharmacokinetics, 2nd edition, chapters 1, 2 and 7.
"""

import jax.numpy as jnp


def eliminated(amount, clearance, volume):
    """Flow of linear elimination out of a compartment."""
    return clearance / volume * amount


def michaelis_menten(amount, largest_rate, half_concentration, volume):
    """Flow of saturable elimination; linear with clearance Vmax / Km far below Km, constant Vmax far above."""
    # below zero, where only the error of a solver leads, it goes on as a straight line
    return largest_rate * amount / (half_concentration * volume + jnp.maximum(amount, 0.0))


def exchanged(amount, volume, other_amount, other_volume, clearance):
    """Net flow from a compartment to another."""
    return clearance * (amount / volume - other_amount / other_volume)


def compartments(amount, clearance, volume, *others):
    """Derivatives of a central compartment with linear elimination and of those that it exchanges with.

    others : (amount, inter-compartmental clearance, volume) of each peripheral compartment, none to as many as wanted

    Returns
    -------
    derivatives (1 + number of others,)
    """
    flows = [exchanged(amount, volume, other, other_volume, between) for other, between, other_volume in others]
    return (-eliminated(amount, clearance, volume) - sum(flows), *flows)
