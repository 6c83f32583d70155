"""Forecasts end to end on hazards alone, plans and refusals, and files."""

from dataclasses import replace
from functools import reduce

import hazard_model
import numpy as np
import pytest
from cycling_model import CYCLING, NOW, started, write_cycling_model

from bayestwin.dosing import DoseEvent, Regimen, Schedule
from bayestwin.dynamics.timeline import happenings
from bayestwin.errors import ArgumentError, FitError, ModelError, StoreError
from bayestwin.prognosis import compare_treatments, forecast, load_prognosis, save_prognosis
from bayestwin.prognosis.particles import silent_parameters
from bayestwin.prognosis.plan import make_plans
from bayestwin.prognosis.printed import after_the_cut
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.specification import load_model
from bayestwin.twin import start_twin

MONTH = 30.4375


@pytest.fixture(scope="module")
def prognosis(hazard_twin):
    return forecast(hazard_twin, random_seed=2)


def test_survival_with_only_hazards_is_the_mean_of_exponentials(hazard_twin, prognosis):
    rates = np.exp(np.asarray(hazard_twin.population.typical)[np.asarray(hazard_twin.particles.draw)][:, 1:])
    for month in (6, 12, 24):
        t = month * MONTH
        expected = (hazard_twin.weights * np.exp(-rates.sum(1) * t)).sum()
        assert prognosis.chance("drug", month).value == pytest.approx(expected, abs=1e-4)
        free = (hazard_twin.weights * np.exp(-rates[:, 0] * t)).sum()
        assert prognosis.chance("drug", month, endpoint="progression").value == pytest.approx(free, abs=1e-4)
        waiting = (hazard_twin.weights * np.exp(-rates[:, 1] * t - rates[:, 0] * np.maximum(t - 60.0, 0))).sum()
        assert prognosis.chance("cells", month).value == pytest.approx(waiting, abs=1e-4)


def test_overall_survival_counts_deaths_alone_and_the_lines_add_up(hazard_twin, prognosis):
    rates = np.exp(np.asarray(hazard_twin.population.typical)[np.asarray(hazard_twin.particles.draw)][:, 1:])
    for month in (6, 24):
        t = month * MONTH
        alive = (hazard_twin.weights * np.exp(-rates[:, 1] * t)).sum()
        assert prognosis.chance("drug", month, endpoint="death").value == pytest.approx(alive, abs=1e-4)
        ways = prognosis.first_events("drug", month)
        assert (
            list(ways) == ["serological progression", "other", "death"] and ways["serological progression"].value == 0.0
        )
        assert sum(way.value for way in ways.values()) + prognosis.chance("drug", month).value == pytest.approx(
            1.0, abs=1e-9
        )
        share = (rates[:, 0] / rates.sum(1) * (1 - np.exp(-rates.sum(1) * t)) * hazard_twin.weights).sum()
        assert ways["other"].value == pytest.approx(share, abs=1e-4)
    assert "first by 24 mo: serological progression <1, other " in str(prognosis)


def test_the_text_says_what_its_first_day_is_and_how_far_another_seed_would_move_its_chances(prognosis):
    head = str(prognosis).splitlines()
    assert head[0].startswith("Forecast of H-1 from day 10 (research use only")
    assert head[1] == "day 10 is the data cut: the time of the newest lab or event known"
    worst = [max(prognosis.chance(row, month).mcse for row in ("drug", "cells")) for month in (6, 12, 24)]
    cells = ", ".join(f"{month} mo {100 * error:.1f}" for month, error in zip((6, 12, 24), worst))
    assert head[3] == f"Monte Carlo error of a chance (SD between random seeds): {cells} points"


def test_what_lies_after_the_data_cut_is_named():
    model = load_model("myeloma_car_t")
    given = ClinicalEvent("line_of_therapy", 5.0, 5.0, "dara_pd")
    planned = ClinicalEvent("infusion", 54.0, 20.0, "ide_cel")
    said = ClinicalEvent("covariate", 40.0, 40.0, "extramedullary = 1.0")
    record = PatientRecord("M-1", events=(given, planned, said))
    plans, covariates = after_the_cut(model, record, 30.0)
    assert plans == "after it the record plans ide_cel from day 54"
    assert covariates.startswith("after it the record says extramedullary = 1.0 from day 40: the numbers count with it")
    assert after_the_cut(model, record, 54.0) == []


