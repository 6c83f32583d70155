"""What a forecast says of policies and schedules: chances, progression on treatment only, time on treatment, files."""

import re
from dataclasses import replace

import numpy as np
import pytest
from cycling_model import CYCLING, NOW, grown, natural, started, twin_of, write_cycling_model

from bayestwin.dosing import Policy, Rule, Schedule
from bayestwin.errors import ModelError
from bayestwin.prognosis import compare_treatments, course_table, forecast, load_prognosis, save_prognosis
from bayestwin.prognosis.particles import forecast_draws
from bayestwin.records import Lab

MONTH = 30.4375
MARKS = MONTH * np.array([6, 12, 24])
CYCLE = (Rule("pause", "marker", below=2, while_on="drug"), Rule("drug", "marker", above=10, while_on="pause"))
MONTHLY = (Rule("pause", while_on="drug", after="28 day"), Rule("drug", while_on="pause", after="28 day"))
ROWS = {
    "go on": "drug",
    "28 days each": Policy(MONTHLY),
    "30 days each": Policy(MONTHLY, every="30 day"),  # decided between the endpoint's visits
    "half a year off": Schedule((("0 day", "pause"), ("180 day", "drug"))),
    "never again": Schedule((("0 day", "pause"),)),
    "cycle, resume at 10 ug/L": Policy(CYCLE, start="pause"),
}
SLASHED = {"30 days each": "cycle", "never again": "cycle/never", "half a year off": "cycle%2Fnever"}


@pytest.fixture(scope="module")
def resistant(cycling):
    """(twin, forecast): the marker grows by about 1 % a day on the drug."""
    record = started((0.0, "drug"), (50.0, "pause"), (80.0, "drug"))
    twin = twin_of(cycling, record, on_drug=0.01)
    return twin, forecast(twin, ROWS, random_seed=3)


def on_the_drug(twin, begin, now_ln):
    """Day of serological progression in closed form: the drug from `begin` on, ln marker `now_ln` at the first visit
    after it at day `first`; nadir there, +25 % and +2 later."""
    first = 28.0 * (np.floor(begin / 28.0) + 1)
    draws = forecast_draws(twin, 0.0, np.random.default_rng(1))
    _, _, d = natural(twin, draws)
    nadir = np.exp(now_ln + d * (first - begin))
    return first + 28.0 * np.maximum(np.ceil(np.log1p(np.maximum(0.25, 2.0 / nadir)) / (28.0 * d)), 1)


def ln_now(twin):
    """ln marker at the data cut: 50 days of the drug, 30 of pause, 20 of the drug."""
    m0, g, d = natural(twin, forecast_draws(twin, 0.0, np.random.default_rng(1)))
    return np.log(m0) - 0.2 + 70.0 * d + grown(g, 30.0), g


def test_progression_on_the_drug_comes_at_the_visit_the_closed_form_says(resistant):
    twin, p = resistant
    level, g = ln_now(twin)
    events, day = p.row("go on").events, on_the_drug(twin, 0.0, level)
    assert events.survival == pytest.approx((day[:, None] > MARKS) * np.exp(-0.001 * MARKS), rel=1e-6)
    later = p.row("half a year off").events
    day = on_the_drug(twin, 180.0, level + grown(g, 180.0) - 0.1)
    free = np.exp(-0.001 * np.maximum(MARKS - 180.0, 0.0))
    on_a_step = np.abs(
        np.log(later.survival / free, where=later.survival > 0, out=np.zeros_like(free * later.survival))
    )
    assert ((later.survival > 0) == (day[:, None] > MARKS)).all()
    assert on_a_step.max() < 0.001 * 28  # the hazard is read between visits, and begins between two


def test_a_rise_in_a_pause_is_no_progression(resistant):
    twin, p = resistant
    row = p.row("never again")  # the marker doubles every ten weeks
    assert np.isinf(row.events.event).all() and p.chance("never again", 24).value == pytest.approx(1.0)
    assert p.time_on("never again")["pause"] == pytest.approx((1.0, 1.0, 1.0))
    assert row.time_on.treatments == ("pause",) and np.isinf(row.time_on.first_change).all()


