"""Did the sampler arrive? Thresholds, verdict and the reasons for it.

R-hat < 1.01, bulk and tail ESS > 400 (rank-normalised; Vehtari et al. 2021), divergences under 0.1 % and not
clustered, E-BFMI > 0.3; every draw is a number, and nothing sampled never moved. Clustered means: the divergent draws
lie closer together than draws do, in some population parameter (their mean differs from the overall mean by more than
4 standard errors).
"""

from dataclasses import dataclass, field

import numpy as np

LIMITS = {"rhat": 1.01, "ess": 400.0, "divergence_share": 0.001, "ebfmi": 0.3}

APPROXIMATIONS = {  # method of a posterior -> what it is
    "variational": "variational normal approximation, intervals may be too narrow",
    "evidence": "ensemble smoother on published outcomes, exact only where they are linear in the parameters",
}


@dataclass(frozen=True)
class Diagnostics:
    """Verdict of a fit; `reasons` is empty where it passed.

    rhat, ess_bulk, ess_tail : the worst, of the parameters that `worst` names; rhat NaN with one chain
    clustered : the parameter in which divergences pile up
    """

    passed: bool
    reasons: tuple[str, ...]
    rhat: float
    ess_bulk: float
    ess_tail: float
    divergences: int
    draws: int
    ebfmi: float
    worst: dict = field(default_factory=dict)
    clustered: str = ""
    approximate: str = ""

    @property
    def status(self) -> str:
        """passed, failed or approximate; an approximation never passes, it may be used where that is said."""
        return "approximate" if self.approximate else "passed" if self.passed else "failed"

    @property
    def too_short(self) -> bool:
        """True where R-hat or effective sample size is amiss and longer chains may mend it: at most 1 % divergences,
        not clustered, E-BFMI as it should be."""
        amiss = self.rhat >= LIMITS["rhat"] or min(self.ess_bulk, self.ess_tail) <= LIMITS["ess"]
        few = self.divergences <= 0.01 * self.draws and not self.clustered
        return amiss and few and self.ebfmi > LIMITS["ebfmi"] and np.isfinite(self.rhat)

    @property
    def too_bold(self) -> bool:
        """True where divergences are amiss, which smaller steps may mend."""
        return bool(self.clustered) or self.divergences >= max(LIMITS["divergence_share"] * self.draws, 1)

    def __str__(self):
        if self.approximate:
            return f"APPROXIMATE, not sampled: {self.approximate}"
        head = "diagnostics passed" if self.passed else "diagnostics FAILED: " + "; ".join(self.reasons)
        return (
            f"{head} (R-hat {self.rhat:.3f}, ESS bulk {self.ess_bulk:.0f} tail {self.ess_tail:.0f}, "
            f"{self.divergences} divergences in {self.draws} draws, E-BFMI {self.ebfmi:.2f})"
        )


def approximate(posterior, method: str, note: str) -> Diagnostics:
    """The verdict of one of the APPROXIMATIONS: never "passed", since its draws are independent whatever they miss."""
    count = posterior.sizes["chain"] * posterior.sizes["draw"]
    why = f"{APPROXIMATIONS[method]}; {note}"
    return Diagnostics(False, (why,), float("nan"), float("nan"), float("nan"), 0, count, float("nan"), approximate=why)


def diagnose(posterior, stats, *, fixed=()) -> Diagnostics:
    """Check the population-level posterior.

    posterior : xarray Dataset with dims chain, draw; stats : Dataset with diverging, energy
    fixed : variables that are constants and not sampled
    """
    import arviz_stats

    reasons = unsound(posterior, fixed)
    posterior = _entries(posterior, lambda array: _finite(array) & _moves(array))
    rhat, bulk, tail = (
        f(posterior) if len(posterior) else posterior
        for f in (
            arviz_stats.rhat,
            lambda d: arviz_stats.ess(d, method="bulk"),
            lambda d: arviz_stats.ess(d, method="tail"),
        )
    )

    def extreme(dataset, pick):
        values = {}
        for name in dataset.data_vars:
            values[name] = float(pick(np.asarray(dataset[name], dtype=float)))  # NaN where one entry is: one chain
        unknown = (name for name, value in values.items() if np.isnan(value))
        name = next(unknown, None) or (max if pick is np.max else min)(values, key=values.get, default="")
        return name, values.get(name, float("nan"))

    (r_name, r), (b_name, b), (t_name, t) = extreme(rhat, np.max), extreme(bulk, np.min), extreme(tail, np.min)
    energy, divergent = np.asarray(stats["energy"]), np.asarray(stats["diverging"])
    ebfmi = float((np.square(np.diff(energy, axis=1)).mean(axis=1) / energy.var(axis=1)).min())
    where = clustered(posterior, divergent) or ""
    if np.asarray(stats["energy"]).shape[0] < 2:
        reasons.append("one chain only: R-hat cannot be judged")
    if not r < LIMITS["rhat"]:
        reasons.append(f"R-hat {r:.3f} of {r_name} is not under {LIMITS['rhat']}")
    if not b > LIMITS["ess"]:
        reasons.append(f"bulk ESS {b:.0f} of {b_name} is not above {LIMITS['ess']:.0f}")
    if not t > LIMITS["ess"]:
        reasons.append(f"tail ESS {t:.0f} of {t_name} is not above {LIMITS['ess']:.0f}")
    if divergent.mean() >= LIMITS["divergence_share"]:
        reasons.append(
            f"{divergent.sum()} divergences in {divergent.size} draws ({divergent.mean():.2%}), not under 0.1 %"
        )
    elif where:
        reasons.append(f"{divergent.sum()} divergences, clustered in {where}")
    if not ebfmi > LIMITS["ebfmi"]:
        reasons.append(f"E-BFMI {ebfmi:.2f} is not above {LIMITS['ebfmi']}")
    return Diagnostics(
        not reasons,
        tuple(reasons),
        r,
        b,
        t,
        int(divergent.sum()),
        int(divergent.size),
        ebfmi,
        {"rhat": r_name, "ess_bulk": b_name, "ess_tail": t_name},
        where,
    )


