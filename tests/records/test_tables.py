"""Files as a whole: encodings, separators, headers, quotes. A clear RecordError or a refusal, never a traceback."""

import csv
import io
import subprocess
import sys

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bayestwin.errors import RecordError
from bayestwin.records import RecordReading, read_records, refusals_to_frame, write_refusals
from bayestwin.records.refusal import refusal_lines

HEAD = "patient,time,output,value,unit\n"
GOOD = "P1,0,m_protein,31,g/L\n"
TABLES = ("patients", "labs", "doses", "events", "event_table")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"\n \n,,\n", "the file is empty"),
        (
            HEAD.replace(",", ";").encode() + GOOD.replace(",", ";").encode(),
            "separated by semicolons.*Save the table as CSV",
        ),
        (HEAD.replace(",", "\t").encode(), "separated by tabs"),
        (b"sep=;\n", "semicolons"),
        ((HEAD + "M\u00fcller,0,m_protein,31,g/L\n").encode("latin-1"), "row 2: the file is not UTF-8.*Save the table"),
        ((HEAD + GOOD).encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04\x00\x00", "binary"),
        (b"patient,time,output,value,unit,Value\n", "stands twice.*'value'"),
        (b"patient,time,value,unit\n", "missing column output.*expected patient, time, output, value"),
        (b"subject,time,output,value,unit\n", "missing column patient"),
        (b"patients,time,output,value,unit\n", "Is 'patients' meant to be 'patient'"),
        (
            HEAD.encode() + b'P1,0,m_protein,"31,g/L\nP2,0,m_protein,3,g/L\n',
            "not well-formed CSV after row 1, in the row that starts in line 2.*quotation mark",
        ),
    ],
)
def test_a_file_that_cannot_be_used_says_why_and_what_to_do(read, content, says):
    with pytest.raises(RecordError, match=f"(?s){says}") as caught:
        read(labs=content)
    assert "labs.csv" in str(caught.value)


def test_a_column_that_is_right_is_not_taken_for_another_that_is_missing(read):
    with pytest.raises(RecordError, match="missing column unit .*expected patient, time, amount, unit. Name the col"):
        read(doses="patient,time,amount,route\n")


def test_a_missing_file_and_a_folder_are_record_errors(schema, tmp_path):
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(RecordError, match="cannot be read"):
            read_records(schema, labs=path)
    with pytest.raises(RecordError, match="no file was given"):
        read_records(schema)


@pytest.mark.parametrize(
    "content",
    [
        ("\ufeff" + HEAD + GOOD).encode(),
        (HEAD + GOOD).replace("\n", "\r\n").encode(),
        (HEAD + GOOD).replace("\n", "\r").encode(),
        (HEAD.upper() + GOOD).encode(),
        (HEAD + "\n" + GOOD + "\n,,,,\n").encode(),
        (HEAD + '"P1"," 0 ",m_protein,"31",g/L').encode(),
    ],
)
def test_what_spreadsheets_do_to_a_file_is_taken_in_stride(read, content):
    reading = read(labs=content)
    assert not reading.refusals and reading.cohort["P1"].labs[0].value == 31.0


def test_row_numbers_are_those_a_spreadsheet_shows(read):
    reading = read(
        labs=HEAD + GOOD + "\n" + "P1,1,m_protein,x,g/L\n" + "P1,2,m_protein,7\n" + "P1,3,m_protein,7,g/L,9\n"
    )
    assert [(r.row, r.patient) for r in reading.refusals] == [(4, "P1"), (5, "P1"), (6, "P1")]
    assert "4 cells, the header has 5" in reading.refusals[1].reason


def test_a_header_without_rows_is_a_note_not_an_error(read):
    reading = read(labs=HEAD)
    assert len(reading.cohort) == 0 and "header without rows" in reading.notes[0]


def test_a_data_frame_reads_like_the_file_it_would_write(schema):
    frame = pd.DataFrame({"patient": ["01"], "time": [2.5], "output": ["m_protein"], "value": [31.0], "unit": ["g/L"]})
    reading = read_records(schema, labs=frame)
    assert reading.cohort["01"].labs[0].time == 2.5 and reading.files[0].file == "labs (DataFrame)"