def test_an_unknown_endpoint_or_landmark_names_those_there_are(prognosis):
    with pytest.raises(ModelError, match="no such endpoint.*'relapse'.*progression or death, progression, death"):
        prognosis.chance("drug", 12, endpoint="relapse")
    with pytest.raises(ModelError, match="not a landmark of this forecast.*13.*6, 12, 24"):
        prognosis.first_events("drug", 13)
    with pytest.raises(ModelError, match="no knowledge range of this probability.*0.9.*0.5, 0.8, 0.95"):
        prognosis.knowledge_range("drug", 12, probability=0.9)


def test_one_number_for_months_in_a_row_and_a_pair_that_was_not_compared_are_refused(hazard_twin, prognosis):
    for of, how in ((compare_treatments, {"months": 12}), (forecast, {"landmarks_months": 12, "random_seed": 1})):
        with pytest.raises(ArgumentError, match=r"this is a int.*months.*\(12,\)"):
            of(prognosis if of is compare_treatments else hazard_twin, **how)
    with pytest.raises(ModelError, match="no such comparison.*x against drug.*cells against drug"):
        compare_treatments(prognosis).pairs("drug", "x")


def test_doubt_without_assay_noise_is_knowledge_and_chance(hazard_twin, prognosis):
    rates = np.exp(np.asarray(hazard_twin.population.typical)[:, 1:])
    for endpoint, rate in (("progression or death", rates.sum(1)), ("progression", rates[:, 0])):
        found = prognosis.chance("drug", 12, endpoint=endpoint)
        s = np.exp(-rate * 12 * MONTH)
        patient, knowledge, luck = found.doubt
        assert luck == pytest.approx((s * (1 - s)).mean(), rel=0.05)
        assert knowledge == pytest.approx(s.var(), rel=0.35)
        assert abs(patient) < 0.1 * knowledge
        assert sum(found.doubt) == pytest.approx(found.value * (1 - found.value))


def test_event_times_have_the_distribution_of_the_chances(prognosis):
    row, weights = prognosis.row("drug"), prognosis.weights
    for month in (6, 12, 24):
        share = (weights * (row.events.event > month)).sum()
        assert share == pytest.approx(prognosis.chance("drug", month).value, abs=0.06)


def test_no_chance_is_printed_as_impossible_or_certain(hazard_twin):
    soon = forecast(hazard_twin, ["drug"], landmarks_months=(0.1,), random_seed=2)
    assert "a drug: 0.1 mo >99 (>99 to >99); " in str(soon)


def test_the_same_seed_gives_the_same_forecast(hazard_twin, prognosis):
    again = forecast(hazard_twin, random_seed=2)
    assert np.array_equal(again.row("drug").events.event, prognosis.row("drug").events.event)


def test_a_withheld_twin_makes_no_forecast(hazard_twin):
    failed = replace(hazard_twin.info, verdict="WITHHELD", reasons=("k-hat 0.91 above 0.7",))
    with pytest.raises(FitError, match="patient H-1: this twin is withheld and makes no forecast: k-hat 0.91"):
        forecast(replace(hazard_twin, history=(failed,)), random_seed=2)


def test_unknown_treatments_and_horizons_are_refused_with_what_is_allowed(hazard_twin):
    with pytest.raises(ModelError, match="drug, cells"):
        forecast(hazard_twin, ["aspirin"], random_seed=2)
    with pytest.raises(ModelError, match="no forecast beyond the model's horizon .*60.* expected 1 to 36 months"):
        forecast(hazard_twin, horizon_months=60, random_seed=2)


