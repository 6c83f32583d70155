"""A mixture that proposes (psi, population draw) and learns from weighted draws: adaptive importance sampling.

    q(psi, m) = PRIOR p(psi | m) / M  +  sum over components k of share[k, m] t(x; mean_k, scale_k) |dx / dpsi|

Each component lives in a chart, an affine map of psi for every population draw: x = whiten_m (psi - centre_m). One
chart is psi itself (what labs say of psi, whatever the draw), one is psi standardised by the population (what labs say
nothing of follows the draw), the others come from whoever has an approximation for each draw. Refitting gives every
draw to the components in proportion to their densities at it, so none is wasted. There are three kinds of component:

    sharp    fitted to the target
    wide     fitted to the target with its likelihood to the power of POWER: they propose what is unlikely and far away
             more often than it is. A mode of one in ten thousand that lies thirty SDs off is a tenth of the variance
    steady   not fitted: the approximation of each population draw, unlikely draws again more often than they are

The share of the prior is kept too: where all components are wrong, the ratio of target and proposal is still bounded by
the likelihood.

Source: Cappe, Douc, Guillin, Marin and Robert (2008), Statistics and Computing 18:447 (M-PMC).
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from bayestwin.twin.particles import log_sum_exp

PRIOR = 0.1  # share of the draws that come from the population, whatever was learnt
FREEDOM = 6.0  # of the Student-t components: tails heavier than those of the posterior
SHARP, WIDE, STEADY = range(3)  # kinds of component
SHARES = (0.7, 0.2, 0.1)  # of the draws that are not the prior's
POWER = 0.3  # of the likelihood that wide components are fitted to
COMPONENTS = 12  # of each chart
SPREAD = 0.1  # part of every component's shares that follows the draws of all components, a tenth of it none
ENOUGH = 5.0  # effective draws per dimension under which a component keeps its mean and scale


class Chart(NamedTuple):
    """x = whiten[m] (psi - centre[m]): centre (M, D), factor, whiten its inverse (M, D, D), log_det (M,)."""

    centre: Any
    factor: Any
    whiten: Any
    log_det: Any

    def of(self, psi, m):
        """x (P, D)."""
        return np.einsum("pde,pe->pd", self.whiten[m], psi - self.centre[m])

    def back(self, x, m):
        """psi (P, D)."""
        return self.centre[m] + np.einsum("pde,pe->pd", self.factor[m], x)


@dataclass(frozen=True)
class Mixture:
    """charts[0] is the population's; of K components: chart, kind (K,), mean (K, D), factor (K, D, D), share (K, M)."""

    charts: tuple[Chart, ...]
    chart: np.ndarray
    kind: np.ndarray
    mean: np.ndarray
    factor: np.ndarray
    share: np.ndarray

    def drawn(self, rng: np.random.Generator, size: int):
        """psi (P, D) and population draw (P,), independent of each other."""
        count, draws = self.share.shape
        picked = rng.choice(count * draws, size=size, p=self.share.ravel())
        k, m = np.divmod(picked, draws)
        prior = rng.random(size) < PRIOR
        m = np.where(prior, rng.integers(draws, size=size), m)
        noise = rng.standard_normal((size, self.mean.shape[1]))
        wide = noise * np.sqrt(FREEDOM / rng.chisquare(FREEDOM, (size, 1)))
        x = self.mean[k] + np.einsum("pde,pe->pd", self.factor[k], wide)
        psi = self.charts[0].back(noise, m)
        for c, chart in enumerate(self.charts):
            own = ~prior & (self.chart[k] == c)
            psi[own] = chart.back(x[own], m[own])
        return psi, m

    def log_terms(self, psi, m) -> np.ndarray:
        """ln of every component's part of q, (K + 1, P), the prior's the last; less D / 2 ln 2 pi."""
        base = self.charts[0]
        prior = np.log(PRIOR / len(base.log_det)) - 0.5 * (base.of(psi, m) ** 2).sum(1) - base.log_det[m]
        with np.errstate(divide="ignore"):
            parts = np.log((1.0 - PRIOR) * self.share)[:, m] + self._densities(psi, m)[0]
        return np.concatenate([parts, prior[None]])

    def _densities(self, psi, m):
        """ln density of every component at psi, and its squared distance, (K, P) each.

        Particles are in the last axis: sums over a last axis of few parameters took most of the time.
        """
        from scipy.special import gammaln

        size = psi.shape[1]
        x = [np.ascontiguousarray(chart.of(psi, m).T) for chart in self.charts]
        inverse = np.linalg.inv(self.factor)
        squared = np.empty((len(self.chart), len(psi)))
        for row, c, mean, inv in zip(squared, self.chart, self.mean, inverse):
            white = inv @ (x[c] - mean[:, None])
            np.einsum("dp,dp->p", white, white, out=row)
        constant = gammaln(0.5 * (FREEDOM + size)) - gammaln(0.5 * FREEDOM) - 0.5 * size * np.log(0.5 * FREEDOM)
        own = np.log(np.diagonal(self.factor, axis1=1, axis2=2)).sum(1)
        density = (-0.5 * (FREEDOM + size)) * np.log1p(squared / FREEDOM)
        density += (constant - own)[:, None] - np.stack([chart.log_det for chart in self.charts])[:, m][self.chart]
        return density, squared

    def refitted(self, psi, m, weights, kind: int) -> "Mixture":
        """The mixture after a step of expectation and maximisation of one kind of component, on weighted draws (P,)."""
        size, draws, own = psi.shape[1], self.share.shape[1], np.flatnonzero(self.kind == kind)
        some = replace(
            self, **{name: getattr(self, name)[own] for name in ("chart", "kind", "mean", "factor", "share")}
        )
        density, squared = some._densities(psi, m)
        with np.errstate(divide="ignore"):
            terms = np.log(some.share)[:, m] + density
        part = weights * np.exp(terms - log_sum_exp(terms, axis=0))
        mean, factor, share = self.mean.copy(), self.factor.copy(), self.share.copy()
        counts, x = np.zeros_like(some.share), [np.ascontiguousarray(chart.of(psi, m).T) for chart in self.charts]
        for j, k in enumerate(own):
            mass = part[j]
            counts[j] = np.bincount(m, weights=mass, minlength=draws)
            if mass.sum() ** 2 < ENOUGH * size * max((mass**2).sum(), 1e-300):
                continue
            near = mass * (FREEDOM + size) / (FREEDOM + squared[j])
            mean[k] = x[self.chart[k]] @ near / near.sum()
            gap = x[self.chart[k]] - mean[k][:, None]
            covariance = (near * gap) @ gap.T / mass.sum()
            factor[k] = np.linalg.cholesky(covariance + np.diag(1e-4 * np.diag(covariance) + 1e-12))
        marginal = 0.9 * counts.sum(0) / counts.sum() + 0.1 / draws
        new = (1.0 - SPREAD) * counts + SPREAD * (counts.sum(1, keepdims=True) + 1e-3 * counts.sum()) * marginal
        share[own] = new * self.share[own].sum() / new.sum()
        return replace(self, mean=mean, factor=factor, share=share)


