"""Response classes: a bimodal posterior against quadrature, and neither class dies."""

import numpy as np
import pytest
from scipy import stats

from bayestwin.twin import rebuild_twin, start_twin, update_twin


def quadrature(population, sizes, values_before, values_after):
    """P(non-responder), and mean of the effect, by sums over draws, classes and a grid of levels."""
    hyper, _ = population.hyper_draws(sizes["population_draws"])
    theta, omega = np.asarray(hyper.typical), np.asarray(hyper.omega)
    level, effect = np.linspace(5, 35, 241)[:, None], np.linspace(0, 16, 161)[None, :]
    by_class = np.zeros(2)
    effect_sum = 0.0
    for m in range(len(theta)):
        p_none = 1 / (1 + np.exp(-theta[m, 3]))
        prior = stats.norm.pdf(level, theta[m, 0], omega[m, 0]) * stats.norm.pdf(effect, theta[m, 1], omega[m, 1])
        for y in values_before:
            prior = prior * stats.norm.pdf(y, level, 1.5)
        for c, (chance, drop) in enumerate(((1 - p_none, effect), (p_none, theta[m, 2]))):
            joint = chance * prior
            for y in values_after:
                joint = joint * stats.norm.pdf(y, level - drop, 1.5)
            by_class[c] += joint.sum()
            effect_sum += (joint * effect).sum()
    return by_class[1] / by_class.sum(), effect_sum / by_class.sum()


BEFORE, AFTER = (20.0, 21.0), (16.7,)  # between "fell by 8" and "did not fall": both classes explain it


@pytest.fixture(scope="module")
def both(level_population, level_record, sizes):
    start = start_twin(level_population, level_record(BEFORE), random_seed=1, **sizes)
    record = level_record((*BEFORE, *AFTER), drug_at=2.0)
    moved, _ = update_twin(start, record, random_seed=2, population=level_population)
    return moved, rebuild_twin(level_population, record, random_seed=3, **sizes)[0]


@pytest.mark.parametrize("which", [0, 1], ids=["updated", "from scratch"])
def test_two_modes_have_the_weights_of_quadrature(both, level_population, sizes, which):
    p_none, effect = quadrature(level_population, sizes, BEFORE, AFTER)
    assert 0.2 < p_none < 0.8
    twin = both[which]
    assert twin.response_probability()["drug"] == pytest.approx(p_none, abs=0.04)
    mean = float((twin.weights * np.asarray(twin.particles.psi[:, 1])).sum())
    assert mean == pytest.approx(effect, abs=max(4 * twin.info.monte_carlo_error["effect"], 0.03))


DEEP, RELAPSE = (12.0, 12.5, 11.0), (21.0, 21.5, 20.5, 21.0, 20.0, 21.0)


@pytest.fixture(scope="module")
def responding(level_population, level_record, sizes):
    """A twin after a deep response: the non-responder class is far out, and no particle lies where it would."""
    record = level_record((*BEFORE, *AFTER, *DEEP), drug_at=2.0)
    return start_twin(level_population, record, random_seed=1, **sizes)


def test_neither_class_can_die_in_any_particle(responding):
    assert 0.0 < responding.response_probability()["drug"] < 1e-6
    assert responding.particles.labs.shape[1] == 2
    assert np.isfinite(np.asarray(responding.particles.labs)).all()


@pytest.mark.slow
def test_a_mode_that_died_is_found_again_or_the_twin_is_withheld(responding, level_population, level_record, sizes):
    record = level_record((*BEFORE, *AFTER, *DEEP, *RELAPSE), drug_at=2.0)
    exact, _ = quadrature(level_population, sizes, BEFORE, (*AFTER, *DEEP, *RELAPSE))
    back, info = update_twin(responding, record, random_seed=9, population=level_population)
    assert "a mode may have been lost: m_protein at 7" in "; ".join(info.reasons)
    assert info.path == "oracle"
    assert exact > 0.8 and back.response_probability()["drug"] == pytest.approx(exact, abs=0.05)


@pytest.mark.validate
def test_where_nobody_looks_for_a_lost_mode_proposals_fitted_to_half_of_the_particles_find_it(
    responding, level_population, level_record, sizes, monkeypatch
):
    record = level_record((*BEFORE, *AFTER, *DEEP, *RELAPSE), drug_at=2.0)
    exact, _ = quadrature(level_population, sizes, BEFORE, (*AFTER, *DEEP, *RELAPSE))
    monkeypatch.setattr("bayestwin.twin.update.ALL_BUT_IMPOSSIBLE", 0.0)  # the check that sees it, taken away
    gaps = {halves: [] for halves in (1, 2)}
    for parts, found in gaps.items():
        monkeypatch.setattr("bayestwin.twin.mover.halves", lambda *_, parts=parts: parts)
        for seed in range(9, 14):
            blind, info = update_twin(responding, record, random_seed=seed)
            if info.verdict == "PASS":
                found.append(abs(blind.response_probability()["drug"] - exact))
            if parts == 1 and max(found, default=0.0) > 0.2:  # one seed shows the fault
                break
    assert max(gaps[1]) > 0.2  # proposals fitted to all particles: islands that agree, and are wrong
    assert max(gaps[2]) < 0.12


def test_retracting_the_lab_that_had_decided_between_two_modes_gives_both_back(
    level_population, level_record, sizes, both
):
    """The one lab that ruled the non-responders out is withdrawn: from scratch, and from the twin before it."""
    decided, _ = update_twin(
        both[0], level_record((*BEFORE, *AFTER, DEEP[0]), drug_at=2.0), random_seed=5, population=level_population
    )
    assert decided.response_probability()["drug"] < 0.02
    record = level_record((*BEFORE, *AFTER), drug_at=2.0)
    exact, _ = quadrature(level_population, sizes, BEFORE, AFTER)
    how = {"random_seed": 6, "population": level_population, "allow_older": True}
    for earlier in ((), (both[0],)):
        back, info = update_twin(decided, record, earlier=earlier, **how)
        assert "retracted" in info.reasons[0] and info.verdict == "PASS"
        assert back.response_probability()["drug"] == pytest.approx(exact, abs=0.04)


def test_a_class_of_a_treatment_not_started_is_not_spoken_of(level_population, level_record, sizes):
    twin = start_twin(level_population, level_record(BEFORE), random_seed=1, **sizes)
    assert twin.response_probability() == {}
    assert twin.particles.labs.shape[1] == 1
