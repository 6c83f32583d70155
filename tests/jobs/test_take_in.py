"""Files into the store: order of arrival leaves no trace, and no file brings the program down."""

import json
import random

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from level_store import labs_csv

from bayestwin.cli.reading import input_files
from bayestwin.errors import BayestwinError
from bayestwin.jobs import take_in as take_in_module
from bayestwin.jobs.ask_store import refused_table
from bayestwin.jobs.patient_rows import record_of, refusals_of
from bayestwin.jobs.refresh import Refreshed, take_in_files
from bayestwin.jobs.run_log import RunLog
from bayestwin.jobs.take_in import take_in
from bayestwin.records.record import covariate_changes
from bayestwin.records.refusal import shown_key
from bayestwin.specification import load_model
from bayestwin.store.erase import erase_rows
from bayestwin.store.items import current
from bayestwin.store.verify import verify_store

HEADER = "patient,lab_id,time,known_time,output,value,unit,status"
ROWS = [
    "P-1,a,1,1,m_protein,20,g/L,",
    "P-1,a,1,5,m_protein,22,g/L,corrected",
    "P-1,b,2,2,m_protein,21,g/L,",
    "P-1,b,2,6,m_protein,21,g/L,retracted",
    "P-1,c,3,3,m_protein,19,g/L,",
    "P-2,d,1,4,m_protein,18,g/L,",
]


def records(store):
    with store.reading() as connection:
        return {key: record_of(key, items) for key, items in current(connection).items()}


def test_the_order_in_which_rows_arrive_leaves_no_trace_in_the_record(new_store, population, tmp_path):
    schema, seen = population.model.record_schema(), []
    for number in range(6):
        store, order = new_store(f"s{number}"), ROWS.copy()
        if number:
            random.Random(number).shuffle(order)
        cuts = sorted(random.Random(number + 50).sample(range(1, len(order)), 2 if number else 0))
        for part, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(order)])):
            order_kept = _withdrawals_last(order)
            path = tmp_path / f"labs{number}_{part}.csv"
            path.write_text("\n".join([HEADER, *order_kept[begin:end]]) + "\n", encoding="utf-8")
            take_in(store, schema, {"labs": path})
        seen.append(records(store))
    assert all(one == seen[0] for one in seen)
    assert all([r.past for r in one.values()] == [r.past for r in seen[0].values()] for one in seen)
    assert [lab.value for lab in seen[0]["P-1"].labs] == [22.0, 19.0] and len(seen[0]["P-1"].past) == 2
    assert [lab.value for lab in seen[0]["P-1"].known_at(4.5).labs] == [20.0, 21.0, 19.0]


def _withdrawals_last(rows):
    """A withdrawal of what is not known yet is refused (there is nothing to withdraw), so it comes after its row."""
    return sorted(rows, key=lambda row: row.endswith("retracted"))


def test_a_refused_row_is_noted_once_and_the_others_are_taken(store, population, tmp_path):
    schema = population.model.record_schema()
    labs = labs_csv(tmp_path / "labs.csv", patients=1, more="P-0,9,m_protein,1000,g/L\n")
    first, second = take_in(store, schema, {"labs": labs}), take_in(store, schema, {"labs": labs})
    assert len(first.reading.refusals) == 1 and first.changed == ("P-0",)
    assert second.entries == 0 and second.changed == ()
    with store.reading() as connection:
        items = current(connection)["P-0"]
    assert len(refusals_of("P-0", items)) == 1 and len(record_of("P-0", items).labs) == 3


def test_rows_are_taken_in_all_or_none(store, population, tmp_path, monkeypatch):
    schema, labs, calls = population.model.record_schema(), labs_csv(tmp_path / "labs.csv", patients=3), []

    def breaks(*given):
        calls.append(given[1])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return append(*given)

    append = take_in_module.append
    with monkeypatch.context() as patch:
        patch.setattr(take_in_module, "append", breaks)
        with pytest.raises(KeyboardInterrupt):
            take_in(store, schema, {"labs": labs})
    assert calls == ["P-0", "P-1", "P-2"] and records(store) == {}
    assert take_in(store, schema, {"labs": labs}).changed == ("P-0", "P-1", "P-2")


