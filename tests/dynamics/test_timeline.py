"""Order of doses and labs at one time, padding, resuming from a stored state, refused doses."""

import numpy as np
import pytest

from bayestwin.dosing import DoseEvent
from bayestwin.dynamics import build_timeline, pad_timeline, treatment_starts
from bayestwin.dynamics.timeline import happenings
from bayestwin.errors import RecordError
from bayestwin.records.record import ClinicalEvent, PatientRecord
from bayestwin.specification import load_model

VALUES = {"ka": 1.5, "CL": 2.8, "V": 32.0}


def patient(*doses, events=()):
    return PatientRecord("P-001", doses=doses, events=events)


@pytest.mark.parametrize("time", [0.0, 4.0, 8.0])
def test_a_lab_before_the_dose_of_its_time_does_not_see_it_and_a_lab_after_does(solve_theophylline, time):
    record = patient(DoseEvent(4.0, 100.0, "iv"), DoseEvent(time, 50.0, "iv", order=1))
    before, after = solve_theophylline(record, VALUES, [(time, False), (time, True)], end=10.0)
    dose = 150.0 if time == 4.0 else 50.0
    assert after[1] - before[1] == pytest.approx(dose, rel=1e-12)
    assert before[1] == pytest.approx(100.0 * np.exp(-2.8 / 32.0 * 4.0) if time == 8.0 else 0.0, rel=1e-7)


def test_a_dose_at_the_end_is_applied_only_where_a_lab_after_it_asks(solve_theophylline):
    record = patient(DoseEvent(0.0, 100.0, "iv"), DoseEvent(6.0, 50.0, "iv"))
    (state,) = solve_theophylline(record, VALUES, [(6.0, False)])
    assert np.asarray(solve_theophylline.last.states)[-1, 1] == pytest.approx(state[1], rel=1e-12)
    solve_theophylline(record, VALUES, [(6.0, True)])
    assert np.asarray(solve_theophylline.last.states)[-1, 1] == pytest.approx(state[1] + 50.0, rel=1e-9)


def test_padding_a_timeline_changes_no_state(solve_theophylline):
    record = patient(DoseEvent(0.0, 320.0, "oral"), DoseEvent(2.0, 90.0, "iv", duration=3.0))
    asked = [(1.0, False), (2.0, True), (3.0, False), (6.0, False)]
    states = solve_theophylline(record, VALUES, asked)
    end = np.asarray(solve_theophylline.last.states)[-1]
    plain = solve_theophylline.timeline
    solve_theophylline.timeline = lambda *a, **k: (lambda line, index: (pad_timeline(line, 512), index))(
        *plain(*a, **k)
    )
    longer = solve_theophylline(record, VALUES, asked)
    np.testing.assert_array_equal(longer, states)
    np.testing.assert_array_equal(np.asarray(solve_theophylline.last.states)[-1], end)


def test_a_timeline_is_not_cut_by_padding():
    line, _ = build_timeline(load_model("theophylline"), patient(DoseEvent(0.0, 1.0, "oral")), start=0.0, end=1.0)
    with pytest.raises(ValueError, match=f"{len(line.start)} intervals, more than 1"):
        pad_timeline(line, 1)


@pytest.mark.parametrize("cut", [3.0, 5.0, 8.0])
@pytest.mark.parametrize("applied", [False, True])
def test_resuming_from_a_stored_state_equals_solving_through(solve_theophylline, cut, applied):
    # cut in the middle of an infusion (3), at its end (5), on the day of a dose (8)
    record = patient(
        DoseEvent(0.0, 320.0, "oral"), DoseEvent(2.0, 90.0, "iv", duration=3.0), DoseEvent(8.0, 60.0, "iv")
    )
    stored, *through = solve_theophylline(record, VALUES, [(cut, applied), 9.0, 12.0], end=12.0)
    resumed = solve_theophylline(record, VALUES, [9.0, 12.0], start=cut, resumed=applied, y0=stored, end=12.0)
    np.testing.assert_allclose(resumed, through, rtol=1e-6)


@pytest.mark.parametrize("applied", [False, True])
def test_resuming_on_the_day_a_treatment_starts_equals_solving_through(solve_myeloma, median_patient, applied):
    events = (ClinicalEvent("line_of_therapy", 5.0, 5.0, "dara_pd"), ClinicalEvent("infusion", 49.0, 49.0, "ide_cel"))
    record = patient(events=events)
    asked = [(49.0, applied), 77.0, 200.0]
    stored, *through = solve_myeloma(record, median_patient, asked, end=200.0)
    resumed = solve_myeloma(record, median_patient, [77.0, 200.0], start=49.0, resumed=applied, y0=stored, end=200.0)
    np.testing.assert_allclose(resumed, through, rtol=1e-5)


