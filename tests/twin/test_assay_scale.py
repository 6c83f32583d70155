"""A level measured in two laboratories, one with twice the error: posterior and expectation in closed form."""

from dataclasses import replace

import numpy as np
import pytest
from level_model import LEVEL, level_draws
from scipy import stats

from bayestwin.evaluation.replicates import replicates
from bayestwin.records import Cohort, Lab, PatientRecord
from bayestwin.specification import load_model
from bayestwin.twin import start_twin, update_twin

FACTOR = 2.0
LABS = tuple(
    Lab(f"l{n}", "m_protein", float(n), v, float(n), laboratory=where)
    for n, (v, where) in enumerate([(23.0, ""), (17.0, "south"), (18.0, "south"), (24.0, "north")])
)


@pytest.fixture(scope="module")
def population(tmp_path_factory, make_population):
    folder = tmp_path_factory.mktemp("models") / "two"
    folder.mkdir()
    source = LEVEL.replace("positive=False)", 'positive=False, assay_scale={"south": HalfNormal(sd=3)})')
    assert source != LEVEL
    (folder / "model.py").write_text(source, encoding="utf-8")
    draws = level_draws() | {"assay_scale_south_m_protein": np.full(100, FACTOR)}
    return make_population(load_model(folder), draws)


def exact(population, labs, sizes):
    """Mean and SD of the level: a mixture over the population draws."""
    hyper, _ = population.hyper_draws(sizes["population_draws"])
    theta, omega = np.asarray(hyper.typical[:, 0])[:, None], np.asarray(hyper.omega[:, 0])[:, None]
    y = np.array([lab.value for lab in labs])
    variance = np.array([(1.5 * (FACTOR if lab.laboratory == "south" else 1.0)) ** 2 for lab in labs])
    precision = (1 / omega**2).sum(axis=1) + (1 / variance).sum()
    mean = ((theta / omega**2)[:, 0] + (y / variance).sum()) / precision
    log_w = []
    for t, o in zip(theta[:, 0], omega[:, 0]):
        v = np.diag(variance) + o**2
        log_w.append(-0.5 * ((y - t) @ np.linalg.solve(v, y - t) + np.linalg.slogdet(v)[1]))
    w = np.exp(np.array(log_w) - max(log_w))
    w /= w.sum()
    centre = (w * mean).sum()
    return centre, np.sqrt((w * (1 / precision + (mean - centre) ** 2)).sum())


def mean_of(twin):
    return float((twin.weights * np.asarray(twin.particles.psi[:, 0])).sum())


def test_a_laboratory_s_labs_weigh_what_its_error_allows_and_a_corrected_laboratory_is_learnt_anew(population, sizes):
    record = PatientRecord("S-1", labs=LABS[:3])
    twin = start_twin(population, record, random_seed=1, **sizes)
    mean, sd = exact(population, LABS[:3], sizes)
    tolerance = 4 * max(twin.info.monte_carlo_error["level"], 0.02 * sd)
    assert abs(mean_of(twin) - mean) < tolerance
    elsewhere = tuple(replace(lab, laboratory="") for lab in LABS[:3])
    assert abs(exact(population, elsewhere, sizes)[0] - mean) > tolerance
    for where, factor in (("south", FACTOR), ("north", 1.0)):
        newer = record.with_labs((*record.labs, replace(LABS[3], laboratory=where)))
        _, info = update_twin(twin, newer, random_seed=2, population=population)
        spread = np.hypot(sd, 1.5 * factor)
        assert info.surprise[0].sd == pytest.approx(spread, rel=0.1)
        assert info.surprise[0].pit == pytest.approx(stats.norm.cdf(24.0, mean, spread), abs=0.04)
    moved, info = update_twin(twin, record.with_labs(elsewhere), random_seed=3, population=population)
    assert any("corrected" in reason for reason in info.reasons)
    assert abs(mean_of(moved) - exact(population, elsewhere, sizes)[0]) < tolerance
    same = tuple(replace(lab, laboratory=lab.laboratory or "north") for lab in LABS[:3])
    assert update_twin(twin, record.with_labs(same), random_seed=4, population=population)[0].updates == twin.updates


def test_replicates_of_a_laboratory_scatter_as_its_labs_do(population):
    found = replicates(population, Cohort((PatientRecord("S-1", labs=LABS),)), random_seed=1, count=3000).simulated
    residual = found.std(axis=0) ** 2 - np.cov(found[:, 0], found[:, 3])[0, 1]
    assert np.sqrt(residual) == pytest.approx(1.5 * np.array([1.0, FACTOR, FACTOR, 1.0]), rel=0.1)