def test_a_table_from_a_notebook_is_put_onto_the_record_like_a_file(store, population, tmp_path):
    import pandas as pd

    schema, labs = population.model.record_schema(), labs_csv(tmp_path / "labs.csv", patients=2)
    assert take_in(store, schema, {"labs": labs}).entries == 8
    assert take_in(store, schema, {"labs": pd.read_csv(labs)}).entries == 0
    assert len(records(store)["P-1"].labs) == 3


def test_the_files_of_a_folder_are_known_by_their_names(tmp_path, capsys):
    for name in ("labs_1.csv", "Labs_2.csv"):
        labs_csv(tmp_path / name, patients=1)
    for name in ("patients.csv", "truth.csv"):
        (tmp_path / name).write_text("patient,age\nP-0,60\n", encoding="utf-8")
    labs_csv(tmp_path / "labs_3.CSV", patients=1)
    (tmp_path / "labs_4.txt").write_text("", encoding="utf-8")
    (tmp_path / "older").mkdir()
    found = {table: [path.name for path in paths] for table, paths in input_files(tmp_path).items()}
    assert found == {"labs": ["Labs_2.csv", "labs_1.csv", "labs_3.CSV"], "patients": ["patients.csv"]}
    assert capsys.readouterr().err == (
        "not read: labs_4.txt (its name does not end in .csv)\n"
        "not read: older (a folder inside the folder)\n"
        "not read: truth.csv (its name begins with none of patients, labs, doses, events, event_table)\n"
    )
    assert input_files(tmp_path / "labs_1.csv") == {"labs": [tmp_path / "labs_1.csv"]}
    (tmp_path / "empty").mkdir()
    with pytest.raises(typer.Exit):
        input_files(tmp_path / "empty")


FOLDER = {
    "patients": ["P-1,60", "P-2,61", "P-3,62"],
    "labs": [*ROWS, "P-9,e,1,1,m_protein,20,g/L,", "P-2,f,9,9,m_protein,17,g/L,", "P-3,g,2,2,m_protein,1000,g/L,"],
    "events": ["P-2,5,death", "P-3,1,line_of_therapy"],
}
HEADERS = {"patients": "patient,age_years", "labs": HEADER, "events": "patient,time,event"}


def test_which_file_a_row_stands_in_and_what_it_is_called_decides_nothing(new_store, population, tmp_path):
    seen = []
    for number in range(5):
        store, rng = new_store(f"s{number}"), random.Random(number)
        folder = tmp_path / f"folder{number}"
        folder.mkdir()
        for table, rows in FOLDER.items():
            mixed, names = rows.copy(), ["", "_b", "_c"] if number else [""]
            rng.shuffle(mixed)
            rng.shuffle(names)
            for part, name in enumerate(names):
                text = "\n".join([HEADERS[table], *mixed[part :: len(names)]])
                (folder / f"{table}{name}.csv").write_text(text + "\n", encoding="utf-8")
        taken = take_in(store, population.model.record_schema(), input_files(folder), as_of="2026-11-01")
        refused = sorted((r.patient, r.column, r.value, r.reason) for r in taken.reading.refusals)
        seen.append((records(store), {k: r.past for k, r in records(store).items()}, refused))
        assert take_in(store, population.model.record_schema(), input_files(folder)).entries == 0
    assert all(one == seen[0] for one in seen)
    assert [who for who, *_ in seen[0][2]] == ["P-2", "P-3", "P-3", "P-9"]
    assert seen[0][0]["P-1"].covariates == {"age_years": 60.0} and len(seen[0][1]["P-1"]) == 2


def test_files_of_one_kind_that_overlap_are_read_once_and_together_are_a_snapshot(store, population, tmp_path):
    schema, paths = population.model.record_schema(), [tmp_path / "labs_1.csv", tmp_path / "labs_2.csv"]
    paths[0].write_text("\n".join([HEADER, ROWS[0], ROWS[2]]) + "\n", encoding="utf-8")
    paths[1].write_text("\n".join([HEADER, ROWS[2], ROWS[4], ROWS[4]]) + "\n", encoding="utf-8")
    first = take_in(store, schema, {"labs": paths})
    assert [(r.file, r.row, r.reason) for r in first.reading.refusals] == [("labs_2.csv", 4, "the row is a duplicate")]
    assert len(records(store)["P-1"].labs) == 3
    assert take_in(store, schema, {"labs": paths}, snapshot=True).changed == ()
    assert take_in(store, schema, {"labs": paths[:1]}, snapshot=True).changed == ("P-1",)
    assert len(records(store)["P-1"].labs) == 2


