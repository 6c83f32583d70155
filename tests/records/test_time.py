"""Two clocks, dates, time zero and as-of."""

import itertools

import pytest

from bayestwin.errors import RecordError

HEAD = "patient,time,known_time,output,value,unit\n"


def lab(time, known="", value="31"):
    return f"P1,{time},{known},m_protein,{value},g/L\n"


def times(reading):
    return [r.time for r in reading.cohort["P1"].labs]


def test_dates_count_from_the_patients_time_zero(read):
    patients = "patient,time_zero\nP1,2026-01-01\n"
    reading = read(patients=patients, labs=HEAD + lab("2026-01-08T12:00", "2026-01-10"), as_of="2026-06-01")
    (row,) = reading.cohort["P1"].labs
    assert (row.time, row.known_time) == (7.5, 9.0) and reading.cohort["P1"].time_zero == "2026-01-01"


@pytest.mark.parametrize("name", ["time_zero", "t0", "Index_Date", "baseline_date"])
def test_time_zero_has_synonyms(read, name):
    reading = read(patients=f"patient,{name}\nP1,2026-01-01\n", labs=HEAD + lab("2026-01-03"), as_of="2026-06-01")
    assert times(reading) == [2.0] and reading.cohort["P1"].covariates == {}


def test_without_time_zero_the_earliest_dated_row_of_any_file_is_it_in_any_order(read):
    rows = [lab("2026-01-08"), lab("2026-01-05"), lab("2026-02-01")]
    events = "patient,time,event\nP1,2026-01-04,assessed\n"
    for order in itertools.permutations(rows):
        reading = read(labs=HEAD + "".join(order), events=events, as_of="2026-06-01")
        assert times(reading) == [1.0, 4.0, 28.0] and reading.cohort["P1"].time_zero == "2026-01-04"
    assert any("without time_zero" in note for note in reading.notes)


def test_zones_are_honoured_and_mixing_them_is_noted(read):
    patients = "patient,time_zero\nP1,2026-01-01\n"
    reading = read(
        patients=patients, labs=HEAD + lab("2026-01-02T02:00+02:00") + lab("2026-01-03T00:00Z"), as_of="2026-06-01"
    )
    assert times(reading) == [1.0, 2.0] and not reading.notes
    mixed = read(
        patients=patients, labs=HEAD + lab("2026-01-02T02:00+02:00") + lab("2026-01-03T00:00"), as_of="2026-06-01"
    )
    assert any("read as UTC" in note for note in mixed.notes)


def test_what_lies_after_as_of_is_refused_for_dated_rows_only(read):
    labs = HEAD + lab("2026-01-01") + lab("2026-03-04") + lab("2026-02-01", "2026-03-09")
    reading = read(labs=labs, as_of="2026-03-03")
    assert [(r.row, r.column) for r in reading.refusals] == [(3, "time"), (4, "known_time")]
    assert "future" in reading.refusals[0].reason and "later as-of" in reading.refusals[0].next_step
    assert not read(labs=HEAD + lab("20000"), as_of="2026-03-03").refusals
    assert len(read(labs=HEAD + lab("2199-01-01")).refusals) == 1


def test_a_bare_as_of_date_includes_that_day(read):
    assert not read(labs=HEAD + lab("2026-03-03T18:00"), as_of="2026-03-03").refusals
    assert read(labs=HEAD + lab("2026-03-03T18:00"), as_of="2026-03-03T12:00").refusals


@pytest.mark.parametrize("as_of", ["yesterday", "2026-13-01", "03.03.2026", 5])
def test_an_as_of_that_is_no_date_is_an_error(read, as_of):
    with pytest.raises(RecordError, match="this is not a date"):
        read(labs=HEAD + lab("1"), as_of=as_of)


def test_a_result_known_on_the_day_of_its_specimen_is_not_known_before_it(read):
    reading = read(labs=HEAD + lab("2026-01-01") + lab("2026-01-05T10:00", "2026-01-05"), as_of="2026-06-01")
    assert not reading.refusals and reading.cohort["P1"].labs[1].known_time == reading.cohort["P1"].labs[1].time


@pytest.mark.parametrize(
    ("drawn", "known"),
    [
        ("2026-03-09T22:30-05:00", "2026-03-09"),
        ("2026-03-09T22:30-05:00", "2026-03-10"),
        ("2026-03-09T00:30+02:00", "2026-03-09"),
    ],
)
def test_the_day_of_a_specimen_is_that_of_its_own_zone(read, drawn, known):
    reading = read(labs=HEAD + lab("2026-01-01") + lab(drawn, known), as_of="2026-06-01")
    assert not reading.refusals and reading.cohort["P1"].labs[1].known_time >= reading.cohort["P1"].labs[1].time
    assert read(labs=HEAD + lab("2026-01-01") + lab(drawn, "2026-03-07"), as_of="2026-06-01").refusals


