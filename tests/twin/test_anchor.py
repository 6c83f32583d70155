"""Every tenth update is rebuilt from scratch: the gap is told, a twin gone astray is found and set right."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from bayestwin.twin import anchor, start_twin, update, update_twin
from bayestwin.twin.anchor import gap, since_scratch
from bayestwin.twin.particles import normalised

SIZES = {"particles": 800, "islands": 8, "population_draws": 100}
VALUES = [20.0, 20.5, 19.0, 21.0, 20.2, 19.8]


@pytest.fixture(scope="module")
def followed(level_population, level_record):
    """Five single updates, anchored every third; the twins, the first without labs."""
    twins = [start_twin(level_population, level_record([]), random_seed=1, **SIZES)]
    for n in range(1, 7):
        newer = level_record(VALUES[:n])
        twins.append(update_twin(twins[-1], newer, random_seed=n, population=level_population, anchor_every=3)[0])
    return twins


def test_every_third_update_is_anchored_and_says_how_far_it_was(followed):
    anchored = [twin.info.anchor_gap is not None for twin in followed]
    assert anchored == [False, False, False, True, False, False, True]
    info = followed[3].info
    assert info.path == "oracle" and info.verdict == "PASS" and info.new_labs == 1 and len(info.surprise) == 1
    assert any("anchored from scratch, after" in reason for reason in info.reasons)
    assert info.anchor_gap < 6 and info.anchor_shift < 0.5 and "more than chance" not in " ".join(info.reasons)
    assert followed[3].updates == 3 and len(followed[3].history) == 4 and since_scratch(followed[3].history) == 0
    assert since_scratch(followed[5].history) == 2


def test_the_anchored_twin_is_the_one_made_from_scratch(followed, level_population, level_record):
    fresh = start_twin(level_population, level_record(VALUES[:3]), random_seed=3, **SIZES)
    assert np.array_equal(np.asarray(followed[3].particles.psi), np.asarray(fresh.particles.psi))


def test_a_twin_that_went_astray_is_found_and_set_right(followed, level_population, level_record):
    """Weights tilted towards high levels: the labs cannot see it, and every check of the next update passes."""
    old = followed[2].particles
    tilted = normalised(np.asarray(old.log_weights) + 0.7 * np.asarray(old.psi)[:, 0], followed[2].islands)
    astray = old._replace(log_weights=tilted)
    twin = replace(followed[2], particles=astray)
    newer, how = level_record(VALUES[:3]), {"random_seed": 9, "population": level_population, "rejuvenate_below": 0.2}
    _, unanchored = update_twin(twin, newer, anchor_every=0, **how)
    moved, info = update_twin(twin, newer, anchor_every=3, **how)
    assert unanchored.verdict == "PASS" and unanchored.path == "reweight"
    assert info.anchor_gap > 6 and any("the updates had gone astray" in reason for reason in info.reasons)
    right = gap(followed[3], moved)
    assert right.z < 6 and not right.beyond_chance


def test_without_a_population_or_when_never_asked_nothing_is_rebuilt(followed, level_population, level_record):
    newer = level_record(VALUES[:3])
    for how in ({"population": level_population, "anchor_every": 0}, {"anchor_every": 3}):
        _, info = update_twin(followed[2], newer, random_seed=3, **how)
        assert info.anchor_gap is None and info.path != "oracle"


def test_what_the_check_of_the_rebuilt_twin_says_is_told_once(followed, level_population, level_record, monkeypatch):
    gave_up, rebuilt = "the solver gave up on 30 in 1,000 proposals", update._from_scratch

    def telling(*given, **how):
        twin, info = rebuilt(*given, **how)
        return twin, replace(info, reasons=(*info.reasons, gave_up))

    monkeypatch.setattr(update, "_from_scratch", telling)
    _, info = update_twin(
        followed[2], level_record(VALUES[:3]), random_seed=3, population=level_population, anchor_every=3
    )
    assert info.reasons.count(gave_up) == 1 and info.reasons[-1].startswith("anchored from scratch, after")


def test_two_runs_of_one_posterior_are_not_called_apart(level_population, level_record):
    """30 pairs at a level of 1 in 1,000 each: none is called beyond chance, and z is neither tiny nor large."""
    twins = [start_twin(level_population, level_record(VALUES[:2]), random_seed=s, **SIZES) for s in range(8)]
    found = [gap(a, b) for k, a in enumerate(twins) for b in twins[k + 1 :]]
    assert not any(one.beyond_chance for one in found)
    assert 0.5 < np.median([one.z for one in found]) < 3.0


def of_islands(rng, islands, spread):
    """A twin without a record: two parameters, whose island means have this SD, 40 particles an island."""
    psi = rng.standard_normal((islands, 1, 2)) * spread + 0.01 * rng.standard_normal((islands, 40, 2))
    particles = SimpleNamespace(psi=psi.reshape(-1, 2), log_weights=np.full(islands * 40, -np.log(40.0)))
    weights = np.full(islands * 40, 1.0 / (islands * 40))
    model = SimpleNamespace(individual_names=("a", "b"))
    return SimpleNamespace(model=model, islands=islands, particles=particles, weights=weights)


def test_the_p_of_a_gap_is_welch_s(monkeypatch):
    rng = np.random.default_rng(2)
    one, other = of_islands(rng, 5, 1.0), of_islands(rng, 9, 0.5)
    means = [twin.particles.psi.reshape(twin.islands, 40, 2).mean(axis=1) for twin in (one, other)]
    least = stats.ttest_ind(*means, equal_var=False).pvalue.min()
    for level, beyond in ((2.01 * least, True), (1.99 * least, False)):
        monkeypatch.setattr(anchor, "LEVEL", level)
        assert gap(one, other).beyond_chance == beyond


def test_equal_posteriors_are_called_astray_as_rarely_as_the_level_says_whatever_their_errors(monkeypatch):
    monkeypatch.setattr(anchor, "LEVEL", 0.05)
    rng = np.random.default_rng(1)
    for first, second in (((4, 1.0), (8, 0.1)), ((8, 1.0), (8, 1.0))):
        beyond = [gap(of_islands(rng, *first), of_islands(rng, *second)).beyond_chance for _ in range(1500)]
        assert 0.02 < np.mean(beyond) < 0.075
