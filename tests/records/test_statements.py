"""What is said of covariates in time: its spread over files and readings decides nothing, contradictions are told."""

from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bayestwin.labs import RecordSchema
from bayestwin.records import read_records
from bayestwin.records.record import covariate_changes, covariate_in
from bayestwin.specification import load_model

HEAD = ("ID", "TIME", "DV", "AMT", "EVID", "WT")
EVENTS = ("patient", "time", "known_time", "event", "value")


def frame(head, rows):
    return pd.DataFrame([dict(zip(head, row)) for row in rows], columns=list(head), dtype=str)


def table(*rows, head=HEAD):
    return frame(head, [row.split(",") for row in rows])


@pytest.fixture
def by_weight(theophylline) -> RecordSchema:
    return replace(theophylline, covariates={"weight_kg": "kg"}, effects=("weight_kg",), numeric=("weight_kg",))


def changes(reading, key="1"):
    record = reading.cohort[key]
    return record.covariates.get("weight_kg"), [(t, w) for t, _, w in covariate_changes(record, ("weight_kg",))]


@st.composite
def histories(draw):
    """Rows of an event table, changes of events.csv with corrections, a line of patients.csv, and how they come:
    in pieces, in some order, in one or several readings."""
    visits, lines = [], []
    for time in sorted(draw(st.sets(st.integers(0, 9), min_size=1, max_size=6))):
        weight, kinds = draw(st.sampled_from(("", ".", "80", "70", "60"))), draw(st.sampled_from(("0", "1", "10", "2")))
        last = draw(st.sampled_from(("", weight)))  # one row of a visit may leave it out
        cells = {"0": ("5", "", "0"), "1": ("", "100", "1"), "2": ("", "", "2")}
        visits.append([("1", str(time), *cells[k], w) for k, w in zip(kinds, (weight, last))])
    rows = [row for visit in visits for row in visit]
    for time in draw(st.sets(st.integers(0, 8), max_size=2)):
        for later, weight in enumerate(draw(st.sampled_from(((80,), (75,), (65, 80), (80, 75))))):
            lines.append(("1", f"{time}.5", f"{time + 4 * later}.5", "covariate", f"weight_kg = {weight}"))
    at_zero = next((row[5] for row in rows if row[1] == "0" and row[5] not in ("", ".")), None)
    listed = draw(st.sampled_from((None, at_zero or "80")))
    pieces = [("event_table", one) for one in _pieces(draw, visits)] + [
        ("events", one) for one in _pieces(draw, [[line] for line in lines])
    ]
    pieces += [("patients", [("1", listed)])] if listed is not None else []
    readings = [draw(st.integers(0, 2)) for _ in pieces]
    return rows, lines, listed, list(zip(readings, draw(st.permutations(pieces))))


def _pieces(draw, visits):
    """The visits in up to three files, each in order of time; a visit may stand in two of them."""
    where = [draw(st.sets(st.integers(0, 2), min_size=1, max_size=2)) for _ in visits]
    pieces = ([row for visit, files in zip(visits, where) if k in files for row in visit] for k in range(3))
    return [piece for piece in pieces if piece]


HEADS = {"event_table": HEAD, "events": EVENTS, "patients": ("patient", "weight_kg")}


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(histories())
def test_splitting_files_their_order_and_an_earlier_record_give_the_record_that_one_reading_gives(by_weight, history):
    rows, lines, listed, handed_in = history
    given_at_once = {"event_table": frame(HEAD, rows)}
    given_at_once |= {"events": frame(EVENTS, lines)} if lines else {}
    given_at_once |= {"patients": frame(HEADS["patients"], [("1", listed)])} if listed is not None else {}
    whole = read_records(by_weight, **given_at_once)
    base = None
    for number in range(3):
        files: dict = {}
        for reading, (name, piece) in handed_in:
            if reading == number:
                files.setdefault(name, []).append(frame(HEADS[name], piece))
        if files:
            base = read_records(by_weight, **files, base=base).cohort
    expected, found = (dict(zip(cohort.keys, cohort)).get("1") for cohort in (whole.cohort, base))
    assert found == expected
    assert expected is None or (found.past, found.data_hash) == (expected.past, expected.data_hash)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_covariate_that_changes_between_two_tables_keeps_its_beginning_and_its_change(by_weight, order):
    tables = [table("1,0,,320,1,80", "1,1,5,,0,80"), table("1,5,4,,0,70", "1,6,3,,0,.")]
    assert changes(read_records(by_weight, event_table=[tables[k] for k in order])) == (80.0, [(5.0, 70.0)])
    base = None
    for k in order:
        reading = read_records(by_weight, event_table=tables[k], base=base)
        base = reading.cohort
    assert changes(reading) == (80.0, [(5.0, 70.0)]) and not reading.refusals


