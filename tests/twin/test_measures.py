"""The measures behind the numerical check, each against brute force or another library."""

import numpy as np
import pytest

from bayestwin.twin.particles import (
    LARGEST_GAP,
    effective_size,
    half_gaps,
    halves,
    island_gaps,
    island_means,
    normalised,
    pareto_k,
    systematic,
    unique_particles,
)
from bayestwin.twin.surprise import sample_crps, weighted_quantiles


@pytest.mark.parametrize("spread", [0.3, 0.8, 1.5, 3.0])
def test_pareto_k_is_that_of_arviz(spread):
    from arviz_stats.base import array_stats

    log_ratios = spread * np.random.default_rng(4).standard_normal(4000)
    _, k = array_stats.psislw(-log_ratios)  # it takes log-likelihoods, whose inverse are the ratios
    assert pareto_k(log_ratios) == pytest.approx(float(k), abs=1e-10)


def test_pareto_k_of_equal_and_of_no_ratios():
    assert pareto_k(np.zeros(100)) == -np.inf
    clumps = np.repeat(np.r_[np.linspace(-2.0, -1.355, 399), -1.33], 10)  # no ratio is twice the mean
    assert pareto_k(clumps) == -np.inf
    assert pareto_k(np.r_[np.full(3900, -np.inf), clumps[:100]]) > -np.inf  # even among themselves, but few
    assert pareto_k(np.full(100, -np.inf)) == np.inf


def test_weighted_quantiles_equal_those_of_repeated_values():
    rng = np.random.default_rng(5)
    values, counts = rng.standard_normal(300), rng.integers(0, 6, 300)
    repeated = np.repeat(values, counts)
    found = weighted_quantiles(values, counts.astype(float), (0.1, 0.5, 0.9))
    assert found == pytest.approx(np.quantile(repeated, (0.1, 0.5, 0.9)), abs=0.03)


def test_sample_crps_equals_the_double_sum_and_the_normal_closed_form():
    rng = np.random.default_rng(6)
    x, w = rng.standard_normal(400), rng.uniform(0, 1, 400)
    w = w / w.sum()
    brute = (w * np.abs(x - 0.7)).sum() - 0.5 * (w[:, None] * w[None] * np.abs(x[:, None] - x[None])).sum()
    assert sample_crps(x, w, 0.7) == pytest.approx(brute, rel=1e-10)
    many = rng.standard_normal(200_000)
    y, phi, cdf = 0.7, np.exp(-0.245) / np.sqrt(2 * np.pi), 0.758036
    assert sample_crps(many, np.ones(200_000), y) == pytest.approx(
        y * (2 * cdf - 1) + 2 * phi - 1 / np.sqrt(np.pi), abs=0.01
    )


def test_effective_size_counts_within_islands():
    log_weights = normalised(np.log(np.r_[np.ones(10), np.r_[1.0, np.full(9, 1e-12)]]), 2)
    assert effective_size(log_weights, 2) == pytest.approx(11.0, rel=1e-3)
    assert effective_size(np.full(8, np.nan), 2) == 0.0


def test_systematic_resampling_keeps_islands_apart_and_is_unbiased():

    weights = np.random.default_rng(7).uniform(0, 1, 40)
    log_weights = np.asarray(normalised(np.log(weights), 4))
    counts = np.zeros(40)
    for seed in range(300):
        kept = systematic(np.random.default_rng(seed), log_weights, 4)
        assert (kept // 10 == np.arange(40) // 10).all()
        counts += np.bincount(kept, minlength=40)
    assert counts / 300 == pytest.approx(10 * np.exp(log_weights), abs=0.12)


def test_island_means_are_weighted():
    found = island_means(np.array([1.0, 3.0, 5.0, 7.0]), np.log([0.75, 0.25, 0.5, 0.5]), 2)
    assert found == pytest.approx([1.5, 6.0])


def test_copies_are_not_distinct_particles():
    assert unique_particles(np.repeat(np.arange(6.0).reshape(3, 2), 5, axis=0)) == 3


def test_halves_of_the_islands_are_apart_only_beyond_what_islands_explain():
    """4 islands: the SD of their means stays under what is allowed, and that of the halves does not."""
    rng, even = np.random.default_rng(5), np.log(np.full(4000, 1 / 1000))
    psi = rng.standard_normal((4000, 3))
    psi[2000:, 1] += 0.65  # both islands of a half alike
    psi[:, 2] += np.repeat([0.0, 1.0, 1.2, -0.4], 1000)  # islands that differ by themselves
    assert half_gaps(psi, even, 4) == pytest.approx([0.0, 0.65 / np.sqrt(2), 0.0], abs=0.05)
    assert island_gaps(psi, even, 4)[1] < LARGEST_GAP < half_gaps(psi, even, 4)[1]
    assert not half_gaps(psi[:3000], even[:3000], 3).any()  # no halves
    assert halves(8, 4000, 41) == 2 and halves(8, 500, 41) == halves(2, 4000, 2) == halves(5, 4000, 2) == 1
