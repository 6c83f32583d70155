"""Monte Carlo errors of what a forecast shows beside its chances: what they are, and that another seed moves a number
as far as its error says."""

from dataclasses import replace

import numpy as np
import pytest
from cycling_model import population, started, write_cycling_model

from bayestwin.dosing import Policy, Rule
from bayestwin.prognosis import compare_treatments, course_table, forecast, load_prognosis
from bayestwin.prognosis.printed import _labs_text
from bayestwin.prognosis.quantities import chance_of
from bayestwin.prognosis.time_on import step_quantiles
from bayestwin.records import Lab, PatientRecord
from bayestwin.twin import start_twin
from bayestwin.twin.monte_carlo import island_error, jackknife_error, quantile_errors
from bayestwin.twin.surprise import weighted_quantiles

ISLANDS, SIZE, SEEDS = 8, 4000, 40
EVEN = np.full(SIZE, np.log(ISLANDS / SIZE))
LEVELS = (0.1, 0.5, 0.9)
CYCLE = Policy((Rule("pause", "marker", below=2, while_on="drug"), Rule("drug", "marker", above=10, while_on="pause")))
# the SD of 40 numbers is known to 11 %, the root of 40 mean squares over 8 islands to 4 %: three standard errors
BETWEEN = (0.64, 1.36)


def ratio(numbers, errors):
    """SD of a number between runs over the error that they state, root mean square."""
    return np.std(numbers, axis=0, ddof=1) / np.sqrt(np.mean(np.square(errors), axis=0))


@pytest.fixture(scope="module")
def prognoses(hazards):
    """The same patient 40 times, each with random seeds of its own."""
    labs = tuple(Lab(f"m@{t}", "m_protein", t, 20.0 + t / 100, t) for t in (0.0, 10.0))
    sizes = {"particles": 800, "islands": ISLANDS, "population_draws": 100}
    twins = (start_twin(hazards, PatientRecord("H-1", labs=labs), random_seed=seed, **sizes) for seed in range(SEEDS))
    return [forecast(twin, ["drug", "late_cells"], random_seed=seed) for seed, twin in enumerate(twins)]


@pytest.fixture(scope="module")
def cycles(tmp_path_factory):
    """A policy 40 times, from a twin of its own each."""
    model = write_cycling_model(tmp_path_factory.mktemp("models") / "cycling")
    made = population(model, error=0.1)
    twins = (
        start_twin(made, started((0.0, "drug")), random_seed=seed, particles=320, islands=ISLANDS, population_draws=40)
        for seed in range(SEEDS)
    )
    return [forecast(twin, {"cycle": CYCLE}, random_seed=seed) for seed, twin in enumerate(twins)]


def by_islands(p, values):
    """SD over islands of the means that they hold, by the root of their number."""
    parts = zip(np.split(np.asarray(values, float), p.islands), np.split(p.weights, p.islands))
    return np.std([np.average(v, weights=w) for v, w in parts], ddof=1) / np.sqrt(p.islands)


def test_errors_of_means_are_those_of_the_same_number_island_by_island(prognoses, cycles):
    p, k = prognoses[0], prognoses[0].landmarks.index(12)
    assert by_islands(p, p.row("late_cells").moments["infusion"].reached) > 1e-6
    for moment, found in p.row("late_cells").moments.items():
        assert p.reached(moment, "late_cells").mcse == pytest.approx(by_islands(p, found.reached))
    first = p.row("late_cells").events.first[:, k].T
    ways = p.first_events("late_cells", 12).values()
    assert [way.mcse for way in ways] == pytest.approx([by_islands(p, one) for one in first])
    c = cycles[0]
    on = c.row("cycle").time_on
    for name, share in zip(on.treatments, on.share.T):
        assert c.time_on_mcse("cycle")[name][0] == pytest.approx(by_islands(c, share))
    changed = on.changed_by(c.log_weights, c.islands, 12.0)
    assert changed.mcse == pytest.approx(by_islands(c, on.first_change <= 12.0)) and changed.mcse > 0.0


def test_the_jackknife_of_a_mean_is_the_spread_of_the_islands():
    values = np.random.default_rng(1).exponential(1.0, SIZE)
    found = jackknife_error(lambda weights: (weights * values).sum(), EVEN, ISLANDS)
    assert found == pytest.approx(island_error(values, EVEN, ISLANDS), rel=1e-12)