def test_plain_numbers_among_dates_need_a_declared_time_zero(read):
    labs = HEAD + lab("2026-01-05") + lab("7")
    (refusal,) = read(labs=labs, as_of="2026-06-01").refusals
    assert refusal.row == 3 and "unknown time zero" in refusal.reason and "patients.csv" in refusal.next_step
    reading = read(labs=labs, patients="patient,time_zero\nP1,2026-01-01\n", as_of="2026-06-01")
    assert times(reading) == [4.0, 7.0]


def test_a_time_zero_that_was_refused_is_not_replaced_by_a_guess(read):
    reading = read(labs=HEAD + lab("2026-01-05"), patients="patient,time_zero\nP1,5.1.2026\n", as_of="2026-06-01")
    assert [r.file for r in reading.refusals] == ["patients.csv", "labs.csv"]
    assert "time zero was refused" in reading.refusals[1].reason and not reading.cohort["P1"].labs


def test_what_was_believed_on_a_date_can_be_asked(read):
    rows = lab("2026-03-01", "2026-03-02", "31") + lab("2026-03-01", "2026-03-05", "13")
    reading = read(labs=HEAD + rows, as_of="2026-06-01")
    assert [[r.value for r in reading.at(d)["P1"].labs] for d in ("2026-03-01", "2026-03-03", "2026-03-05")] == [
        [],
        [31.0],
        [13.0],
    ]
    with pytest.raises(RecordError, match="relative time"):
        read(labs=HEAD + lab("1")).at("2026-03-01")


def test_an_upsert_keeps_the_time_zero_of_the_record(read):
    first = read(labs=HEAD + lab("2026-01-05") + lab("2026-01-10"), as_of="2026-06-01")
    second = read(labs=HEAD + lab("2026-01-02"), base=first.cohort, as_of="2026-06-01")
    assert times(second) == [-3.0, 0.0, 5.0] and second.cohort["P1"].time_zero == "2026-01-05"
    relative = read(labs=HEAD + lab("1"))
    assert (
        "relative time"
        in read(labs=HEAD + lab("2026-01-02"), base=relative.cohort, as_of="2026-06-01").refusals[0].reason
    )


@pytest.mark.parametrize("wrong", [("2127-03-09", ""), ("2020-03-09", "2019-03-09"), ("2025-01-01", "2026-07-01")])
def test_a_row_that_its_own_dates_refuse_is_no_time_zero(read, wrong):
    good = lab("2026-03-09") + lab("2026-03-10")
    beside = read(labs=HEAD + lab(*wrong) + good, as_of="2026-06-01")
    assert beside.cohort["P1"].time_zero == "2026-03-09" and times(beside) == [0.0, 1.0]
    alone = read(labs=HEAD + lab(*wrong), as_of="2026-06-01")
    assert len(alone.refusals) == 1 and alone.cohort["P1"].time_zero == "" and not alone.notes
    after = read(labs=HEAD + good, base=alone.cohort, as_of="2026-06-01")
    assert times(after) == [0.0, 1.0] and not after.refusals


def test_patients_csv_moves_a_time_zero_that_no_row_counts_from(read):
    patients = "patient,time_zero\nP1,{}\n"
    first = read(patients=patients.format("1926-03-09"), as_of="2026-06-01")
    then = read(
        patients=patients.format("2026-03-09"), labs=HEAD + lab("2026-03-10"), base=first.cohort, as_of="2026-06-01"
    )
    assert times(then) == [1.0] and not then.notes
    last = read(patients=patients.format("2026-03-01"), base=then.cohort, as_of="2026-06-01")
    assert last.cohort["P1"].time_zero == "2026-03-09" and "which is kept" in last.notes[0]


def test_a_unit_of_time_must_be_one(read):
    with pytest.raises(RecordError, match="not a unit of time"):
        read(labs=HEAD + lab("1"), time_unit="mg")


def test_numbers_mixed_into_a_file_of_dates_are_noted(read):
    patients = "patient,time_zero\nP1,2026-01-01\n"
    reading = read(patients=patients, labs=HEAD + lab("2026-01-05") + lab("7") + lab("9", "12"), as_of="2026-06-01")
    (note,) = reading.notes
    assert not reading.refusals and "labs.csv" in note and "first in row 3, 2 in all" in note and "day" in note
    for alone in (lab("5") + lab("7"), lab("2026-01-05") + lab("2026-01-07", "2026-01-08")):
        assert not read(patients=patients, labs=HEAD + alone, as_of="2026-06-01").notes
