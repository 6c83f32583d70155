"""The NONMEM-style event table: kinds of rows, tied times, infusions, censoring; and real patients."""

from dataclasses import replace

import pytest

from bayestwin.labs import LabSpec, RecordSchema
from bayestwin.records.record import covariate_changes

HEAD = "ID,TIME,DV,AMT,EVID,CMT,RATE,ADDL,II,SS,MDV"
TWO = RecordSchema(
    model="warfarin",
    time_unit="h",
    dose_unit="mg",
    compartments=("depot", "central"),
    covariates={"weight_kg": "kg", "sex": ""},
    labs={"cp": LabSpec("cp", "mg/L", (0.0, 60.0)), "pca": LabSpec("pca", "%", (0.0, 200.0))},
)


def table(*rows, head=HEAD):
    return head + "\n" + "\n".join(rows) + "\n"


def one(reading, key="1"):
    assert not reading.refusals, reading.summary()
    return reading.cohort[key]


def test_either_case_of_column_names_reads_the_same(read, theophylline):
    rows = ("1,0,0,320,1,1,0,0,0,0,1", "1,1,5.5,0,0,2,0,0,0,0,0")
    upper, lower = (one(read(theophylline, event_table=table(*rows, head=h))) for h in (HEAD, HEAD.lower()))
    assert upper == lower and upper.doses[0].target == "depot" and upper.labs[0].value == 5.5


def test_file_order_decides_tied_times(read, theophylline):
    rows = ("1,0,0.1,,0", "1,0,,100,1", "1,0,0.2,,0", "1,0,,50,1", "1,0,0.3,,0", "1,5,4,,0")
    patient = one(read(theophylline, event_table=table(*rows, head="ID,TIME,DV,AMT,EVID")))
    assert [(r.value, r.order) for r in patient.labs] == [(0.1, -1), (0.2, 1), (0.3, 3), (4.0, -1)]
    assert [(d.amount, d.order) for d in patient.doses] == [(100.0, 0), (50.0, 2)]
    assert len({r.lab_id for r in patient.labs}) == 4


@pytest.mark.parametrize(("first", "order"), [(True, -1), (False, 1)])
def test_an_observation_written_after_the_dose_sees_it(read, theophylline, first, order):
    rows = ["1,0,0.1,,0", "1,0,,100,1"]
    patient = one(read(theophylline, event_table=table(*(rows if first else rows[::-1]), head="ID,TIME,DV,AMT,EVID")))
    assert patient.labs[0].order == order and patient.doses[0].order == 0


def test_evid_101_is_a_dose_and_evid_2_and_mdv_1_are_counted(read, theophylline):
    reading = read(
        theophylline, event_table=table("1,0,0,320,101,1,0,0,0,0,1", "1,1,0,0,2,1,0,0,0,0,1", "1,2,0,0,0,2,0,0,0,0,1")
    )
    assert len(one(reading).doses) == 1 and not one(reading).labs
    assert {n.split(": ", 1)[1] for n in reading.notes if n.endswith("1 row.")} == {
        "EVID 101, as old files write it, is read as a dose (EVID 1): 1 row.",
        "EVID 2, neither dose nor observation, not used: 1 row.",
        "observations with MDV = 1 carry no value, not used: 1 row.",
    }


def test_without_evid_rows_with_an_amount_are_doses(read, theophylline):
    reading = read(theophylline, event_table=table("1,0,.,320", "1,1,5.5,.", head="ID,TIME,DV,AMT"))
    assert len(one(reading).doses) == len(one(reading).labs) == 1 and any("no EVID" in n for n in reading.notes)


def test_a_reset_and_a_reset_with_dose_are_read_in_file_order(read, theophylline):
    rows = ("1,0,,100,1", "1,24,,100,4", "1,48,,,3", "1,48,5,,0", "1,48,,60,1")
    patient = one(read(theophylline, event_table=table(*rows, head="ID,TIME,DV,AMT,EVID")))
    said = [(d.time, d.amount, d.reset, d.order) for d in patient.doses]
    assert said == [(0, 100, False, 0), (24, 100, True, 0), (48, 0, True, 0), (48, 60, False, 2)]
    assert patient.labs[0].order == 1


