"""Warfarin in 32 real volunteers: what is read, and a small version of the fit of warfarin.py (`make validate`)."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def script():
    path = Path(__file__).with_name("warfarin.py")
    spec = importlib.util.spec_from_file_location("warfarin", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def volunteers(script, shared_data):
    path = shared_data / "warfarin" / "warfarin.csv"
    if not path.is_file():
        pytest.skip("warfarin is absent from the shared data")
    return script.model_and_reading(path)


def test_every_concentration_and_dose_is_read(volunteers):
    _, reading = volunteers
    assert not reading.refusals and len(reading.cohort) == 32
    assert sum(len(record.labs) for record in reading.cohort) == 251
    assert all(len(record.doses) == 1 and "weight_kg" in record.covariates for record in reading.cohort)


@pytest.mark.validate
def test_a_fit_lies_beside_the_published_values(script, volunteers):
    model, reading = volunteers
    population = script.fit(model, reading.cohort, chains=2, warmup=300, draws=200)
    (clearance, volume, absorbed) = (drawn for _, drawn, _ in script.rows(population, 70.0)[:3])
    published = script.PUBLISHED
    for drawn, value in (
        (clearance, published["CL"]),
        (volume, published["V"]),
        (absorbed, 1.0 / published["ktr"] + 1.0 / published["ka"]),
    ):
        assert abs(np.mean(drawn) - value) < 3.0 * np.std(drawn) + 0.05 * value
