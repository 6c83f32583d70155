"""Several event tables are read as one: rows of one time, files of one name, tables put onto an earlier record."""

from itertools import permutations

import pytest

from bayestwin.records import read_records

HEAD = "ID,TIME,DV,AMT,EVID"


@pytest.fixture
def files(tmp_path):
    """files({"a.csv": rows}) -> paths; a name may hold a folder"""

    def written(head=HEAD, **named):
        paths = []
        for name, rows in named.items():
            path = tmp_path / f"{name.replace('_in_', '/')}.csv"
            path.parent.mkdir(exist_ok=True)
            path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
            paths.append(path)
        return paths

    return written


def test_two_doses_of_one_time_in_two_files_are_two_doses_in_whichever_order_the_files_come(files, theophylline):
    paths = files(a=["1,0,,100,1", "1,0,5,,0"], b=["1,0,,50,1"], c=["1,0,,100,1"])
    readings = [read_records(theophylline, event_table=list(order)) for order in permutations(paths)]
    assert all(not r.refusals and not r.incomplete_doses and r.unchanged == 1 for r in readings)
    (record,) = {r.cohort["1"].data_hash: r.cohort["1"] for r in readings}.values()
    assert sorted(d.amount for d in record.doses) == [50.0, 100.0] and len(record.labs) == 1


def test_two_doses_of_one_time_are_recognised_when_the_table_is_read_again(files, theophylline):
    (path,) = files(a=["1,0,,100,1", "1,0,,50,1", "1,1,5,,0", "1,1,6,,0"])
    first = read_records(theophylline, event_table=path)
    again = read_records(theophylline, event_table=path, base=first.cohort)
    assert not again.refusals and again.cohort["1"] == first.cohort["1"] and again.unchanged == 4
    (other,) = files(b=["1,0,,70,1"])  # leaves out what is known of that time: it may be one of them corrected
    (refusal,) = read_records(theophylline, event_table=other, base=first.cohort).refusals
    assert refusal.column == "amt" and "says otherwise" in refusal.reason


def test_a_lab_stands_before_a_dose_of_its_time_that_another_file_holds_whatever_their_row_numbers(files, theophylline):
    long = ["1,1,5,,0", "1,2,5,,0", "1,3,5,,0", "1,12,4,,0"]
    paths = files(doses=["1,0,,100,1", "1,12,,50,1"], labs=long)
    for order in permutations(paths):
        record = read_records(theophylline, event_table=list(order)).cohort["1"]
        assert [lab.order for lab in record.labs] == [-1, -1, -1, -1]
    (together,) = files(one=["1,0,,100,1", "1,12,,50,1", "1,12,4,,0"])
    assert read_records(theophylline, event_table=together).cohort["1"].labs[0].order == 1


def test_a_lab_follows_an_additional_dose_that_the_earlier_record_sends_to_its_time(files, theophylline):
    head = f"{HEAD},ADDL,II"
    rows = ["1,0,,100,1,3,12", "1,12,5,,0,,"]
    batch, first, then = files(head, batch=rows, first=rows[:1], then=rows[1:])
    whole = read_records(theophylline, event_table=batch).cohort["1"]
    base = read_records(theophylline, event_table=first).cohort
    assert read_records(theophylline, event_table=then, base=base).cohort["1"] == whole and whole.labs[0].order == 0


def test_a_row_that_is_refused_does_not_turn_back_the_rows_after_it(files, theophylline):
    (path,) = files(a=["1,0,,100,1", "1,50,999,,0", "1,5,4,,0"])
    reading = read_records(theophylline, event_table=path)
    assert [r.row for r in reading.refusals] == [3] and [lab.time for lab in reading.cohort["1"].labs] == [5.0]


def test_resets_of_one_time_overlap_in_two_files_and_in_the_earlier_record_too(files, theophylline):
    paths = files(a=["1,0,,100,1", "1,24,,60,4"], b=["1,24,,,3"], c=["1,24,,60,4"])
    reading = read_records(theophylline, event_table=paths[:2])
    assert [r.column for r in reading.refusals] == ["evid"] and "overlap" in reading.refusals[0].reason
    first = read_records(theophylline, event_table=paths[0])
    assert not read_records(theophylline, event_table=paths[2], base=first.cohort).refusals
    (refusal,) = read_records(theophylline, event_table=paths[1], base=first.cohort).refusals
    assert refusal.file == "b.csv" and "overlap" in refusal.reason


def test_files_of_one_name_in_two_folders_are_two_files_and_messages_tell_them_apart(files, theophylline):
    paths = files(x_in_t=["1,0,,100,1", "1,0,,100,1"], y_in_t=["1,0,,100,1", "1,1,99,,0"])
    reading = read_records(theophylline, event_table=paths)
    assert [(r.file, r.row) for r in reading.refusals] == [("x/t.csv", 3), ("y/t.csv", 3)]
    assert [(c.file, c.read, c.refused) for c in reading.files] == [("x/t.csv", 2, 1), ("y/t.csv", 2, 1)]
    twice = read_records(theophylline, event_table=[paths[1], paths[1]])
    assert [c.file for c in twice.files] == ["t.csv", "t.csv (again)"] and twice.unchanged == 1


def test_rows_of_patients_in_files_of_one_name_are_no_duplicates(tmp_path, theophylline):
    paths = [tmp_path / folder / "patients.csv" for folder in ("north", "south")]
    for path in paths:
        path.parent.mkdir()
        path.write_text("patient,weight_kg\nP1,70\n", encoding="utf-8")
    assert not read_records(theophylline, patients=paths).refusals
