"""The move between population draws and response classes, and the normal approximation it rests on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from test_classes import AFTER, BEFORE, quadrature

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.individual import compile_record
from bayestwin.twin.laplace import _Linear, gauss_newton, normals_by_draw
from bayestwin.twin.mover import Cloud, Mover
from bayestwin.twin.moves import BETWEEN, Guide, sweep
from bayestwin.twin.particles import normalised, population_for
from bayestwin.twin.target import evaluator

VALUES = (22.0,)  # one lab: the SD of the level differs from draw to draw
SHALLOW = (17.2, 16.8, 17.1, 16.9)  # a small effect, or a low level and no response


@pytest.fixture(scope="module")
def patient(level_population, sizes):
    """patient(record) -> model, evaluator, population draws and data of a patient of the level model."""

    def make(record):
        model = level_population.model
        with jax.enable_x64(True):
            data = jax.tree.map(jnp.asarray, compile_record(model, record))
            hyper, _ = level_population.hyper_draws(sizes["population_draws"])
            return model, evaluator(model, NO_GRADIENT), population_for(model, hyper, data.terms), data

    return make


def exact_by_draw(population):
    """Mean and SD of the level under each draw given VALUES, and the weights of the draws: the conjugate normal."""
    theta, omega, y = np.asarray(population.typical[:, 0]), np.asarray(population.scale[:, 0, 0]), np.array(VALUES)
    precision = 1 / omega**2 + len(y) / 1.5**2
    mean = (theta / omega**2 + y.sum() / 1.5**2) / precision
    log_w = -np.log(omega) - 0.5 * np.log(precision) + 0.5 * precision * mean**2 - 0.5 * theta**2 / omega**2
    w = np.exp(log_w - log_w.max())
    return mean, precision**-0.5, w / w.sum()


def test_where_the_model_is_linear_and_normal_the_approximation_is_exact(patient, level_record):
    model, _, population, data = patient(level_record(VALUES))
    mean, sd, weights = exact_by_draw(population)
    draws, size = population.mean.shape
    with jax.enable_x64(True):
        slopes = np.zeros((draws, len(data.value), size))
        slopes[:, :, 0] = 1.0
        level = jnp.full((draws, size), 15.0)
        around = _Linear(
            level, jnp.full((draws, len(data.value)), 15.0), jnp.asarray(slopes), jnp.zeros(draws), jnp.arange(draws)
        )
        found = gauss_newton(model, around, population, data)
    assert np.asarray(found.centre[:, 0]) == pytest.approx(mean, abs=1e-9)
    assert np.asarray(found.factor[:, 0, 0]) == pytest.approx(sd, abs=1e-9)
    gap = np.asarray(found.evidence) - np.log(weights)
    assert gap == pytest.approx(gap[0], abs=1e-8)


def moved_between(patient, psi, draw, times):
    """psi (P, D), draw (P,) and P(class) (P, C) after so many moves, and the least acceptance."""
    model, evaluate, population, data = patient
    with jax.enable_x64(True):
        psi, draw, rates = jnp.asarray(psi), jnp.asarray(draw), []
        pieces = evaluate(psi, draw, population, data, 0.0)
        normals = normals_by_draw(model, evaluate, psi, draw, pieces, population, data, 0.0, jax.random.key(0))
        cloud = psi, draw, pieces, jnp.zeros(pieces.alive.shape)
        for number in range(times):
            at_the_target = (0.0, jnp.asarray(1.0), (Guide(None, None, normals),), 0.0)
            *cloud, rate, _ = sweep(model, NO_GRADIENT)(
                BETWEEN, jax.random.key(number), *cloud, population, data, *at_the_target, from_scratch=True
            )
            rates.append(float(rate))
        joint = cloud[2].log_class + cloud[2].rows.sum(-1)
        return np.asarray(cloud[0]), np.asarray(cloud[1]), np.asarray(jax.nn.softmax(joint, axis=-1)), min(rates)


def test_from_one_population_draw_the_move_finds_the_weights_of_all(patient, level_record, sizes):
    """Every particle starts under the least likely draw; psi is the exact posterior given it."""
    made = patient(level_record(VALUES))
    population = made[2]
    mean, sd, weights = exact_by_draw(population)
    rng, size, worst = np.random.default_rng(1), 20 * sizes["particles"], int(np.argmin(weights))
    psi = np.asarray(population.mean)[worst] + rng.standard_normal((size, 2)) * np.diag(population.scale[worst])
    psi[:, 0] = mean[worst] + sd[worst] * rng.standard_normal(size)
    psi, draw, _, accepted = moved_between(made, psi, np.full(size, worst), 8)
    assert accepted > 0.6
    for statistic in (mean, np.log(sd)):
        exact = weights @ statistic
        error = np.sqrt(weights @ (statistic - exact) ** 2 / size)
        assert statistic[draw].mean() == pytest.approx(exact, abs=4 * error)
    centre = weights @ mean
    exact_sd = np.sqrt(weights @ (sd**2 + (mean - centre) ** 2))
    assert psi[:, 0].mean() == pytest.approx(centre, abs=5 * exact_sd / np.sqrt(size))
    assert psi[:, 0].std() == pytest.approx(exact_sd, rel=0.03)


def exact_sample(population, record, size, rng):
    """psi (P, 2) and draw (P,) from the posterior of two classes on a grid, and the exact P(non-responder)."""
    level, effect = np.linspace(12, 28, 161), np.linspace(2, 13, 111)
    before = [lab.value for lab in record.labs if lab.time <= 2.0]
    after = [lab.value for lab in record.labs if lab.time > 2.0]
    theta, mean, scale = (np.asarray(a) for a in (population.typical, population.mean, population.scale))
    by_class = np.zeros((2, len(theta), len(level), len(effect)))
    for m in range(len(theta)):
        prior = np.outer(
            stats.norm.pdf(level, mean[m, 0], scale[m, 0, 0]) * stats.norm.pdf(before, level[:, None], 1.5).prod(1),
            stats.norm.pdf(effect, mean[m, 1], scale[m, 1, 1]),
        )
        p_none = 1 / (1 + np.exp(-theta[m, 3]))
        for c, (chance, drop) in enumerate(((1 - p_none, effect), (p_none, np.full(len(effect), theta[m, 2])))):
            left = level[:, None] - drop
            by_class[c, m] = chance * prior * np.prod([stats.norm.pdf(y, left, 1.5) for y in after], axis=0)
    joint = by_class.sum(axis=0).ravel()
    m, i, j = np.unravel_index(rng.choice(len(joint), size, p=joint / joint.sum()), by_class.shape[1:])
    step = np.array([level[1] - level[0], effect[1] - effect[0]])
    psi = np.stack([level[i], effect[j]], axis=1) + step * rng.uniform(-0.5, 0.5, (size, 2))
    return psi, m, float(by_class[1].sum() / by_class.sum())


@pytest.mark.parametrize("after", [SHALLOW, AFTER], ids=["modes apart", "modes overlap"])
def test_an_exact_sample_of_two_classes_stays_exact(patient, level_record, sizes, after):
    record = level_record((*BEFORE, *after), drug_at=2.0)
    made = patient(record)
    size = 20 * sizes["particles"]
    psi, draw, p_none = exact_sample(made[2], record, size, np.random.default_rng(4))
    _, _, classes, accepted = moved_between(made, psi, draw, 6)
    assert accepted > 0.3
    assert classes[:, 1].mean() == pytest.approx(p_none, abs=4 * classes[:, 1].std() / np.sqrt(size))


@pytest.mark.parametrize("lost", [0, 1], ids=["responders lost", "non-responders lost"])
def test_a_mode_without_particles_gets_its_weight_back(patient, level_record, level_population, sizes, lost):
    model, evaluate, population, data = patient(level_record((*BEFORE, *SHALLOW), drug_at=2.0))
    p_none, _ = quadrature(level_population, sizes, BEFORE, SHALLOW)
    assert 0.2 < p_none < 0.8
    rng, size = np.random.default_rng(2), sizes["particles"]
    with jax.enable_x64(True):
        centre = np.array([(18.2, 8.0), (20.8, 5.2)][lost])  # the other class's mode: (level, effect)
        psi = jnp.asarray(centre + 0.3 * rng.standard_normal((size, 2)))
        draw = jnp.asarray(rng.integers(len(population.log_det), size=size))
        pieces = evaluate(psi, draw, population, data, 0.0)
        even = normalised(np.zeros(size), sizes["islands"])
        mover = Mover(model, NO_GRADIENT, population, data, 0.0, sizes["islands"], True, jax.random.key(3))
        cloud = Cloud(psi, draw, pieces, jnp.zeros(pieces.alive.shape))
        for _ in range(3):
            cloud = mover.move(cloud, even, 1.0, 18, between=True)
        joint = cloud.pieces.log_class + cloud.pieces.rows.sum(-1)
        share = float(np.asarray(jax.nn.softmax(joint, axis=-1))[:, 1].mean())
    assert share == pytest.approx(p_none, abs=0.06)
