"""Progression coded by hand-worked IMWG cases, and event times with a closed form."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from bayestwin.individual.residuals import draw_observation, observed_with
from bayestwin.prognosis.endpoint import (
    _serological,
    code_progression,
    crossing,
    draw_noise,
    event_times,
    event_times_of_paths,
)
from bayestwin.specification import load_model

MODEL = load_model("myeloma_car_t")
ENDPOINT = MODEL.progression
M_PROTEIN = ENDPOINT.rule_for({"isotype": "IgG"})
LIGHT_CHAIN = ENDPOINT.rule_for({"isotype": "light_chain"})

CASES = {
    "a response that lasts": ([30, 20, 15, 15, 15], -1),
    "6 g/L and 40 % over a nadir of 15, confirmed": ([30, 20, 15, 15, 21, 22], 4),
    "a blip that the next visit does not confirm": ([30, 20, 15, 15, 21, 15, 15], -1),
    "a single low value is no nadir": ([30, 20, 5, 20, 20, 20], -1),
    "two low values are": ([30, 20, 5, 5, 11, 12], 4),
    "the nadir of two values is the higher one": ([30, 20, 5, 7, 11, 11], -1),
    "6 g/L but 20 %": ([40, 30, 30, 36, 36], -1),
    "100 % but 4 g/L": ([10, 4, 4, 8, 8], -1),
    "exactly 5 g/L and exactly 25 %": ([30, 20, 20, 25, 25], 3),
    "10 g/L over a nadir of 60 suffices": ([80, 60, 60, 70, 71], 3),
    "9 g/L over a nadir of 60 does not": ([80, 60, 60, 69, 69], -1),
    "10 g/L over a nadir of 49 is 20 %": ([60, 49, 49, 59, 59], -1),
    "no response: the baseline is the nadir": ([20, 26, 26], 1),
    "the last visit alone": ([30, 15, 15, 25], -1),
    "two rises with a fall between": ([30, 15, 15, 25, 15, 25], -1),
    "the first of several": ([30, 15, 15, 22, 23, 40], 3),
    "relapse from complete response": ([30, 0.5, 0.5, 4, 6, 6], 4),
    "a slow rise counts from the nadir": ([30, 10, 10, 4, 4, 8, 9.5, 9.5], 6),
    "a confirmation may be lower than the first": ([30, 15, 15, 25, 21], 3),
}
LIGHT = {
    "101 mg/L and 101 %": ([500, 100, 100, 201, 210], 3),
    "exactly 100 mg/L is not more than that": ([500, 100, 100, 200, 200], -1),
    "90 mg/L": ([500, 100, 100, 190, 190], -1),
    "200 mg/L but 20 %": ([2000, 1000, 1000, 1200, 1200], -1),
    "no high-nadir rule": ([900, 800, 800, 900, 900], -1),
}


def code(values, rule, first_valid=1):
    return int(code_progression(np.array(values, float), rule, first_valid=first_valid, confirmations=2))


@pytest.mark.parametrize("name", CASES)
def test_m_protein_progression(name):
    values, expected = CASES[name]
    assert code(values, M_PROTEIN) == expected


@pytest.mark.parametrize("name", LIGHT)
def test_light_chain_progression(name):
    values, expected = LIGHT[name]
    assert code(values, LIGHT_CHAIN) == expected


def test_history_that_did_not_progress_is_not_coded_again():
    assert code([20, 26, 26, 26], M_PROTEIN, first_valid=2) == 2
    assert code([20, 26, 20, 20, 20], M_PROTEIN, first_valid=3) == -1


@pytest.mark.parametrize("confirmations", [1, 2, 3])
def test_a_count_that_goes_on_from_the_record_finds_what_the_whole_course_holds(confirmations):
    courses = np.random.default_rng(5).gamma(3.0, 8.0, (300, 8))
    endpoint, visits = replace(ENDPOINT, confirmations=confirmations), 28.0 * np.arange(1, 6)
    held = [code_progression(courses[:, :n], M_PROTEIN, first_valid=1, confirmations=confirmations) for n in (3, 8)]
    for course, found in zip(courses[held[0] < 0], held[1][held[0] < 0]):  # nothing by the data cut, after three labs
        time = _serological(course[None, 3:], visits, M_PROTEIN, endpoint, course[:3], 0, None)[0]
        assert time == (np.inf if found < 0 else visits[max(found - 3, 0)])
    assert (held[1][held[0] < 0] >= 0).sum() > 40


def test_a_count_that_begins_after_the_last_visit_finds_nothing():
    assert _serological(np.full((4, 2), 9.0), np.array([28.0, 56.0]), M_PROTEIN, ENDPOINT, [], 2, None).tolist() == (
        [np.inf] * 4
    )


def test_many_draws_are_coded_as_one_by_one():
    values = np.array([CASES[n][0] for n in CASES if len(CASES[n][0]) == 5], float)
    expected = [CASES[n][1] for n in CASES if len(CASES[n][0]) == 5]
    assert code_progression(values, M_PROTEIN, first_valid=1, confirmations=2).tolist() == expected


def test_crossing_a_constant_hazard_takes_threshold_over_rate():
    times = np.array([1.0, 4.0, 10.0, 50.0])
    rates, thresholds = np.array([0.1, 0.5, 0.02, 0.1]), np.array([0.35, 0.2, 0.9, 6.0])
    found = crossing(rates[:, None] * times, times, thresholds)
    assert found[:3] == pytest.approx(thresholds[:3] / rates[:3])
    assert found[3] == np.inf


TIMES = np.arange(28.0, 800.0, 28.0)


def hazards_of(other, death):
    """Integrals of every hazard of the model (..., H): all progression of one kind, and all death of one."""
    own = {"progression_other": other, "death": death}
    return np.stack([own.get(name, np.zeros_like(other)) for name in MODEL.hazard_names], axis=-1)


def events(
    level, other=0.0, death=0.0, *, times=TIMES, start=0.0, history=(20.0,), landmarks=(182.0, 365.0), n=400, **more
):
    """Event times of `n` equal draws with latent m_protein `level` (V,) and constant rates per day; no assay error."""
    outputs = np.ones((n, len(times), len(MODEL.observations)))
    outputs[:, :, MODEL.observation_index["m_protein"]] = level
    hazards = hazards_of(other * times, death * times)[None].repeat(n, axis=0)
    sigma = np.full((n, len(MODEL.residual_parameters)), 1e-6)
    with jax.enable_x64(True):
        return event_times(
            MODEL,
            M_PROTEIN,
            ENDPOINT,
            outputs,
            hazards,
            sigma,
            times,
            history=list(history),
            start=start,
            landmarks=landmarks,
            noise=draw_noise(MODEL, M_PROTEIN, np.random.default_rng(3), n, len(times)),
            **more,
        )


def test_noise_drawn_at_once_is_that_of_labs_drawn_one_after_the_other():
    noise, rng = draw_noise(MODEL, M_PROTEIN, np.random.default_rng(3), 5, 7), np.random.default_rng(3)
    k, sigma = MODEL.observation_index["m_protein"], np.full((5, 1, len(MODEL.residual_parameters)), 0.3)
    levels = np.linspace(5.0, 30.0, 35).reshape(5, 7)
    for labs in observed_with(MODEL, k, levels, sigma, noise.assay):
        assert np.array_equal(labs, draw_observation(MODEL, k, rng, levels, sigma))
    assert np.array_equal(noise.luck, rng.standard_exponential((2, 5)))


def test_survival_with_only_hazards_is_exponential():
    found = events(np.full(len(TIMES), 20.0), other=0.001, death=0.0005, n=4000)
    for k, t in enumerate((182.0, 365.0)):
        assert found.survival[:, k] == pytest.approx(np.exp(-0.0015 * t), rel=1e-6)
        assert found.free[:, k] == pytest.approx(np.exp(-0.001 * t), rel=1e-6)
        assert (found.event > t).mean() == pytest.approx(np.exp(-0.0015 * t), abs=0.03)
    assert found.died[found.event < 700].mean() == pytest.approx(1 / 3, abs=0.04)


def test_while_waiting_for_a_treatment_only_death_counts():
    found = events(
        np.full(len(TIMES), 20.0), other=0.001, death=0.0005, start=84.0, history=(), landmarks=(56.0, 365.0)
    )
    assert found.survival[0] == pytest.approx(
        [np.exp(-0.0005 * 56), np.exp(-0.0005 * 365 - 0.001 * (365 - 84))], rel=1e-6
    )


def test_a_rise_before_the_treatment_starts_is_not_progression_under_it():
    level = np.where(TIMES < 84.0, 15.0, 25.0)  # grew by 67 % while waiting, stands still since the start
    assert np.isinf(events(level, start=84.0, history=()).progression).all()


def test_a_rise_after_the_start_counts_from_the_level_at_the_start():
    level = np.where(TIMES < 84.0, 15.0, np.where(TIMES < 168.0, 25.0, 32.0))
    assert (events(level, start=84.0, history=()).progression == 168.0).all()


def test_a_pending_rise_in_the_record_is_confirmed_by_the_first_visit():
    level = np.full(len(TIMES), 21.0)
    assert (events(level, history=(30.0, 15.0, 15.0, 21.0)).progression <= 28.0).all()
    assert np.isinf(events(np.full(len(TIMES), 15.0), history=(30.0, 15.0, 15.0, 21.0)).progression).all()


# a rule that counts only on treatment: the label of the episode that each assessment belongs to, "." for none
ON_TREATMENT = replace(M_PROTEIN, counts_on=("dara_pd",))
EPISODES = {
    "one episode counts as if there were none": ([30, 15, 15, 21, 22], "aaaaa", 3),
    "a rise in a pause does not count": ([15, 15, 30, 31, 32], "aa...", -1),
    "each episode has a nadir of its own": ([5, 5, 40, 38, 37, 37], "aa.bbb", -1),
    "the nadir of the second episode is what is risen from": ([5, 5, 40, 20, 20, 26, 26], "aa.bbbb", 5),
    "the first visit of an episode is its nadir and no rise": ([5, 5, 20, 20, 20], "aabbb", -1),
    "two rises in different episodes": ([10, 16, 10, 16, 10, 16], "aabbcc", -1),
    "a rise before a pause, confirmed after it": ([10, 10, 16, 16, 16], "aaabb", -1),
    "a rise confirmed by the last visit of the episode": ([10, 10, 16, 16, 3], "aaaa.", 2),
    "nothing before the first episode": ([5, 5, 30, 30, 38, 39], "..aaaa", 4),
    "no episode at all": ([5, 5, 30, 30], "....", -1),
    "episodes that touch do not lend each other a nadir": ([5, 5, 5, 12, 12, 12], "aaabbb", -1),
}


def numbered(labels):
    return np.array([np.nan if c == "." else float(ord(c)) for c in labels])


@pytest.mark.parametrize("name", EPISODES)
def test_progression_is_counted_anew_in_each_episode(name):
    values, labels, expected = EPISODES[name]
    how = {"first_valid": 1, "confirmations": 2, "episode": numbered(labels)}
    assert int(code_progression(np.array(values, float), ON_TREATMENT, **how)) == expected


def test_every_draw_may_have_its_own_episodes():
    of_six = [EPISODES[n] for n in EPISODES if len(EPISODES[n][1]) == 6]
    values, episode = np.array([v for v, _, _ in of_six], float), np.stack([numbered(e) for _, e, _ in of_six])
    found = code_progression(values, ON_TREATMENT, first_valid=1, confirmations=2, episode=episode)
    assert found.tolist() == [expected for _, _, expected in of_six]


def test_an_episode_that_covers_all_visits_changes_nothing():
    values = np.random.default_rng(1).gamma(4.0, 5.0, (2000, 12))
    for first_valid in (1, 4):
        plain = code_progression(values, M_PROTEIN, first_valid=first_valid, confirmations=2)
        whole = code_progression(values, M_PROTEIN, first_valid=first_valid, confirmations=2, episode=np.full(12, -3.0))
        assert (plain == whole).all() and (plain > 0).mean() > 0.3


def test_history_counts_only_where_its_episode_goes_on():
    level, history = np.full(len(TIMES), 21.0), (30.0, 15.0, 15.0, 21.0)
    goes_on = np.full(len(TIMES), -90.0)
    assert (events(level, history=history, episode=goes_on).progression <= 28.0).all()
    for other in (np.full(len(TIMES), 0.0), np.full(len(TIMES), np.nan)):  # begun at the data cut, or paused
        assert np.isinf(events(level, history=history, episode=other).progression).all()


def test_while_waiting_for_another_treatment_the_episode_in_force_still_counts():
    waiting = np.where(TIMES <= 84.0, -90.0, np.nan)
    found = events(np.full(len(TIMES), 21.0), start=84.0, history=(30.0, 15.0, 15.0, 21.0), episode=waiting)
    assert (found.progression <= 28.0).all()


def test_the_squared_chance_of_a_draw_is_estimated_without_bias_from_four_paths():
    """Chance 0.3 of no progression on each path, hazard 0.5 on half of them: S = 0.3 (1 + exp(-0.5)) / 2."""
    rng, draws = np.random.default_rng(4), 40_000
    seen = np.where(rng.random((4, draws, 1)) < 0.3, 20.0, 40.0) * np.ones(3)
    seen[..., 0] = 20.0
    times = np.array([28.0, 56.0, 84.0])
    hazard = np.where(rng.random((4, draws, 1)) < 0.5, 0.5, 0.0) * np.ones(3)
    hazards = hazards_of(hazard, np.zeros_like(hazard))
    how = {"history": [], "episode": None, "landmarks": [60.0], "rng": rng}
    found = event_times_of_paths(MODEL, M_PROTEIN, ENDPOINT, seen, hazards, times, times, **how)
    mean = 0.3 * (1 + np.exp(-0.5)) / 2
    assert found.survival.mean() == pytest.approx(mean, abs=4 * 0.21 / np.sqrt(draws))
    assert found.squared.mean() == pytest.approx(mean**2, abs=4 * 0.11 / np.sqrt(draws))
    assert (found.survival**2).mean() > mean**2 + 0.02  # the naive square is not
    assert (found.event > 60.0).mean() == pytest.approx(mean, abs=4 * 0.43 / np.sqrt(draws))
