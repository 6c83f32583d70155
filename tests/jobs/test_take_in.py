"""Files into the store: order of arrival leaves no trace, and no file brings the program down."""

import random

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from level_store import labs_csv

from bayestwin.cli.reading import input_batches
from bayestwin.errors import BayestwinError
from bayestwin.jobs import take_in as take_in_module
from bayestwin.jobs.patient_rows import record_of, refusals_of
from bayestwin.jobs.take_in import take_in
from bayestwin.store.items import current

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
    assert len(refusals_of(items)) == 1 and len(record_of("P-0", items).labs) == 3


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


def test_a_folder_is_read_file_by_file_and_each_file_is_known_by_its_name(tmp_path, capsys):
    for name in ("labs_1.csv", "Labs_2.csv"):
        labs_csv(tmp_path / name, patients=1)
    for name in ("patients.csv", "truth.csv"):
        (tmp_path / name).write_text("patient,age\nP-0,60\n", encoding="utf-8")
    first, second = input_batches(tmp_path)
    assert {k: p.name for k, p in first.items()} == {"labs": "Labs_2.csv", "patients": "patients.csv"}
    assert {k: p.name for k, p in second.items()} == {"labs": "labs_1.csv"}
    assert capsys.readouterr().err == (
        "not read: truth.csv (its name begins with none of patients, labs, doses, events, event_table)\n"
    )
    assert input_batches(tmp_path / "labs_1.csv") == [{"labs": tmp_path / "labs_1.csv"}]
    (tmp_path / "empty").mkdir()
    with pytest.raises(typer.Exit):
        input_batches(tmp_path / "empty")


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
        for files in input_batches(path):
            taken = take_in(store, population.model.record_schema(), files)
            assert taken.reading is not None
    except (BayestwinError, typer.Exit) as error:
        assert len(str(error)) < 2000
    for key, record in records(store).items():
        assert record.key == key