def test_a_reset_that_gives_something_is_refused(read, theophylline):
    reading = read(theophylline, event_table=table("1,0,,100,1", "1,24,,100,3", head="ID,TIME,DV,AMT,EVID"))
    assert [(r.row, r.column) for r in reading.refusals] == [(3, "amt")] and reading.incomplete_doses == ("1",)
    assert "Write EVID 4" in reading.refusals[0].next_step


def test_steady_state_lag_bioavailability_and_rates_reach_the_dose(read, theophylline):
    rows = (
        "1,0,100,1,10,1,12,1,0.5,0.8,.,.",
        "1,6,100,1,-1,2,12,.,.,.,25,.",
        "1,9,100,1,-2,0,0,.,.,1.2,.,8",
        "1,30,0,1,5,1,.,.,.,.,.,.",
    )
    text = table(*rows, head="ID,TIME,AMT,EVID,RATE,SS,II,ADDL,LAGT,BIOAV,RAT2,DUR2")
    first, second, third, constant = one(read(theophylline, event_table=text)).doses
    assert (first.ss, first.ii, first.addl, first.lag, first.bioavailability) == (1, 12.0, 1, 0.5, 0.8)
    assert (first.rate, first.duration) == (10.0, 10.0) and (second.rate, second.duration, second.ss) == (25.0, 4.0, 2)
    assert (third.rate, third.duration, third.bioavailability) == (0.0, 8.0, 1.2)  # the duration is fixed
    assert (constant.amount, constant.rate, constant.ss) == (0.0, 5.0, 1)


def test_an_observation_at_the_time_of_an_additional_or_lagged_dose_is_written_after_it(read, theophylline):
    rows = ("1,0,,100,1,2,12,0", "1,12,5,,0,,,", "1,24,5,,0,,,", "1,24,,100,1,0,0,3", "1,27,5,,0,,,", "1,30,5,,0,,,")
    patient = one(read(theophylline, event_table=table(*rows, head="ID,TIME,DV,AMT,EVID,ADDL,II,LAGT")))
    assert [lab.order for lab in patient.labs] == [0, 0, 0, -1]


@pytest.mark.parametrize(
    ("extra", "cells", "column", "says"),
    [
        ("SS,II", "3,12", "ss", "(SS 3) is not supported"),
        ("SS,II", "4,12", "ss", "0 or empty, 1 or 2"),
        ("SS", "1", "ii", "steady-state doses need an interval"),
        ("RATE", "-1", "rat2", "RATE -1 needs RAT2"),
        ("RATE,DUR2", "-2,.", "dur2", "RATE -2 needs DUR2"),
        ("RATE", "-3", "rate", "-1 or -2"),
        ("ADDL", "3", "ii", "need an interval"),
        ("LAGT", "-0.5", "lagt", "a lag is negative"),
        ("BIOAV", "0", "bioav", "more than 0"),
        ("CMT", "7", "cmt", "one of depot, central"),
        ("CMT", "-1", "cmt", "one of depot, central"),
    ],
)
def test_doses_the_engine_cannot_give_are_refused_not_ignored(read, theophylline, extra, cells, column, says):
    reading = read(theophylline, event_table=table(f"1,0,,100,1,{cells}", head=f"ID,TIME,DV,AMT,EVID,{extra}"))
    (refusal,) = reading.refusals
    assert refusal.column == column and says in str(refusal) and refusal.row == 2 and reading.cohort.keys == ()


def test_rates_and_modelled_rates_become_durations(read, theophylline):
    rows = ("1,0,100,1,50,.,.", "1,10,100,1,-1,25,.", "1,20,100,1,-2,.,8", "1,40,100,1,0,.,.")
    patient = one(read(theophylline, event_table=table(*rows, head="ID,TIME,AMT,EVID,RATE,RAT2,DUR2")))
    assert [d.duration for d in patient.doses] == [2.0, 4.0, 8.0, 0.0]


