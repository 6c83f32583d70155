"""When things go wrong: particles without a solution, bridges not crossed, copies, twins that failed before."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from bayestwin.errors import FitError
from bayestwin.report.wording import banned_words
from bayestwin.twin import load_twin, predict_labs, rebuild_twin, rungs, smc, start_twin, update_twin
from bayestwin.twin.long_chain import Chains, _mixed


@pytest.fixture(scope="module")
def at_two(level_population, level_record, sizes):
    return start_twin(level_population, level_record((20.0, 21.0)), random_seed=1, **sizes)


def with_particles(twin, **parts):
    return replace(twin, particles=twin.particles._replace(**parts))


def test_a_particle_whose_solve_fails_does_not_poison_the_others(at_two, level_population, level_record):
    state = np.array(at_two.particles.state)
    state[::20] = np.nan  # every twentieth particle cannot be solved on from here
    record = level_record((20.0, 21.0, 20.5))
    healthy, _ = update_twin(at_two, record, random_seed=2, population=level_population)
    twin, info = update_twin(with_particles(at_two, state=state), record, random_seed=2)
    assert info.solver_failures == pytest.approx(0.05)
    assert "the solver gave up on 50 in 1,000 proposals" in info.reasons and not banned_words(" ".join(info.reasons))
    assert np.isfinite(twin.weights).all() and twin.weights.sum() == pytest.approx(1.0)
    assert twin.weights[::20].sum() == 0.0
    means = [(t.weights * np.asarray(t.particles.psi[:, 0])).sum() for t in (twin, healthy)]
    assert means[0] == pytest.approx(means[1], abs=0.15)
    assert all(np.isfinite([s.mean, s.sd, s.crps, s.log_score, s.pit]).all() for s in info.surprise)


def test_a_particle_that_failed_once_has_no_say_in_what_is_expected_next(at_two, level_record):
    """One of 800 made PIT, log score and factors of the next update no number, and that an alarm."""
    state = np.array(at_two.particles.state)
    state[0] = np.nan
    hurt, info = update_twin(with_particles(at_two, state=state), level_record((20.0, 21.0, 20.5)), random_seed=2)
    assert info.verdict == "PASS" and hurt.weights[0] == 0.0
    newer = level_record((20.0, 21.0, 20.5, 20.3))
    (lab,) = predict_labs(hurt, newer, random_seed=3)
    others = with_particles(hurt, labs=hurt.particles.labs.at[0].set(hurt.particles.labs[1]))  # weight 0 all the same
    (same,) = predict_labs(others, newer, random_seed=3)
    assert (lab.pit, lab.log_score, lab.tenfold_high) == (same.pit, same.log_score, same.tenfold_high)
    assert lab.alarm == ""
    for factors in ((np.nan, np.nan), (np.nan, -9.0), (-9.0, np.nan)):
        assert replace(lab, tenfold_high=factors[0], tenfold_low=factors[1]).alarm == ""


@pytest.mark.parametrize("make", [start_twin, rebuild_twin])
def test_islands_of_unequal_size_are_refused_with_the_patient_and_what_would_do(
    make, level_population, level_record, sizes
):
    record = level_record(())
    with pytest.raises(FitError, match="islands must be of equal size") as refused:
        make(level_population, record, **{**sizes, "particles": 10, "islands": 4}, random_seed=1)
    assert record.key in str(refused.value) and "Take 8 particles" in str(refused.value)


@pytest.mark.parametrize("make", [start_twin, rebuild_twin])
@pytest.mark.parametrize(("site", "value"), [("omega_level", -2.0), ("omega_level", np.nan), ("level_pop", np.inf)])
def test_a_population_with_a_draw_that_cannot_be_makes_no_twin(
    make, site, value, level_population, level_record, sizes
):
    tree = level_population.tree.copy(deep=True)
    tree["posterior"][site].values[0, 3] = value
    with pytest.raises(
        FitError, match=rf"{site}: this population holds 1 of 100 draws that cannot be \(found {value}\)"
    ):
        make(replace(level_population, tree=tree), level_record((20.0,)), random_seed=1, **sizes)


def test_copies_of_few_particles_are_withheld(at_two, level_record):
    psi = np.repeat(np.asarray(at_two.particles.psi)[::40], 40, axis=0)
    _, info = update_twin(with_particles(at_two, psi=psi), level_record((20.0, 21.0, 20.5)), random_seed=2)
    assert info.verdict == "WITHHELD" and "only 20 distinct particles" in info.reasons


def test_a_bridge_that_runs_out_of_stages_is_withheld(level_population, level_record, sizes, monkeypatch):
    monkeypatch.setattr(smc, "MAX_STAGES", 1)
    _, info = rebuild_twin(level_population, level_record((26.0, 26.5, 25.5, 26.0)), random_seed=3, **sizes)
    assert info.pareto_k == np.inf
    assert info.verdict == "WITHHELD" and "k-hat inf above 0.7" in info.reasons


def test_where_tempering_fails_nuts_finds_the_posterior_of_the_closed_form(
    level_population, level_record, exact_level, sizes, monkeypatch
):
    monkeypatch.setattr(smc, "MAX_STAGES", 1)
    values = (26.0, 26.5, 25.5, 26.0)
    twin = start_twin(level_population, level_record(values), random_seed=3, **sizes)
    said = " ".join(twin.info.reasons)
    assert twin.info.verdict == "PASS" and "NUTS in 4 chains" in said and "again with 4 times the particles" in said
    assert twin.particles.psi.shape[0] == twin.asked_size == sizes["particles"] and twin.info.ess > 200
    mean, sd, *_ = exact_level(values)
    level = np.asarray(twin.particles.psi[:, 0])
    assert level.mean() == pytest.approx(mean, abs=4 * twin.info.monte_carlo_error["level"])
    assert level.std() == pytest.approx(sd, rel=0.12)
    counts = np.bincount(np.asarray(twin.particles.draw), minlength=100)
    assert (counts > 0).sum() > 50  # the population draw moves too
    moved, info = update_twin(twin, level_record((*values, 25.8)), random_seed=4)
    assert info.verdict == "PASS" and info.path == "reweight"


def test_islands_that_disagree_are_moved_until_they_do_not(at_two, level_record, monkeypatch):
    apart = np.repeat(np.arange(4.0), at_two.particles.psi.shape[0] // 4)[:, None]  # an island each
    twin = with_particles(at_two, psi=np.asarray(at_two.particles.psi) + 2.0 * apart)
    monkeypatch.setattr(smc, "STAGE_SWEEPS", 1)
    monkeypatch.setattr(smc, "FINAL_SWEEPS", 1)
    record = level_record((20.0, 21.0, 20.5))
    moves, gaps = {}, {}
    for rounds in (0, 60):
        monkeypatch.setattr(smc, "MORE_ROUNDS", rounds)
        _, info = update_twin(twin, record, random_seed=2, rejuvenate_below=1.0)
        moves[rounds], gaps[rounds] = info.moves, info.island_agreement
    assert gaps[0] > 0.4 >= gaps[60] and moves[0] < moves[60] < moves[0] + 60


def test_two_classes_are_not_given_to_nuts(level_population, level_record, sizes, monkeypatch):
    monkeypatch.setattr(smc, "MAX_STAGES", 1)
    # without the rung of four times the particles, which the test of NUTS walks
    monkeypatch.setattr(rungs, "after", lambda info: ())
    record = level_record((20.0, 21.0, 16.7), drug_at=2.0)
    twin = start_twin(level_population, record, random_seed=3, **sizes)
    assert twin.info.verdict == "WITHHELD"
    assert "NUTS was not asked: two response classes are alive" in twin.info.reasons[-1]


def test_chains_that_disagree_diverge_or_creep_withhold(at_two):
    rng = np.random.default_rng(1)
    psi, none = rng.standard_normal((4, 250, 2)), np.zeros((4, 250), dtype=bool)
    draw = np.zeros((4, 250), dtype=int)

    def verdict(psi, diverging):
        info = _mixed(at_two.info, Chains(psi, draw, diverging), "k-hat inf")
        return info.verdict, " ".join(info.reasons)

    assert verdict(psi, none)[0] == "PASS"
    apart, slow = psi + np.arange(4)[:, None, None], np.cumsum(psi, axis=1)
    for given, diverging, said in ((apart, none, "disagree"), (slow, none, "ESS"), (psi, ~none, "diverged")):
        found = verdict(given, diverging)
        assert found[0] == "WITHHELD" and said in found[1]


def test_a_withheld_update_leaves_the_twin_where_it_stood(at_two, level_population, level_record):
    record = level_record((20.0, 21.0, 60.0))
    stuck, info = update_twin(at_two, record, random_seed=2)
    assert info.verdict == "WITHHELD" and "no population at hand for the from-scratch rung" in info.reasons
    assert stuck.record == at_two.record and stuck.particles is at_two.particles
    later, info = update_twin(stuck, level_record((20.0, 21.0, 60.0, 21.5)), random_seed=2)
    assert {s.lab_id for s in info.surprise} == {"m@3", "m@4"}  # the lab that was not learnt is still new


def test_a_withheld_twin_is_not_carried_on(at_two, level_population, level_record, sizes, apart):
    failed = replace(at_two, history=(replace(at_two.info, verdict="WITHHELD", reasons=("k-hat 0.9 above 0.7",)),))
    psi = np.asarray(at_two.particles.psi) + 3.0  # what failed is also wrong
    record = level_record((20.0, 21.0, 20.5))
    twin, info = update_twin(with_particles(failed, psi=psi), record, random_seed=2, population=level_population)
    assert info.path == "oracle" and "a twin that failed is not carried on" in info.reasons[0]
    oracle, _ = rebuild_twin(level_population, record, random_seed=5, **sizes)
    assert apart(twin, oracle, ("level",)) < 4.5


def test_without_a_population_a_twin_that_failed_stays_withheld(at_two, level_record):
    """It was carried on, and passed; one that a withheld update left where it stood is sound and is carried on."""
    failed = replace(at_two, history=(replace(at_two.info, verdict="WITHHELD", reasons=("k-hat 0.9 above 0.7",)),))
    twin = with_particles(failed, psi=np.asarray(at_two.particles.psi) + 3.0)
    for value in (20.5, 20.6):
        twin, info = update_twin(twin, level_record((20.0, 21.0, value)), random_seed=2)
        assert twin.failed and info.verdict == "WITHHELD" and twin.record == at_two.record
        assert "a twin that failed is not carried on" in info.reasons[0] and "no population at hand" in info.reasons[1]
        assert info.new_labs == 1 and info.surprise[0].value == value
    assert twin.updates == 2
    stood, info = update_twin(at_two, level_record((20.0, 21.0, 60.0)), random_seed=2)
    assert info.verdict == "WITHHELD" and info.stood and not stood.failed
    assert update_twin(stood, level_record((20.0, 21.0, 20.5)), random_seed=2)[1].verdict == "PASS"


def test_what_a_withheld_twin_expects_is_kept_so_that_scores_and_alarms_do_not_leave_its_labs_out(
    at_two, level_population, level_record, monkeypatch
):
    # One rung is enough for what was expected before it; others would compile for ten seconds.
    monkeypatch.setattr("bayestwin.twin.update.from_scratch", partial(rungs.from_scratch, once=True))
    failed = replace(at_two, history=(replace(at_two.info, verdict="WITHHELD", reasons=("k-hat 0.9 above 0.7",)),))
    newer = level_record((20.0, 21.0, 205.0))
    _, info = update_twin(failed, newer, random_seed=2, population=level_population)
    (lab,) = info.surprise
    assert info.new_labs == 1 and any("not carried on" in reason for reason in info.reasons)
    assert lab == predict_labs(failed, newer, random_seed=2)[0] and lab.alarm == "ten times too high"
    empty = with_particles(failed, log_weights=np.full(800, -np.inf))
    _, info = update_twin(empty, newer, random_seed=2, population=level_population)
    assert info.surprise == () and info.path == "oracle"


def test_predicting_labs_learns_nothing(at_two, level_population, level_record):
    record = level_record((20.0, 21.0, 20.5, 19.0))
    expected = predict_labs(at_two, record, random_seed=2)
    assert [s.lab_id for s in expected] == ["m@3", "m@4"]
    assert at_two.record == level_record((20.0, 21.0))
    _, info = update_twin(at_two, record, random_seed=2, population=level_population)
    assert [s.log_score for s in info.surprise] == pytest.approx([s.log_score for s in expected])


def test_after_a_rung_with_four_times_the_particles_the_next_update_goes_back(
    at_two, level_population, level_record, sizes, tmp_path, apart
):
    """Without that each failure multiplied the particles by four, without end."""
    far = (20.0, 21.0, 60.0)
    twin, info = update_twin(at_two, level_record(far), random_seed=2, population=level_population)
    assert info.path == "oracle" and twin.particles.psi.shape[0] == 4 * sizes["particles"]
    twin = load_twin(twin.save(tmp_path / "twin.nc"), twin.model)
    for n, value in enumerate((33.0, 34.0)):
        far = (*far, value)
        twin, info = update_twin(twin, level_record(far), random_seed=3 + n, population=level_population)
        assert info.verdict == "PASS" and twin.particles.psi.shape[0] == sizes["particles"]
    oracle, _ = rebuild_twin(level_population, level_record(far), random_seed=9, **sizes)
    assert apart(twin, oracle, ("level",)) < 4.5
    again, _ = update_twin(twin, level_record((*far, 90.0)), random_seed=6, population=level_population)
    assert again.particles.psi.shape[0] == 4 * sizes["particles"]