def test_what_is_being_done_before_a_treatment_starts_at_time_zero_is_nothing():
    model = load_model("myeloma_car_t")
    record = patient(events=(ClinicalEvent("infusion", 0.0, 0.0, "ide_cel"),))
    line, (before, after) = build_timeline(model, record, start=0.0, end=7.0, asked=[(0.0, False), (0.0, True)])
    assert before != after
    assert line.active[before].sum() == 0.0 and line.started[before].min() > 1e8
    assert line.active[after].tolist() == [1.0, *[0.0] * (len(model.treatments) - 1)] and line.started[after, 0] == 0.0


def test_happenings_of_one_time_follow_the_order_of_their_rows():
    model = load_model("theophylline")
    record = patient(
        DoseEvent(1.0, 2.0, "iv", order=2), DoseEvent(1.0, 1.0, "oral", order=1), DoseEvent(0.5, 3.0, "iv")
    )
    assert [h.bolus for h in happenings(model, record)[0]] == [(1, 3.0), (0, 1.0), (1, 2.0)]


def test_only_the_event_that_starts_a_treatment_starts_it():
    model = load_model("myeloma_car_t")
    events = (
        ClinicalEvent("line_of_therapy", 40.0, 40.0, "ide_cel"),  # the order for cells, not the infusion
        ClinicalEvent("infusion", 49.0, 49.0, "ide_cel"),
        ClinicalEvent("infusion", 60.0, 60.0, "dara_pd"),
        ClinicalEvent("line_of_therapy", 2.0, 2.0, "dara_pd"),
    )
    assert treatment_starts(model, patient(events=events)) == [(2.0, "dara_pd"), (49.0, "ide_cel")]


def test_a_line_begun_again_while_it_is_in_force_goes_on_and_cells_infused_again_start_anew():
    model = load_model("myeloma_car_t")
    rows = [("line_of_therapy", 0.0, "pd"), ("line_of_therapy", 28.0, "pd"), ("infusion", 60.0, "ide_cel"),
            ("infusion", 400.0, "ide_cel"), ("line_of_therapy", 500.0, "pd")]  # fmt: skip
    events = tuple(ClinicalEvent(event, time, time, name) for event, time, name in rows)
    assert treatment_starts(model, patient(events=events)) == [
        (0.0, "pd"), (60.0, "ide_cel"), (400.0, "ide_cel"), (500.0, "pd"),
    ]  # fmt: skip
    twice, once = (
        build_timeline(model, patient(events=some), start=0.0, end=50.0)[0] for some in (events[:2], events[:1])
    )
    assert all(np.array_equal(a, b) for a, b in zip(twice[:7], once[:7]))


def test_a_dose_into_an_unknown_compartment_is_refused_with_what_is_allowed():
    record = patient(DoseEvent(1.5, 100.0, "subcutaneous"))
    with pytest.raises(RecordError) as caught:
        happenings(load_model("theophylline"), record)
    message = str(caught.value)
    assert all(part in message for part in ("patient P-001", "dose at 1.5", "subcutaneous", "oral", "depot"))


@pytest.mark.parametrize(
    ("dose", "says"),
    [
        ({"ss": 3, "ii": 12.0}, "kind of steady state is not known"),
        ({"ss": 1}, "needs its interval"),
        ({"amount": 0.0, "ss": 1, "rate": 5.0, "addl": 2, "ii": 12.0}, "is a constant infusion"),
        ({"amount": 0.0, "ss": 1}, "is a constant infusion"),
    ],
)
def test_a_steady_state_that_contradicts_itself_is_refused_with_its_dose(dose, says):
    record = patient(DoseEvent(**{"time": 2.5, "amount": 100.0, "target": "oral", **dose}))
    with pytest.raises(RecordError, match=says) as caught:
        happenings(load_model("theophylline"), record)
    assert "patient P-001, dose at 2.5" in str(caught.value)


def test_a_dose_begins_the_interval_that_follows_it_and_a_state_asked_right_after_it_keeps_its_own(solve_theophylline):
    doses = tuple(DoseEvent(float(day), 100.0, "oral") for day in range(1, 11))
    model = load_model("theophylline")

    def rows(*asked):
        line, index = build_timeline(model, patient(*doses), start=0.0, end=11.0, asked=asked)
        return len(line.start), line.bolus[line.end > line.start, 0].tolist(), index

    count, given, _ = rows((5.0, False))
    assert count == 12 and given == [0.0, *[100.0] * 10]  # the first row is the beginning
    count, given, index = rows((5.0, False), (5.0, True))
    assert count == 13 and given == [*[0.0], *[100.0] * 4, 0.0, *[100.0] * 5] and index[1] == index[0] + 1
    before, after = solve_theophylline(patient(*doses), VALUES, [(5.0, False), (5.0, True)], end=11.0)
    assert after[0] - before[0] == pytest.approx(100.0, rel=1e-12)
