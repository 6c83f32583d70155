"""Replay: every lab is predicted from what was known before its panel, and only then learnt."""

import json
from dataclasses import replace

import numpy as np
import pytest
from level_model import LEVEL, as_population, level_draws

from bayestwin.errors import RecordError
from bayestwin.evaluation import COLUMNS, panels, predictions_frame, replay, rest_of_course
from bayestwin.evaluation.predictions import prediction_rows
from bayestwin.evaluation.rivals.rival import changes_the_past
from bayestwin.jobs.replay import replay_cohort
from bayestwin.population import PopulationPosterior
from bayestwin.population.posterior import patient_mark
from bayestwin.records import ClinicalEvent, Cohort, Lab, PatientRecord, read_records
from bayestwin.records.record import Superseded
from bayestwin.specification import load_model

SIZES = {"particles": 800, "islands": 4, "population_draws": 100}


@pytest.fixture(scope="module")
def replayed(population, record):
    return replay(population, record, random_seed=1, **SIZES)


def test_panels_are_learnt_in_the_order_in_which_they_became_known(replayed):
    rows, twins = replayed
    table = predictions_frame(rows)
    assert tuple(table.columns) == COLUMNS
    assert table["lab_id"].tolist() == ["b", "a", "c", "d"]
    assert table["n_seen"].tolist() == [0, 0, 2, 3]
    assert [len(t.record.labs) for t in twins] == [0, 2, 3, 4]
    assert (table["verdict"] == "PASS").all()


def test_an_interval_has_its_upper_end_in_a_last_column_that_other_files_lack(population, record, replayed):
    measured = replayed[1][-1].history[-1].surprise[0]
    between = replace(measured, censoring="interval", upper=measured.value + 5.0)
    rows = prediction_rows(population.model, record, (measured, between), n_seen=0, verdict="PASS")
    table = predictions_frame(rows)
    assert tuple(table.columns) == (*COLUMNS, "observed_to") and table["limit_flag"].tolist() == ["none", "interval"]
    assert np.isnan(table["observed_to"][0]) and table["observed_to"][1] == measured.value + 5.0


def test_a_value_that_was_corrected_later_was_a_panel_of_its_own(record):
    wrong = replace(record.labs[0], lab_id="wrong", time=3.5, known_time=3.5, value=99.0)
    with_past = replace(record, past=(Superseded(wrong, 4.0),))
    course = panels(with_past)
    assert [[lab.lab_id for lab in p.labs] for p in course] == [["b", "a"], ["c"], ["wrong"], [], ["d"]]
    assert course[-1].newer == record


@pytest.mark.parametrize(
    "rows",
    [
        "1,0,,320,1,70\n1,1,5,,0,70\n1,2,4,,0,70\n",  # carried on every row
        "1,0,1,,0,70\n1,0,,320,1,70\n1,1,5,,0,72\n",  # a lab is the first row, the weight changes
        "1,0,,320,1,70\n1,12,,320,1,72\n1,24,4,,0,72\n",  # it changes before the first lab
    ],
)
def test_no_lab_lacks_its_forecast_since_an_event_table_says_the_covariates(tmp_path, rows):
    model = load_model("theophylline")
    (tmp_path / "table.csv").write_text("ID,TIME,DV,AMT,EVID,WT\n" + rows, encoding="utf-8")
    (record,) = read_records(model.record_schema(), event_table=tmp_path / "table.csv").cohort
    course = panels(record)
    assert sum(len(panel.labs) for panel in course) == len(record.labs) and course[-1].newer == record
    assert course[0].known.covariates == {"weight_kg": 70.0} and not course[0].known.labs
    assert not any(changes_the_past(model, panel) for panel in course)


def test_what_becomes_known_of_a_covariate_with_a_lab_is_not_known_before_it(record):
    said = ClinicalEvent("covariate", 0.5, 3.0, "weight_kg = 80")
    course = panels(replace(record, events=(said,), covariates={"weight_kg": 80.0}))
    assert [panel.known.covariates for panel in course] == [{}, {}, {"weight_kg": 80.0}]


def test_labs_without_a_forecast_are_counted(population, record):
    """That the treatment began on day 0.2 becomes known with lab c, on day 3: the twin starts again."""
    late = replace(record, events=(ClinicalEvent("line_of_therapy", 0.2, 3.0, "drug"),))
    found = replay_cohort(population, Cohort((late,)), random_seed=1, **SIZES)
    assert [row["lab_id"] for row in found.rows] == ["b", "a", "d"] and found.unforecast == {"R-1": 1}


