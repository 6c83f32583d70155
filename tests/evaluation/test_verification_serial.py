"""Outputs whose departures from the mechanism are correlated in time: forecasts and simulated labs contain them."""

import numpy as np
import pytest
from level_model import LEVEL, as_population, level_draws

from bayestwin.evaluation.verification.moments import forecast_moments
from bayestwin.prognosis.departures import along_labs
from bayestwin.records import Lab, PatientRecord
from bayestwin.specification import load_model
from bayestwin.twin import predict_labs, rebuild_twin

SD, TIME = 2.0, 10.0


@pytest.fixture(scope="module")
def wandering(tmp_path_factory):
    """The level model with an Ornstein-Uhlenbeck departure of SD 2 and correlation time 10."""
    folder = tmp_path_factory.mktemp("models") / "wander"
    folder.mkdir()
    serial = f"serial=SerialCorrelation(sd=Fixed(value={SD}), time=Fixed(value={TIME}))"
    source = LEVEL.replace("Additive(sd=Fixed(value=1.5))", f"Additive(sd=Fixed(value=0.8), {serial})")
    assert serial in source
    (folder / "model.py").write_text(source, encoding="utf-8")
    return as_population(load_model(folder), level_draws())


def test_a_forecast_soon_after_a_departure_expects_it_to_go_on(wandering):
    labs = tuple(Lab(f"m{t}", "m_protein", float(t), 21.0, float(t)) for t in (1, 21, 41))
    known = PatientRecord("W-1", labs=(*labs, Lab("m61", "m_protein", 61.0, 25.0, 61.0)))
    twin, _ = rebuild_twin(wandering, known, particles=800, islands=8, population_draws=100, random_seed=1)
    found = forecast_moments(twin, [("m_protein", 62.0), ("m_protein", 120.0)])
    soon, late = found["m_protein at 62"], found["m_protein at 120"]
    assert soon.mean().value > late.mean().value + 1.0 and late.sd().value > soon.sd().value + 0.5
    ahead = [Lab(f"f{t:g}", "m_protein", t, 20.0, t) for t in (62.0, 120.0)]
    expected = predict_labs(twin, known.with_labs((*known.labs, *ahead)), random_seed=2)
    for mine, theirs in zip((soon, late), expected):
        drawn = theirs.sd / np.sqrt(twin.ess)  # theirs are means and SDs of draws, mine are exact given the particles
        assert abs(mine.mean().value - theirs.mean) < 4.5 * drawn
        assert mine.sd().value == pytest.approx(theirs.sd, rel=0.12)


def test_simulated_labs_wander_as_the_model_says(wandering):
    model, rng = wandering.model, np.random.default_rng(1)
    labs = tuple(Lab(f"m{t:g}", "m_protein", t, 1.0, t) for t in (1.0, 6.0, 40.0))
    sigma = np.array(
        [{"serial_sd": SD, "serial_time": TIME}.get(n[: n.index("_m_p")], 0.8) for n in model.residual_parameters]
    )
    x = along_labs(model, labs, np.full((4000, 3), 20.0), np.tile(sigma, (4000, 1)), {}, rng)
    assert x.mean(axis=0) == pytest.approx(20.0, abs=0.15) and x.std(axis=0) == pytest.approx(SD, rel=0.05)
    r = np.corrcoef(x.T)
    assert r[0, 1] == pytest.approx(np.exp(-5.0 / TIME), abs=0.05) and abs(r[0, 2]) < 0.08