def test_a_saved_prognosis_comes_back(prognosis, tmp_path):
    back = load_prognosis(save_prognosis(prognosis, tmp_path / "p.nc"), prognosis.model)
    assert back.names == prognosis.names and back.landmarks == prognosis.landmarks
    for name in prognosis.names:
        for field, values in prognosis.row(name).events._asdict().items():
            assert np.array_equal(getattr(back.row(name).events, field), values), field
        assert back.chance(name, 12) == prognosis.chance(name, 12)
        assert back.row(name).plan == prognosis.row(name).plan
        for one, other in zip(back.row(name).courses, prognosis.row(name).courses):
            assert np.array_equal(one.quantiles, other.quantiles)
    other = replace(prognosis.model, source_hash="0" * 64)
    with pytest.raises(StoreError, match="patient H-1, p.nc: .*another version of the model"):
        load_prognosis(tmp_path / "p.nc", other)


def test_a_difference_without_its_range_over_rho_is_withheld(prognosis):
    row = compare_treatments(prognosis, reference="drug").difference("drug", "cells", 12)
    assert row.difference is None and "range over rho" in row.withheld


# plans: myeloma, no solver needed
MYELOMA = load_model("myeloma_car_t")
FIT = {"prior_bcma": 0, "prior_lines": 3, "triple_class_exposed": 1, "anti_cd38_refractory": 0}


def plans(events=(), covariates=FIT, now=20.0):
    record = PatientRecord("M-1", covariates=covariates, events=tuple(ClinicalEvent(e, t, t, v) for e, t, v in events))
    return {p.name: p for p in make_plans(MYELOMA, record, None, now)}


def test_cell_therapy_starts_after_its_wait_and_drugs_at_once():
    found = plans()
    assert {n: p.start for n, p in found.items()} == {
        "ide_cel": 83.0,  # 14 days to leukapheresis, 49 from vein to vein
        "cilta_cel": 78.0,
        "teclistamab": 20.0,
        "dara_pd": 20.0,
    }
    assert not any(p.refused for p in found.values())


def test_after_leukapheresis_the_wait_has_begun():
    assert plans([("leukapheresis", 7.0, "")])["ide_cel"].start == 56.0
    assert plans([("leukapheresis", 7.0, "")], now=80.0)["ide_cel"].start == 80.0


def test_an_infusion_that_is_planned_is_taken_from_the_record():
    found = plans([("infusion", 49.0, "ide_cel")])
    assert (found["ide_cel"].role, found["ide_cel"].start) == ("planned", 49.0)
    others = [e for e in found["dara_pd"].record.events if e.event == "infusion"]
    assert others == []  # another treatment's future does not hold the plan


def test_prior_bcma_therapy_refuses_bcma_treatments_from_covariate_and_after_car_t():
    for found in (plans(covariates=FIT | {"prior_bcma": 1}), plans([("infusion", 5.0, "ide_cel")])):
        assert "no prior BCMA therapy" in found["cilta_cel"].refused
        assert "no prior BCMA therapy" in found["teclistamab"].refused
        assert found["dara_pd"].refused == ""
    assert plans([("infusion", 5.0, "ide_cel")])["ide_cel"].role == "current"


def test_a_patient_outside_the_trial_is_refused_and_an_unknown_is_said():
    assert "2 <= prior_lines <= 4" in plans(covariates=FIT | {"prior_lines": 6})["ide_cel"].refused
    assert "anti-CD38" in plans(covariates=FIT | {"anti_cd38_refractory": 1})["dara_pd"].refused
    unknown = plans(covariates={"prior_bcma": 0})["ide_cel"]
    assert unknown.refused == "" and "triple-class exposed" in unknown.unknown


def test_a_drug_that_is_running_goes_on():
    found = plans([("line_of_therapy", 3.0, "dara_pd")])["dara_pd"]
    assert (found.role, found.start, found.new) == ("current", 3.0, False)


def test_a_difference_whose_range_is_lost_under_one_rho_is_withheld_and_says_which(prognosis):
    a, b = (r for r in prognosis.rows[:2])
    one_draw = np.where(prognosis.draw == prognosis.draw[0], 0.0, -800.0)  # all weight on one population draw
    store = {0.0: (a.events.survival, one_draw), 0.5: (a.events.survival, prognosis.log_weights)}
    rows = (replace(a, by_rho=store), replace(b, by_rho=store), *prognosis.rows[2:])
    row = compare_treatments(replace(prognosis, rows=rows)).rows[0]
    assert row.difference is None and "too few draws under rho 0" in row.withheld


