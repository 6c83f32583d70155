"""Slopes of markers under a regularised horseshoe, from what is sampled; see specification/horseshoe.py."""

import jax.numpy as jnp

from bayestwin.specification.horseshoe import horseshoes


def vector_sites(model) -> dict[str, tuple[object, int]]:
    """Sites that hold one number per slope of a group: name -> (prior of each, how many)."""
    return {
        name: (prior, len(slopes))
        for one, slopes in horseshoes(model).items()
        for name, prior in one.vector_sites.items()
    }


def slopes_from(model, natural: dict, omega_of) -> dict:
    """Effect name -> slope of every horseshoe whose parts are in `natural`, leading axes kept.

    omega_of : position in `model.parameters` -> SD between patients
    """
    found = {}
    for one, slopes in horseshoes(model).items():
        if f"{one.group}_raw" not in natural:
            continue
        tau, squared = (jnp.asarray(natural[name])[..., None] for name in one.scalar_sites(len(slopes)))
        local, raw = (jnp.asarray(natural[name]) for name in one.vector_sites)
        spread = tau * local * jnp.sqrt(squared / (squared + (tau * local) ** 2))
        for j, k in enumerate(slopes):
            name, position, _ = model.effects[k]
            found[name] = omega_of(position) * spread[..., j] * raw[..., j]
    return found
