"""Policies followed visit by visit against closed forms, plain forecasts and schedules."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from cycling_model import NOW, grown, natural, started, twin_of

from bayestwin.dosing import DoseEvent, Policy, Rule, Schedule
from bayestwin.dynamics import NO_GRADIENT
from bayestwin.prognosis import forecast
from bayestwin.prognosis.particles import forecast_draws
from bayestwin.prognosis.plan import make_plans
from bayestwin.prognosis.policy import follow_policy
from bayestwin.prognosis.simulate import trajectories

MONTH = 30.4375
VISITS = 28.0 * np.arange(1, 27)
CYCLE = Policy((Rule("pause", "marker", below=2, while_on="drug"), Rule("drug", "marker", above=10, while_on="pause")))
NEVER = Policy(
    (Rule("drug", "marker", below=0.5, while_on="pause"), Rule("pause", "marker", above=1000, while_on="drug"))
)
AT_ONCE = Policy((Rule("pause", "marker", above=0.5, while_on="drug"),))


def futures(twin, what, *, paths=1, times=VISITS, seed=5, counts_on=("drug",)):
    """(draws, what was followed or (outputs, hazards, ok) of a fixed plan) at `times` after the data cut."""
    with jax.enable_x64(True):
        draws = forecast_draws(twin, 0.0, np.random.default_rng(1))
        plan = make_plans(twin.model, twin.record, {"row": what}, twin.time, applied=twin.applied, span=1096.0)[0]
        if plan.policy is None:
            return draws, trajectories(twin, draws, plan, twin.time + times, past=False, rng=np.random.default_rng(0))
        decides, rng = np.ones(len(times), dtype=bool), np.random.default_rng(seed)
        how = {"counts_on": counts_on, "paths": paths, "rng": rng, "accuracy": NO_GRADIENT}
        return draws, follow_policy(twin, draws, plan, times, decides, ("marker",), **how)


@pytest.fixture(scope="module")
def followed(cycling_twin):
    return futures(cycling_twin, CYCLE)


def expected_course(m0, g, d, below=2.0, above=10.0):
    """Marker just before each visit and treatment until then (0 drug, 1 pause), in closed form for one patient."""
    ln, on_drug, paused, markers, on = np.log(m0) - 0.1 + d * NOW, True, 0.0, [], []
    for _ in VISITS:
        ln += 28.0 * d if on_drug else grown(g, paused + 28.0) - grown(g, paused)
        paused = 0.0 if on_drug else paused + 28.0
        markers.append(np.exp(ln))
        on.append(0 if on_drug else 1)
        if on_drug and markers[-1] <= below:
            on_drug = False
        elif not on_drug and markers[-1] >= above:
            on_drug, ln = True, ln - 0.1
    return markers, on


def test_the_first_pause_comes_at_the_first_visit_after_the_threshold_is_crossed(cycling_twin, followed):
    draws, found = followed
    m0, _, d = natural(cycling_twin, draws)
    crossed = np.log(m0 * np.exp(-0.1) / 2.0) / -d - NOW  # ln m0 - 0.1 + d (now + t) = ln 2
    expected = 28.0 * np.maximum(np.ceil(crossed / 28.0), 1)
    paused = found.on[0] == 1
    last = VISITS[np.maximum(paused.argmax(axis=1) - 1, 0)]  # the visit that began the first interval on pause
    assert (expected[paused.any(axis=1)] == last[paused.any(axis=1)]).all() and paused.any(axis=1).mean() > 0.9


def test_every_later_switch_and_every_level_follow_the_closed_form(cycling_twin, followed):
    draws, found = followed
    for p, one in enumerate(zip(*natural(cycling_twin, draws))):
        markers, on = expected_course(*one)
        assert found.on[0, p].tolist() == on
        assert found.outputs[0, p, :, 0] == pytest.approx(markers, rel=1e-5)
    assert (np.diff(found.on[0], axis=1) != 0).sum(axis=1).max() >= 4  # patients have been through two cycles


def test_a_lab_below_its_limit_of_quantification_is_seen_at_the_limit(cycling_twin):
    draws, found = futures(cycling_twin, Policy((Rule("pause", "marker", below=0.5, while_on="drug"), CYCLE.rules[1])))
    for p, one in enumerate(zip(*natural(cycling_twin, draws))):
        assert found.on[0, p].tolist() == expected_course(*one, below=0.5)[1]
    assert found.labs["marker"].min() == 0.5 > found.outputs.min()


def test_hazards_are_integrated_over_each_future_s_own_time_on_the_drug(followed):
    _, found = followed
    days = np.cumsum(28.0 * (found.on[0] == 0), axis=1)
    assert found.hazards[0, :, :, 0] == pytest.approx(0.001 * days, rel=1e-6, abs=1e-9)


def test_an_episode_begins_at_the_visit_that_starts_the_drug_and_ends_with_the_pause(followed):
    _, found = followed
    edges = np.concatenate([[0.0], VISITS])
    for on, episode in zip(found.on[0], found.episode[0]):
        begun = [k for k in range(1, len(on)) if on[k] == 0 and on[k - 1] == 1]
        assert np.isnan(episode[on == 1]).all() and (episode[on == 0][0] == 0.0)  # the first since day 0
        assert set(episode[on == 0]) == {0.0, *(NOW + edges[k] for k in begun)}


def test_a_switch_between_treatments_that_both_count_interrupts_nothing(cycling_twin):
    _, found = futures(cycling_twin, CYCLE, counts_on=("drug", "pause"))
    assert (found.on == 1).any() and (found.episode == 0.0).all()


@pytest.fixture(scope="module")
def noisy_twin(cycling):
    """Assay error, drifting growth, and doses before, at and after the data cut."""
    doses = tuple(DoseEvent(float(t), 20.0, "oral", float(t)) for t in (60, 95, 100, 128, 141, 200))
    doses += (DoseEvent(90.0, 40.0, "oral", 90.0, duration=30.0),)
    return twin_of(cycling, started((0.0, "drug"), (60.0, "pause"), doses=doses), error=0.2, drift=0.2)


@pytest.mark.parametrize("applied", [False, True])
def test_a_policy_whose_rules_never_fire_is_the_plain_forecast(noisy_twin, applied):
    """Past infusions, doses at and after the data cut, drift knots: the same outputs and hazards to solver accuracy."""
    twin = replace(noisy_twin, applied=applied)
    _, found = futures(twin, NEVER, paths=2)
    _, (outputs, hazards, ok) = futures(twin, "pause")
    assert ok.all() and found.ok.all() and (found.on == 1).all()
    assert found.outputs == pytest.approx(np.stack([outputs, outputs]), rel=2e-5)
    assert found.hazards == pytest.approx(np.stack([hazards, hazards]) - hazards[:, :1], abs=1e-9)


def test_a_policy_that_always_fires_at_the_first_visit_is_the_schedule_that_switches_then(noisy_twin, cycling_twin):
    to_drug = Policy((Rule("drug", "marker", above=0.5, while_on="pause"),))
    for twin, policy, name in ((noisy_twin, to_drug, "drug"), (cycling_twin, AT_ONCE, "pause")):
        _, found = futures(twin, policy)
        _, (outputs, hazards, _) = futures(twin, Schedule((("28 day", name),)))
        assert found.outputs[0] == pytest.approx(outputs, rel=2e-5)
        assert np.diff(found.hazards[0], axis=1) == pytest.approx(np.diff(hazards, axis=1), abs=1e-9)


@pytest.mark.parametrize("applied", [False, True])
def test_a_policy_that_starts_at_the_data_cut_is_the_schedule_that_does(cycling, noisy_twin, applied):
    """Also where the state holds what was done that day, or the record starts something else on it."""
    start = Policy((Rule("pause", "marker", above=1000, while_on="drug"),), start="drug")
    on_that_day = twin_of(cycling, started((0.0, "drug"), (NOW, "pause")))
    for twin in (noisy_twin, on_that_day):
        twin = replace(twin, applied=applied)
        _, found = futures(twin, start)
        _, (outputs, _, _) = futures(twin, Schedule((("0 day", "drug"),)))
        assert found.outputs[0] == pytest.approx(outputs, rel=2e-5)


def test_the_lab_that_is_seen_decides_and_not_the_level_behind_it(noisy_twin):
    _, found = futures(noisy_twin, CYCLE, paths=3)
    seen, on = found.labs["marker"], found.on
    goes_on = np.where(on[..., :-1] == 0, seen[..., :-1] > 2, seen[..., :-1] < 10)
    assert ((on[..., 1:] == on[..., :-1]) == goes_on).all()
    assert (on[0] != on[1]).any() and (on[1] != on[2]).any()  # each path of errors has a history of its own
    error = np.log(seen / found.outputs[..., 0])[seen > 0.5]
    assert 0.15 < error.std() < 0.25


def test_a_rule_waits_for_its_least_time_and_the_first_that_fits_decides(cycling_twin):
    rules = (Rule("pause", while_on="drug", after="156 day"), Rule("drug", while_on="pause", after="8 week"))
    _, found = futures(cycling_twin, Policy(rules))
    # on the drug since 100 days: 156 are full at the second visit; then two visits of pause, six of the drug, and again
    expected = [0, 0, *[1, 1, *[0] * 6] * 3]
    assert (found.on[0] == expected[: len(VISITS)]).all()
    _, kept = futures(cycling_twin, Policy((Rule("drug", "marker", below=1000), *rules)))  # fits first at every visit
    assert (kept.on == 0).all() and (kept.episode == 0.0).all()


def test_the_same_seed_gives_the_same_policy_and_another_seed_another(noisy_twin):
    first, again, other = (futures(noisy_twin, CYCLE, seed=s)[1].labs["marker"] for s in (5, 5, 6))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize("applied", [False, True])
def test_what_starts_on_the_day_of_the_data_cut_is_done_once(cycling, applied):
    """A lab may stand before or after the start of its own day; a later change of mind still makes its jump."""
    twin = replace(twin_of(cycling, started((0.0, "pause"), (NOW, "drug"))), applied=applied)
    _, (outputs, *_) = futures(twin, "drug", times=VISITS[:2])
    _, kept = futures(twin, NEVER, times=VISITS[:2])
    assert kept.outputs[0] == pytest.approx(outputs, rel=1e-5)
    _, (paused, *_) = futures(twin, Schedule((("0 day", "pause"),)), times=VISITS[:2])
    assert (paused[:, 1] > paused[:, 0]).all()
    on_pause = replace(twin_of(cycling, started((0.0, "drug"), (NOW, "pause"))), applied=applied)
    draws, (drug, *_) = futures(on_pause, "drug", times=VISITS[:1])
    m0, _, d = natural(on_pause, draws)
    assert drug[:, 0, 0] == pytest.approx(m0 * np.exp(-0.2 + d * (NOW + 28.0)), rel=1e-5)  # two starts, two jumps


def test_no_number_depends_on_the_row_beside_it(cycling_twin):
    alone = forecast(cycling_twin, {"cycle": CYCLE}, random_seed=3).row("cycle")
    beside = forecast(cycling_twin, {"cycle": CYCLE, "go on": "drug"}, random_seed=3).row("cycle")
    assert np.array_equal(alone.events.event, beside.events.event)
    assert np.array_equal(alone.time_on.share, beside.time_on.share)
