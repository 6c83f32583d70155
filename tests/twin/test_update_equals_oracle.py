"""Promise 2, update equals batch: any order, any number of steps, retractions and corrections."""

from dataclasses import replace

import numpy as np
import pytest

from bayestwin.errors import FitError, RecordError
from bayestwin.twin import rebuild_twin, rungs, start_twin, update_twin

pytestmark = pytest.mark.slow  # compiles theophylline once


def follow(world, record, order, sizes, seed=11):
    """Learn the labs of a record one by one in the given order."""
    twin = start_twin(world.population, record.with_labs(()), random_seed=seed, **sizes)
    twins = [twin]
    for n in range(1, len(order) + 1):
        known = record.with_labs([record.labs[k] for k in order[:n]])
        twin, _ = update_twin(twin, known, random_seed=seed, population=world.population)
        twins.append(twin)
    return twins


@pytest.fixture(scope="module")
def followed(theophylline, sizes):
    return follow(theophylline, theophylline.patients[0], range(7), sizes)


@pytest.fixture(scope="module")
def oracle(theophylline, sizes):
    return rebuild_twin(theophylline.population, theophylline.patients[0], random_seed=21, **sizes)[0]


def spreads(twin):
    x, w = np.asarray(twin.particles.psi), twin.weights[:, None]
    return np.sqrt((w * (x - (w * x).sum(0)) ** 2).sum(0))


def test_lab_by_lab_equals_the_oracle(followed, oracle, apart):
    assert followed[-1].info.verdict == oracle.info.verdict == "PASS"
    assert apart(followed[-1], oracle, ("ka", "CL", "V")) < 4.5
    assert spreads(followed[-1]) == pytest.approx(spreads(oracle), rel=0.2)
    assert {t.info.path for t in followed} >= {"reweight", "rejuvenate"}  # both rungs were walked


def test_evidence_of_the_steps_adds_up_to_the_oracle_s(followed, oracle):
    total = sum(info.log_evidence for info in followed[-1].history)
    error = np.sqrt(sum(i.log_evidence_error**2 for i in (*followed[-1].history, oracle.info)))
    assert abs(total - oracle.info.log_evidence) < 4 * max(error, 0.05)


def test_the_order_in_which_labs_arrive_does_not_matter(theophylline, sizes, oracle, apart):
    late = follow(theophylline, theophylline.patients[0], [3, 0, 6, 1, 5, 2, 4], sizes)[-1]
    assert late.info.verdict == "PASS"
    assert late.time == oracle.time
    assert apart(late, oracle, ("ka", "CL", "V")) < 4.5
    assert spreads(late) == pytest.approx(spreads(oracle), rel=0.2)


def test_a_retraction_restarts_and_equals_the_oracle(theophylline, followed, sizes, apart):
    record = theophylline.patients[0]
    shorter = record.with_labs([lab for k, lab in enumerate(record.labs) if k != 2])
    twin, info = update_twin(
        followed[-1], shorter, random_seed=12, population=theophylline.population, earlier=tuple(followed[:-1])
    )
    assert info.reasons[0].startswith("restart from the twin of update 2: concentration at")
    assert "retracted" in info.reasons[0]
    fresh, _ = rebuild_twin(theophylline.population, shorter, random_seed=22, **sizes)
    assert apart(twin, fresh, ("ka", "CL", "V")) < 4.5


def test_a_tenfold_error_corrected_restarts_and_forgets_the_error(
    theophylline, followed, sizes, oracle, apart, monkeypatch
):
    # Rungs that test_failures.py walks, and that would compile for most of a minute here.
    monkeypatch.setattr(rungs, "by_long_chains", lambda twin, info, **_: (twin, info))
    monkeypatch.setattr("bayestwin.twin.rungs.MORE", 1)
    record = theophylline.patients[0]
    labs = list(record.labs)
    labs[5] = replace(labs[5], value=labs[5].value * 10)
    wrong, _ = update_twin(followed[5], record.with_labs(labs[:6]), random_seed=13, population=theophylline.population)
    assert apart(wrong, followed[5], ("ka", "CL", "V")) > 6  # the error was learnt
    mended, info = update_twin(wrong, record, random_seed=14, population=theophylline.population)
    assert "restart from scratch" in info.reasons[0] and "corrected" in info.reasons[0]
    assert apart(mended, oracle, ("ka", "CL", "V")) < 4.5
    with pytest.raises(FitError, match="record changed in its past .*corrected.* population= of update_twin"):
        update_twin(wrong, record, random_seed=14)


@pytest.mark.parametrize("what", ["dose", "covariate"])
def test_a_dose_or_covariate_corrected_in_the_past_equals_the_oracle(
    theophylline, followed, sizes, oracle, apart, what
):
    """The patient was given half as much again, or weighed half as much again, as the record had said."""
    record = theophylline.patients[0]
    doses = tuple(replace(dose, amount=1.5 * dose.amount) for dose in record.doses)
    heavier = dict(record.covariates) | {"weight_kg": 1.5 * record.covariates["weight_kg"]}
    corrected = replace(record, doses=doses) if what == "dose" else replace(record, covariates=heavier)
    twin, info = update_twin(followed[-1], corrected, random_seed=15, population=theophylline.population)
    assert info.verdict == "PASS" and info.reasons[0].startswith("restart from scratch")
    fresh, _ = rebuild_twin(theophylline.population, corrected, random_seed=25, **sizes)
    assert apart(twin, fresh, ("ka", "CL", "V")) < 4.5
    assert apart(twin, oracle, ("ka", "CL", "V")) > 6  # and another posterior than before


def test_the_unchanged_record_returns_the_same_twin(theophylline, followed):
    same, info = update_twin(followed[-1], followed[-1].record, random_seed=99)
    assert same.particles is followed[-1].particles
    assert info is followed[-1].info and same.updates == followed[-1].updates


def test_back_to_what_an_earlier_twin_saw_nothing_is_learnt_a_second_time(theophylline, followed):
    record = theophylline.patients[0]
    without = record.with_labs(record.labs[:-1])
    back = {"population": theophylline.population, "earlier": tuple(followed[:-1]), "allow_older": True}
    twin, info = update_twin(followed[-1], without, random_seed=12, **back)
    assert info.reasons[0].startswith("restart from the twin of update")
    assert info.surprise == () and info.new_labs == 0 and len(twin.record.labs) == len(record.labs) - 1


def test_another_patient_s_record_is_refused_with_both_keys(theophylline, followed):
    first, second = theophylline.patients
    with pytest.raises(
        RecordError, match=f"patient {first.key}: .*another patient.*{second.key}.*expected {first.key}"
    ):
        update_twin(followed[0], second, random_seed=1)


def test_the_same_seed_gives_the_same_twin(theophylline, followed, sizes):
    again = follow(theophylline, theophylline.patients[0], range(3), sizes)
    for a, b in zip(again, followed):
        assert np.array_equal(a.particles.psi, b.particles.psi)
        assert np.array_equal(a.particles.log_weights, b.particles.log_weights)
    other = start_twin(theophylline.population, theophylline.patients[0].with_labs(()), random_seed=12, **sizes)
    assert not np.array_equal(other.particles.psi, followed[0].particles.psi)
