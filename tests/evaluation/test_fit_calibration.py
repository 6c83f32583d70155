"""The calibration of a fit is itself checked: it passes exact posteriors, and fails those that are wrong on purpose."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from level_model import write_level_model

from bayestwin.errors import FitError, ModelError, StoreError
from bayestwin.evaluation.verification import fit_calibration
from bayestwin.evaluation.verification.fit_calibration import (
    FitCalibration,
    calibrate_fit,
    ranked,
    read_calibration,
    simulated_cohort,
)
from bayestwin.population.alike import Fits, How
from bayestwin.population.prior import prior_population
from bayestwin.records import Cohort, Lab, PatientRecord
from bayestwin.records.record import ClinicalEvent
from bayestwin.specification import load_model

MODELS = Path(__file__).parents[1] / "validation" / "sbc_models"


def study(data_sets=400, *, shift=0.0, narrow=1.0):
    """Ranks of exact posteriors of a normal mean, moved or narrowed on purpose."""
    rng, rows = np.random.default_rng(1), []
    for number in range(data_sets):
        truth = rng.standard_normal()
        centre = 0.5 * (truth + rng.standard_normal())  # posterior of one datum of SD 1: Normal(y / 2, 1 / 2)
        draws = centre + np.sqrt(0.5) * (shift + narrow * rng.standard_normal((2, 200)))
        rows += [row | {"data_set": number, "diverging": 0} for row in ranked({"mu": draws}, {"mu": truth}, rng)]
    return FitCalibration(pd.DataFrame(rows))


def test_exact_posteriors_are_calibrated_and_recovered():
    found = study()
    assert not found.miscalibrated and found.summary["recovered"].all(), found.sentence
    assert "all are calibrated" in found.sentence and "400 data sets" in found.sentence


@pytest.mark.parametrize("wrong", [{"shift": 0.35}, {"narrow": 0.75}])
def test_posteriors_moved_or_narrowed_on_purpose_are_not(wrong):
    found = study(**wrong)
    assert found.miscalibrated == ("mu",) and "NOT CALIBRATED: mu" in found.sentence


@pytest.fixture(scope="module")
def growth():
    return load_model(MODELS / "tumour_growth")


@pytest.fixture(scope="module")
def design():
    labs = tuple(Lab(f"s{t}", "size", t, 1.0, t) for t in (0.0, 100.0, 300.0))
    return Cohort(tuple(PatientRecord(f"P-{n}", labs=labs) for n in range(3)))


def test_a_study_goes_on_where_it_stood_and_refuses_another_setting(growth, design, tmp_path, monkeypatch):
    asked = []

    def prior_instead(model, cohorts, *, random_seed, how):
        asked.append(len(cohorts))
        drawn = prior_population(model, draws=40 * len(cohorts), random_seed=random_seed).posterior
        samples = {str(k): v.values.reshape(len(cohorts), 1, 40) for k, v in drawn.data_vars.items()}
        return Fits(samples, np.zeros((len(cohorts), 1, 40), bool), np.ones((len(cohorts), 1, 40)))

    monkeypatch.setattr(fit_calibration, "fit_alike", prior_instead)
    parts = {"folder": tmp_path / "study", "random_seed": 1, "batch": 2}
    calibrate_fit(growth, design, data_sets=3, **parts)
    assert asked == [2, 2]  # the last batch is filled up
    found = calibrate_fit(growth, design, data_sets=4, **parts)
    assert asked == [2, 2, 2] and found.rows["data_set"].nunique() == 4
    calibrate_fit(growth, design, data_sets=4, **parts)
    assert len(asked) == 3 and read_calibration(tmp_path / "study").rows.equals(found.rows)
    with pytest.raises(StoreError, match="random_seed.*another setting"):
        calibrate_fit(growth, design, data_sets=4, **(parts | {"random_seed": 2}))
    with pytest.raises(StoreError, match="how: .*another setting"):
        calibrate_fit(growth, design, data_sets=4, how=How(draws=100), **parts)
    with pytest.raises(FitError, match="no data set"):
        read_calibration(tmp_path)


def test_simulated_cohorts_follow_their_truth_and_are_censored_below_the_limit(growth, design):
    truth, cohort = simulated_cohort(growth, design, 7, random_seed=1)
    again, same = simulated_cohort(growth, design, 7, random_seed=1)
    assert truth == again and cohort.data_hash == same.data_hash
    labs = [
        lab
        for number in range(12)
        for r in simulated_cohort(growth, design, number, random_seed=1)[1]
        for lab in r.labs
    ]
    below = [lab for lab in labs if lab.censoring == "left"]
    assert below and all(lab.value == lab.limit == 20.0 for lab in below)
    assert min(lab.value for lab in labs if lab.censoring == "none") >= 20.0


def test_simulated_patients_who_do_not_respond_are_as_frequent_as_their_chance():
    """Of the reduced myeloma model: light chains of non-responders hardly fall; before, nobody was one."""
    model = load_model(Path(__file__).parents[1] / "benchmarks" / "reduced_myeloma")
    start = ClinicalEvent("line_of_therapy", 1.0, 1.0, "drug")
    labs = tuple(Lab(f"flc@{t:g}", "involved_flc", t, 1.0, t) for t in (0.0, 84.0))
    plan = Cohort(tuple(PatientRecord(f"M-{n}", labs=labs, events=(start,)) for n in range(300)))
    truth, cohort = simulated_cohort(model, plan, 0, random_seed=1)
    fell = np.array([r.labs[1].value / r.labs[0].value for r in cohort])
    chance, left = float(truth["p_nonresponse_pop"]), float(truth["f_nonresponder_pop"])
    assert np.mean(fell > 0.6 * left) > chance - 3.0 * np.sqrt(chance * (1.0 - chance) / 300)


def test_models_that_are_not_simulated_here_are_refused(design, tmp_path):
    model = load_model(write_level_model(tmp_path / "level"))
    with pytest.raises(ModelError, match="does not simulate response classes"):
        calibrate_fit(model, design, data_sets=1, folder=tmp_path, random_seed=1)
