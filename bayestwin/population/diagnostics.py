"""Did the sampler arrive? Thresholds, verdict and the reasons for it.

R-hat < 1.01, bulk and tail ESS > 400 (rank-normalised; Vehtari et al. 2021), divergences under 0.1 % and not
clustered, E-BFMI > 0.3. Clustered means: the divergent draws lie closer together than draws do, in some
population parameter (their mean differs from the overall mean by more than 4 standard errors).
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


def diagnose(posterior, stats) -> Diagnostics:
    """Check the population-level posterior.

    posterior : xarray Dataset with dims chain, draw; stats : Dataset with diverging, energy
    """
    import arviz_stats

    posterior = moving(posterior)
    rhat, bulk, tail = (
        f(posterior)
        for f in (
            arviz_stats.rhat,
            lambda d: arviz_stats.ess(d, method="bulk"),
            lambda d: arviz_stats.ess(d, method="tail"),
        )
    )

    def extreme(dataset, pick):
        values = {}
        for name in dataset.data_vars:
            array = np.asarray(dataset[name], dtype=float)
            values[name] = float("nan") if np.isnan(array).all() else float(pick(array))  # one chain has no R-hat
        name = (max if pick is np.nanmax else min)(values, key=values.get)
        return name, values[name]

    (r_name, r), (b_name, b), (t_name, t) = extreme(rhat, np.nanmax), extreme(bulk, np.nanmin), extreme(tail, np.nanmin)
    energy, divergent = np.asarray(stats["energy"]), np.asarray(stats["diverging"])
    ebfmi = float((np.square(np.diff(energy, axis=1)).mean(axis=1) / energy.var(axis=1)).min())
    where = clustered(posterior, divergent) or ""
    reasons = []
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
    import xarray as xr

    found = {}
    for name, array in posterior.data_vars.items():
        still = np.asarray(array.std(("chain", "draw"))) <= 1e-12
        if not still.any():
            found[name] = array
            continue
        own = [d for d in array.dims if d not in ("chain", "draw")]
        for place in np.argwhere(~still) if own else ():
            entry = array.isel(dict(zip(own, place)), drop=True)
            labels = [str(array[d].values[k]) if d in array.coords else str(k) for d, k in zip(own, place)]
            found[f"{name}[{', '.join(labels)}]"] = entry
    return xr.Dataset(found)


def clustered(posterior, divergent) -> str | None:
    """The scalar parameter in which divergent draws pile up, or None; needs at least three of them."""
    if divergent.sum() < 3:
        return None
    for name in posterior.data_vars:
        values = np.asarray(posterior[name])
        if values.ndim == 2 and values.std() > 0:
            gap = abs(values[divergent].mean() - values.mean()) / (values.std() / np.sqrt(divergent.sum()))
            if gap > 4.0:
                return name
    return None