def test_refusals_are_exported_with_every_part(read, tmp_path):
    reading = read(labs=HEAD + GOOD + "P1,1,m_protein,=1+1,g/L\nP2,1,m_protein,900,g/L\n")
    frame = refusals_to_frame(reading.refusals)
    assert list(frame.columns) == ["patient", "file", "row", "column", "value", "reason", "allowed", "next_step"]
    write_refusals(reading.refusals, tmp_path / "refused.csv")
    written = pd.read_csv(tmp_path / "refused.csv", dtype=str)
    assert list(written["value"]) == ["'=1+1", "900"] and list(written["row"]) == ["3", "4"]
    write_refusals((), tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text().startswith("patient,file,row")


def test_the_summary_counts_patients_rows_and_refusals(read):
    text = read(labs=HEAD + GOOD + "P1,1,m_protein,900,g/L\n", patients="patient\nP1\nP2\n").summary()
    assert "2 patients: 1 labs, 0 doses, 0 events." in text
    assert "labs.csv: 2 rows read, 1 used, 1 refused." in text and "patient P1, labs.csv row 3" in text


def test_rows_refused_for_one_reason_are_told_together_and_others_by_themselves(read):
    foreign = "".join(f"P{k},{k},psa,{k},ng/mL\n" for k in range(300))
    reading = read(labs=HEAD + foreign + "P1,1,m_protein,900,g/L\nP1,2,m_protein,800,g/L\n")
    assert len(reading.refusals) == 302
    first, *others = refusal_lines(reading.refusals)
    assert "patient P0, labs.csv row 2" in first and first.endswith("(and 299 more like this, to row 301)")
    assert [line.partition(",")[0] for line in others] == ["patient P1", "patient P1"]
    assert reading.summary().count("labs.csv row") == 3


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(TABLES), st.binary(max_size=200))
@example("labs", b"patient,time,output,value\n\xff")
def test_arbitrary_bytes_give_a_record_error_or_refusals_and_nothing_else(read, table, content):
    try:
        assert isinstance(read(**{table: content}), RecordReading)
    except RecordError as problem:
        assert str(problem)


HEADERS = {
    "patients": "patient,time_zero,weight_kg,age_years,isotype,name",
    "labs": "patient,lab_id,time,known_time,output,value,unit,comparator,lloq,status,order",
    "doses": "patient,time,known_time,amount,unit,compartment,route,duration,rate,treatment,addl,ii,ss,status",
    "events": "patient,time,known_time,event,value,status",
    "event_table": "ID,TIME,DV,AMT,EVID,CMT,RATE,ADDL,II,SS,MDV,CENS,LLOQ,BLQ,LIMIT,DVID,RAT2,DUR2,WT",
}
CELLS = st.sampled_from(
    [
        "",
        "P1",
        "P2",
        "0",
        "1",
        "2",
        "3",
        "4",
        "-1",
        "-2",
        "101",
        "5.5",
        "1e308",
        "1e-300",
        "nan",
        "3,5",
        "2026-03-01",
        "9999-12-31",
    ]
    + [
        "2026-03-01T10:00+02:00",
        "1900-01-01",
        "m_protein",
        "transgene",
        "g/L",
        "copies/ug",
        "mg",
        "mg/kg",
        "<",
        ">",
        "central",
        "iv",
    ]
    + [
        "oral",
        "retracted",
        "corrected",
        "death",
        "infusion",
        "ide_cel",
        ".",
        "30 min",
        "a@b.org",
        "10**9 g",
        "\u0663",
        "=1",
    ]
) | st.text(max_size=5)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(TABLES), st.data())
def test_arbitrary_cells_under_the_right_header_give_refusals_and_nothing_else(read, table, data):
    header = HEADERS[table].split(",")
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(header)
    for _ in range(data.draw(st.integers(1, 4))):
        writer.writerow([data.draw(CELLS) for _ in header])
    try:
        reading = read(**{table: out.getvalue().encode(errors="replace")})
    except RecordError as problem:
        assert str(problem)
        return
    assert all(r.reason and r.file and r.row for r in reading.refusals)
    assert reading.summary()
    for patient in reading.cohort:
        for lab in patient.labs:
            assert lab.value == lab.value and abs(lab.value) < float("inf")
        for dose in patient.doses:
            assert 0 < dose.amount < float("inf") and 0 <= dose.duration < float("inf")


