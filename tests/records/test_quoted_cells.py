"""What a refusal quotes: the cell of the column it names, as written; never a computed value, never a person's name."""

import pytest

from bayestwin.records.refusal import shown_cell

LABS = "patient,lab_id,time,known_time,output,value,unit,comparator,lloq,status\n"
DOSES = "patient,time,known_time,amount,unit,route,addl,ii,status\n"
EVENTS = "patient,time,known_time,event,value,status\n"


@pytest.mark.parametrize(
    ("tables", "column", "value"),
    [
        ({"labs": LABS + "P1,a,5,,,,,,,retracted\n"}, "status", "retracted"),
        ({"labs": LABS + "P1,,5,,m_protein,3.0,,,,\n"}, "unit", ""),
        ({"labs": LABS + "P1,,5,,m_protein,<=0.5,g/L,,,\n"}, "value", "<=0.5"),
        ({"labs": LABS + "P1,,5,,m_protein,0310.0,g/L,,,\n"}, "value", "0310.0"),
        ({"labs": LABS + "P1,,5,,m_protein,,g/L,<,500,\n"}, "lloq", "500"),
        ({"labs": LABS + "P1,,5.0,3.0,m_protein,3,g/L,,,\n"}, "known_time", "3.0"),
        ({"labs": LABS + "P1,,2030-01-01T10:00,,m_protein,3,g/L,,,\n"}, "time", "2030-01-01T10:00"),
        ({"labs": LABS + "P1,,5,,m_protein,3.10,g/dL,,,\nP1,,5,,m_protein,31,g/L,,,\n"}, "value", "31"),
        ({"doses": DOSES + "P1,0,,-5.0,mg,iv,,,\n"}, "amount", "-5.0"),
        ({"doses": DOSES + "P1,0,,5.0,,iv,,,\n"}, "unit", ""),
        ({"doses": DOSES + "P1,0,,5.0,mL,iv,,,\n"}, "unit", "mL"),
        ({"doses": DOSES + "P1,0,,0.1,g,iv,,,\nP1,0,,100,mg,iv,,,\n"}, "amount", "100"),
        ({"events": EVENTS + "P1,5,,assessed,,\nP1,5,,assessed,,\n"}, "event", "assessed"),
        ({"event_table": "ID,TIME,DV,DVID\n1,1,900.0,m_protein\n"}, "dv", "900.0"),
        ({"event_table": "ID,TIME,DV,BLQ,LLOQ,DVID\n1,1,.,1,900.0,m_protein\n"}, "lloq", "900.0"),
        ({"event_table": "ID,TIME,AMT,EVID\n1,1,1e2,1\n1,1,100.0,1\n"}, "amt", "100.0"),
    ],
)
def test_a_refusal_quotes_the_cell_of_the_column_it_names_as_written(read, tables, column, value):
    (refusal,) = read(as_of="2026-06-01", **tables).refusals
    assert (refusal.column, refusal.value) == (column, value), str(refusal)


def test_covariates_that_disagree_are_quoted_as_written(read):
    reading = read(patients="patient,weight_lb\nP1,0154.0\nP1,155\n")
    assert [(r.column, r.value) for r in reading.refusals] == [("weight_lb", "0154.0"), ("weight_lb", "155")]


@pytest.mark.parametrize(
    "tables",
    [
        {"labs": LABS + "P1,,5,,m_protein,John Smith 3.1,g/L,,,\n"},
        {"labs": LABS + "P1,,5,,m_protein,3.1,John Smith,,,\n"},
        {"labs": LABS + "P1,,5,,John Smith,3.1,g/L,,,\n"},
        {"labs": LABS + 'P1,,"Smith, John",,m_protein,3.1,g/L,,,\n'},
        {"labs": LABS + "P1,,5,,m_protein,3.1,g/L,,,John Smith\n"},
        {"labs": LABS + "P1,,5,,m_protein,john@smith.org,g/L,,,\n"},
        {"labs": LABS + "P1,,5,,m_protein,Smith 13.02.1961,g/L,,,\n"},
        {"doses": DOSES + "P1,0,,5,John Smith,iv,,,\n"},
        {"events": EVENTS + "P1,0,,infusion,John Smith,\n"},
        {"patients": "patient,weight_kg\nP1,John Smith\n"},
        {"event_table": "ID,TIME,AMT,EVID\n1,1,John Smith,1\n"},
    ],
)
def test_a_cell_that_looks_like_a_name_is_counted_not_repeated(read, tables):
    reading = read(**tables)
    assert reading.refusals and "characters, not shown" in reading.refusals[0].value
    said = (reading.summary() + "".join(map(str, reading.refusals))).lower()
    assert "smith" not in said and "john" not in said


@pytest.mark.parametrize("cell", ["2026-02-30T08:30", "31.12.2026", "3,1", "n.d.", "<=0.5", "ug"])
def test_a_date_a_number_and_a_single_word_are_shown(read, cell):
    assert read(labs=LABS + f'P1,,"{cell}",,m_protein,3,g/L,,,\n').refusals[0].value == cell


def test_a_text_that_only_repeats_allowed_words_is_shown(read):
    (refusal,) = read(events=EVENTS + "P1,0,,last known alive,,\n").refusals
    assert refusal.value == "last known alive" and "Is last_known_alive meant?" in refusal.next_step


@pytest.mark.parametrize("lab_id", ["m_protein@0.5", "m_protein@1e-05", "m_protein@-3", "m_protein@12#2"])
def test_the_lab_id_that_the_readers_give_is_shown_and_an_address_is_not(lab_id):
    assert shown_cell(lab_id) == lab_id
    for address in ("j@smith.org", "john@clinic", "john@1smith.org", "john @ smith.org", "john@12.smith.de"):
        assert "not shown" in shown_cell(f"{lab_id} {address}")