def population_chart(population) -> Chart:
    """psi standardised by each population draw."""
    return Chart(*(np.asarray(a) for a in (population.mean, population.scale, population.whiten, population.log_det)))


def common_chart(psi, weights, draws: int) -> Chart:
    """psi in its own SDs, whatever the population draw."""
    size = psi.shape[1]
    scale = np.sqrt(np.diagonal(np.cov(psi.T, aweights=weights).reshape(size, size))) + 1e-12
    return Chart(
        np.zeros((draws, size)),
        np.tile(np.diag(scale), (draws, 1, 1)),
        np.tile(np.diag(1.0 / scale), (draws, 1, 1)),
        np.full(draws, np.log(scale).sum()),
    )


def first_mixture(charts, psi, m, weights, rng: np.random.Generator, *, steady=(), steps: int = 12) -> Mixture:
    """Components placed at weighted draws (P,) of the target, those of kind SHARP fitted to them.

    charts : that of the population first; steady : chart number and share (M,) of each component that is not fitted
    """
    size, draws, count = psi.shape[1], len(charts[0].log_det), len(charts)
    chart = np.concatenate([np.repeat(np.arange(count), COMPONENTS)] * 2 + [np.array([c for c, _ in steady], int)])
    kind = np.repeat((SHARP, WIDE, STEADY), (count * COMPONENTS, count * COMPONENTS, len(steady)))
    mean, factor = np.zeros((len(chart), size)), np.tile(np.eye(size), (len(chart), 1, 1))
    for c, one in enumerate(charts):
        x = one.of(psi, m)
        covariance = np.cov(x.T, aweights=weights).reshape(size, size)
        lower = np.linalg.cholesky(covariance + np.diag(1e-3 * np.diag(covariance) + 1e-12))
        for which, times in ((SHARP, 1.0), (WIDE, 2.0)):
            own = np.flatnonzero((chart == c) & (kind == which))
            mean[own] = x[rng.choice(len(x), size=len(own), p=weights / weights.sum())]
            factor[own] = times * lower
    seen = np.bincount(m, weights=weights, minlength=draws) / weights.sum()
    share = np.tile(0.9 * seen + 0.1 / draws, (len(chart), 1))
    share[kind == STEADY] = np.array([part for _, part in steady]).reshape(-1, draws)
    for which, part in enumerate(SHARES):
        share[kind == which] *= part / max(share[kind == which].sum(), 1e-300)
    found = Mixture(tuple(charts), chart, kind, mean, factor, share / share.sum())
    for _ in range(steps):
        found = found.refitted(psi, m, weights, SHARP)
    return found