def days_on(until, length):
    """Days on the drug by `until`, where it is given and paused in turn for `length` days."""
    return length * np.floor(until / (2 * length)) + np.minimum(until % (2 * length), length)


@pytest.mark.parametrize("length", [28.0, 30.0])
def test_two_rises_in_different_episodes_do_not_confirm_each_other(resistant, length):
    """No episode has three visits: the nadir is never risen from twice, and only the hazard is left."""
    _, p = resistant
    survival = p.row(f"{length:g} days each").events.survival
    expected = np.exp(-0.001 * days_on(MARKS, length))
    assert survival == pytest.approx(np.tile(expected, (len(survival), 1)), rel=1e-6)


def test_shares_of_time_and_the_first_change_are_those_of_the_schedule(resistant):
    _, p = resistant
    row = p.row("half a year off")
    until = np.minimum(row.events.event, 36.0) * MONTH
    pause = dict(zip(row.time_on.treatments, row.time_on.share.T))["pause"]
    assert pause == pytest.approx(np.minimum(180.0, until) / until)
    assert row.time_on.first_change[until > 180.0] == pytest.approx(180.0 / MONTH)
    for length in (28.0, 30.0):
        row = p.row(f"{length:g} days each")
        until = np.minimum(row.events.event, 36.0) * MONTH
        assert dict(zip(row.time_on.treatments, row.time_on.share.T))["drug"] == pytest.approx(
            days_on(until, length) / until
        )
        assert row.time_on.share.sum(axis=1) == pytest.approx(1.0)
        assert row.time_on.first_change[until > length] == pytest.approx(length / MONTH)
        assert np.isinf(row.time_on.first_change[until <= length]).all()


def test_printed_a_policy_tells_its_time_on_each_treatment(resistant):
    _, p = resistant
    text = str(p)
    assert "of the time: pause 100 % (100 to 100); no change" in text
    assert (
        "first change in" in text
        and "the drug if on a pause and marker at or above 10 ug/L" in p.rows[-1].plan.assumption
    )
    assert p.first_change("28 days each", (0.5,)) == pytest.approx((28 / MONTH,))
    assert p.time_on("go on") is None and p.first_change("go on") is None


def test_event_times_of_a_policy_have_the_distribution_of_its_chances(cycling):
    twin = twin_of(cycling, started((0.0, "drug"), (60.0, "pause"), (90.0, "drug")), on_drug=0.004, error=0.2)
    p = forecast(twin, {"cycle": Policy((Rule("pause", "marker", below=8, while_on="drug"), CYCLE[1]))}, random_seed=4)
    row = p.row("cycle")
    for month in (6, 12, 24):
        share = (p.weights * (row.events.event > month)).sum()
        assert share == pytest.approx(p.chance("cycle", month).value, abs=4 * np.sqrt(0.25 / 160))
    spread = row.events.survival[:, 1] - np.sqrt(np.maximum(row.events.squared[:, 1], 0.0))
    assert (spread > 0.01).any()  # paths of assay errors differ in what happens


def test_progression_in_the_present_episode_refuses_it_and_an_earlier_one_does_not(cycling):
    def prognosis(values, *starts):
        days = np.linspace(NOW - 10.0 * (len(values) - 1), NOW, len(values))
        labs = tuple(Lab(f"m{t:g}", "marker", float(t), float(v), float(t)) for t, v in zip(days, values))
        twin = twin_of(cycling, started(*starts, labs=labs), error=0.5)
        return forecast(
            twin, {"go on": "drug", "cycle": Policy(CYCLE), "stop": Schedule((("0 day", "pause"),))}, random_seed=1
        )

    found = prognosis([6, 6, 9, 9], (0.0, "drug"))
    for name in ("go on", "cycle"):
        assert found.row(name).refused == "progression under this treatment is already in the record"
    assert found.row("stop").refused == "" and found.chance("stop", 12).value == pytest.approx(1.0)
    found = prognosis([6, 6, 9, 9], (0.0, "drug"), (85.0, "pause"), (95.0, "drug"))
    assert not any(row.refused for row in found.rows)
    pending = prognosis([6, 6, 6, 60], (0.0, "drug"))  # a rise that only the next visit can confirm
    steady = prognosis([6, 6, 6, 6], (0.0, "drug"))
    for name in ("go on", "cycle"):
        first = [(p.weights * (p.row(name).events.progression <= 28 / MONTH)).sum() for p in (pending, steady)]
        assert first[0] > first[1] + 0.1
    assert np.isinf(pending.row("stop").events.progression).all()


