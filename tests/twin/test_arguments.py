"""The functions of the face say which argument is none of theirs, and never what it holds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayestwin as bt
from bayestwin.errors import ArgumentError, BayestwinError, FitError
from bayestwin.population import PopulationPosterior
from bayestwin.population.possible import refuse_failed

FRAME = pd.DataFrame({"name": ["Anna"]})


@pytest.fixture(scope="module")
def given(level_population, level_record, sizes):
    record = level_record((20.0,))
    return level_population, record, bt.start_twin(level_population, record, random_seed=1, **sizes)


CALLS = {
    "load_model, name_or_path: this is None, expected a model's name": lambda p, r, t: bt.load_model(None),
    "load_model, name_or_path: this is a Model": lambda p, r, t: bt.load_model(p.model),
    "load_population, path: this is None": lambda p, r, t: bt.load_population(None),
    "load_twin, path: this is a Twin, expected the path of a twin": lambda p, r, t: bt.load_twin(t),
    "fit_population, model: this is a str, expected a Model": lambda p, r, t: bt.fit_population(
        "theophylline", bt.Cohort((r,)), random_seed=1
    ),
    "fit_population, cohort: this is a PatientRecord, expected a Cohort": lambda p, r, t: bt.fit_population(
        p.model, r, random_seed=1
    ),
    "fit_population, cohort: this is a DataFrame": lambda p, r, t: bt.fit_population(p.model, FRAME, random_seed=1),
    "start_twin, population: this is a str, expected a PopulationPosterior": lambda p, r, t: bt.start_twin(
        "population.nc", r, random_seed=1
    ),
    "start_twin, record: this is None, expected a PatientRecord": lambda p, r, t: bt.start_twin(p, None, random_seed=1),
    "start_twin, record: this is a Cohort": lambda p, r, t: bt.start_twin(p, bt.Cohort((r,)), random_seed=1),
    "start_twin, random_seed: this is no seed, expected a whole number": lambda p, r, t: bt.start_twin(
        p, r, random_seed=None
    ),
    "start_twin, random_seed: this is no seed (found -1)": lambda p, r, t: bt.start_twin(p, r, random_seed=-1),
    "rebuild_twin, record: this is a DataFrame": lambda p, r, t: bt.rebuild_twin(p, FRAME, random_seed=1),
    "update_twin, twin: this is a str, expected a Twin": lambda p, r, t: bt.update_twin("twin.nc", r, random_seed=1),
    "update_twin, record: this is None": lambda p, r, t: bt.update_twin(t, None, random_seed=1),
    "update_twin, population: this is a str": lambda p, r, t: bt.update_twin(t, r, random_seed=1, population="p.nc"),
    "forecast, twin: this is a PopulationPosterior, expected a Twin": lambda p, r, t: bt.forecast(p, random_seed=1),
    "forecast, treatments: this is a int": lambda p, r, t: bt.forecast(t, 3, random_seed=1),
    "forecast, horizon: this is a str, expected a number": lambda p, r, t: bt.forecast(t, horizon="4", random_seed=1),
    "compare_treatments, prognosis: this is a Twin": lambda p, r, t: bt.compare_treatments(t),
    "read_records, schema: this is a Model, expected a RecordSchema": lambda p, r, t: bt.read_records(
        p.model, labs="x"
    ),
    "read_records, labs: this is a int, expected a path": lambda p, r, t: bt.read_records(
        p.model.record_schema(), labs=3
    ),
    "read_records, base: this is a str": lambda p, r, t: bt.read_records(p.model.record_schema(), labs=FRAME, base="x"),
    "write_report, inputs: this is a Twin, expected a ReportInput": lambda p, r, t: bt.write_report(t, "nowhere"),
}


@pytest.mark.parametrize("said", CALLS)
def test_something_else_than_a_function_takes_is_refused_with_function_and_argument(given, said):
    with pytest.raises(TypeError) as caught:
        CALLS[said](*given)
    assert str(caught.value).startswith(said), str(caught.value)
    assert isinstance(caught.value, ArgumentError | BayestwinError) and "Anna" not in str(caught.value)


def test_whole_numbers_of_numpy_are_seeds(given):
    population, record, twin = given
    assert bt.update_twin(twin, replace(record), random_seed=np.int64(3))[1] == twin.info


def test_a_fit_that_failed_its_diagnostics_is_refused_unless_it_is_accepted_and_then_said(given, sizes):
    population, record, _ = given
    tree = population.tree.copy()
    tree.attrs.update(verdict="failed", diagnostics="FAILED: too short")
    failed = PopulationPosterior(population.model, tree)
    with pytest.raises(FitError, match="failed its diagnostics") as error:
        bt.start_twin(failed, record, random_seed=1, **sizes)
    assert "accept_failed_fit=True" in str(error.value) and "population" in str(error.value)
    twin = bt.start_twin(failed, record, random_seed=1, accept_failed_fit=True, **sizes)
    assert "failed its diagnostics, which was accepted" in str(twin.info)
    for verdict in ("passed", "approximate"):
        tree.attrs["verdict"] = verdict
        assert refuse_failed(failed, accepted=False) == ()
    assert refuse_failed(population, accepted=False) == ()  # made by hand, judged by nobody


def test_a_population_or_an_earlier_twin_of_another_model_or_posterior_is_refused_with_both_sides(given, sizes):
    population, record, twin = given
    other = replace(population.model, name="other", source_hash="0" * 64)
    tree = population.tree.copy(deep=True)
    tree["posterior"]["level_pop"].values[0, 0] += 1.0
    moved = PopulationPosterior(population.model, tree)
    stranger = replace(twin, population_hash=moved.hash, updates=7)
    calls = {
        f"population: this is of another model than the twin.*other 000000000000.*level {twin.model.hash[:12]}": {
            "population": PopulationPosterior(other, population.tree)
        },
        f"population: the twin rests on another.*{moved.hash[:12]}.*expected '?{population.hash[:12]}": {
            "population": moved
        },
        f"the twin of update 7: the twin rests on another.*{moved.hash[:12]}": {"earlier": (twin, stranger)},
    }
    for said, how in calls.items():
        with pytest.raises(FitError, match=f"patient {record.key}, .*{said}"):
            bt.update_twin(twin, record, random_seed=1, **how)
    assert bt.update_twin(twin, record, random_seed=1, population=population, earlier=(twin,))[0].updates == 0