def test_importing_the_readers_stays_light():
    heavy = ("jax", "pint", "pandas", "numpy", "pandera")
    code = f"import sys, bayestwin.records; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_stray_quote_that_swallows_rows_is_refused_with_the_lines_and_the_rows_lost(read):
    body = 'P1,0,m_protein,"31,g/L\nP2,0,m_protein,30,g/L\nP3,0,m_protein,30",g/L\n'
    reading = read(labs=HEAD + "P0,0,m_protein,5,g/L\n" + body + "P4,0,m_protein,x,g/L\n")
    assert [(r.patient, r.row) for r in reading.refusals] == [("P1", 3), ("P2", 3), ("P3", 3), ("P4", 4)]
    first, second, third, _ = reading.refusals
    assert "lines 3 to 5 of the file were read as one row; 2 rows are lost inside it" in first.reason
    assert "line 4 of the file was lost" in second.reason and "line 5 of the file" in third.reason
    assert first.allowed and "quotation mark" in first.next_step and not first.value
    assert reading.cohort.keys == ("P0",) and any("4 patients had no row" in note for note in reading.notes)


def test_a_quote_around_whole_lines_swallows_nothing_in_silence(read):
    reading = read(labs=HEAD.replace("unit", "unit,x") + 'P1,0,m_protein,31,g/L,"\nP2,0,m_protein,30,g/L,"\n')
    assert [(r.patient, r.row) for r in reading.refusals] == [("P1", 2), ("P2", 2)] and not len(reading.cohort)


def test_a_line_break_in_a_comment_is_refused_by_itself(read):
    reading = read(labs=HEAD.replace("\n", ",comment\n") + 'P1,0,m_protein,31,g/L,"seen by\nDr Anna Schmidt"\n')
    (refusal,) = reading.refusals
    assert "lines 2 to 3" in refusal.reason and "lost" not in refusal.reason and "Schmidt" not in reading.summary()


@pytest.mark.parametrize(
    ("body", "holes"),
    [
        ('P1,1,100,"mg,iv\nP2,1,100,mg,iv\nP3,1,100,mg",iv\n', ("P1", "P2", "P3")),
        ("P1,1,100,5,mg,iv\n", ("P1",)),
        ("P2,1,100\n", ("P2",)),
    ],
)
def test_a_dose_lost_with_its_row_leaves_a_marked_hole(read, body, holes):
    good = "".join(f"P{k},0,100,mg,iv\n" for k in (1, 2, 3))
    assert read(doses="patient,time,amount,unit,route\n" + good + body).incomplete_doses == holes


@pytest.mark.parametrize(
    ("table", "first", "says"),
    [
        ("labs", "John Smith,0,m_protein,31,g/L", "missing columns.*no known column and 5 unknown.*no header row, add"),
        ("labs", "Smith,Smith,m_protein,31,g/L", "missing columns.*no known column"),
        ("labs", "Smith;0;m_protein;31", "separated by semicolons.*no known column and 4 unknown"),
        ("labs", "patient;time;Smith", "separated by semicolons.*'patient, time and 1 unknown'"),
        ("labs", "time,output,value,Smith", "missing column patient.*'time, output, value and 1 unknown'"),
        ("patients", "Patrick Smith,weight_kg", "missing column patient.*'weight_kg and 1 unknown'"),
        ("doses", "Tim,0,100,mg", "missing columns.*no header row"),
        ("labs", '"patient\nSmith",time', "holds a line break.*'time and 1 unknown'"),
    ],
)
def test_a_first_row_that_is_no_header_is_not_repeated(read, table, first, says):
    with pytest.raises(RecordError, match=f"(?s){says}") as caught:
        read(**{table: f"{first}\nP1,0,m_protein,31,g/L\n"})
    assert "smith" not in str(caught.value).lower() and "'tim'" not in str(caught.value).lower()
