"""Progression coded by hand-worked IMWG cases, and event times with a closed form."""

import jax
import numpy as np
import pytest

from bayestwin.prognosis.endpoint import code_progression, crossing, event_times
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
    "100 mg/L and 100 %": ([500, 100, 100, 200, 210], 3),
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


def events(level, other=0.0, death=0.0, *, times=TIMES, start=0.0, history=(20.0,), landmarks=(182.0, 365.0), n=400):
    """Event times of `n` equal draws with latent m_protein `level` (V,) and constant rates per day; no assay error."""
    outputs = np.ones((n, len(times), 3))
    outputs[:, :, MODEL.observation_index["m_protein"]] = level
    hazards = np.stack([other * times, death * times], axis=-1)[None].repeat(n, axis=0)
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
            rng=np.random.default_rng(3),
        )


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