def test_what_a_row_says_again_is_kept_so_that_a_row_between_changes_no_later_one(by_weight):
    first = read_records(by_weight, event_table=table("1,0,,320,1,80", "1,5,4,,0,80"))
    assert changes(first) == (80.0, []) and first.summary().startswith("1 patient: 1 labs, 1 doses, 0 events.")
    then = read_records(by_weight, event_table=table("1,3,4,,0,70"), base=first.cohort)
    assert changes(then) == (80.0, [(3.0, 70.0), (5.0, 80.0)])
    bare = first.cohort["1"]
    assert bare.data_hash == replace(bare, events=()).data_hash  # what is said again moves nothing


@pytest.mark.parametrize("rows", [("1,0,,320,1,80",), ("1,0,,320,1,80", "1,5,4,,0,80"), ("1,0,,320,1,80", "1,5,4,,0,")])
def test_a_snapshot_takes_a_change_back(by_weight, rows):
    base = read_records(by_weight, event_table=table("1,0,,320,1,80", "1,5,4,,0,70")).cohort
    reading = read_records(by_weight, event_table=table(*rows), base=base, snapshot=True)
    assert changes(reading) == (80.0, []) and not reading.refusals
    assert [w for _, _, w in covariate_changes(reading.cohort["1"].known_at(4.0), ("weight_kg",))] == []


def test_a_snapshot_of_events_leaves_what_the_event_table_says_and_the_other_way_round(by_weight):
    head, said = EVENTS[:2] + EVENTS[3:], [("1", "7", "covariate", "weight_kg = 60")]
    rows = table("1,0,,320,1,80", "1,5,4,,0,70")
    both = read_records(by_weight, event_table=rows, events=frame(head, said)).cohort
    without = read_records(by_weight, events=frame(head, [("1", "9", "assessed", "")]), base=both, snapshot=True)
    assert changes(without) == (80.0, [(5.0, 70.0)])
    tables = read_records(by_weight, event_table=table("1,0,,320,1,80"), base=both, snapshot=True)
    assert changes(tables) == (80.0, [(7.0, 60.0)])
    bare = read_records(by_weight, event_table=table("1,0,,320,1", head=HEAD[:5]), base=both, snapshot=True)
    assert changes(bare) == (80.0, [(5.0, 70.0), (7.0, 60.0)])  # a table without the column says nothing of weight


def test_patients_csv_that_contradicts_the_first_row_of_a_table_is_refused_there_and_here(by_weight):
    people, rows = frame(("patient", "weight_kg"), [("1", "60")]), table("1,0,,320,1,80", "1,1,5,,0,80")
    reading = read_records(by_weight, patients=people, event_table=rows)
    places = {(r.file, r.row, r.column): r for r in reading.refusals}
    here, there = ("patients (DataFrame)", 2, "weight_kg"), ("event_table (DataFrame)", 2, "wt")
    assert set(places) == {here, there}
    assert "60.0 here and 80.0 in event_table (DataFrame) row 2" in places[here].reason
    assert "80.0 here and 60.0 in patients (DataFrame) row 2" in places[there].reason
    assert changes(reading) == (None, [(1.0, 80.0)]) and len(reading.cohort["1"].doses) == 1
    for first, then in ({"patients": people}, {"event_table": rows}), ({"event_table": rows}, {"patients": people}):
        base = read_records(by_weight, **first).cohort
        (refusal,) = read_records(by_weight, **then, base=base).refusals
        assert "in the earlier record" in refusal.reason and refusal.next_step


