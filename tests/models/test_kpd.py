"""Small molecules as dose intensity: the dose per day of their published schedules, and how long an effect lasts."""

import numpy as np
import pytest

from bayestwin.dynamics.structure import solved_exactly
from bayestwin.individual.simulate import simulate_outputs
from bayestwin.specification import load_model, part_of

# per day over a cycle from the second on: dose, days with a dose, days of a cycle; m2 by a surface of 2 m2
SCHEDULES = {
    "lenalidomide": (25.0, 21, 28.0),
    "pomalidomide": (4.0, 21, 28.0),
    "bortezomib": (2.6, 4, 21.0),
    "carfilzomib": (54.0, 6, 28.0),
    "dexamethasone": (40.0, 1, 7.0),
}
# hours: plasma half-lives 3 to 4 and 4.1, mean residence 18.2 times ln 2, and the middle of 24 to 72
HALF_LIVES = {
    "lenalidomide": 3.5,
    "pomalidomide": 12.6,
    "bortezomib": 41.6,
    "carfilzomib": 41.6,
    "dexamethasone": 4.08,
}


def doses(model):
    regimen, covariates = model.treatments[0].regimen, {"bsa_m2": 2.0}
    return regimen.events(start=0.0, time_unit="day", dose_unit="mg", covariates=covariates)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_gives_the_published_dose_per_cycle(name):
    model, (amount, days, length) = load_model(name), SCHEDULES[name]
    second = [d.amount for d in doses(model) if length <= d.time < 2 * length]
    np.testing.assert_allclose(second, [amount] * days)


@pytest.mark.parametrize("name", HALF_LIVES)
def test_an_effect_fades_with_the_half_life_of_its_source(name):
    (kE,) = load_model(name).parameters
    assert 24.0 * np.log(2.0) / kE.typical.median == pytest.approx(HALF_LIVES[name], rel=0.01)


def test_the_intensity_of_lenalidomide_averages_to_its_dose_whatever_the_rate():
    """18.75 mg/day over a cycle of 28 days; a depot without other loss gives back what it was given."""
    model = load_model("lenalidomide")
    assert solved_exactly(model) and model.steps is None
    times = np.arange(84.0, 140.01, 1.0 / 24.0)
    for kE in (model.parameters[0].typical.median, 0.3):
        intensity = simulate_outputs(model, {"kE": kE}, doses(model), [(t, True) for t in times])[:, 0]
        # between two hours it falls exponentially: the integral is exact
        after, before = intensity[:-1], intensity[:-1] * np.exp(-kE / 24.0)
        assert ((after - before) / kE).sum() / 56.0 == pytest.approx(18.75, rel=2e-3)


def test_two_drugs_are_parts_of_one_model_without_colliding():
    parts = [part_of(name, prefix=prefix) for name, prefix in (("lenalidomide", "len_"), ("dexamethasone", "dex_"))]
    assert [p.name for part in parts for p in part.parameters] == ["len_kE", "dex_kE"]
    assert {**parts[0].routes, **parts[1].routes} == {"len_oral": "len_lenalidomide", "dex_oral": "dex_dexamethasone"}