def test_a_lab_is_not_seen_before_it_is_predicted(population, record, replayed):
    rows, _ = replayed
    other = record.with_labs([replace(lab, value=27.0) if lab.lab_id == "c" else lab for lab in record.labs])
    changed, _ = replay(population, other, random_seed=1, **SIZES)
    assert changed[2]["observed"] == 27.0
    for name in ("mean", "sd", "q05", "q50", "q95"):
        assert changed[2][name] == rows[2][name]
    assert changed[3]["q50"] > rows[3]["q50"] + 0.7  # and then it is learnt


def test_the_predictions_narrow_as_labs_are_learnt(replayed):
    rows, _ = replayed
    assert rows[0]["sd"] > rows[2]["sd"] > 1.5  # never below the residual error


def test_the_rest_of_the_course_is_predicted_without_learning(replayed, record):
    _, twins = replayed
    later = rest_of_course(twins[1], record, random_seed=2)
    assert [r["lab_id"] for r in later] == ["d", "c"] and {r["n_seen"] for r in later} == {2}
    assert rest_of_course(twins[-1], record, random_seed=2) == []


def test_a_patient_of_the_fitted_cohort_is_refused(population, record):
    tree = population.tree.copy()
    tree.attrs["fitted_patients"] = json.dumps([patient_mark(record)])
    with pytest.raises(RecordError, match="patient R-1: .*already learnt.* Fit without this patient"):
        replay(PopulationPosterior(population.model, tree), record, random_seed=1, **SIZES)


def test_the_log_score_is_the_density_of_the_lab(replayed):
    rows, _ = replayed
    for row in rows:  # nearly normal predictives
        normal = -0.5 * ((row["observed"] - row["mean"]) / row["sd"]) ** 2 - np.log(row["sd"] * np.sqrt(2 * np.pi))
        assert row["log_score"] == pytest.approx(normal, abs=0.25)


def test_a_panel_that_changes_nothing_the_model_uses_repeats_no_row(population):
    """An imaging event of day 1.5 is withdrawn on day 2.5."""
    labs = tuple(Lab(f"m@{t}", "m_protein", float(t), 20.0 + t, float(t)) for t in (1, 2, 3))
    gone = Superseded(ClinicalEvent("imaging", 1.5, 1.5, "CT"), 2.5)
    rows, _ = replay(population, PatientRecord("R-2", labs=labs, past=(gone,)), random_seed=1, **SIZES)
    assert [row["lab_id"] for row in rows] == ["m@1", "m@2", "m@3"]


def test_the_forecast_of_a_lab_knows_no_event_that_became_known_with_it(tmp_path):
    """Imaging finds progression on the day of the lab: its hazard tells responders, which the forecast may not use."""
    hazard = """    hazards={"other": lambda t, y, p, u: 0.0003 * jnp.exp(0.3 * (y.level - 12.0))},
    endpoints=(Progression(rules=(SerologicalRule("m_protein", relative=0.25, absolute=5.0),), visit_every=28.0,
                           progression_hazards=("other",), landmarks_months=(6, 12), horizon_months=12),),
    treatments=(Treatment"""
    (tmp_path / "level").mkdir()
    text = LEVEL.replace("    treatments=(Treatment", hazard)
    (tmp_path / "level" / "model.py").write_text("import jax.numpy as jnp\n" + text, encoding="utf-8")
    own = as_population(load_model(tmp_path / "level"), level_draws())
    drug = ClinicalEvent("line_of_therapy", 3.0, 1.0, "drug")
    labs = tuple(Lab(f"m@{t}", "m_protein", t, v, t) for t, v in ((1.0, 20.0), (2.0, 20.5), (30.0, 12.0)))
    last = []
    for known in (30.0, 31.0):
        found = ClinicalEvent("progression", 30.0, known, "imaging")
        rows, _ = replay(own, PatientRecord("R-3", labs=labs, events=(drug, found)), random_seed=1, **SIZES)
        last.append(next(row for row in rows if row["lab_id"] == "m@30.0"))
    assert last[0]["mean"] == pytest.approx(last[1]["mean"], abs=1e-9)
    assert last[0]["log_score"] == pytest.approx(last[1]["log_score"], abs=1e-9)