def test_a_first_row_after_time_zero_that_differs_from_patients_csv_is_a_change_and_told(by_weight):
    people = frame(("patient", "weight_kg"), [("1", "60")])
    reading = read_records(by_weight, patients=people, event_table=table("1,24,,320,1,80"))
    assert changes(reading) == (60.0, [(24.0, 80.0)]) and not reading.refusals
    (note,) = (n for n in reading.notes if "read as a change" in n)
    assert "patients (DataFrame) row 2" in note and "event_table (DataFrame) row 2" in note


def test_patients_csv_holds_from_the_beginning_also_where_an_earlier_row_arrives_later(by_weight):
    people, rows = frame(("patient", "weight_kg"), [("1", "80")]), table("1,5,4,,0,80")
    early = table("1,0,,320,1,.")
    told = read_records(by_weight, patients=people, event_table=rows)
    assert changes(read_records(by_weight, event_table=early, base=told.cohort)) == (80.0, [])
    untold = read_records(by_weight, event_table=early, base=read_records(by_weight, event_table=rows).cohort)
    assert changes(untold) == (None, [(5.0, 80.0)]) and "first record" in untold.refusals[0].reason


def test_a_table_without_the_column_that_holds_the_first_row_is_told(by_weight):
    bare = table("1,0,,320,1", head=HEAD[:5])
    reading = read_records(by_weight, event_table=[bare, table("1,5,4,,0,80")])
    assert changes(reading) == (None, [(5.0, 80.0)])
    assert [(r.row, "missing at the patient's first record" in r.reason) for r in reading.refusals] == [(2, True)]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (("1,0,,320,1,80", "1,3,999,,0,60", "1,5,4,,0,80"), (80.0, [])),
        (("1,0,999,,0,60", "1,3,4,,0,80"), (80.0, [])),
        (("1,0,,320,1,80", "1,3,,-5,1,60"), (80.0, [])),
        (("1,0,,320,1,80", "1,3,4,,9,60"), (80.0, [])),
        (("1,0,,320,1,80", "1,3,,50,4,80", "1,3,,,3,60"), (80.0, [])),
    ],
)
def test_a_refused_row_says_nothing_of_covariates(by_weight, rows, expected):
    reading = read_records(by_weight, event_table=table(*rows))
    assert changes(reading) == expected and len(reading.refusals) == 1


def test_a_dose_per_kg_takes_no_weight_from_a_refused_row(by_weight, tmp_path):
    (tmp_path / "t.units.toml").write_text('amt = "mg/kg"')
    table("1,0,999,,0,60", "1,1,,2,1,80").to_csv(tmp_path / "t.csv", index=False)
    reading = read_records(by_weight, event_table=tmp_path / "t.csv")
    assert [d.amount for d in reading.cohort["1"].doses] == [160.0] and len(reading.refusals) == 1
    people = frame(("patient", "weight_kg"), [("1", "70")])
    reading = read_records(by_weight, event_table=tmp_path / "t.csv", patients=people)
    assert [d.amount for d in reading.cohort["1"].doses] == [140.0]


def test_two_rows_of_one_time_that_differ_on_a_covariate_name_it_both_rows_and_both_values(by_weight):
    rows = table("1,0,,320,1,80", "1,12,,100,1,75", "1,12,3,,0,70", "1,13,3,,0,70")
    reading = read_records(by_weight, event_table=rows)
    assert [(r.row, r.column, r.value) for r in reading.refusals] == [(3, "wt", "75"), (4, "wt", "70")]
    first, second = (r.reason for r in reading.refusals)
    assert "weight_kg is 75.0 here and 70.0 in event_table (DataFrame) row 4" in first
    assert "weight_kg is 70.0 here and 75.0 in event_table (DataFrame) row 3" in second
    assert changes(reading) == (80.0, [(13.0, 70.0)])
    assert len(reading.cohort["1"].doses) == 2 and len(reading.cohort["1"].labs) == 2 and not reading.incomplete_doses


