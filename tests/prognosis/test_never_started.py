"""Those who set out on cells and never get them, and the same future counted from leukapheresis or infusion."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bayestwin.errors import ModelError
from bayestwin.prognosis import compare_treatments, forecast, load_prognosis, save_prognosis
from bayestwin.prognosis.moments import times_of
from bayestwin.prognosis.plan import make_plans
from bayestwin.records.record import ClinicalEvent, Lab, PatientRecord
from bayestwin.specification import Treatment
from bayestwin.twin import start_twin, update_twin

MONTH, LEUKAPHERESIS, WAIT, START, LOST = 365.25 / 12.0, 30.0, 60.0, 90.0, 0.2
NEVER = 1.0 - (1.0 - LOST) ** (START / WAIT)


@pytest.fixture(scope="module")
def prognosis(hazard_twin):
    return forecast(hazard_twin, ["drug", "late_cells"], landmarks_months=(6.0, 12.0, 34.0), random_seed=1)


@pytest.fixture(scope="module")
def rates(hazards, prognosis):
    """Hazards of other progression and of death of every draw, 1/day."""
    sites = hazards.tree["posterior"]
    return tuple(sites[f"{h}_pop"].values.reshape(-1)[prognosis.draw] for h in ("h_other", "h_death"))


def free(rates, days, factor, since=START):
    """P(alive, and no other progression since `since`) at `days`; death `factor` times as frequent from START on."""
    other, death = rates
    return np.exp(-other * (days - since) - death * (START + factor * (days - START)))


def test_the_row_is_the_mixture_of_both_futures(prognosis, rates):
    events = prognosis.row("late_cells").events
    for k, month in enumerate((6.0, 12.0, 34.0)):
        given, otherwise = (free(rates, month * MONTH, factor) for factor in (0.2, 3.0))
        expected = (1.0 - NEVER) * given + NEVER * otherwise
        assert_allclose(events.survival[:, k], expected, rtol=1e-5)
        assert_allclose(events.squared[:, k], expected**2, rtol=1e-5)
        alive = np.exp(-rates[1] * START) * (
            (1 - NEVER) * np.exp(-0.2 * rates[1] * (month * MONTH - START))
            + NEVER * np.exp(-3.0 * rates[1] * (month * MONTH - START))
        )
        assert_allclose(events.alive[:, k], alive, rtol=1e-5)
        assert_allclose(events.first[:, k].sum(axis=-1) + expected, 1.0, rtol=1e-5)
    drawn = (events.event > 12.0).mean()  # 800 draws: SD 0.018
    assert abs(drawn - events.survival[:, 1].mean()) < 0.07


def test_before_a_start_beyond_the_horizon_only_death_counts(hazard_twin):
    """The start, in 90 days, is further ahead than the last visit, and no row is lost by it."""
    asked = forecast(hazard_twin, ["drug", "late_cells"], horizon_months=1, landmarks_months=(1.0,), random_seed=1)
    events = asked.row("late_cells").events
    assert_allclose(events.survival, events.alive)
    assert 0.9 < asked.chance("drug", 1.0).value < asked.chance("late_cells", 1.0).value < 1.0


def test_from_infusion_those_count_who_get_there_alive(prognosis, rates):
    moment = prognosis.row("late_cells").moments["infusion"]
    assert moment.at == pytest.approx(START / MONTH)
    assert_allclose(moment.reached, (1.0 - NEVER) * np.exp(-rates[1] * START), rtol=1e-5)
    survival = free(rates, START + 12.0 * MONTH, 0.2) / np.exp(-rates[1] * START)
    assert_allclose(moment.survival[:, 1], survival, rtol=1e-5)
    chance = prognosis.chance_from("infusion", "late_cells", 12.0)
    weights = prognosis.weights * moment.reached
    assert chance.value == pytest.approx((weights * survival).sum() / weights.sum(), abs=2e-3)
    assert chance.value > prognosis.chance("late_cells", 12.0).value + 0.02
    assert prognosis.reached("infusion", "late_cells").value == pytest.approx(
        (prognosis.weights * moment.reached).sum()
    )
    assert prognosis.chance_from("infusion", "late_cells", 34.0) is None  # past the horizon, counted from there
    alive = prognosis.chance_from("infusion", "late_cells", 12.0, endpoint="death").value
    assert alive > chance.value


def test_from_leukapheresis_the_drop_outs_of_the_wait_are_inside(prognosis, rates):
    moment = prognosis.row("late_cells").moments["leukapheresis"]
    assert moment.at == pytest.approx(LEUKAPHERESIS / MONTH)
    on_the_way = (1.0 - LOST) ** ((START - WAIT) / WAIT)
    assert_allclose(moment.reached, on_the_way * np.exp(-rates[1] * LEUKAPHERESIS), rtol=1e-5)
    days = LEUKAPHERESIS + 12.0 * MONTH
    both = (1.0 - LOST) * free(rates, days, 0.2) + LOST * free(rates, days, 3.0)
    assert_allclose(moment.survival[:, 1], both / np.exp(-rates[1] * LEUKAPHERESIS), rtol=1e-5)


def test_a_treatment_that_starts_at_once_has_no_moment_ahead(prognosis):
    assert prognosis.row("drug").moments is None
    assert prognosis.chance_from("infusion", "drug", 12.0) is None
    assert prognosis.reached("infusion", "drug") is None
    with pytest.raises(ModelError, match="no such endpoint"):
        prognosis.chance_from("infusion", "late_cells", 12.0, endpoint="progression")
    with pytest.raises(ModelError, match="no such moment.*'infusoin'.*leukapheresis, infusion"):
        prognosis.chance_from("infusoin", "late_cells", 12.0)
    with pytest.raises(ModelError, match="no such moment.*'infusoin'"):
        prognosis.reached("infusoin", "late_cells")


def test_a_drug_that_is_planned_is_not_counted_from_an_infusion(hazard_twin):
    start = ClinicalEvent("line_of_therapy", hazard_twin.time + 20.0, hazard_twin.time, "rescue")
    planned = plan(hazard_twin, events=[start], name="rescue")
    assert (planned.role, planned.start) == ("planned", hazard_twin.time + 20.0)
    assert times_of(planned, hazard_twin.time) == {}
    assert set(times_of(plan(hazard_twin), hazard_twin.time)) == {"leukapheresis", "infusion"}


def test_moments_and_drop_outs_survive_the_file_and_are_printed(prognosis, hazard_twin, tmp_path):
    save_prognosis(prognosis, tmp_path / "prognosis.nc")
    again = load_prognosis(tmp_path / "prognosis.nc", hazard_twin.model)
    for name, moment in prognosis.row("late_cells").moments.items():
        for key, value in moment._asdict().items():
            assert_allclose(getattr(again.row("late_cells").moments[name], key), value, equal_nan=True)
    assert again.row("late_cells").plan == prognosis.row("late_cells").plan
    assert again.row("drug").moments is None
    text = str(again)
    reached = round(100 * prognosis.reached("infusion", "late_cells").value)
    assert f"counted from infusion (month 3.0), the {reached} in 100 who get there: 6 mo" in text
    assert "who never gets it has rescue instead" in text
    assert "late_cells" in str(compare_treatments(again))


def plan(twin, *, covariates=None, events=(), name="late_cells"):
    record = replace(twin.record, covariates=covariates or {}, events=tuple(events))
    return make_plans(twin.model, record, [name], twin.time)[0]


def test_the_way_ahead_follows_the_record(hazard_twin):
    now = hazard_twin.time
    known = plan(hazard_twin)
    assert (known.leukapheresis, known.start, known.waits) == (now + 30.0, now + 90.0, 1.5)
    deprived = plan(hazard_twin, covariates={"deprivation": 5.0})
    assert (deprived.leukapheresis, deprived.start) == (now + 40.0, now + 100.0)
    done = plan(hazard_twin, events=[ClinicalEvent("leukapheresis", now - 15.0, now)], covariates={"deprivation": 5.0})
    assert (done.leukapheresis, done.start, done.waits) == (None, now + 45.0, 0.75)
    infused = plan(hazard_twin, events=[ClinicalEvent("infusion", now - 1.0, now, "late_cells")])
    assert (infused.role, infused.otherwise, infused.waits) == ("current", None, 0.0)


def test_a_leukapheresis_that_is_planned_is_the_way_ahead(hazard_twin):
    now = hazard_twin.time
    taken = ClinicalEvent("leukapheresis", now + 90.0, now)
    later = plan(hazard_twin, events=[taken, replace(taken, time=now + 200.0)])
    assert (later.leukapheresis, later.start, later.waits) == (now + 90.0, now + 150.0, 2.5)
    assert times_of(later, now) == {"leukapheresis": 90.0, "infusion": 150.0}
    both = plan(hazard_twin, events=[taken, ClinicalEvent("infusion", now + 160.0, now, "late_cells")])
    assert (both.role, both.leukapheresis, both.start) == ("planned", now + 90.0, now + 160.0)
    done = plan(hazard_twin, events=[taken, ClinicalEvent("leukapheresis", now - 15.0, now)])
    assert (done.leukapheresis, done.start) == (None, now + 45.0)


def test_cells_that_have_come_leave_no_leukapheresis_for_others(hazard_twin):
    now = hazard_twin.time
    used = [ClinicalEvent("leukapheresis", now - 9.0, now), ClinicalEvent("infusion", now - 1.0, now, "cells")]
    again = plan(hazard_twin, events=used)
    assert (again.leukapheresis, again.start, again.waits) == (now + 30.0, now + 90.0, 1.5)
    taken = plan(hazard_twin, events=[*used, ClinicalEvent("leukapheresis", now - 0.5, now)])
    assert (taken.leukapheresis, taken.start) == (None, now + 59.5)


def test_who_never_gets_it_stays_on_what_he_has_where_that_is_the_same(hazard_twin):
    on_it = [ClinicalEvent("line_of_therapy", 1.0, 1.0, "rescue")]
    same = plan(hazard_twin, events=on_it).otherwise
    assert (same.name, same.role, same.new, same.start) == ("rescue", "otherwise", True, hazard_twin.time + START)
    assert not [e for e in same.record.events if e.time > 1.0]  # nothing starts anew
    other = plan(hazard_twin).otherwise
    assert (other.name, other.role, other.start) == ("rescue", "otherwise", hazard_twin.time + START)
    assert plan(hazard_twin, name="cells").otherwise is None


def test_progression_counts_from_the_planned_start_for_whoever_never_gets_it_too(hazards):
    """A rise on the therapy in force is why a patient is referred; it is no progression of the way ahead."""
    rising = [(0.0, 13.0), (10.0, 13.0), *((20.0 + 2 * k, 20.0) for k in range(11))]
    labs = tuple(Lab(f"m@{t:g}", "m_protein", t, v, t) for t, v in rising)
    on_it = ClinicalEvent("line_of_therapy", 0.0, 0.0, "rescue")
    sizes = {"particles": 400, "islands": 4, "population_draws": 100}
    twin = start_twin(hazards, PatientRecord("N-2", labs=labs, events=(on_it,)), random_seed=1, **sizes)
    asked = forecast(twin, ["rescue", "late_cells"], landmarks_months=(2.0, 12.0), random_seed=1)
    assert "already in the record" in asked.row("rescue").refused
    events = asked.row("late_cells").events
    assert_allclose(events.survival[:, 0], events.alive[:, 0])  # month 2 lies before the start: only death counts
    assert (events.progression * MONTH >= START - 1e-6).all()


def test_after_the_infusion_nobody_drops_out(hazards, hazard_twin):
    now = hazard_twin.time
    record = replace(hazard_twin.record, events=(ClinicalEvent("infusion", now, now, "late_cells"),))
    infused, _ = update_twin(hazard_twin, record, random_seed=1, population=hazards)
    row = forecast(infused, ["late_cells"], landmarks_months=(12.0,), random_seed=1).row("late_cells")
    assert row.moments is None
    assert row.plan.otherwise is None


@pytest.mark.parametrize(
    "treatment, said",
    [
        (Treatment("x", label="", wait=-1.0), "a waiting time below zero"),
        (Treatment("x", label="", to_leukapheresis=10.0), "needs a cell therapy"),
        (Treatment("x", label="", instead="drug"), "cannot drop out"),
        (Treatment("x", label="", wait=10.0, instead="nothing_known"), "unknown name"),
        (Treatment("x", label="", wait=10.0, instead="x"), "unknown name"),
    ],
)
def test_a_way_that_does_not_fit_together_is_refused(hazards, treatment, said):
    with pytest.raises(ModelError, match=said):
        replace(hazards.model, treatments=(*hazards.model.treatments, treatment))
