"""The model of one target lesion against its closed form, and its preparation of the public table on made-up rows."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from bayestwin.individual import Hyper, class_likelihood, compile_record
from bayestwin.records import ClinicalEvent, Lab, PatientRecord, read_records
from bayestwin.specification import load_model

FOLDER = Path(__file__).resolve().parents[2] / "models" / "tumour_lesions"
TIMES = (-20.0, 40.0, 90.0, 260.0)


def predicted(model, values):
    """Diameters at TIMES of a patient with these natural values who starts atezolizumab on day 1."""
    labs = tuple(Lab(f"d{t}", "diameter", t, 30.0, t) for t in TIMES)
    record = PatientRecord("P-1", labs=labs, events=(ClinicalEvent("line_of_therapy", 1.0, 1.0, "atezolizumab"),))
    with jax.enable_x64(True):
        scales = {p.name: p.scale for p in model.parameters}
        on = {name: np.log(v) if scales[name] == "log" else v for name, v in values.items()}
        sigma = jnp.asarray([0.03, 0.15, 150.0])
        typical = jnp.asarray([on[p.name] for p in model.parameters])
        psi = jnp.asarray([on[name] for name in model.individual_names])
        size = len(model.individual_names)
        hyper = Hyper(typical, jnp.zeros(0), jnp.ones(size), jnp.eye(size), sigma)
        pieces = class_likelihood(model, psi, hyper, compile_record(model, record, sizes=(4, 64)))
        assert bool(pieces.ok.all())
        return np.asarray(pieces.prediction)[0]


def test_a_lesion_grows_and_is_killed_as_the_closed_form_says():
    v = {"D0": 40.0, "activity": 1.6, "g": 0.0008, "depth_atz": 0.5, "depth_doc": 0.5, "r_atz": 0.02, "r_doc": 0.1}
    found = predicted(load_model(FOLDER), v)
    t = np.array(TIMES)
    killed = v["depth_atz"] * (1 - np.exp(-v["r_atz"] * np.maximum(t - 1.0, 0.0)))
    exact = 40.0 * np.exp(1.6 * (0.0008 * (t + 20.0) - killed))
    np.testing.assert_allclose(found, exact, rtol=2e-4)
    other = predicted(load_model(FOLDER), v | {"depth_doc": 5.0})
    np.testing.assert_allclose(found, other, rtol=1e-12)  # a drug that is not given does nothing


@pytest.fixture(scope="module")
def prepare():
    spec = importlib.util.spec_from_file_location("prepare", FOLDER / "prepare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RAW = pd.DataFrame(
    {
        "Pt_hashID": ["a", "a", "a", "a", "b"],
        "Study_Arm": ["Study_2_Arm_1"] * 4 + ["Study_1_Arm_2"],
        "T_days": [-10, 40, 40, 90, -5],
        "Lesion_diam": [25.0, 12.0, 12.0, 0.0, 31.0],
    }
)


def test_a_complete_resolution_is_below_two_millimetres_and_the_arm_is_the_treatment(prepare):
    reading = read_records(load_model(FOLDER).record_schema(), **prepare.tables(RAW))
    assert not reading.refusals
    a, b = (reading.cohort[key] for key in "ab")
    assert [(lab.time, lab.value, lab.censoring) for lab in a.labs] == [
        (-10.0, 25.0, "none"),
        (40.0, 12.0, "none"),  # the row that stood twice is kept once
        (90.0, 2.0, "left"),
    ]
    assert [e.value for e in (*a.events, *b.events)] == ["docetaxel", "atezolizumab"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Study_Arm": "Study_9_Arm_1"}, "Study_9_Arm_1 is not known"),
        ({"Lesion_diam": -1.0}, "diameter is -1.0"),
        ({"T_days": "soon"}, "time is 'soon'"),
        ({"Pt_hashID": "a"}, "patient a stands in two arms"),
    ],
    ids=["arm", "diameter", "time", "two arms"],
)
def test_a_row_that_cannot_be_is_refused_by_name(prepare, change, said):
    raw = RAW.astype(object)
    for column, value in change.items():
        raw.loc[4, column] = value
    with pytest.raises(ValueError) as refused:
        prepare.tables(raw)
    assert said in str(refused.value)


def test_a_missing_column_is_named(prepare):
    with pytest.raises(ValueError, match="column Lesion_diam is missing"):
        prepare.tables(RAW.drop(columns="Lesion_diam"))
