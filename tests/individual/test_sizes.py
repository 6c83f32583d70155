"""Padded sizes: enough for every record of a stack; a record that does not fit says which patient and which size."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from dosing_model import DOSES, write_dosing_model

from bayestwin.dosing import DoseEvent
from bayestwin.errors import RecordError
from bayestwin.individual import Sizes, compile_record, padded_alike, used_sizes
from bayestwin.records import ClinicalEvent
from bayestwin.records.record import PatientRecord


@pytest.fixture(scope="module")
def lagged(tmp_path_factory):
    return write_dosing_model(tmp_path_factory.mktemp("sizes") / "lagged")


@pytest.fixture(scope="module")
def records(make_lab):
    """One with a steady state, a change of a covariate, doses that move and an interval; one with next to nothing."""
    labs = tuple(make_lab("concentration", t, 1.0) for t in (1.0, 5.0, 9.0))
    between = replace(labs[2], censoring="interval", limit=2.0)
    changes = (ClinicalEvent("covariate", 4.0, 4.0, "fed = 1.0"),)
    doses = (DoseEvent(0.0, 300.0, "oral", ss=1, ii=12.0), *DOSES[1:])
    return (
        PatientRecord("P-1", labs=(*labs[:2], between), doses=doses, events=changes, covariates={"fed": 0.0}),
        PatientRecord("P-2", labs=labs[:1], doses=(DoseEvent(0.0, 300.0, "oral"),), covariates={"fed": 0.0}),
    )


def test_records_padded_alike_stack_and_need_no_more_than_the_largest(lagged, records):
    compiled = [compile_record(lagged, record) for record in records]
    alike = padded_alike(lagged, records, compiled)
    stacked = jax.tree.map(lambda *a: np.stack(a), *alike)
    assert stacked.mask.sum(axis=1).tolist() == [3, 1] and stacked.changes.times.shape == (2, 1)
    assert stacked.upper.tolist() == [[0.0, 0.0, 2.0], [0.0, 0.0, 0.0]] and compiled[1].upper is None
    assert used_sizes(alike[0]) == used_sizes(compiled[0]) and len(stacked.mask[0]) == 3


@pytest.mark.parametrize("name", Sizes._fields)
def test_a_size_that_is_too_small_is_refused_with_the_patient_and_the_size(lagged, records, name):
    least = used_sizes(compile_record(lagged, records[0]))
    assert compile_record(lagged, records[0], sizes=least).mask.sum() == 3
    with pytest.raises(RecordError, match=rf"patient P-1, sizes: .* this many {name}") as error:
        compile_record(lagged, records[0], sizes=least._replace(**{name: getattr(least, name) - 1}))
    assert error.value.allowed == f"{getattr(least, name)} or more"