@pytest.mark.parametrize(
    ("extra", "cells", "expected"),
    [
        ("CENS", "2,1", ("left", 2.0)),
        ("CENS", "2,-1", ("right", 2.0)),
        ("CENS", "2,0", ("none", 2.0)),
        ("CENS,LIMIT", "2,1,0", ("left", 2.0)),
        ("CENS,LLOQ", "0,1,2", ("left", 2.0)),
        ("BLQ,LLOQ", "0,1,2", ("left", 2.0)),
        ("BLQ,LLOQ", ".,1,2", ("left", 2.0)),
        ("BLQ,LLOQ", "3,0,2", ("none", 3.0)),
        ("LLOQ", "0.5,2", ("left", 2.0)),
    ],
)
def test_both_conventions_of_censoring_are_read(read, theophylline, extra, cells, expected):
    patient = one(read(theophylline, event_table=table(f"1,1,{cells}", head=f"ID,TIME,DV,{extra}")))
    assert (patient.labs[0].censoring, patient.labs[0].value) == expected


@pytest.mark.parametrize(
    ("extra", "cells", "expected"),
    [
        ("CENS,LIMIT", "2,1,1", ("interval", 1.0, 2.0)),  # Monolix: between LIMIT and DV
        ("CENS,LIMIT", "2,-1,30", ("interval", 2.0, 30.0)),  # between DV and LIMIT
        ("CENS,LIMIT", "2,-1,60", ("right", 2.0, 2.0)),  # the end of the plausible range says nothing
        ("CENS,LIMIT", "2,-1,1e6", ("right", 2.0, 2.0)),
        ("CENS,LIMIT,LLOQ", "0.5,1,0.2,2", ("interval", 0.2, 2.0)),
        ("CENS,LIMIT", "2,0,1", ("none", 2.0, None)),
    ],
)
def test_limit_gives_the_other_end_of_an_interval(read, theophylline, extra, cells, expected):
    patient = one(read(theophylline, event_table=table(f"1,1,{cells}", head=f"ID,TIME,DV,{extra}")))
    lab = patient.labs[0]
    assert (lab.censoring, lab.value, lab.limit) == expected
    assert lab.upper == (expected[2] if expected[0] == "interval" else None)


@pytest.mark.parametrize(
    ("extra", "cells", "column"),
    [
        ("CENS", "2,5", "cens"),
        ("CENS,LIMIT", "2,1,2", "limit"),
        ("CENS,LIMIT", "2,1,5", "limit"),
        ("CENS,LIMIT", "2,-1,1", "limit"),
        ("CENS,LIMIT", "2,1,x", "limit"),
        ("CENS,LIMIT", "80,1,5", "dv"),
        ("CENS,LLOQ", "3,1,2", "dv"),
        ("CENS,LLOQ", "1,-1,2", "dv"),
        ("BLQ,LLOQ", "3,1,2", "blq"),
        ("BLQ", "2,1", "lloq"),
        ("BLQ,LLOQ", "1,0,2", "blq"),
        ("MDV", ",0", "dv"),
        ("MDV", "61,0", "dv"),
        ("EVID", "2,7", "evid"),
        ("EVID", "2,x", "evid"),
    ],
)
def test_contradictory_observations_are_refused(read, theophylline, extra, cells, column):
    (refusal,) = read(theophylline, event_table=table(f"1,1,{cells}", head=f"ID,TIME,DV,{extra}")).refusals
    assert refusal.column == column and refusal.allowed and refusal.next_step


def test_a_limit_below_lloq_is_used_as_below_lloq_and_noted(read, theophylline):
    reading = read(theophylline, event_table=table("1,1,0.5,1,2", "1,2,0,1,2", head="ID,TIME,DV,CENS,LLOQ"))
    assert [lab.value for lab in one(reading).labs] == [2.0, 2.0]
    assert any("DV is a limit below LLOQ, used as below LLOQ: 1 row." in note for note in reading.notes)


def test_dvid_names_the_output_by_name_or_number(read):
    rows = ("1,1,5,cp", "1,1,90,PCA", "1,2,80,2", "1,3,1,inr", "1,3,1,")
    reading = read(TWO, event_table=table(*rows, head="ID,TIME,DV,DVID"))
    assert [(r.output, r.value) for r in reading.cohort["1"].labs] == [("cp", 5.0), ("pca", 90.0), ("pca", 80.0)]
    assert [(r.row, r.column) for r in reading.refusals] == [(5, "dvid"), (6, "dvid")]


