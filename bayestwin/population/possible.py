"""Which draws a population may hold: numbers, SDs that are not negative, typical values on their scale.

Asked where a population comes in from outside, from a file or made by hand: a negative SD would turn a patient's random
effects round and still give a twin.
"""

import numpy as np

from bayestwin.errors import FitError, StoreError
from bayestwin.population.hyper import omega_priors

SCALES = {
    "log": (lambda v: v > 0, "more than 0"),
    "logit": (lambda v: (v > 0) & (v < 1), "between 0 and 1"),
}


def refuse_impossible(population, *, file: str = "") -> None:
    """StoreError of a file, FitError else, for the first site with a draw that cannot be; names it and the draw."""
    limits = _possible(population.model)
    for name, values in population.posterior.data_vars.items():
        possible, allowed = limits.get(str(name), (np.isfinite, "finite draws"))
        flat = np.ravel(values.values)
        wrong = flat[~(np.isfinite(flat) & possible(flat))]
        if len(wrong):
            raise (StoreError if file else FitError)(
                f"this population holds {len(wrong)} of {len(flat)} draws that cannot be",
                subject=f"model {population.model.name}",
                place=f"{file}, {name}" if file else str(name),
                value=float(wrong[0]),
                allowed=allowed,
                next_step="Make it again with `bayestwin fit`." if file else "Fit it again.",
            )


def refuse_failed(population, *, accepted: bool) -> tuple[str, ...]:
    """FitError where the file or fit says that its diagnostics failed; what a twin must say of it where it is accepted.

    One that nobody has judged, made by hand of known draws say, is not refused.
    """
    if population.tree.attrs.get("verdict") != "failed":
        return ()
    reasons = str(population.tree.attrs.get("diagnostics", "no reason is kept"))
    if accepted:
        return (f"the population posterior failed its diagnostics, which was accepted: {reasons}",)
    raise FitError(
        "the population posterior failed its diagnostics, and no twin is started from it",
        subject=f"model {population.model.name}",
        place="population",
        value=reasons,
        next_step="Do what the reasons propose and fit again, or start with accept_failed_fit=True "
        "(--accept-failed-fit): the twin says so.",
    )


def _possible(model) -> dict:
    """Site -> (which draws can be, in words); every other one must be finite."""
    spreads = [site for site, _ in omega_priors(model)]
    spreads += [name for name in model.residual_parameters if name.startswith("sigma_")]
    scales = {f"{p.name}_pop": SCALES[p.scale] for p in model.parameters if p.scale in SCALES}
    return scales | dict.fromkeys(spreads, (lambda v: v >= 0, "0 or more, an SD"))
