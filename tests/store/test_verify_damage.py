"""A damaged row is named by table, row and column, and hides nothing else."""

import sqlite3

import pytest
import sqlalchemy as sa

from bayestwin.errors import StoreError
from bayestwin.store import audit, schema
from bayestwin.store.items import append, item
from bayestwin.store.opening import open_store
from bayestwin.store.outcomes import PUBLISHED, add_outcome, outcomes_of, set_state
from bayestwin.store.verify import verify_store

CASES = [
    ("meta", "settings", "'{'", "table meta, row 1: damaged, cannot be read: settings"),
    ("meta", "created_at", "'yesterday'", "table meta, row 1: damaged, cannot be read: created_at"),
    ("meta", "basis", "'gone'", "the population in use is not among the objects"),
    ("audit", "details", "x'ff00'", "table audit, row 2: damaged, cannot be read: details"),
    ("audit", "hash", "x'ff00'", "audit line 2 was changed"),
    ("audit", "details", "'[]'", "audit line 2 was changed"),
    ("record_items", "body", "'[1'", "table record_items, row 1: damaged, cannot be read: body"),
    ("record_items", "sign", "'x'", "table record_items, row 1: damaged, cannot be read: sign"),
    ("outcomes", "objects", "'7'", "table outcomes, row 1: damaged, cannot be read: objects"),
    ("outcomes", "at", "'never'", "table outcomes, row 1: damaged, cannot be read: at"),
    ("objects", "provenance", "''", "damaged, cannot be read: provenance"),
    ("subjects", "tried_at", "5", "damaged, cannot be read: tried_at"),
]


@pytest.fixture
def filled(sqlite_store):
    """A store with one of everything; and its key."""
    kept = sqlite_store.put(b"draws", kind="twin", suffix=".nc")
    with sqlite_store.writing() as connection:
        append(connection, "P-1", [], [item("lab", {"value": 1.5}, 1.0, 1.0)])
        set_state(connection, "P-1", "a")
        sqlite_store.record_object(connection, kept, "P-1")
        add_outcome(connection, "P-1", "a", "b", PUBLISHED, "", {"twin": kept.name}, {})
        audit.note(connection, "published", sqlite_store.mark("P-1"))
        audit.note(connection, "published", sqlite_store.mark("P-1"))
    assert verify_store(sqlite_store).problems == []
    return sqlite_store


def damage(store, table, column, value):
    """Change cells behind the program's back, as a broken disk or a hand in the database would."""
    raw = sqlite3.connect(store.engine.url.database)
    for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        raw.execute(f"DROP TRIGGER {name}")
    where = "WHERE number = 2" if table == "audit" else ""
    raw.execute(f"UPDATE {table} SET {column} = {value} {where}")
    raw.commit()
    raw.close()


@pytest.mark.parametrize(("table", "column", "value", "said"), CASES)
def test_a_damaged_cell_is_named_and_the_rest_is_checked_all_the_same(filled, table, column, value, said):
    damage(filled, table, column, value)
    (lost := filled.files.path(next(iter(filled.files.listed())).removesuffix(".nc"), ".nc")).unlink()
    found = verify_store(filled)
    assert any(said in problem for problem in found.problems), found.problems
    assert f"{lost.name}: a file of the store is missing" in " ".join(found.problems)
    assert not any("P-1" in problem for problem in found.problems) and found.digest


def test_a_record_that_takes_back_what_it_never_held_is_named_by_its_mark(filled):
    damage(filled, "record_items", "sign", "-1")
    assert f"the record of mark {filled.mark('P-1')} contradicts itself" in verify_store(filled).problems


def test_a_damaged_row_met_by_another_command_is_a_clear_error(filled):
    damage(filled, "outcomes", "facts", "'{'")
    with pytest.raises(StoreError, match="a row of the store is damaged.*verify-store"):
        with filled.reading() as connection:
            outcomes_of(connection, "P-1")
    for no_moment in ("'never'", "5"):
        damage(filled, "outcomes", "at", no_moment)
        with pytest.raises(StoreError, match="a row of the store is damaged.*verify-store"):
            with filled.reading() as connection:
                connection.execute(sa.select(schema.outcomes)).all()


def test_a_fault_of_this_program_is_not_taken_for_damage_because_of_its_words(filled):
    with pytest.raises(ValueError, match="isoformat"), filled.reading():
        raise ValueError("Invalid isoformat string: a fault of this program")


def test_what_the_database_says_is_told_by_its_code_not_its_words(filled):
    other = sqlite3.connect(filled.engine.url.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another process held the store"), filled.reading() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=1").close()
        audit.note(connection, "published")
    other.close()
    with pytest.raises(StoreError, match="cannot be reached"), filled.reading() as connection:
        connection.exec_driver_sql("SELECT * FROM locked_and_malformed_and_is_full")


def test_a_store_whose_settings_are_gone_says_so(filled):
    damage(filled, "meta", "settings", "x'00ff'")
    with pytest.raises(StoreError, match="table meta: the settings of this store are damaged or missing"):
        open_store(filled.engine.url.database)
