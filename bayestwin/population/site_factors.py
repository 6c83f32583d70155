"""Factors of laboratories and products that share a distribution, from what is sampled; see specification/sites.py.

    factor_s = exp(sd z_s),   z_s ~ Normal(0, 1)         sites assay_bias_sd_<output>, assay_bias_<output>_raw

A result keeps the factors, one array with the names of the sites, in place of z.
"""

import jax.numpy as jnp

from bayestwin.specification.priors import Fixed, Normal
from bayestwin.specification.sites import Sites, sites_of, with_sites


def with_sites_of(model, cohort):
    """The model with every laboratory and product that the cohort's labs of an output name, in alphabetical order."""
    levels = {}
    for kind, output in sites_of(model):
        by = model.observations[model.observation_index[output]].assay_by
        named = {getattr(lab, by) for record in cohort for lab in record.labs if lab.output == output}
        levels[kind, output] = tuple(sorted(named - {""}))
    return with_sites(model, levels)


def raw_sites(model) -> dict[str, tuple[object, int]]:
    """Sites that hold one standard normal per laboratory: name -> (prior of each, how many)."""
    return {
        f"{kind}_{output}_raw": (Normal(mean=0.0, sd=1.0), len(said))
        for (kind, output), said in sites_of(model).items()
    }


def factor_names(model) -> dict[str, tuple[str, ...]]:
    """Site of a result -> the laboratories or products in the order of its entries."""
    return {f"{kind}_{output}": tuple(said) for (kind, output), said in sites_of(model).items()}


def factors_from(model, natural: dict) -> dict:
    """Site of a result -> factors (..., sites), for all whose parts are in `natural`."""
    found = {}
    for (kind, output), said in sites_of(model).items():
        raw = natural.get(f"{kind}_{output}_raw")
        if raw is not None:
            found[f"{kind}_{output}"] = jnp.exp(_sd(natural, kind, output, said) * jnp.asarray(raw))
    return found


def by_name(model, natural: dict) -> dict:
    """`assay_bias_<site>_<output>` -> factor (...), from the arrays of `factors_from` or of a result."""
    found: dict = {}
    for (kind, output), said in sites_of(model).items():
        factors = jnp.asarray(natural[f"{kind}_{output}"])
        found |= {f"{kind}_{level}_{output}": factors[..., j] for j, level in enumerate(said)}
    return found


def _sd(natural: dict, kind: str, output: str, said: Sites):
    """SD of ln factor, with an axis for the sites."""
    name = f"{kind}_sd_{output}"
    if name not in natural and isinstance(said.sd, Fixed):
        return said.sd.value
    return jnp.asarray(natural[name])[..., None]
