"""NONMEM's answers to 36 dosing schedules, by the exact and by the adaptive solver; differences are explained ids."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def script():
    path = Path(__file__).with_name("nmtest.py")
    spec = importlib.util.spec_from_file_location("nmtest", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table(shared_data):
    import pandas as pd

    if not (shared_data / "nmtest" / "nmtest.csv").is_file():
        pytest.skip("nmtest is absent from the shared data")
    return pd.read_csv(shared_data / "nmtest" / "nmtest.csv")


@pytest.fixture(scope="module", params=["matrix exponential", "adaptive"])
def found(script, table, request):
    """Largest error and rows that differ per id, as the file stands and as NONMEM used its columns."""
    return [script.differences(script.solved(table, request.param, as_nonmem=way)) for way in (False, True)]


def test_every_id_agrees_with_nonmem_or_has_a_reason(script, table, found):
    expected = script.reasons(table)
    assert {key for key, (_, count, _) in found[0].items() if count} == set(expected)


def test_bioavailability_of_compartment_2_alone_leaves_only_lags_longer_than_the_interval(script, table, found):
    steady = table[(table.ss > 0) & (table.lagt > table.ii)]
    assert {key for key, (_, count, _) in found[1].items() if count} == set(steady.id)


def test_a_difference_ends_when_the_first_dose_of_the_record_s_own_lag_has_passed(table, found):
    for key, (_, count, until) in found[1].items():
        row = table[(table.id == key) & (table.ss > 0)]
        if count:
            assert until < float((row.time + row.lagt - row.ii).max())


def test_the_page_names_every_id_that_differs(script, table):
    page = (Path(__file__).resolve().parents[2] / "docs" / "validation" / "nmtest.md").read_text(encoding="utf-8")
    for key in script.reasons(table):
        assert f"\n| {key} | " in page


@pytest.mark.validate  # the same without NONMEM: dynamics/test_moving_doses.py, individual/test_dosing_parameters.py
@pytest.mark.parametrize("solver", ["matrix exponential", "adaptive"])
def test_the_four_columns_as_parameters_of_the_model_give_nonmem_s_numbers_too(script, table, solver):
    found = script.differences(script.solved_by_parameters(table, solver))
    into_2 = table[table.evid.isin([1, 4]) & (table.cmt == 2)]
    long_lag = table[(table.ss > 0) & (table.lagt > table.ii)]
    assert set(found) == set(into_2.id) and {key for key, (_, count, _) in found.items() if count} == set(long_lag.id)
