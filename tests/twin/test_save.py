"""A saved twin comes back as it was, goes on as it would have, and refuses another model."""

from dataclasses import replace

import numpy as np
import pytest

from bayestwin.dosing import DoseEvent
from bayestwin.errors import StoreError
from bayestwin.records import ClinicalEvent
from bayestwin.records.record import Superseded
from bayestwin.twin import load_twin, save_twin, start_twin, update_twin


@pytest.fixture(scope="module")
def saved(level_population, level_record, sizes, tmp_path_factory):
    record = level_record((20.0, 21.0), drug_at=1.5)
    past = (
        Superseded(replace(record.labs[0], value=200.0), until=1.5),
        Superseded(ClinicalEvent("assessed", 1.0, 1.0), until=2.0),
        Superseded(DoseEvent(1.0, 5.0, "level"), until=2.0),
    )
    twin = start_twin(level_population, replace(record, past=past), random_seed=1, **sizes)
    return twin, save_twin(twin, tmp_path_factory.mktemp("twins") / "twin.nc")


def test_every_part_comes_back(saved, level_model):
    twin, path = saved
    back = load_twin(path, level_model)
    for name in twin.particles._fields:
        assert np.array_equal(getattr(back.particles, name), getattr(twin.particles, name)), name
    for name in twin.population._fields:
        assert np.array_equal(getattr(back.population, name), getattr(twin.population, name)), name
    assert back.record == twin.record and back.history == twin.history
    assert (back.time, back.applied, back.rho, back.islands) == (twin.time, twin.applied, twin.rho, twin.islands)


def test_what_was_once_believed_comes_back_too(saved, level_model):
    twin, path = saved
    back = load_twin(path, level_model)
    assert back.record.past == twin.record.past
    assert back.record.known_at(1.2).labs[0].value == 200.0


def test_a_loaded_twin_goes_on_as_the_one_in_memory(saved, level_model, level_population, level_record):
    twin, path = saved
    record = level_record((20.0, 21.0, 13.0), drug_at=1.5)
    one, _ = update_twin(twin, record, random_seed=4, population=level_population)
    other, _ = update_twin(load_twin(path, level_model), record, random_seed=4, population=level_population)
    assert np.array_equal(one.particles.psi, other.particles.psi)


def test_another_version_of_the_model_is_refused(saved, level_model):
    other = replace(level_model, source_hash="0" * 64)
    with pytest.raises(StoreError, match="patient L-1, twin.nc: .*another version of the model.*expected 000000000000"):
        load_twin(saved[1], other)


def test_absent_and_foreign_files_are_named(tmp_path, level_model):
    with pytest.raises(StoreError, match="no.nc: no such twin file.*bayestwin start"):
        load_twin(tmp_path / "no.nc", level_model)
    (tmp_path / "text.nc").write_text("labs")
    with pytest.raises(StoreError, match="text.nc: this file cannot be read as a twin"):
        load_twin(tmp_path / "text.nc", level_model)
