"""The Gaussian process rival: the marginal likelihood and the forecasts are one distribution, and it learns."""

import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy import integrate, stats

sys.path.insert(0, str(Path(__file__).parent))

from rival_models import OFF, ON, course, marker_model, random_walks, switching

from bayestwin.errors import FitError
from bayestwin.evaluation import panels
from bayestwin.evaluation.rivals import fit_gaussian_process, fit_last_value, rival_rows
from bayestwin.evaluation.rivals.covariance import Terms, covariance, first_guess, warped_time
from bayestwin.evaluation.rivals.gaussian_process import points_of, predicted
from bayestwin.evaluation.rivals.history import course_of, labs_of, values_of
from bayestwin.evaluation.rivals.marginal import _value_and_slope, stack
from bayestwin.records import ClinicalEvent, Cohort, Lab


@pytest.fixture(scope="module")
def model():
    return marker_model()


@pytest.fixture(scope="module")
def fitted(model):
    return fit_gaussian_process(model, switching())


@pytest.fixture(scope="module")
def stranger():
    return replace(switching(seed=2).patients[0], key="N")


def as_points(model, process, record):
    """Points and scaled values of a record."""
    labs = labs_of(record, "psa")
    y = values_of(model.observations[0], labs)
    points = points_of(course_of(model, record), [lab.time for lab in labs], process.knots, process.scaling)
    return points, (y - process.scaling.centre) / process.scaling.spread


def log_likelihood(model, process, records, sizes=None, terms=None):
    """Marginal ln p of records' scaled values, the coefficients of the mean integrated out."""
    parts = [as_points(model, process, record) for record in records]
    with jax.enable_x64(True):
        trained = process.trained
        data = stack([p for p, _ in parts], [y for _, y in parts])
        return -float(_value_and_slope(sizes or trained.sizes, terms or trained.terms, *data)[0])


def test_forecasts_one_after_the_other_multiply_to_the_marginal_likelihood_of_the_patient(model, fitted, stranger):
    process, training = fitted.processes["psa"], list(switching())
    whole = log_likelihood(model, process, [*training, stranger]) - log_likelihood(model, process, training)
    said = [fitted.forecasts([panel])[0][0] for panel in panels(stranger)]
    y = values_of(model.observations[0], stranger.labs)
    one_by_one = sum(stats.norm.logpdf(v, f.location, f.scale) for v, f in zip(y, said))
    assert one_by_one + len(y) * np.log(process.scaling.spread) == pytest.approx(whole, abs=1e-8)


def test_the_marginal_likelihood_is_the_normal_density_of_all_values_together(model, fitted):
    process, records = fitted.processes["psa"], switching().patients[:3]
    trained, parts = fitted.processes["psa"].trained, [as_points(model, process, r) for r in records]
    basis = np.concatenate([p.basis for p, _ in parts])
    dense = basis @ basis.T * np.exp(2 * trained.sizes.curve)
    at = np.cumsum([0] + [len(y) for _, y in parts])
    for (points, y), a, b in zip(parts, at, at[1:]):
        own = covariance(trained.sizes, trained.terms, points, xp=np)
        dense[a:b, a:b] += own + (np.exp(2 * trained.sizes.noise) + 1e-6) * np.eye(len(y))
    y = np.concatenate([y for _, y in parts])
    expected = stats.multivariate_normal(np.zeros(len(y)), dense).logpdf(y)
    assert log_likelihood(model, process, records) == pytest.approx(expected, abs=1e-6)


def test_the_gradient_is_the_finite_difference(model, fitted):
    process = fitted.processes["psa"]
    parts = [as_points(model, process, record) for record in switching().patients[:3]]
    terms = Terms(1.0, 1.0, 1.0, 1.0)
    with jax.enable_x64(True):
        data, sizes = stack([p for p, _ in parts], [y for _, y in parts]), process.trained.sizes
        slope = _value_and_slope(sizes, terms, *data)[1]
        for name in sizes._fields:
            moved = [sizes._replace(**{name: getattr(sizes, name) + h}) for h in (-1e-5, 1e-5)]
            low, high = (float(_value_and_slope(s, terms, *data)[0]) for s in moved)
            assert np.sum(getattr(slope, name)) == pytest.approx((high - low) / 2e-5, rel=1e-4, abs=1e-4)


def test_the_search_ends_at_a_summit_no_worse_than_where_it_began(model, fitted):
    process = fitted.processes["psa"]
    begin = first_guess(len(process.knots), 3.0 * process.scaling.gap / process.scaling.length)
    start = log_likelihood(model, process, switching(), begin, Terms())
    assert process.trained.log_likelihood > start + 100.0
    assert process.trained.aic <= min(process.trained.tried.values()) + 0.01
    assert log_likelihood(model, process, switching()) == pytest.approx(process.trained.log_likelihood, abs=1e-6)


def test_a_treatment_counts_from_the_first_lab_after_its_start(model):
    clock = course_of(model, course("N", [1.0], [-3.0], ((2.0, ON), (5.0, OFF))))
    for time in (-3.0, 0.0, 2.0, 2.1, 5.0, 9.0):
        episodes = clock.episodes(time)
        assert episodes[-1] == (clock.treatment(time), clock.since(time))
        assert sum(spent for _, spent in episodes) == pytest.approx(time + 3.0)
    assert (clock.treatment(5.0), clock.since(5.0)) == (ON, 3.0) and clock.since(2.0) == 5.0