def moving(posterior):
    """The posterior without entries that never move (a Cholesky factor has some); each entry of an array that has
    such entries becomes a scalar of its own, named like correlation_cholesky[CL, ka]."""
    return _entries(posterior, _moves)


def unsound(posterior, fixed=()) -> list[str]:
    """What is no draw at all: values that are not finite, and what was to be sampled and never moved."""
    reasons = []
    for name, array in _entries(posterior, lambda array: ~_finite(array)).data_vars.items():
        broken = int((~np.isfinite(np.asarray(array, dtype=float))).sum())
        reasons.append(f"{broken} draws of {name} are not finite")
    sampled = posterior[[name for name in posterior.data_vars if name not in fixed]]
    stuck = _entries(sampled, lambda array: _finite(array) & _still(array) & ~_by_construction(array))
    return reasons + [f"{name} never moved" for name in stuck.data_vars]


def _entries(posterior, wanted):
    """The entries for which `wanted(array)`, one answer per entry, is True; whole arrays where it is of all."""
    import xarray as xr

    found = {}
    for name, array in posterior.data_vars.items():
        array = array.transpose("chain", "draw", ...)
        kept = np.asarray(wanted(array))
        if kept.all():
            found[name] = array
            continue
        own = array.dims[2:]
        for place in np.argwhere(kept) if own else ():
            found[_entry_name(name, array, place)] = array.isel(dict(zip(own, place)), drop=True)
    return xr.Dataset(found)


def _finite(array):
    return np.isfinite(np.asarray(array, dtype=float)).all(axis=(0, 1))


def _moves(array):
    return ~(_still(array) | _by_construction(array))


def _still(array):
    """Entries that differ from their first draw by no more than rounding."""
    values = np.asarray(array, dtype=float)
    with np.errstate(invalid="ignore"):  # infinite draws
        return np.ptp(values, axis=(0, 1)) <= 1e-12 * np.abs(values[0, 0])


def _by_construction(array):
    """Entries of a Cholesky factor of a correlation that are constants: 0 above the diagonal, 1 in its first place."""
    values = np.asarray(array, dtype=float)
    found = np.zeros(values.shape[2:], dtype=bool)
    if found.ndim == 2 and found.shape[0] == found.shape[1]:
        found = np.triu(np.abs(values).max(axis=(0, 1)) <= 1e-12, 1)
        found[0, 0] = (np.abs(values[..., 0, 0] - 1.0) <= 1e-9).all()
    return found


def clustered(posterior, divergent) -> str | None:
    """The parameter, or entry of an array, in which divergent draws pile up, or None; needs at least three of them."""
    if divergent.sum() < 3:
        return None
    for name, array in posterior.data_vars.items():
        array = array.transpose("chain", "draw", ...)
        for place in np.ndindex(array.shape[2:]):
            values = np.asarray(array)[(..., *place)]
            if values.std() > 0:
                gap = abs(values[divergent].mean() - values.mean()) / (values.std() / np.sqrt(divergent.sum()))
                if gap > 4.0:
                    return _entry_name(name, array, place)
    return None


def _entry_name(name, array, place) -> str:
    """Name of one entry, like correlation_cholesky[CL, ka]; of a scalar its own."""
    own = array.dims[2:]
    labels = [str(array[d].values[k]) if d in array.coords else str(k) for d, k in zip(own, place)]
    return f"{name}[{', '.join(labels)}]" if own else str(name)
