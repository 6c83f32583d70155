"""Last value carried forward: worked by hand, and on the same labs as a replay of the twin."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))

from rival_models import OFF, ON, course, marker_model, random_walks

from bayestwin.errors import FitError, RecordError
from bayestwin.evaluation import panels, predictions_frame, replay
from bayestwin.evaluation.rivals import fit_last_value, fit_rivals, rival_rows
from bayestwin.evaluation.rivals.last_value import ANY, FEWEST, _edges
from bayestwin.records import ClinicalEvent, Cohort, Lab, Superseded

SAME = ("patient", "lab_id", "time", "known_time", "output", "treatment", "observed", "limit_flag", "scale", "n_seen")


@pytest.fixture(scope="module")
def model():
    return marker_model()


@pytest.fixture(scope="module")
def walks(model):
    return fit_last_value(model, random_walks())


def test_the_forecast_stands_at_the_last_value_with_the_sd_of_steps(walks):
    steps = np.concatenate([np.diff([np.log(lab.value) for lab in record.labs]) for record in random_walks()])
    panel = panels(course("N", [4.0, 5.0, 6.0], [0, 28, 56]))[-1]
    (expected,) = walks.predict(panel)
    assert expected.mean == pytest.approx(np.log(5.0)) and expected.sd == pytest.approx(steps.std(ddof=1))
    assert expected.quantiles[0.5] == pytest.approx(5.0)


def test_without_a_value_the_first_values_of_the_training_patients_stand(walks):
    firsts = np.log([record.labs[0].value for record in random_walks()])
    (expected,) = walks.predict(panels(course("N", [4.0], [0]))[0])
    assert expected.mean == pytest.approx(firsts.mean()) and expected.sd == pytest.approx(firsts.std(ddof=1))


def test_steps_are_told_apart_by_the_treatment_in_force_just_before_the_lab(model):
    rng, patients = np.random.default_rng(3), []
    for i in range(30):
        changes = np.r_[0.0, rng.normal(0, 1.0, 2), rng.normal(0, 0.1, 3)]
        # the pause starts on the day of the third lab, which is still a lab of the treatment
        starts = ((-1, ON), (56, OFF))
        patients.append(course(f"T-{i}", np.exp(np.cumsum(changes)), 28 * np.arange(6), starts))
    fitted = fit_last_value(model, Cohort(tuple(patients)))
    assert fitted.sizes["psa", ON].sd[0] == pytest.approx(1.0, abs=0.2)
    assert fitted.sizes["psa", OFF].sd[0] == pytest.approx(0.1, abs=0.02)
    assert 0.1 < fitted.sizes["psa", ANY].sd[0] < 1.0
    never = fitted.predict(panels(course("N", [4.0, 5.0], [0, 28]))[-1])[0]
    assert never.sd == pytest.approx(fitted.sizes["psa", ANY].sd[0])  # a treatment nobody had before


def test_a_censored_last_value_stands_at_its_limit(walks):
    record = course("N", [0.1, 5.0], [0, 28], censoring=["left", "none"])
    assert walks.predict(panels(record)[-1])[0].mean == pytest.approx(np.log(0.1))


def test_labs_of_one_panel_are_predicted_from_before_it_and_late_ones_from_the_last_before_their_time(walks):
    record = course("N", [1.0, 2.0, 3.0, 4.0], [0, 28, 56, 42], known=[0, 60, 60, 90])
    found = {s.lab_id: s.mean for panel in panels(record) for s in walks.predict(panel)}
    assert found["28"] == found["56"] == pytest.approx(np.log(1.0))
    assert found["42"] == pytest.approx(np.log(2.0))


def test_revealed_up_to_a_time_the_step_grows_with_the_horizon(model):
    cohort = random_walks(patients=200, labs=25, sd=0.5)
    fitted = fit_last_value(model, cohort, reveal_until=28.0 * 4)
    size = fitted.sizes["psa", ""]
    assert len(size.sd) == 10
    for steps in (2, 10, 19):
        assert size.at(28.0 * steps) == pytest.approx(0.5 * np.sqrt(steps), rel=0.2)
    walk = random_walks(patients=1, labs=25, seed=9).patients[0]
    rows = rival_rows(fitted, replace(walk, key="N"), reveal_until=28.0 * 4, random_seed=1)
    assert len(rows) == 20 and {row["n_seen"] for row in rows} == {5}
    assert {round(row["mean"], 9) for row in rows} == {round(float(np.log(walk.labs[4].value)), 9)}


def test_a_bin_of_horizons_never_rests_on_fewer_steps_than_it_should():
    """Most labs are four or twelve weeks ahead, and quantiles fall on ties."""
    horizons = np.repeat([28.0, 56.0, 84.0, 112.0], [55, 5, 37, 3])
    edges = _edges(horizons)
    counts = np.bincount(np.searchsorted(edges, horizons), minlength=len(edges) + 1)
    assert counts.tolist() == [55, 45] and FEWEST == 20


def test_a_lab_is_not_seen_before_it_is_predicted(walks):
    record = course("N", [4.0, 5.0, 6.0], [0, 28, 56])
    other = record.with_labs([replace(lab, value=50.0) if lab.time == 28 else lab for lab in record.labs])
    mine, theirs = (rival_rows(walks, r, random_seed=1) for r in (record, other))
    assert mine[1]["mean"] == theirs[1]["mean"] and mine[2]["mean"] != theirs[2]["mean"]


def test_the_drawn_pits_of_patients_with_one_seed_are_independent(walks):
    def pit(key):
        patient = course(key, [4.0, 5.0, 0.5], [0, 28, 56], censoring=["none", "none", "left"])
        (asked,) = walks.predict(panels(patient)[-1], random_seed=1)
        row = rival_rows(walks, patient, random_seed=1)[-1]
        return np.array([asked.pit, row["pit"]]) / np.exp(asked.log_score)

    shares = np.array([pit(f"P-{n}") for n in range(100)])
    assert all(stats.kstest(column, "uniform").pvalue > 0.01 for column in shares.T)
    assert (pit("P-7") == shares[7]).all()


def test_a_patient_of_the_training_cohort_is_refused(walks):
    with pytest.raises(RecordError, match="patient W-3: .*last_value was fitted on.*Fit without this patient"):
        rival_rows(walks, random_walks().patients[3], random_seed=1)


def test_an_output_without_steps_is_refused_and_says_why(model):
    fitted = fit_last_value(model, Cohort((course("A", [1.0], [0]), course("B", [2.0], [0]))))
    assert fitted.predict(panels(course("N", [4.0], [0]))[0])[0].mean == pytest.approx(0.5 * np.log(2.0))
    with pytest.raises(FitError, match="model marker, output psa: .*too few different steps"):
        fitted.predict(panels(course("N", [4.0, 5.0], [0, 28]))[1])


def test_an_unknown_rival_is_refused_with_the_names_there_are(model):
    with pytest.raises(FitError, match="no such rival.*'prophet'.*last_value, gaussian_process, own_map"):
        fit_rivals(model, None, random_walks(), names=("prophet",))


@pytest.mark.parametrize("reveal_until", (None, 2.2))
def test_a_rival_has_the_same_rows_as_the_replay_of_the_twin(population, record, reveal_until):
    drug = ClinicalEvent("line_of_therapy", 2.5, 5.0, "drug")  # known with lab d, after lab c of day 3 was learnt
    early = Lab("e", "m_protein", 4.0, 18.0, 6.0)
    corrected = Superseded(replace(early, value=8.0, known_time=5.5), until=6.0)
    whole = replace(record, labs=(*record.labs, early), events=(drug,), past=(corrected,))
    twin, _ = replay(population, whole, random_seed=1, reveal_until=reveal_until, **SIZES)
    training = Cohort(tuple(replace(level_course(k), key=f"T-{k}") for k in range(30)))
    fitted = fit_last_value(population.model, training, reveal_until=reveal_until)
    rival = rival_rows(fitted, whole, random_seed=1, reveal_until=reveal_until)
    assert predictions_frame(rival)[list(SAME)].equals(predictions_frame(twin)[list(SAME)]) and len(rival) > 1
    assert {row["verdict"] for row in rival} == {"PASS"}
    if reveal_until is None:
        assert not any(row["lab_id"] == "d" for row in rival)  # its panel changes the past


SIZES = {"particles": 800, "islands": 4, "population_draws": 100}


def level_course(k):
    rng = np.random.default_rng(k)
    record = course("any", rng.normal(20.0, 2.0, 5), np.arange(5))
    return record.with_labs(replace(lab, output="m_protein") for lab in record.labs)
