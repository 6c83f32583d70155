"""Has a sampler arrived? Where the caller leaves it open, a run goes on until it has, and is begun again with caution
where divergences say that its steps were too long."""

import xarray as xr

from bayestwin.population.diagnostics import diagnose


def boldly_first(sampled, settings):
    """Draws of `sampled(acceptance)` and a note: boldly; where divergences fail that, from the start with caution."""
    drawn = sampled(settings.bold, give_up=True)
    found = diagnosed(drawn)
    if found is None or not found.too_bold:
        return drawn, ""
    note = (
        f"sampled again at target acceptance {settings.cautious}, after {found.divergences} divergences "
        f"at {settings.bold}"
    )
    return sampled(settings.cautious), note


def long_enough(drawn, *, give_up: bool = False) -> bool:
    """False where the population-level sites of a run fail for its length; give_up : not where divergences fail too."""
    found = diagnosed(drawn)
    return found is None or not found.too_short or (give_up and found.too_bold)


def diagnosed(drawn):
    """Diagnostics of the population-level sites of a run; None without any, or with one chain."""
    sites = {name: values for name, values in drawn.samples.items() if name not in ("psi", "z")}
    if not sites or next(iter(sites.values())).shape[0] < 2:
        return None
    arrays = {k: (("chain", "draw", *(f"{k}_{d}" for d in range(v.ndim - 2))), v) for k, v in sites.items()}
    stats = {name: (("chain", "draw"), drawn.stats[name]) for name in ("energy", "diverging")}
    return diagnose(xr.Dataset(arrays), xr.Dataset(stats))