def test_a_saved_policy_comes_back(resistant, tmp_path):
    _, p = resistant
    back = load_prognosis(save_prognosis(p, tmp_path / "p.nc"), p.model)
    assert back.names == p.names == tuple(ROWS)
    for name in p.names:
        assert back.row(name).plan == p.row(name).plan
        assert back.time_on(name) == p.time_on(name) and back.first_change(name) == p.first_change(name)
        assert np.array_equal(back.row(name).events.squared, p.row(name).events.squared)
    assert back.row("cycle, resume at 10 ug/L").plan.policy == ROWS["cycle, resume at 10 ug/L"]
    assert str(back) == str(p)
    rows = [replace(p.row(old), plan=replace(p.row(old).plan, name=new)) for old, new in SLASHED.items()]
    back = load_prognosis(save_prognosis(replace(p, rows=tuple(rows)), tmp_path / "q.nc"), p.model)
    assert [back.time_on(name) for name in back.names] == [p.time_on(name) for name in SLASHED]  # no group in a group


def test_rows_of_treatments_the_patient_has_had_are_compared_and_others_are_not(resistant, cycling_twin):
    _, p = resistant
    found = compare_treatments(p).difference("go on", "half a year off", 12)
    expected = p.chance("half a year off", 12).value - p.chance("go on", 12).value
    assert found.difference == pytest.approx(expected) and found.by_rho == () and not found.withheld
    text = str(compare_treatments(p))
    before = "given before: the drug day 0 to day 50; a pause day 50 to day 80"
    assert f"treatments the patient has had; {before}" in text
    off = Schedule((("0 day", "pause"),))
    first = forecast(cycling_twin, {"go on": "drug", "cycle": Policy(CYCLE), "off": off}, random_seed=3)
    row = compare_treatments(first, reference="off").difference("off", "go on", 12)  # a plan is nothing had
    assert row.difference is None and "has not had pause" in row.withheld
    row = compare_treatments(first).difference("go on", "cycle", 12)
    assert row.difference is None
    assert row.withheld.endswith(
        "range over rho was not computed: the model declares none, and this patient has not had pause"
    )


def test_a_rule_that_counts_on_what_no_event_starts_is_refused(cycling, cycling_twin):
    rule = replace(cycling.progression.rules[0], counts_on=("tablets",))
    model = replace(cycling, endpoints=(replace(cycling.progression, rules=(rule,)),), source_hash="")
    with pytest.raises(ModelError, match="counts on a treatment that no event starts .*'tablets'.* drug, pause, cells"):
        forecast(replace(cycling_twin, model=model), {"go on": "drug"}, random_seed=1)


def test_a_model_without_an_endpoint_has_courses_and_time_on_treatment(cycling_twin):
    twin = replace(cycling_twin, model=replace(cycling_twin.model, endpoints=(), source_hash=""))
    found = forecast(twin, {"each": Policy(MONTHLY)}, horizon=150.0, random_seed=1).row("each")
    assert found.events is None and found.courses[0].times.tolist() == [128.0, 156.0, 184.0, 212.0, 240.0, 250.0]
    assert found.time_on.first_change == pytest.approx(28.0)  # in the model's time unit
    assert found.time_on.share == pytest.approx(np.tile([84.0 / 150.0, 66.0 / 150.0], (160, 1)))


def test_without_an_endpoint_the_labs_expected_are_printed_and_are_a_table(cycling_twin):
    twin = replace(cycling_twin, model=replace(cycling_twin.model, endpoints=(), source_hash=""))
    found = forecast(twin, {"drug": None}, horizon=150.0, random_seed=1)
    frame, course = course_table(found), found.row("drug").courses[0]
    assert list(frame.columns[:4]) == ["treatment", "output", "unit", "time"] and len(frame) == len(course.times)
    np.testing.assert_array_equal(frame[["q0.025", "q0.5", "q0.975"]].to_numpy().T, course.quantiles[[0, 3, 6]])
    first, last = f"{course.quantiles[3, 0]:.3g}", f"{course.quantiles[3, -1]:.3g}"
    for time, value in ((course.times[0], first), (course.times[-1], last)):
        assert f"{twin.model.time_unit} {time:g} {value} (" in str(found)
    assert "median, and 80 % predictive interval" in str(found)