def test_a_difference_says_how_far_another_seed_would_move_it(prognosis):
    a, b = (r for r in prognosis.rows[:2])
    stores = ({rho: (r.events.survival, prognosis.log_weights) for rho in (0.0, 0.5)} for r in (a, b))
    first, second = (replace(r, by_rho=store) for r, store in zip((a, b), stores))
    found = compare_treatments(replace(prognosis, rows=(first, second, *prognosis.rows[2:])))
    row, k = found.rows[0], prognosis.landmarks.index(12)
    apart = (b.events.survival - a.events.survival)[:, k]
    parts = zip(np.split(apart, prognosis.islands), np.split(prognosis.weights, prognosis.islands))
    means = [np.average(values, weights=weights) for values, weights in parts]
    assert row.mcse == pytest.approx(np.std(means, ddof=1) / np.sqrt(prognosis.islands))
    assert 0.0 < row.mcse < 0.05 and all(0.0 <= e < 0.05 for e in row.pairs_mcse) and row.months_gained_mcse > 0.0
    assert f"Monte Carlo error {100 * row.mcse:.1f}" in str(found) and found.to_frame().mcse[0] == row.mcse


@pytest.mark.parametrize("of", ["drug", "tablets"])
def test_what_was_learnt_of_a_treatment_without_response_classes_is_kept_once_it_was_given(tmp_path, of):
    said = CYCLING.replace(
        'Parameter("d", unit="1/day", scale="identity",',
        f'Parameter("d", unit="1/day", scale="identity", treatment="{of}",',
    )
    model = write_cycling_model(tmp_path / "cycling", said)
    given = [
        started((0.0, "drug"), doses=(DoseEvent(10.0, 10.0, "oral", 10.0, treatment="tablets"),)),
        started((0.0, "pause"), doses=(DoseEvent(NOW + 10.0, 10.0, "oral", NOW, treatment="tablets"),)),
        started((0.0, "pause"), doses=(DoseEvent(10.0, 10.0, "oral", 10.0),)),  # of whatever starts with doses
    ]
    silent = [bool(silent_parameters(model, record, NOW)[model.individual_names.index("d")]) for record in given]
    assert silent == [False, True, of != "tablets"]


@pytest.mark.parametrize("row", ["single_dose", "schedule", "stop"])
def test_additional_doses_of_one_row_end_with_the_data_cut_as_doses_of_their_own_rows_do(row):
    model = load_model("theophylline")
    asked = {"single_dose": None, "schedule": Schedule((("6 h", "twice_daily"),)), "stop": Regimen.none()}
    said = DoseEvent(0.0, 320.0, "depot", addl=9, ii=12.0)

    def jumps(*doses):
        (plan,) = make_plans(model, PatientRecord("A", doses=doses), {row: asked[row]}, 30.0, span=96.0)
        return [(h.time, h.bolus) for h in happenings(model, plan.record)[0]]

    assert jumps(said) == jumps(*said.expanded())


def test_courses_go_as_far_in_a_model_of_hours_as_in_one_of_days(prognosis, tmp_path, monkeypatch):
    said = {'time_unit="day"': 'time_unit="h"', "visit_every=28.0": "visit_every=672.0"}
    text = reduce(lambda text, one: text.replace(*one), said.items(), hazard_model.HAZARDS)
    monkeypatch.setattr(hazard_model, "HAZARDS", text)
    hourly = hazard_model.hazard_population(tmp_path / "hourly")
    labs = tuple(Lab(f"m@{t}", "m_protein", t, 20.0, t) for t in (0.0, 240.0))
    sizes = {"particles": 400, "islands": 4, "population_draws": 100}
    twin = start_twin(hourly, PatientRecord("H-1", labs=labs), random_seed=1, **sizes)
    asked = forecast(twin, ["drug"], landmarks_months=(6.0,), random_seed=1)
    in_days = prognosis.row("drug").courses[0].times - prognosis.now
    np.testing.assert_allclose(asked.row("drug").courses[0].times - asked.now, 24.0 * in_days)
    assert 17.5 * MONTH < in_days[-1] <= 18.5 * MONTH