def test_every_refused_row_is_kept_once_also_of_unknown_patients_and_goes_with_its_patient(
    store, population, tmp_path, capsys
):
    (tmp_path / "patients.csv").write_text("patient\nP-1\nP-2\n", encoding="utf-8")
    bad = ["P-1,h,4,4,m_protein,777,g/L,", "P-9,e,1,1,m_protein,20,g/L,", ",e,1,1,m_protein,20,g/L,"]
    (tmp_path / "labs.csv").write_text("\n".join([HEADER, *ROWS, *bad]) + "\n", encoding="utf-8")
    for _ in range(2):
        files = input_files(tmp_path, tell=lambda reason: None)
        take_in_files(store, population.model.record_schema(), files, found := Refreshed(), RunLog())
    assert len(found.refusals) == 3 and found.known == 2
    said = [line for line in map(json.loads, capsys.readouterr().err.splitlines()) if line["event"] == "row refused"]
    assert [(line.get("patient"), line["file"], line["row"]) for line in said[:3]] == [
        ("P-1", "labs.csv", 8),
        ("P-9", "labs.csv", 9),
        (None, "labs.csv", 10),
    ]
    assert "m_protein = # g/L is implausible" in said[0]["reason"] and "777" not in json.dumps(said)
    table = refused_table(store)
    assert sorted(table["patient"]) == ["", "P-1", "P-9"]
    assert set(table["row"]) == {8, 9, 10} and "777" in set(table["value"])
    with store.writing() as connection:
        erase_rows(store, connection, "P-1")
    take_in_files(store, population.model.record_schema(), files, found := Refreshed(), RunLog())
    assert sorted(refused_table(store)["patient"]) == ["", "P-9"] and verify_store(store).problems == []
    assert "P-1" not in capsys.readouterr().err and len(found.refusals) == 2 and found.erased == 1


NAMES = ("Anna Muster", "muster", "anna.muster@example.org", "Muster 1961-03-09", "Oberschmidthausen" * 4)


def refused_names(folder, names):
    """Files in which these patients have a row that cannot be used, a broken one, and one that is of nobody known."""
    (folder / "patients.csv").write_text("patient\nP-1\n" + "\n".join(names) + "\n", encoding="utf-8")
    bad = [f"{who},,{t},{t},m_protein,777,g/L," for t, who in enumerate(("P-1", *names), start=1)]
    bad += [f"{who},,1" for who in names] + [f"{who.lower()}x,,1,1,m_protein,20,g/L," for who in names]
    (folder / "labs.csv").write_text("\n".join([HEADER, *bad]) + "\n", encoding="utf-8")
    return input_files(folder, tell=lambda reason: None)


def test_a_name_used_as_a_key_stands_in_no_line_about_a_refused_row(store, population, tmp_path, capsys):
    files = refused_names(tmp_path, NAMES)
    take_in_files(store, population.model.record_schema(), files, found := Refreshed(), RunLog())
    log, table = capsys.readouterr().err, refused_table(store)
    assert len(found.refusals) == 16 == len(table) and table["patient"].nunique() == 11
    said = (log + table.to_csv() + "".join(map(str, found.refusals))).lower()
    assert not any(word in said for word in ("anna", "muster", "example.org", "1961", "oberschmidt"))
    marks = [f"mark {store.mark(name)}" for name in NAMES]
    assert set(marks) < set(table["patient"]) and "P-1" in log
    told = [line for line in map(json.loads, log.splitlines()) if line["event"] == "row refused"]
    assert [line["more_like_this"] for line in told] == [5, 4, 4] and told[1]["patient"] in marks


def test_refused_rows_go_with_the_patient_they_belong_to_whatever_the_key_looks_like(store, population, tmp_path):
    files = refused_names(tmp_path, NAMES[:3])

    def read_again():
        take_in_files(store, population.model.record_schema(), files, Refreshed(), RunLog(quiet=True))
        return set(refused_table(store)["patient"])

    marks = {name: f"mark {store.mark(name)}" for name in NAMES}
    assert marks[NAMES[0]] in read_again()
    with store.reading() as connection:
        items = current(connection)
    assert [len(refusals_of(name, items[name])) for name in NAMES[:3]] == [2, 2, 2]
    with store.writing() as connection:
        erase_rows(store, connection, NAMES[0], shown=shown_key(NAMES[0]))
    for left in (set(refused_table(store)["patient"]), read_again()):
        assert marks[NAMES[0]] not in left and {marks[NAMES[1]], marks[NAMES[2]], "P-1"} <= left