def test_an_event_that_contradicts_a_row_is_refused_with_it_and_a_later_known_one_corrects_it(by_weight):
    rows = table("1,0,,320,1,80", "1,5,4,,0,70")
    line = ("1", "5", "5", "covariate", "weight_kg = 75")
    together = read_records(by_weight, event_table=rows, events=frame(EVENTS, [line]))
    assert sorted((r.file, r.row) for r in together.refusals) == [
        ("event_table (DataFrame)", 3),
        ("events (DataFrame)", 2),
    ]
    later = frame(EVENTS, [("1", "5", "8", *line[3:])])
    corrected = read_records(by_weight, event_table=rows, events=later)
    assert changes(corrected) == (80.0, [(5.0, 75.0)]) and not corrected.refusals
    assert covariate_changes(corrected.cohort["1"].known_at(6.0), ("weight_kg",)) == [(5.0, "weight_kg", 70.0)]


@pytest.mark.parametrize(
    ("name", "cell", "unit", "more"),
    [
        ("weight_kg", "72.5", "kg", {"numeric": ("weight_kg",)}),
        ("ecog", "2", "points", {"levels": {"ecog": ("2",)}, "numeric": ("ecog",)}),
        ("isotype", "IgG", "", {"levels": {"isotype": ("IgA", "IgG")}}),
    ],
)
def test_a_change_in_events_csv_is_read_like_a_cell_of_the_covariates_column(theophylline, name, cell, unit, more):
    schema = replace(theophylline, covariates={name: unit}, effects=(name,), **more)
    people = frame(("patient", name), [("1", cell)])
    lines = frame(EVENTS, [("1", "5", "5", "covariate", f"{name} = {cell}")])
    reading = read_records(schema, patients=people, events=lines)
    assert (
        not reading.refusals
        and covariate_in(reading.cohort["1"].events[0].value)[1] == reading.cohort["1"].covariates[name]
    )


def test_a_dose_per_kg_is_refused_where_the_weights_of_its_time_contradict_each_other(by_weight):
    rows = table("1,0,,,2,70", "1,0,,,2,90", "1,1,5,,0,")
    doses = frame(("patient", "time", "amount", "unit", "route"), [("1", "0", "4", "mg/kg", "oral")])
    reading = read_records(by_weight, event_table=rows, doses=doses, time_unit="h")
    assert "weight_kg" not in reading.cohort["1"].covariates and reading.cohort["1"].doses == ()
    assert any("doses" in str(r) and "weight_kg" in str(r) for r in reading.refusals)


def test_a_statement_that_contradicts_patients_csv_at_the_first_record_is_said(read):
    schema = load_model("myeloma_car_t").record_schema()
    labs = "patient,time,output,value,unit\nP1,0,m_protein,20,g/L\n"
    patients = "patient,iss,extramedullary\nP1,1,0\n"
    events = "patient,time,event,value\nP1,0,covariate,iss = 3\nP1,0,covariate,extramedullary = 0\n"
    reading = read(schema, labs=labs, patients=patients, events=events)
    (said,) = [n for n in reading.notes if "patients.csv and" in n]
    assert "P1: iss is 1.0 in patients.csv and 3.0 at 0, which holds from then on" in said


def test_until_when_an_acquired_covariate_and_one_with_a_share_are_unknown_is_said(read):
    schema = load_model("myeloma_car_t").record_schema()
    labs = "patient,time,output,value,unit\nP1,0,m_protein,20,g/L\n"

    def notes(*rows):
        events = "patient,time,event,value\n" + "".join(f"P1,{row}\n" for row in rows)
        return [n for n in read(schema, labs=labs, events=events).notes if "first record" in n]

    (late,) = notes("40,covariate,extramedullary = 1")
    assert "extramedullary is not said at the first record; until 40 it is integrated" in late
    assert notes("-5,covariate,extramedullary = 1") == []  # known from the beginning, which is that row
    (lasting,) = notes("40,covariate,iss = 3")
    assert "iss is not said at the first record; what is said at 40 is taken from the beginning" in lasting
    (share,) = notes("10,covariate,sex = female")
    assert "sex is not said at the first record and acts as on the average of patients until 10" in share