def many(draw, quantiles_of):
    """(quantiles, errors, quantiles of the islands) of 300 samples."""
    found = []
    weights, part = np.full(SIZE, 1 / SIZE), np.full(SIZE // ISLANDS, ISLANDS / SIZE)
    for seed in range(300):
        x = draw(np.random.default_rng(seed))
        parts = [quantiles_of(one, part, LEVELS) for one in np.split(x, ISLANDS)]
        errors = quantile_errors(x, EVEN, ISLANDS, LEVELS, quantiles_of)
        found.append((quantiles_of(x, weights, LEVELS), errors, parts))
    return (np.array(one) for one in zip(*found))


@pytest.mark.parametrize("quantiles_of", [weighted_quantiles, step_quantiles])
def test_errors_of_quantiles_are_the_closed_form_and_those_of_the_islands_where_all_values_differ(quantiles_of):
    mean, p = 18.0, np.array(LEVELS)
    at, errors, parts = many(lambda rng: rng.exponential(mean, SIZE), quantiles_of)
    stated = np.sqrt((errors**2).mean(axis=0))
    assert stated == pytest.approx(np.sqrt(p * (1 - p) / SIZE) / ((1 - p) / mean), rel=0.08)
    assert stated == pytest.approx(np.sqrt(parts.var(axis=1, ddof=1).mean(axis=0) / ISLANDS), rel=0.08)
    assert np.abs(ratio(at, errors) - 1.0).max() < 0.13  # an SD of 300: 4 %


def test_errors_of_times_that_only_a_visit_can_show_are_not_those_of_the_islands():
    """Half of the runs say one visit and half the next: the mean of eight islands moves by far less than that."""
    visit, edge = 3.0, 18.0 * np.log(2.0)  # the median lies between two visits
    at, errors, parts = many(
        lambda rng: np.ceil((rng.exponential(18.0, SIZE) - edge) / visit) * visit + edge, step_quantiles
    )
    islands = np.sqrt(parts.var(axis=1, ddof=1).mean(axis=0) / ISLANDS)
    assert ratio(at[:, 1], errors[:, 1]) == pytest.approx(1.2, abs=0.1) and at.std(axis=0)[1] > 2.0 * islands[1]


def test_an_error_is_infinite_where_another_seed_may_pass_the_horizon_and_nothing_where_all_agree():
    months = np.random.default_rng(2).permutation(SIZE) / SIZE
    for share, wanted in ((0.1, np.inf), (0.4, 0.0), (0.9, 0.0)):
        late = np.where(months > 1.0 - 0.5 - (share - 0.1), np.inf, months)
        found = quantile_errors(late, EVEN, ISLANDS, (0.5,), step_quantiles)[0]
        assert found == wanted, share
    small = quantile_errors(np.where(months > 0.9, np.inf, months), EVEN, ISLANDS, (0.5,), step_quantiles)[0]
    assert 0.0 < small < 0.02


def test_another_seed_moves_the_numbers_of_a_forecast_as_far_as_their_errors_say(prognoses):
    numbers = [
        lambda p: p.first_events("late_cells", 12)["death"],
        lambda p: p.first_events("drug", 12)["other"],
        lambda p: p.reached("infusion", "late_cells"),
        lambda p: p.chance_from("infusion", "late_cells", 12),
    ]
    for number in numbers:
        found = [number(p) for p in prognoses]
        assert BETWEEN[0] < ratio([f.value for f in found], [f.mcse for f in found]) < BETWEEN[1]
    medians, errors = (
        [of(p, (0.25, 0.5)) for p in prognoses]
        for of in (lambda p, levels: p.quantiles("drug", levels), lambda p, levels: p.quantiles_mcse("drug", levels))
    )
    assert ((BETWEEN[0] < ratio(medians, errors)) & (ratio(medians, errors) < BETWEEN[1])).all()


def test_another_seed_moves_time_on_treatment_and_the_first_change_as_far_as_their_errors_say(cycles):
    shares, errors = (
        [of(p)["pause"] for p in cycles] for of in (lambda p: p.time_on("cycle"), lambda p: p.time_on_mcse("cycle"))
    )
    mean, *ends = ratio(shares, errors)
    assert BETWEEN[0] < mean < BETWEEN[1]
    assert max(ends) < BETWEEN[1]  # at the edge of many equal shares the error is too large rather than too small
    changes = [p.row("cycle").time_on.changed_by(p.log_weights, p.islands, 6.0) for p in cycles]
    assert BETWEEN[0] < ratio([c.value for c in changes], [c.mcse for c in changes]) < BETWEEN[1]
    levels = np.arange(0.05, 0.85, 0.01)  # a policy changes at its visits: most levels never move, some by a visit
    months = np.var([p.first_change("cycle", levels) for p in cycles], axis=0, ddof=1)
    errors = np.square([p.first_change_mcse("cycle", levels) for p in cycles])
    assert BETWEEN[0] < np.sqrt(months.mean() / errors.mean()) < BETWEEN[1]


def test_another_seed_moves_the_expected_labs_as_far_as_their_errors_say(cycles):
    for at in (2, 15):
        quantiles, errors = (
            np.array([getattr(p.row("cycle").courses[0], of)[1:6, at] for p in cycles])
            for of in ("quantiles", "errors")
        )
        assert ((BETWEEN[0] < ratio(quantiles, errors)) & (ratio(quantiles, errors) < BETWEEN[1])).all()


def test_another_seed_moves_the_shares_of_the_doubt_as_far_as_their_errors_say():
    p, draw = np.random.default_rng(0).beta(7, 6, 400), np.tile(np.arange(400), SIZE // 400)
    shares, errors = [], []
    for seed in range(2 * SEEDS):
        s = np.random.default_rng(seed).beta(4 * p[draw], 4 * (1 - p[draw]))
        found = chance_of(s, s**2, np.full(SIZE, 1 / SIZE), draw, EVEN, ISLANDS)
        shares.append(np.array(found.doubt) / sum(found.doubt))
        errors.append(found.doubt_mcse)
    assert ((BETWEEN[0] < ratio(shares, errors)) & (ratio(shares, errors) < BETWEEN[1])).all()


def test_errors_are_printed_kept_in_the_file_and_stand_in_the_tables(prognoses, cycles, tmp_path):
    p = prognoses[0]
    errors = [p.quantiles_mcse(name, (0.5,))[0] for name in p.names]
    text = str(p)
    assert f"\nMonte Carlo error of a median: up to {max(errors):.1f} months\n" in text
    largest = max(way.mcse for way in p.first_events("drug", 24).values())
    assert f"; Monte Carlo error up to {100 * largest:.1f} points" in text.split("first by 24 mo")[1].splitlines()[0]
    given = [p.chance_from("infusion", "late_cells", m) for m in p.landmarks]
    largest = max(chance.mcse for chance in (p.reached("infusion", "late_cells"), *given))
    said = text.split("counted from infusion")[1].splitlines()[0]
    assert said.endswith(f"; Monte Carlo error up to {100 * largest:.1f} points")
    assert p.to_frame().median_mcse[0] == errors[0]
    c = cycles[0]
    assert says_its_errors(str(c), "of the time")
    back = load_prognosis(c.save(tmp_path / "c.nc"), c.model)
    course, again = c.row("cycle").courses[0], back.row("cycle").courses[0]
    np.testing.assert_array_equal(again.errors, course.errors)
    assert course_table(back)["q0.5_mcse"][3] == course.errors[3, 3]
    assert back.time_on_mcse("cycle") == c.time_on_mcse("cycle")


def says_its_errors(text, start):
    """Whether the line of time on treatment ends with its errors: of shares, of the chance of a change, of months."""
    line = text.split(start)[1].splitlines()[0]
    return "; Monte Carlo error up to " in line and " of 100, up to " in line and line.endswith(("months", "the seed"))


def test_a_difference_under_another_rho_has_its_own_error(prognoses):
    p = prognoses[0]
    a, b = p.rows
    k = p.landmarks.index(12)
    weighted = np.log(np.random.default_rng(1).dirichlet(np.ones(len(p.draw) // ISLANDS), ISLANDS)).reshape(-1)
    stores = [{0.0: (r.events.survival, weighted), 0.5: (r.events.survival, p.log_weights)} for r in (a, b)]
    row = compare_treatments(replace(p, rows=tuple(replace(r, by_rho=s) for r, s in zip((a, b), stores)))).rows[0]
    apart = (b.events.survival - a.events.survival)[:, k]
    assert row.by_rho_mcse == pytest.approx([island_error(apart, weighted, ISLANDS), row.mcse])
    assert row.by_rho_mcse[0] > row.by_rho_mcse[1]


def test_an_island_without_weight_is_left_out_and_two_are_the_least():
    values, weights = np.random.default_rng(4).standard_normal(SIZE), EVEN.copy()
    weights[: SIZE // ISLANDS] = -np.inf
    rest = values[SIZE // ISLANDS :], EVEN[SIZE // ISLANDS :]
    own = np.where(np.isinf(weights), np.nan, weights)  # as normalised by an island without any
    for given in (weights, own):
        assert island_error(values, given, ISLANDS) == pytest.approx(island_error(*rest, ISLANDS - 1))
        assert quantile_errors(values, given, ISLANDS, LEVELS) == pytest.approx(
            quantile_errors(*rest, ISLANDS - 1, LEVELS), rel=0.1
        )
        assert np.isfinite(jackknife_error(lambda kept: kept @ values, given, ISLANDS))
    assert island_error(values, np.where(np.arange(SIZE) < SIZE // ISLANDS, EVEN, -np.inf), ISLANDS) == np.inf


def test_courses_of_a_file_without_errors_are_printed_without_them(prognoses):
    p = prognoses[0]
    rows = tuple(replace(row, courses=tuple(replace(course, errors=None) for course in row.courses)) for row in p.rows)
    said = _labs_text(replace(p, rows=rows))
    assert "Monte Carlo error of a median up to" in _labs_text(p)
    assert "nan" not in said and "Monte Carlo" not in said and p.rows[0].courses[0].output in said