@pytest.mark.parametrize(
    "asked", [{"horizon": x} for x in (np.inf, np.nan, -5.0, 0.0, 1e9)] + [{"horizon_months": 1e9}]
)
def test_a_horizon_that_is_none_is_refused_without_an_endpoint_too(cycling_twin, asked):
    twin = replace(cycling_twin, model=replace(cycling_twin.model, endpoints=(), source_hash=""))
    ((name, value),) = asked.items()
    allowed = {"horizon": "36525 day", "horizon_months": "1200 months"}[name]
    with pytest.raises(
        ModelError, match=f"{name}: this is no horizon .*{re.escape(repr(value))}.* more than 0 and at most {allowed}"
    ):
        forecast(twin, {"drug": None}, random_seed=1, **asked)


def test_months_are_a_horizon_of_any_model_and_no_horizon_is_ignored(cycling_twin):
    twin = replace(cycling_twin, model=replace(cycling_twin.model, endpoints=(), source_hash=""))
    assert forecast(twin, {"drug": None}, horizon_months=2, random_seed=1).horizon == pytest.approx(2 * MONTH)
    with pytest.raises(ModelError, match="the horizon is said twice"):
        forecast(twin, {"drug": None}, horizon_months=2, horizon=60.0, random_seed=1)
    with pytest.raises(
        ModelError, match="a model with an endpoint is asked for months .*expected horizon_months alone"
    ):
        forecast(cycling_twin, {"go on": "drug"}, horizon=60.0, random_seed=1)


@pytest.mark.parametrize("endpoint", [True, False])
def test_a_row_of_which_no_draw_can_be_solved_says_so(cycling_twin, monkeypatch, endpoint):
    from bayestwin.prognosis import row

    kept = row.trajectories
    monkeypatch.setattr(row, "trajectories", lambda *a, **k: (*kept(*a, **k)[:2], np.zeros(160, dtype=bool)))
    model = cycling_twin.model if endpoint else replace(cycling_twin.model, endpoints=(), source_hash="")
    found = forecast(replace(cycling_twin, model=model), {"a": "drug", "b": "pause"}, random_seed=1)
    why = "the equations could not be solved to the horizon for any draw"
    assert [r.refused for r in found.rows] == [why, why] and f"no number ({why})" in str(found)
    assert why in str(compare_treatments(found))


def test_a_comparison_without_an_endpoint_says_why_there_is_none(cycling_twin):
    twin = replace(cycling_twin, model=replace(cycling_twin.model, endpoints=(), source_hash=""))
    found = compare_treatments(forecast(twin, {"a": "drug", "b": "pause"}, random_seed=1))
    assert found.rows[0].withheld == f"{twin.model.name} has no endpoint, so there are no chances to compare"


def test_departures_to_come_are_chance_and_nothing_of_this_patient(tmp_path):
    """As under a policy, whose every path has departures of its own."""
    serial = "SerialCorrelation(sd=LogNormal(median=0.3, sd_log=0.1), time=LogNormal(median=30.0, sd_log=0.1))"
    said = CYCLING.replace("sd=HalfNormal(sd=0.2))", f"sd=HalfNormal(sd=0.2), serial={serial})", 1)
    more = {"serial_sd_marker": np.full(40, 0.5), "serial_time_marker": np.full(40, 30.0)}
    twin = twin_of(write_cycling_model(tmp_path / "departing", said), error=0.05, on_drug=0.004, more=more)
    found = forecast(twin, ["drug"], landmarks_months=(6,), random_seed=1, over_rho=False).chance("drug", 6)
    patient, knowledge, luck = found.doubt
    assert patient + knowledge < 0.02 and sum(found.doubt) == pytest.approx(found.value * (1 - found.value), rel=0.01)
