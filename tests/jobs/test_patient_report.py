"""What a report is told of earlier ones: their chances of the row it speaks of, and what population they had."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from bayestwin.errors import StoreError
from bayestwin.jobs import patient_report as made
from bayestwin.specification import load_model
from bayestwin.store.outcomes import Outcome

MODEL = load_model("myeloma_car_t")


def outcome(basis, **facts):
    objects = {"prognosis": "x", "twin": "y"}
    return Outcome(1, "P", "state", basis, "published", "", objects, {"time": 100.0, **facts}, datetime.now(UTC))


class Unreadable:
    """Stored twins of which none can be read; population "new" is in use."""

    basis = SimpleNamespace(name="new", model=MODEL, population=None)

    def __getitem__(self, name):
        raise StoreError("it cannot be read")


@pytest.fixture
def told(monkeypatch):
    """told(past) -> what the report was made of, under population "new" with Ide-cel as its row."""
    found = {}
    monkeypatch.setattr(made, "gather_report_input", lambda twin, prognosis, **given: found.update(given))
    monkeypatch.setattr(made, "make_report", lambda inputs: None)
    monkeypatch.setattr(made, "replace", lambda inputs, **track: inputs)
    plan = SimpleNamespace(name="ide_cel", role="current", label="Ide-cel")
    prognosis = SimpleNamespace(rows=(SimpleNamespace(plan=plan, events=1),), population_hash="hash of new")
    twins = Unreadable()

    def ask(*past):
        made.patient_report(
            twins,
            SimpleNamespace(model=MODEL, record=SimpleNamespace(time_zero="", labs=())),
            prognosis,
            list(past),
            False,
        )
        return found

    return ask


def test_a_report_of_another_population_is_known_by_its_number_and_as_such(told):
    found = told(outcome("old", chances={"ide_cel": [0.75, 0.6, 0.85, 0.01], "cilta_cel": [0.8, None, None, 0.01]}))
    (last,) = found["history"]
    assert found["previous"] is None and found["report_number"] == 2 and found["version_changed"]
    assert (last.chance, last.p80, last.mcse) == (0.75, (0.6, 0.85), 0.01)
    assert last.population_hash not in ("", "hash of new") and last.version == "population old"


def test_outcomes_of_old_stores_kept_one_row_which_stands_for_no_other(told):
    same = told(outcome("old", treatment="ide_cel", chance=0.75, knowledge=[0.6, 0.85]))["history"][0]
    assert (same.chance, same.p80, same.mcse) == (0.75, (0.6, 0.85), None)
    other = told(outcome("old", treatment="cilta_cel", chance=0.75, knowledge=None))["history"][0]
    assert other.chance is None and other.reason == f"no number for {MODEL.treatment('ide_cel').label}"
