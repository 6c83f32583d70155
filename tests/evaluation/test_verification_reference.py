"""The reference by importance sampling: right where quadrature is known, refused where its proposal is poor."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from test_classes import BEFORE, quadrature

from bayestwin.evaluation.verification import mixture, reference
from bayestwin.evaluation.verification.mixture import Chart, Mixture
from bayestwin.evaluation.verification.moments import INDEPENDENT, Weighted, class_moments, parameter_moments, pooled
from bayestwin.evaluation.verification.proof import KNOWN, UNSEEN
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.twin.particles import log_sum_exp

SHALLOW = (17.2, 16.8, 17.1, 16.9)  # a small effect, or a low level and no response: two modes
DRAWS = 8000


@pytest.fixture(scope="module")
def two_modes():
    labs = [Lab(f"m@{t}", "m_protein", float(t), v, float(t)) for t, v in enumerate((*BEFORE, *SHALLOW), start=1)]
    return PatientRecord("L-1", labs=tuple(labs), events=(ClinicalEvent("line_of_therapy", 2.0, 2.0, "drug"),))


def found(population, record):
    """What the reference says: name -> Estimate of a mean; and why importance sampling was refused."""
    made = reference.reference_of(population, record, DRAWS, 100, 1)
    said = pooled([parameter_moments(run) | class_moments(run) for run in made.runs])
    return {name: one.mean() for name, one in said.items()}, made


def gaps(population, record):
    """Distances from quadrature, in Monte Carlo errors."""
    p_none, effect = quadrature(population, {"population_draws": 100}, BEFORE, SHALLOW)
    said, made = found(population, record)
    exact = {"P(no response to drug)": p_none, "effect": effect}
    return [(said[name].value - value) / said[name].error for name, value in exact.items()], said, made


def test_two_modes_have_the_weights_of_quadrature(population, two_modes):
    off, said, made = gaps(population, two_modes)
    assert np.abs(off).max() < 3.5, (off, said)
    assert made.verdict == "PASS" and made.refused == "" and made.runs[0].info.path == INDEPENDENT
    assert made.effective > 0.4 * DRAWS and made.runs[0].info.pareto_k < 0.7
    assert said["effect"].error < 0.03 and said["effect"].freedom > 1000


def without_one_chart(terms):
    def broken(mix, psi, m):
        return terms(mix, psi, m)[np.append(mix.chart < mix.chart.max(), True)]

    return broken


def test_a_density_that_is_not_that_of_the_proposal_is_told(population, two_modes, monkeypatch):
    """A chart left out. For a Jacobian left out, which moves this case by chance, see the test below."""
    monkeypatch.setattr(Mixture, "log_terms", without_one_chart(Mixture.log_terms))
    off, said, made = gaps(population, two_modes)
    assert made.refused or np.abs(off).max() > 4.5, (off, said)


@pytest.mark.parametrize("forgotten", [False, True])
def test_the_density_integrates_to_one_and_without_a_jacobian_it_does_not(forgotten):
    """One parameter, three population draws of unlike scale, a chart of the population and one of its own."""
    scales = np.array([[0.5, 1.0, 4.0], [0.2, 3.0, 1.0]])
    charts = tuple(
        Chart(
            np.array([[c], [0.5], [-1.0]]),
            s[:, None, None],
            1.0 / s[:, None, None],
            0.0 * s if forgotten else np.log(s),
        )
        for c, s in enumerate(scales)
    )
    one = np.ones((2, 1))
    share = np.array([[0.1, 0.2, 0.1], [0.3, 0.1, 0.2]])
    mix = Mixture(charts, np.array([0, 1]), np.zeros(2, dtype=int), 0.3 * one, 0.7 * one[:, :, None], share)
    psi = np.linspace(-400.0, 400.0, 400_001)
    whole = 0.0
    for m in range(3):
        log_q = log_sum_exp(mix.log_terms(psi[:, None], np.full(len(psi), m)), axis=0)
        whole += np.trapezoid(np.exp(log_q), psi) / np.sqrt(2.0 * np.pi)
    assert abs(whole - 1.0) > 0.05 if forgotten else whole == pytest.approx(1.0, abs=1e-3)


def test_a_narrow_proposal_is_refused_and_the_tempered_sampler_answers(population, two_modes, monkeypatch):
    whole = reference.first_mixture

    def narrow(*asked, **how):
        made = whole(*asked, **how)
        return replace(made, factor=0.02 * made.factor)

    monkeypatch.setattr(reference, "first_mixture", narrow)
    monkeypatch.setattr(reference, "ROUNDS", 1)
    monkeypatch.setattr(mixture, "PRIOR", 1e-4)
    said, made = found(population, two_modes)
    p_none, _ = quadrature(population, {"population_draws": 100}, BEFORE, SHALLOW)
    assert made.refused.startswith("importance sampling: k-hat") and "effective of" in made.refused
    assert made.runs[0].info.path == "oracle" and made.verdict == "PASS"
    assert said["P(no response to drug)"].value == pytest.approx(p_none, abs=0.03)


def charts_of(rng, draws=3, size=2):
    """Charts with correlated axes, another for every population draw."""
    factor = np.tril(0.3 * rng.standard_normal((draws, size, size)))
    factor[:, range(size), range(size)] = rng.uniform(0.5, 2.0, (draws, size))
    log_det = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(1)
    return Chart(rng.standard_normal((draws, size)), factor, np.linalg.inv(factor), log_det)


def test_the_density_of_the_mixture_is_normalised_and_its_weights_find_a_known_normal():
    rng = np.random.default_rng(3)
    base, other = charts_of(rng), charts_of(rng)
    weight = np.array([0.6, 0.3, 0.1])
    m = rng.choice(3, 2000, p=weight)
    psi = base.back(rng.standard_normal((2000, 2)), m)
    made = mixture.first_mixture([base, other], psi, m, np.full(2000, 1 / 2000), rng)
    psi, m = made.drawn(rng, 40_000)
    target = np.log(weight[m]) - 0.5 * (base.of(psi, m) ** 2).sum(1) - base.log_det[m]
    ratio = np.exp(target - log_sum_exp(made.log_terms(psi, m), axis=0))
    assert ratio.mean() == pytest.approx(1.0, abs=4 * ratio.std() / 200)
    assert ratio.sum() ** 2 / (ratio**2).sum() > 0.7 * len(ratio)
    own = Weighted(psi[:, 0], psi[:, 0] ** 2, ratio)
    assert own.mean().value == pytest.approx(weight @ base.centre[:, 0], abs=4 * own.mean().error)


def test_an_sd_that_a_rare_tail_carries_is_known_to_be_unknown():
    rng = np.random.default_rng(5)
    x = rng.standard_normal(100_000)
    assert Weighted(x, x**2, np.ones(len(x))).sd_error_of(16_000) == pytest.approx(1 / np.sqrt(32_000), rel=0.05)
    x[:50] += 40.0
    assert Weighted(x, x**2, np.ones(len(x))).sd_error_of(16_000) > KNOWN


def test_a_mean_that_no_draw_of_the_twin_is_expected_to_reach_is_known_to_be_unknown():
    """A normal, forecasts spread over decades, a mode of one in a thousand, and a tail that is all of it."""
    rng, even = np.random.default_rng(5), np.ones(100_000)
    x, far = rng.standard_normal(100_000), np.arange(100_000) < 1000

    def unseen(values, weights=even):
        return Weighted(values, values**2, weights).mean_unseen_by(16_000)

    expected = 2.0 * stats.norm.pdf(stats.norm.isf(0.5 / 16_000)) / np.sqrt(2.0 / np.pi)
    assert unseen(x) == pytest.approx(expected, rel=0.2) and unseen(np.exp(3.0 * x)) < UNSEEN
    assert unseen(np.where(far, 1000.0, x), np.where(far, 0.1, 1.0)) < UNSEEN
    assert unseen(np.where(far, 1.0, 1e-15 * np.exp(x)), np.where(far, 1e-9, 1.0)) > 0.99
    assert unseen(np.ones(100_000)) == 0.0


def test_errors_of_weighted_draws_are_those_of_repeated_samples():
    rng, off = np.random.default_rng(4), []
    for _ in range(400):
        x = 1.5 * rng.standard_normal(500)
        own = Weighted(x, x**2, stats.norm.pdf(x) / stats.norm.pdf(x, scale=1.5))
        mean, sd = own.mean(), own.sd()
        off.append((mean.value / mean.error, (sd.value - 1.0) / sd.error))
    assert np.mean(np.square(off), axis=0) == pytest.approx(1.0, abs=0.25)