def test_time_runs_as_the_integral_of_its_rate_after_each_switch(model):
    rng = np.random.default_rng(1)
    sizes = first_guess(3, 1.0)._replace(
        rate=np.log([0.5, 1.0, 2.0]), burst=rng.normal(0.5, 0.3, 3), calm=rng.normal(0.2, 0.2, 3)
    )
    clock = course_of(model, course("N", [1.0], [0], ((2.0, ON), (5.0, OFF))))
    knots = {"": np.zeros(1), ON: np.zeros(1), OFF: np.zeros(1)}

    def rate(t):
        x = list(knots).index(clock.treatment(t))
        return np.exp(sizes.rate[x]) * (1 + np.exp(sizes.burst[x] - clock.since(t) / np.exp(sizes.calm[x])))

    scaling = type("Plain", (), {"gap": 1.0, "length": 1.0})
    found = warped_time(sizes, points_of(clock, [1.0, 4.0, 9.0], knots, scaling), xp=np)
    for t, w in zip((1.0, 4.0, 9.0), found):
        assert w == pytest.approx(integrate.quad(rate, 0.0, t, points=(2.0, 5.0), limit=200)[0], rel=1e-7)


def test_a_random_walk_is_forecast_at_its_last_value_with_the_sd_of_its_step(model):
    fitted = fit_gaussian_process(model, random_walks())
    walk = replace(random_walks(patients=1, seed=5).patients[0], key="N")
    rows = rival_rows(fitted, walk, random_seed=1)[5:]
    last = [np.log(lab.value) for lab in walk.labs[4:-1]]
    assert np.abs([row["mean"] - before for row, before in zip(rows, last)]).max() < 0.2
    assert np.mean([row["sd"] for row in rows]) == pytest.approx(0.5, rel=0.1)


def test_it_learns_what_treatment_does_and_leaves_the_last_value_behind(model, fitted):
    strangers = [replace(record, key=f"N-{i}") for i, record in enumerate(switching(patients=6, seed=7))]
    naive = fit_last_value(model, switching())
    score = {
        f.name: np.mean([r["crps"] for s in strangers for r in rival_rows(f, s, random_seed=1)])
        for f in (fitted, naive)
    }
    assert score["gaussian_process"] < 0.7 * score["last_value"]


def test_its_intervals_hold_as_many_labs_as_they_say(fitted):
    strangers = [replace(record, key=f"N-{i}") for i, record in enumerate(switching(patients=8, seed=8))]
    pit = np.array([row["pit"] for s in strangers for row in rival_rows(fitted, s, random_seed=1)])
    assert np.mean(np.abs(pit - 0.5) < 0.4) == pytest.approx(0.8, abs=0.06)


def test_far_from_every_lab_the_doubt_returns_to_that_of_a_new_patient(fitted):
    process = fitted.processes["psa"]
    clock = course_of(fitted.model, course("N", [1.0], [0], ((1.0, ON),)))
    near, far = predicted(process, np.array([0.0, 0.1]), [100.0, 114.0, 128.0, 30_000.0], clock)
    (new,) = predicted(process, np.zeros(0), [30_000.0], clock)
    assert near.scale < 0.8 * far.scale and far.scale <= new.scale * (1 + 1e-9)


def test_two_labs_at_one_time_and_labs_that_arrive_late_are_no_obstacle(fitted):
    record = course("N", [1.0, 2.0, 3.0], [0, 28, 14], known=[0, 28, 60])
    record = record.with_labs((*record.labs, Lab("again", "psa", 28.0, 2.1, 90.0)))
    rows = rival_rows(fitted, record, random_seed=1)
    assert [row["lab_id"] for row in rows] == ["0", "28", "14", "again"]
    assert np.isfinite([row["log_score"] for row in rows]).all()
    assert rows[3]["mean"] == pytest.approx(np.log(2.0), abs=0.15)


def test_a_treatment_nobody_had_is_forecast_with_more_doubt(model):
    start = ClinicalEvent("line_of_therapy", -1.0, -1.0, ON)
    fitted = fit_gaussian_process(model, Cohort(tuple(replace(r, events=(start,)) for r in random_walks())))
    flat = [1.0, 1.0, 1.0], [0, 28, 56]
    same = fitted.predict(panels(course("N", *flat, ((-1, ON),)))[-1])[0]
    other = fitted.predict(panels(course("N", *flat, ((-1, ON), (30, OFF))))[-1])[0]
    assert np.isfinite(other.crps) and other.sd > same.sd


def test_an_output_with_too_few_labs_is_refused_and_says_why(model):
    fitted = fit_gaussian_process(model, Cohort((course("A", [1.0, 2.0], [0, 28]),)))
    with pytest.raises(FitError, match="output psa: .*too few labs.*at least 10 labs"):
        fitted.predict(panels(course("N", [4.0], [0]))[0])