def test_a_damaged_file_of_labs_stops_no_other_and_one_of_doses_stops_all(store, population, tmp_path):
    schema, quiet = population.model.record_schema(), RunLog(quiet=True)
    labs_csv(tmp_path / "labs_1.csv", patients=1)
    (tmp_path / "labs_0.csv").write_text('patient,time,output,value,unit\n"P-1,1', encoding="utf-8")
    take_in_files(store, schema, input_files(tmp_path), found := Refreshed(), quiet)
    assert list(records(store)) == ["P-0"] and len(found.unusable) == 1 and "labs_0.csv" in found.unusable[0]
    labs_csv(tmp_path / "labs_2.csv", patients=2)
    take_in_files(store, schema, input_files(tmp_path), found := Refreshed(), quiet, snapshot=True)
    assert list(records(store)) == ["P-0"] and "labs_0.csv" in found.unusable[0]
    (tmp_path / "events.csv").write_bytes(b"\xff\xfe")
    take_in_files(store, schema, input_files(tmp_path), found := Refreshed(), quiet)
    assert list(records(store)) == ["P-0"] and "events.csv" in found.unusable[-1]


def test_a_single_file_of_labs_is_read_once_only(store, population, tmp_path, monkeypatch):
    def asked(*given):
        raise AssertionError("one alone cannot be left out")

    monkeypatch.setattr(take_in_module, "refuse_unreadable", asked)
    files = {"labs": [labs_csv(tmp_path / "labs.csv", patients=1)]}
    take_in_files(store, population.model.record_schema(), files, found := Refreshed(), RunLog(quiet=True))
    assert found.changed == 1


cell = st.one_of(
    st.sampled_from(["", "P-1", "P-2", "m_protein", "g/L", "1", "-3", "1e400", "nan", "<5", "2026-03-09", "retracted"]),
    st.text(st.characters(codec="utf-8"), max_size=8),
)
table = st.lists(st.lists(cell, min_size=6, max_size=9).map(",".join), max_size=6).map(
    lambda rows: "\n".join([HEADER, *rows]).encode()
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), table))
def test_no_file_whatever_is_in_it_gives_anything_but_a_clear_error(store, population, tmp_path, data):
    path = tmp_path / "fuzzed.csv"
    path.write_bytes(data)
    try:
        taken = take_in(store, population.model.record_schema(), input_files(path))
        assert taken.reading is not None
    except (BayestwinError, typer.Exit) as error:
        assert len(str(error)) < 2000
    for key, record in records(store).items():
        assert record.key == key


def test_event_tables_taken_in_one_after_the_other_leave_the_record_of_one_reading(new_store, tmp_path):
    schema, head = load_model("theophylline").record_schema(), "ID,TIME,DV,AMT,EVID,WT"
    rows = ["1,0,,320,1,80", "1,1,5,,0,80", "1,3,4,,0,70", "1,5,4,,0,80", "1,6,3,,0,."]
    texts = {"whole": rows, "late": rows[3:], "early": rows[:2], "between": rows[2:3]}
    paths = {name: tmp_path / f"{name}.csv" for name in texts}
    for name, path in paths.items():
        path.write_text("\n".join([head, *texts[name]]) + "\n", encoding="utf-8")
    patients = tmp_path / "patients.csv"
    patients.write_text("patient,weight_kg\n1,80\n", encoding="utf-8")
    at_once, piecemeal = new_store("whole"), new_store("pieces")
    take_in(at_once, schema, {"event_table": paths["whole"], "patients": patients})
    for files in ({"event_table": paths["late"]}, {"patients": patients}, {"event_table": paths["early"]}):
        take_in(piecemeal, schema, files)
    assert take_in(piecemeal, schema, {"event_table": paths["between"]}).changed == ("1",)
    (whole,), (pieces,) = (list(records(one).values()) for one in (at_once, piecemeal))
    assert pieces == whole and pieces.data_hash == whole.data_hash
    assert covariate_changes(whole, ("weight_kg",)) == [(3.0, "weight_kg", 70.0), (5.0, "weight_kg", 80.0)]
