"""feedback=False: the mean over population draws of p(psi | draw, labs), whose labs do not weigh the draws."""

import numpy as np
import pytest
from level_model import as_population, level_draws, write_untreated_level_model

from bayestwin.errors import FitError
from bayestwin.specification import load_model
from bayestwin.twin import load_twin, rebuild_twin, start_twin, update_twin
from bayestwin.twin.oracle import draws_in_each_island
from bayestwin.twin.particles import normalised, systematic, within_draws
from bayestwin.twin.state import CUT

FAR = (28.0, 27.0, 29.0, 27.5)  # 8 g/L from the typical: the labs would move the draws by 0.6 of their SD
SIZES = {"particles": 1600, "islands": 4, "population_draws": 400}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """400 draws of the untreated level model."""
    model = load_model(write_untreated_level_model(tmp_path_factory.mktemp("models") / "level"))
    return as_population(model, {k: v for k, v in level_draws(400).items() if k in ("level_pop", "omega_level")})


def exact(population, values, draws, *, feedback):
    """Mean and SD of the level, mean of its typical value, in closed form."""
    take = population.hyper_draws(draws)[1]
    theta, omega = (population.posterior[k].values.ravel()[take] for k in ("level_pop", "omega_level"))
    y = np.asarray(values)
    precision = 1 / omega**2 + len(y) / 1.5**2
    mean = (theta / omega**2 + y.sum() / 1.5**2) / precision
    log = -0.5 * (np.log(omega**2 * precision) + theta**2 / omega**2 - mean**2 * precision)
    share = np.exp(log - log.max()) if feedback else np.ones(draws)
    share /= share.sum()
    return share @ mean, np.sqrt(share @ (1 / precision + mean**2) - (share @ mean) ** 2), share @ theta


def found(population, twin):
    level, take = np.asarray(twin.particles.psi[:, 0]), population.hyper_draws(twin.population.draws)[1]
    theta = population.posterior["level_pop"].values.ravel()[take][np.asarray(twin.particles.draw)]
    mean = twin.weights @ level
    return mean, np.sqrt(twin.weights @ (level - mean) ** 2), twin.weights @ theta


def lab_by_lab(population, record):
    twin = start_twin(population, record.with_labs(()), random_seed=2, feedback=False, **SIZES)
    for seen in range(1, len(record.labs) + 1):
        newer = record.with_labs(record.labs[:seen])
        twin, _ = update_twin(twin, newer, random_seed=seen, population=population)
    return twin


def test_at_once_and_lab_by_lab_equal_the_closed_form(many, level_record, tmp_path):
    record = level_record(FAR)
    for twin in (start_twin(many, record, random_seed=1, feedback=False, **SIZES), lab_by_lab(many, record)):
        draws, error = twin.population.draws, twin.info.monte_carlo_error["level"]
        mean, sd, typical = exact(many, FAR, draws, feedback=False)
        mine = found(many, twin)
        assert draws == 50 and twin.info.verdict == "PASS" and CUT in twin.info.reasons
        assert mine[0] == pytest.approx(mean, abs=4 * error) and 4 * error < 0.2 * sd
        assert mine[1] == pytest.approx(sd, rel=0.06)
        assert mine[2] == pytest.approx(typical, abs=1e-9)  # every draw weighs the same
        assert exact(many, FAR, draws, feedback=True)[0] > mean + 0.3 * sd  # what feedback would say
    again = load_twin(twin.save(tmp_path / "twin.nc"), many.model)
    assert again.feedback is False


def test_a_retraction_and_the_anchor_stay_cut(many, level_record):
    record, twin = level_record(FAR), lab_by_lab(many, level_record(FAR))
    fewer, info = update_twin(twin, record.with_labs(record.labs[1:]), random_seed=3, population=many)
    assert not fewer.feedback and CUT in info.reasons and info.path == "oracle"
    assert found(many, fewer)[2] == pytest.approx(exact(many, FAR[1:], 50, feedback=False)[2], abs=1e-9)
    anchored, info = update_twin(fewer, record, random_seed=4, population=many, anchor_every=1)
    assert info.anchor_gap is not None and not anchored.feedback
    assert found(many, anchored)[2] == pytest.approx(exact(many, FAR, 50, feedback=False)[2], abs=1e-9)


def test_with_two_response_classes_each_draw_keeps_its_weight(level_population, level_record):
    record = level_record((20.0, 20.5, 12.5, 12.0), drug_at=2.5)
    twin = start_twin(level_population, record, random_seed=1, feedback=False, **SIZES)
    share = np.bincount(np.asarray(twin.particles.draw), weights=twin.weights)
    np.testing.assert_allclose(share, 1 / twin.population.draws)
    assert twin.info.verdict == "PASS" and twin.response_probability()["drug"] < 0.05


def test_who_cannot_be_cut_is_told(many, level_record, level_population):
    with pytest.raises(FitError, match="808.*a multiple of 320"):
        rebuild_twin(many, level_record(FAR), particles=808, islands=4, random_seed=1, feedback=False)
    assert [draws_in_each_island(4000, 8, 400), draws_in_each_island(16000, 8, 50)] == [50, 50]


def test_weights_within_draws_and_resampling_that_keeps_their_number():
    rng = np.random.default_rng(1)
    draw = np.concatenate([rng.permutation(np.arange(40) % 5) for _ in range(2)])
    weights = within_draws(rng.normal(0, 3, 80), 2, draw)
    assert np.allclose(np.bincount(draw, np.exp(weights)), 2.0)
    kept = systematic(rng, normalised(weights, 2), 2, draw=draw)
    assert (np.bincount(draw[kept[:40]]) == 8).all() and (kept[:40] < 40).all() and (kept[40:] >= 40).all()
    lost = within_draws(np.where(draw == 3, -np.inf, 0.0), 2, draw)
    assert np.isneginf(lost[draw == 3]).all() and np.isfinite(lost[draw != 3]).all()