def test_covariates_come_from_the_table_under_their_customary_names(read):
    reading = read(
        TWO, event_table=table("1,1,5,cp,70,male,1", "1,2,5,cp,72,male,1", head="ID,TIME,DV,DVID,WT,SEX,SITE")
    )
    assert one(reading).covariates == {"weight_kg": 70.0, "sex": "male", "SITE": 1.0}
    assert any("WT is read as weight_kg (in kg)" in n for n in reading.notes)
    assert any("weight_kg changes in time" in n and "1 row." in n for n in reading.notes)


def test_the_units_taken_for_granted_are_said_and_a_file_of_units_changes_them(read, theophylline, tmp_path):
    text = table("1,0,,320,1", "1,1,5,,0", head="ID,TIME,DV,AMT,EVID")
    assert any("DV in mg/L (concentration), AMT in mg" in n for n in read(theophylline, event_table=text).notes)
    (tmp_path / "event_table.units.toml").write_text('dv = "ug/dL"\namt = "g"')
    patient = one(read(theophylline, event_table=text))
    assert patient.labs[0].value == 0.05 and patient.doses[0].amount == 320_000.0


def test_a_table_that_goes_back_in_time_is_refused_there(read, theophylline):
    reading = read(theophylline, event_table=table("1,5,3,,0", "1,4,3,,0", "1,6,3,,0", head="ID,TIME,DV,AMT,EVID"))
    assert [(r.row, r.column) for r in reading.refusals] == [(3, "time")] and "Sort the table" in reading.refusals[
        0
    ].next_step


def test_an_identical_row_is_a_duplicate_a_second_dose_of_that_time_is_not(read, theophylline):
    rows = ("1,0,,100,1", "1,0,,50,1", "1,0,,100,1", "1,1,5,,0", "1,1,5,,0", "1,1,6,,0")
    reading = read(theophylline, event_table=table(*rows, head="ID,TIME,DV,AMT,EVID"))
    assert [r.row for r in reading.refusals] == [4, 6]
    assert sorted(d.amount for d in reading.cohort["1"].doses) == [50.0, 100.0] and len(reading.cohort["1"].labs) == 2


def test_the_twelve_theophylline_patients_read_whole(read_shared, theophylline):
    reading = read_shared(theophylline, "theophylline/theophylline.csv")
    assert not reading.refusals and len(reading.cohort) == 12
    for patient in reading.cohort:
        assert len(patient.labs) == 11 and len(patient.doses) == 1 and patient.doses[0].target == "depot"
        assert 54 < patient.covariates["weight_kg"] < 87 and 260 < patient.doses[0].amount < 330
        first = patient.labs[0]
        assert first.time == 0.0 and first.order == 1 and first.censoring == "none"
    assert sum(patient.labs[0].value == 0.0 for patient in reading.cohort) == 9


def test_the_warfarin_patients_read_whole_with_two_outputs(read_shared):
    reading = read_shared(TWO_WITH_ZEROS, "warfarin/warfarin.csv")
    assert not reading.refusals and len(reading.cohort) == 32
    assert sum(len(p.labs) + len(p.doses) for p in reading.cohort) == 515


def test_every_dose_of_the_nmtest_schedules_is_read(read_shared, theophylline):
    reading = read_shared(theophylline, "nmtest/nmtest.csv")
    assert not reading.incomplete_doses and {r.column for r in reading.refusals} == {"dv"}  # the file has no DV


TWO_WITH_ZEROS = RecordSchema(
    model="warfarin",
    time_unit="h",
    dose_unit="mg",
    compartments=("depot", "central"),
    covariates={"weight_kg": "kg", "sex": ""},
    labs={"cp": LabSpec("cp", "mg/L", (0.0, 60.0), positive=False), "pca": LabSpec("pca", "%", (0.0, 200.0))},
)


@pytest.fixture
def read_shared(shared_data):
    from bayestwin.records import read_records

    return lambda schema, name: read_records(schema, event_table=shared_data / name)


