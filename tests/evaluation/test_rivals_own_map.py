"""Our own model at the mode: closed forms of the level model, many minimisations at once, and failing solvers."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "twin"))

from level_model import as_population, level_draws, write_level_model

from bayestwin.errors import FitError, RecordError
from bayestwin.evaluation import panels, replay
from bayestwin.evaluation.rivals import fit_own_map, fit_rivals, map_search, rival_rows
from bayestwin.evaluation.rivals.bfgs import minimise_each
from bayestwin.evaluation.rivals.own_map import compiled_alike
from bayestwin.population.posterior import patient_mark
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.specification import (
    Additive,
    Fixed,
    HalfNormal,
    Model,
    Normal,
    Observation,
    Parameter,
    Steps,
    load_model,
)

SIGMA = 1.5


@pytest.fixture(scope="module")
def fitted(population):
    return fit_own_map(population.model, population=population)


def followed(values, drug_at=None):
    """A patient of the level model, one lab a day."""
    labs = tuple(Lab(f"m{k}", "m_protein", float(k), float(v), float(k)) for k, v in enumerate(values, start=1))
    events = () if drug_at is None else (ClinicalEvent("line_of_therapy", drug_at, drug_at, "drug"),)
    return PatientRecord("N-1", labs=labs, events=events)


def exact(population, values, drug_at):
    """(objective, forecast) of each class at its mode: labs are linear in (level, effect), so the mode is the mean."""
    posterior = population.posterior
    level, effect, none = (float(posterior[f"{n}_pop"].mean()) for n in ("level", "effect", "no_effect"))
    p_none = posterior["p_none_pop"].values
    p_none = 1 / (1 + np.exp(-np.mean(np.log(p_none / (1 - p_none)))))
    prior = np.diag([float(posterior["omega_level"].mean()) ** 2, 1.0])
    y, after, found = np.array(values), np.arange(1, len(values) + 1) > drug_at, []
    for chance, slope, shift in ((1 - p_none, -1.0, 0.0), (p_none, 0.0, -none)):
        design = np.stack([np.ones(len(y)), slope * after], axis=1)
        precision = np.linalg.inv(prior) + design.T @ design / SIGMA**2
        right = np.linalg.inv(prior) @ [level, effect] + design.T @ (y - shift * after) / SIGMA**2
        mode = np.linalg.solve(precision, right)
        white = (mode - [level, effect]) / np.sqrt(np.diag(prior))
        miss = (y - shift * after - design @ mode) / SIGMA
        objective = 0.5 * (white @ white + miss @ miss) + len(y) * np.log(SIGMA * np.sqrt(2 * np.pi)) - np.log(chance)
        found.append((objective, mode[0] + slope * mode[1] + shift))
    return found


def test_without_treatment_the_forecast_is_the_posterior_mean_of_the_level_with_the_residual_error(population, fitted):
    values = [23.0, 25.0, 21.0, 24.5]
    theta, omega = (float(population.posterior[n].mean()) for n in ("level_pop", "omega_level"))
    rows = rival_rows(fitted, followed(values), random_seed=1)
    for n, row in enumerate(rows):
        precision = 1 / omega**2 + n / SIGMA**2
        assert row["mean"] == pytest.approx((theta / omega**2 + sum(values[:n]) / SIGMA**2) / precision, abs=1e-3)
        assert row["sd"] == pytest.approx(SIGMA) and row["verdict"] == "PASS"


def test_a_departure_that_lasts_is_expected_as_the_labs_known_say(tmp_path):
    error = f"Additive(sd=Fixed(value={SIGMA}), serial=SerialCorrelation(sd=Fixed(value=3.0), time=Fixed(value=5.0)))"
    folder = write_level_model(tmp_path / "wander")
    source = (folder / "model.py").read_text(encoding="utf-8").replace("Additive(sd=Fixed(value=1.5))", error)
    (folder / "model.py").write_text(source, encoding="utf-8")
    wandering = as_population(load_model(folder), level_draws())
    values, times = np.array([23.0, 28.0, 29.0, 24.5]), np.arange(1.0, 5.0)
    theta, omega = (float(wandering.posterior[n].mean()) for n in ("level_pop", "omega_level"))
    departure = 9.0 * np.exp(-np.abs(times[:, None] - times) / 5.0)
    rows = rival_rows(fit_own_map(wandering.model, population=wandering), followed(values), random_seed=1)
    for n, row in enumerate(rows):
        seen = departure[:n, :n] + SIGMA**2 * np.eye(n)
        weight = np.linalg.solve(seen, np.ones(n)) if n else np.zeros(0)
        mode = (theta / omega**2 + weight @ values[:n]) / (1 / omega**2 + weight.sum())
        gain = np.linalg.solve(seen, departure[:n, n]) if n else np.zeros(0)
        assert row["mean"] == pytest.approx(mode + gain @ (values[:n] - mode), abs=2e-3)
        assert row["sd"] == pytest.approx(np.sqrt(9.0 - gain @ departure[:n, n] + SIGMA**2), rel=1e-3)


@pytest.mark.parametrize(("fall", "likely"), ((8.0, 0), (0.5, 1)))
def test_the_response_class_is_the_one_with_the_higher_mode(population, fitted, fall, likely):
    values = np.array([20.0, 21.0, 20.5, *(20.5 - fall + np.array([0.3, -0.4, 0.1, 0.0]))])
    record, course = followed(values, drug_at=3.5), None
    course = panels(record)
    known, _ = compiled_alike(population.model, course)
    with jax.enable_x64(True):
        modes = fitted.modes(known)
    rows = rival_rows(fitted, record, random_seed=1)
    classes = exact(population, values[:-1], 3.5)
    assert int(np.argmin([objective for objective, _ in classes])) == likely == modes.row[-1, 0]
    assert modes.objective[-1] == pytest.approx(classes[likely][0], abs=1e-4)
    assert rows[-1]["mean"] == pytest.approx(classes[likely][1], abs=2e-3)


def test_one_panel_alone_is_forecast_as_among_the_others(fitted):
    record = followed([20.0, 21.0, 20.5, 12.3, 12.0], drug_at=3.5)
    together = [row["mean"] for row in rival_rows(fitted, record, random_seed=1)]
    alone = [fitted.predict(panel)[0].mean for panel in panels(record)]
    assert alone == pytest.approx(together, abs=2e-3)


def test_it_has_the_rows_of_the_replay_and_nearly_its_forecasts_once_the_patient_is_known(population, fitted):
    record = followed([23.0, 25.0, 21.0, 24.5, 22.0, 23.0])
    twin, _ = replay(population, record, random_seed=1, particles=800, islands=4, population_draws=100)
    mine = rival_rows(fitted, record, random_seed=1)
    assert [row["lab_id"] for row in mine] == [row["lab_id"] for row in twin]
    assert mine[-1]["mean"] == pytest.approx(twin[-1]["mean"], abs=0.25)
    assert mine[-1]["sd"] < twin[-1]["sd"]  # what is known of the patient counts as certain


def test_a_patient_of_the_fitted_cohort_is_refused(population):
    tree = population.tree.copy()  # the tree is shared
    tree.attrs["fitted_patients"] = f'["{patient_mark(followed([1.0]))}"]'
    fitted = fit_own_map(population.model, population=replace(population, tree=tree))
    with pytest.raises(RecordError, match="patient N-1: .*own_map was fitted on"):
        rival_rows(fitted, followed([20.0]), random_seed=1)


def test_without_a_population_of_the_model_it_is_refused(population):
    with pytest.raises(FitError, match="model level: .*needs the population posterior.*Pass population="):
        fit_rivals(population.model, None, (), names=("own_map",))


def fragile_model():
    """Its equations have no number after day 5, nor where the level is below 10."""

    def vector_field(t, y, p, u):
        return {"level": jnp.where((t > 5.0) | (p.level < 10.0), jnp.nan, 0.0) * y.level}

    return Model(
        name="fragile",
        time_unit="day",
        steps=Steps(first=1.0, growth=1.0, largest=1.0),
        states=("level",),
        initial_state=lambda p: {"level": p.level},
        vector_field=vector_field,
        parameters=(
            Parameter(
                "level", unit="g/L", scale="identity", typical=Normal(mean=20.0, sd=1.0), between=HalfNormal(sd=2.0)
            ),
        ),
        outputs={"m_protein": lambda t, y, p, u: y.level},
        observations=(
            Observation("m_protein", unit="g/L", error=Additive(sd=Fixed(value=SIGMA)), plausible=(-99.0, 99.0)),
        ),
    )


def test_where_the_solver_gives_up_the_forecast_is_withheld_and_the_others_stand():
    model, flat = fragile_model(), np.ones(10)
    population = as_population(model, {"level_pop": 20.0 * flat, "omega_level": 4.0 * flat})
    rows = rival_rows(
        fit_own_map(model, population=population), followed([11.0, 10.5, 12.0, 13.0, 12.0, 11.0, 9.0]), random_seed=1
    )
    assert [row["verdict"] for row in rows] == ["PASS"] * 5 + ["WITHHELD"] * 2
    assert rows[4]["mean"] == pytest.approx((20 / 16 + 46.5 / SIGMA**2) / (1 / 16 + 4 / SIGMA**2), abs=1e-3)


def test_a_search_that_stops_short_of_the_mode_is_withheld(fitted, monkeypatch):
    monkeypatch.setattr(map_search, "minimise_each", partial(minimise_each, most_turns=1))
    rows = rival_rows(fitted, followed([30.0, 31.0, 30.5]), random_seed=1)
    assert [row["verdict"] for row in rows] == ["PASS", "WITHHELD", "WITHHELD"]
    assert np.isfinite([row["mean"] for row in rows]).all()


def rosenbrock(x, lanes=None):
    a, b = x[:, 0], x[:, 1]
    f = (1 - a) ** 2 + 100 * (b - a**2) ** 2
    return f, np.stack([-2 * (1 - a) - 400 * a * (b - a**2), 200 * (b - a**2)], axis=1)


def test_every_lane_finds_the_bottom_of_rosenbrock_s_valley_and_none_minds_the_others():
    starts = np.random.default_rng(1).uniform(-2, 2, (30, 2))
    x, f, slope = minimise_each(rosenbrock, starts, tolerance=1e-8)
    assert np.abs(x - 1).max() < 1e-7 and f.max() < 1e-12 and slope.max() <= 1e-8
    alone, *_ = minimise_each(rosenbrock, starts[4:5], tolerance=1e-8)
    assert (alone[0] == x[4]).all()


def test_each_lane_may_have_a_problem_of_its_own_and_only_unfinished_lanes_are_evaluated():
    centres, counted = np.random.default_rng(2).normal(size=(6, 4)) * 5, np.zeros(6, dtype=int)
    stiff = np.diag([1.0, 10.0, 100.0, 1000.0])

    def value_and_slope(x, lanes):
        np.add.at(counted, lanes, 1)
        d = x - centres[lanes]
        return 0.5 * np.einsum("li,ij,lj->l", d, stiff, d), d @ stiff

    starts = np.where(np.arange(6)[:, None] == 3, centres, 0.0)
    x, *_ = minimise_each(value_and_slope, starts, tolerance=1e-6)
    assert np.abs(x - centres).max() < 1e-5
    assert counted[3] == 1 and counted.max() < 80


def test_the_search_steps_back_from_where_there_is_no_number_and_gives_up_where_there_never_was():
    def walled(x, lanes):
        f, g = rosenbrock(x)
        return np.where((x[:, 0] > 1.5) | (lanes == 2), np.nan, f), g

    x, f, _ = minimise_each(walled, np.array([[1.4, -1.0], [-1.0, 1.0], [0.0, 0.0]]), tolerance=1e-8)
    assert np.abs(x[:2] - 1).max() < 1e-7
    assert f[2] == np.inf and (x[2] == 0).all()
