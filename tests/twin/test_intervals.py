"""Labs between two limits in a twin: a level with Student-t errors, by quadrature over level and population draws.

Lab by lab, from scratch and after a correction; what was expected of each lab before it was learnt.
"""

from dataclasses import replace

import numpy as np
import pytest
from level_model import LEVEL, level_draws
from scipy import stats

from bayestwin.records import Lab, PatientRecord
from bayestwin.specification import load_model
from bayestwin.twin import load_twin, rebuild_twin, start_twin, update_twin
from bayestwin.twin.surprise import pit_of

SCALE, NU = 1.5, 4
LAW = stats.t(NU, scale=SCALE)
GRID = np.linspace(5.0, 35.0, 601)
LABS = (
    Lab("a", "m_protein", 1.0, 21.0, 1.0, "interval", 24.0),
    Lab("b", "m_protein", 2.0, 23.5, 2.0),
    Lab("c", "m_protein", 3.0, 24.0, 3.0, "interval", 24.5),
    Lab("d", "m_protein", 4.0, 26.0, 4.0, "interval", 60.0),
)


@pytest.fixture(scope="module")
def population(tmp_path_factory, make_population):
    folder = tmp_path_factory.mktemp("models") / "heavy"
    folder.mkdir()
    error = f"Additive(sd=Fixed(value={SCALE}), nu={NU})"
    source = LEVEL.replace("Additive(sd=Fixed(value=1.5))", error)
    (folder / "model.py").write_text(source, encoding="utf-8")
    assert error in source
    return make_population(load_model(folder), level_draws())


@pytest.fixture(scope="module")
def exact(population, sizes):
    """exact(labs) -> mean, SD of the level, ln evidence, its density (GRID,), all given labs."""
    hyper, _ = population.hyper_draws(sizes["population_draws"])
    prior = stats.norm.pdf(GRID[:, None], np.asarray(hyper.typical[:, 0]), np.asarray(hyper.omega[:, 0])).mean(axis=1)

    def of(labs):
        density = prior.copy()
        for lab in labs:
            density = density * (
                LAW.pdf(lab.value - GRID)
                if lab.upper is None
                else LAW.cdf(lab.upper - GRID) - LAW.cdf(lab.value - GRID)
            )
        mass = np.trapezoid(density, GRID)
        density = density / mass
        mean = np.trapezoid(GRID * density, GRID)
        return mean, np.sqrt(np.trapezoid((GRID - mean) ** 2 * density, GRID)), np.log(mass), density

    return of


def record(labs):
    return PatientRecord("I-1", labs=tuple(labs))


@pytest.fixture(scope="module")
def followed(population, sizes):
    """Twin after each lab, from none on."""
    twins = [start_twin(population, record(()), random_seed=1, **sizes)]
    for n in range(1, len(LABS) + 1):
        twins.append(update_twin(twins[-1], record(LABS[:n]), random_seed=2, population=population)[0])
    return twins


def moments(twin):
    x, w = np.asarray(twin.particles.psi[:, 0]), twin.weights
    mean = (w * x).sum()
    return float(mean), float(np.sqrt((w * (x - mean) ** 2).sum()))


def test_mean_sd_and_evidence_are_those_of_quadrature_lab_by_lab_and_from_scratch(followed, exact, population, sizes):
    scratch, _ = rebuild_twin(population, record(LABS), random_seed=3, **sizes)
    mean, sd, evidence, _ = exact(LABS)
    for twin in (followed[-1], scratch):
        found_mean, found_sd = moments(twin)
        assert abs(found_mean - mean) < 4 * max(twin.info.monte_carlo_error["level"], 0.02 * sd)
        assert found_sd == pytest.approx(sd, rel=0.12)  # SD of an SD from 300 effective particles is 4 %
        found = sum(info.log_evidence for info in twin.history)
        error = np.sqrt(sum(info.log_evidence_error**2 for info in twin.history))
        assert abs(found - evidence) < 4 * max(error, 0.02)
    for wrong in ("value", "limit"):  # an interval taken for one of its ends would be seen
        taken = [replace(lab, value=getattr(lab, wrong), censoring="none") if lab.upper else lab for lab in LABS]
        assert abs(exact(taken)[2] - evidence) > 1.0


def test_what_was_expected_of_an_interval_is_its_probability_and_the_scores_beyond_it(followed, exact):
    for n, lab in enumerate(LABS):
        density = exact(LABS[:n])[3]

        def cdf(x, density=density):
            return np.trapezoid(density * LAW.cdf(np.asarray(x)[..., None] - GRID), GRID, axis=-1)

        (surprise,) = followed[n + 1].info.surprise
        assert surprise.upper == lab.upper and surprise.value == lab.value
        if lab.upper is None:
            continue
        low, high = cdf(lab.value), cdf(lab.upper)
        assert surprise.log_score == pytest.approx(np.log(high - low), abs=0.1)
        assert low - 0.04 < surprise.pit < high + 0.04
        assert surprise.ends == surprise.interval_range == pytest.approx((low, high), abs=0.04)
        drawn_far_out = replace(surprise, pit=0.0003)  # where in its interval is chance, and no alarm
        assert drawn_far_out.tail == surprise.tail == min(surprise.ends[1], 1.0 - surprise.ends[0])
        assert surprise.tenfold_high is None and not surprise.alarm
        below, above = np.linspace(-30.0, lab.value, 400), np.linspace(lab.upper, 90.0, 400)
        expected = np.trapezoid(cdf(below) ** 2, below) + np.trapezoid((1 - cdf(above)) ** 2, above)
        assert surprise.crps == pytest.approx(expected, abs=0.08)


def test_a_corrected_upper_end_is_learnt_anew_and_a_twin_keeps_its_intervals(followed, exact, population, tmp_path):
    corrected = (*LABS[:3], replace(LABS[3], limit=27.0))
    followed[-1].save(tmp_path / "twin.nc")
    kept = load_twin(tmp_path / "twin.nc", model=population.model)
    assert kept.record.labs == LABS and kept.info.surprise == followed[-1].info.surprise
    assert update_twin(kept, record(LABS), random_seed=4, population=population)[0].updates == kept.updates
    twin, info = update_twin(kept, record(corrected), random_seed=4, population=population)
    assert any("m_protein at 4 corrected" in reason for reason in info.reasons)
    mean, sd, *_ = exact(corrected)
    assert abs(moments(twin)[0] - mean) < 4 * max(twin.info.monte_carlo_error["level"], 0.02 * sd)


def test_the_pit_of_an_interval_is_uniform_between_the_probabilities_of_its_ends():
    u = np.random.default_rng(1).random(300)
    assert stats.kstest([pit_of((0.2, 0.7), "interval", one) for one in u], stats.uniform(0.2, 0.5).cdf).pvalue > 0.01