@pytest.mark.parametrize(
    ("row", "column", "says", "hole"),
    [
        ("1,2,0,320,0,1,1", "amt", "EVID 0 says that nothing was given", True),
        ("1,2,5,-320,0,1,0", "amt", "EVID 0 says that nothing was given", True),
        ("1,2,0,320,2,1,1", "amt", "EVID 2 says that nothing was given", True),
        ("1,2,0,0,1,1,1", "amt", "a dose must be more than 0", True),
        ("1,2,0,.,1,1,1", "amt", "not a number", True),
        ("1,2,0,320,1,1,2", "mdv", "expected 0 or 1", True),
        ("1,2,0,320,,1,2", "mdv", "expected 0 or 1", True),
        ("1,2,5,0,0,2,2", "mdv", "expected 0 or 1", False),
        ("1,2,5,0.0,0,7,0", "cmt", "one of depot, central", False),
        ("1,2,5,.,0,liver,0", "cmt", "one of depot, central", False),
    ],
)
def test_a_row_that_contradicts_itself_is_refused_and_no_dose_is_lost_in_silence(
    read, theophylline, row, column, says, hole
):
    text = table("1,1,4,0,0,2,0", row, "1,3,3,0,0,2,0", head="ID,TIME,DV,AMT,EVID,CMT,MDV")
    reading = read(theophylline, event_table=text)
    (refusal,) = reading.refusals
    assert (refusal.patient, refusal.row, refusal.column) == ("1", 3, column) and says in str(refusal), str(refusal)
    assert refusal.next_step and reading.incomplete_doses == (("1",) if hole else ())
    assert [lab.value for lab in reading.cohort["1"].labs] == [4.0, 3.0]


@pytest.fixture
def open_doses(theophylline):
    return replace(theophylline, modelled={"depot": ("lag", "rate"), "central": ("duration",)})


def test_a_rate_or_duration_is_left_to_the_model_exactly_where_it_has_a_parameter_for_it(read, open_doses):
    rows = ("1,0,100,1,1,-1,.", "1,1,100,1,2,-2,.", "1,2,100,1,1,-1,25", "1,3,100,1,1,-2,.", "1,4,100,1,2,-1,.")
    reading = read(open_doses, event_table=table(*rows, head="ID,TIME,AMT,EVID,CMT,RATE,RAT2"))
    assert [(d.target, d.modelled, d.rate, d.duration) for d in reading.cohort["1"].doses] == [
        ("depot", "rate", 0.0, 0.0),
        ("central", "duration", 0.0, 0.0),
        ("depot", "", 25.0, 4.0),  # what the row says goes before the model
    ]
    assert [(r.row, r.column) for r in reading.refusals] == [(5, "dur2"), (6, "rat2")]
    assert all("Dosing(...)" in r.next_step for r in reading.refusals) and reading.incomplete_doses == ("1",)


def test_an_infusion_that_has_always_run_may_leave_its_rate_to_the_model(read, open_doses):
    rows = ("1,0,0,1,1,-1,1,.", "1,9,0,1,2,-2,1,.")
    reading = read(open_doses, event_table=table(*rows, head="ID,TIME,AMT,EVID,CMT,RATE,SS,II"))
    (dose,) = reading.cohort["1"].doses
    assert (dose.amount, dose.rate, dose.ss, dose.modelled) == (0.0, 0.0, 1, "rate")
    assert [(r.row, r.column) for r in reading.refusals] == [(3, "amt")]


@pytest.mark.parametrize("second", ["1,24,,100,4", "1,24,,,3"])
def test_two_resets_of_one_time_overlap_and_the_second_is_refused(read, theophylline, second):
    rows = ("1,0,,100,1", "1,24,,60,4", second)
    reading = read(theophylline, event_table=table(*rows, head="ID,TIME,DV,AMT,EVID"))
    assert [(r.row, r.column) for r in reading.refusals] == [(4, "evid")] and "overlap" in reading.refusals[0].reason
    assert [d.amount for d in reading.cohort["1"].doses] == [100.0, 60.0] and reading.incomplete_doses == ("1",)


def test_an_observation_after_a_dose_with_a_lag_of_the_model_is_written_after_what_may_arrive_then(read, open_doses):
    rows = ("1,0,5,,0,", "1,0,,100,1,1", "1,1,5,,0,", "1,2,5,,0,", "1,2,,100,1,2")
    patient = one(read(open_doses, event_table=table(*rows, head="ID,TIME,DV,AMT,EVID,CMT")))
    assert [lab.order for lab in patient.labs] == [-1, 0, 0]
    rows = [row[:-1] + "2" if row.endswith(",1") else row for row in rows]
    patient = one(read(open_doses, event_table=table(*rows, head="ID,TIME,DV,AMT,EVID,CMT")))
    assert [lab.order for lab in patient.labs] == [-1, -1, -1]


WEIGHED = "ID,TIME,DV,AMT,EVID,WT"


@pytest.fixture
def by_weight(theophylline):
    return replace(theophylline, covariates={"weight_kg": "kg"}, effects=("weight_kg",), numeric=("weight_kg",))


def test_a_covariate_that_acts_on_a_parameter_is_carried_forward_from_each_row_that_changes_it(read, by_weight):
    rows = ("1,0,,320,1,80", "1,1,5,,0,80", "1,2,5,,0,.", "1,3,4,,0,72.5", "1,4,4,,0,", "1,5,3,,0,80")
    reading = read(by_weight, event_table=table(*rows, head=WEIGHED))
    patient = one(reading)
    assert patient.covariates == {"weight_kg": 80.0} and not reading.refusals
    assert covariate_changes(patient, ("weight_kg",)) == [(3.0, "weight_kg", 72.5), (5.0, "weight_kg", 80.0)]
    assert covariate_changes(patient.known_at(4.0), ("weight_kg",)) == [(3.0, "weight_kg", 72.5)]
    again = read(by_weight, event_table=table(*rows, head=WEIGHED), base=reading.cohort)
    assert one(again) == patient
    more = read(by_weight, event_table=table("1,6,3,,0,77", head=WEIGHED), base=reading.cohort)
    assert one(more).covariates == {"weight_kg": 80.0}  # what is new is a change, not another beginning
    assert covariate_changes(one(more), ("weight_kg",))[-1] == (6.0, "weight_kg", 77.0)
    known = read(by_weight, event_table=table("1,0,,320,1,.", head=WEIGHED), patients="patient,weight_kg\n1,66\n")
    assert not known.refusals and one(known).covariates == {"weight_kg": 66.0}


@pytest.mark.parametrize("later", ["80", "."])
def test_a_covariate_missing_at_the_first_record_is_refused_with_its_row_and_stands_at_its_reference(
    read, by_weight, later
):
    rows = ("1,0,,320,1,.", f"1,2,5,,0,{later}", "2,0,,320,1,70", "2,2,5,,0,.")
    reading = read(by_weight, event_table=table(*rows, head=WEIGHED))
    (refusal,) = reading.refusals
    assert (refusal.patient, refusal.row, refusal.column) == ("1", 2, "wt") and "first record" in refusal.reason
    assert "weight_kg" not in reading.cohort["1"].covariates and reading.cohort["2"].covariates == {"weight_kg": 70.0}
    changes = covariate_changes(reading.cohort["1"], ("weight_kg",))
    assert changes == ([] if later == "." else [(2.0, "weight_kg", 80.0)])
    assert len(reading.cohort["1"].labs) == len(reading.cohort["1"].doses) == 1


def test_a_tidy_file_of_events_says_a_change_too_and_corrects_it(read, by_weight):
    head, patients = "patient,time,known_time,event,value\n", "patient,weight_kg\nP,80\n"
    first = read(by_weight, patients=patients, events=head + "P,10,10,covariate,weight_kg = 72\n")
    assert covariate_changes(first.cohort["P"], ("weight_kg",)) == [(10.0, "weight_kg", 72.0)]
    then = read(by_weight, events=head + "P,10,12,covariate,weight_kg=74\n", base=first.cohort)
    assert covariate_changes(then.cohort["P"], ("weight_kg",)) == [(10.0, "weight_kg", 74.0)]
    for said, reason in (
        ("height_cm = 180", "no change"),
        ("weight_kg", "no change"),
        ("weight_kg = 800", "implausib"),
    ):
        (refusal,) = read(by_weight, patients=patients, events=head + f"P,10,10,covariate,{said}\n").refusals
        assert refusal.row == 2 and reason in refusal.reason and refusal.next_step
