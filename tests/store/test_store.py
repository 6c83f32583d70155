"""A store keeps what it was given, in order, with its clocks, and cannot be talked into forgetting."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from bayestwin.errors import StoreError
from bayestwin.store import audit, intended, items, schema
from bayestwin.store.erase import erase_rows, erased_marks, remove_doomed
from bayestwin.store.items import append, current, item
from bayestwin.store.outcomes import (
    FAILED,
    HELD,
    PUBLISHED,
    add_outcome,
    due,
    in_force,
    outcomes_of,
    set_state,
    take,
)
from bayestwin.store.refused import keep_refused, refused_rows
from bayestwin.store.schema import now
from bayestwin.store.verify import content_digest, verify_store

LATER = timedelta(hours=1)


def test_the_record_is_the_sum_of_what_came_and_went(store):
    first = [item("lab", {"value": 1.5}, 1.0, 2.0), item("lab", {"value": 1.5}, 1.0, 2.0), item("dose", {"mg": 5}, 0.0)]
    second = [first[0], item("lab", {"value": 9.0}, 3.0, 3.0)]
    with store.writing() as connection:
        assert append(connection, "P-1", [], first) == 3
    moment = now()
    with store.writing() as connection:
        assert append(connection, "P-1", first, second) == 3
        assert append(connection, "P-1", second, second) == 0
    with store.reading() as connection:
        assert sorted(current(connection)["P-1"], key=repr) == sorted(second, key=repr)
        earlier = current(connection, ["P-1"], stored_by=moment)["P-1"]
        assert sorted(earlier, key=repr) == sorted(first, key=repr)
        assert current(connection, ["P-2"]) == {}


def test_an_answer_on_an_earlier_basis_is_not_in_force_as_it_stands(store):
    kept = store.put(b"draws", kind="population", suffix=".nc")
    with store.writing() as connection:
        store.record_object(connection, kept)
        set_state(connection, "P-1", "a")
        add_outcome(connection, "P-1", "a", "b1", PUBLISHED, "", {}, {})
    with store.reading() as connection:
        assert in_force(connection)[0].fresh  # of a store without a basis nothing is known
    with store.writing() as connection:
        store.set_basis(connection, "b2")
    with store.reading() as connection:
        (shown,) = in_force(connection)
        assert list(due(connection, "b2", now() - LATER)) == ["P-1"]
        assert not shown.fresh and shown.other_basis and not shown.other_record
    with store.writing() as connection:
        add_outcome(connection, "P-1", "a", "b2", PUBLISHED, "", {}, {})
    with store.reading() as connection:
        assert in_force(connection)[0].fresh


def test_a_clock_that_was_set_back_puts_no_withdrawal_before_its_lab(store, monkeypatch):
    first, more = [item("lab", {"value": 1.5}, 1.0)], item("lab", {"value": 9.0}, 2.0)
    with store.writing() as connection:
        append(connection, "P-1", [], first)
    between = now()
    with store.writing() as connection:
        append(connection, "P-1", first, [*first, more])
    with monkeypatch.context() as patch:
        patch.setattr(items, "now", lambda: now() - 2 * LATER)
        with store.writing() as connection:
            append(connection, "P-1", [*first, more], first)
            append(connection, "P-2", [], [more])
    with store.reading() as connection:
        assert current(connection, stored_by=between - LATER) == {"P-2": [more]}
        assert current(connection, stored_by=between) == {"P-1": first, "P-2": [more]}
        assert current(connection, stored_by=now()) == {"P-1": first, "P-2": [more]}


def test_a_refused_row_is_kept_once_in_the_order_in_which_it_came(store):
    rows = [("P-1", {"row": 2, "reason": "x"}), ("", {"row": 3, "reason": "y"})]
    with store.writing() as connection:
        assert keep_refused(connection, rows[:1]) == 1 and keep_refused(connection, rows + rows) == 1
    with store.reading() as connection:
        assert [row["row"] for row in refused_rows(connection)] == [2, 3]
    before = content_digest(store)
    with store.writing() as connection:
        erase_rows(store, connection, "P-1")
    with store.reading() as connection:
        assert [row["row"] for row in refused_rows(connection)] == [3] and content_digest(store) != before


def test_rows_of_the_record_and_the_audit_log_cannot_be_changed(store):
    with store.writing() as connection:
        append(connection, "P-1", [], [item("lab", {"value": 1.5})])
    for change in (
        sa.update(schema.record_items).values(body="{}"),
        sa.update(schema.audit).values(details="{}"),
        sa.delete(schema.audit),
    ):
        with pytest.raises(StoreError, match="rows of the record and the audit log cannot be changed"):
            with store.writing() as connection:
                connection.execute(change)


def test_times_are_kept_in_utc_and_a_time_without_a_zone_is_refused(store):
    evening = datetime(2026, 3, 9, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    with store.writing() as connection:
        set_state(connection, "P-1", "a")
        connection.execute(sa.update(schema.subjects).values(tried_at=evening))
    with store.reading() as connection:
        assert connection.execute(sa.select(schema.subjects.c.tried_at)).scalar() == datetime(
            2026, 3, 10, 4, 30, tzinfo=UTC
        )
    with pytest.raises(sa.exc.StatementError, match="a time without a zone"):
        with store.writing() as connection:
            connection.execute(sa.update(schema.subjects).values(tried_at=datetime(2026, 3, 9)))


def test_who_is_due_follows_from_record_basis_and_newest_outcome(store):
    began = now()

    def who(since=began):
        with store.reading() as connection:
            return list(due(connection, "basis", since))

    def now_is(status, state="a", basis="basis"):
        with store.writing() as connection:
            return add_outcome(connection, "P-1", state, basis, status, "", {}, {})

    with store.writing() as connection:
        set_state(connection, "P-1", "a")
    assert who() == ["P-1"]
    with store.reading() as connection:
        assert due(connection, "basis", began, subject="P-1") == {"P-1": "a"}
        assert due(connection, "basis", began, subject="P-2") == {}
    assert now_is(PUBLISHED) and who() == [] and not now_is(PUBLISHED)
    with store.writing() as connection:
        set_state(connection, "P-1", "b")
    assert who() == ["P-1"]
    assert now_is(HELD, "b") and who() == []
    with store.reading() as connection:
        (shown,) = in_force(connection, subject="P-1")
        assert not shown.fresh and shown.published.state_hash == "a" and shown.newest.status == HELD
        assert in_force(connection) == [shown] and in_force(connection, subject="P-2") == []
    assert now_is(FAILED, "b") and who() == [] and who(now() + LATER) == ["P-1"]
    assert now_is(PUBLISHED, "b", "older basis") and who() == ["P-1"]


def test_a_lease_is_had_by_one_until_it_ends_or_its_holder_is_gone(store):
    with store.writing() as connection:
        set_state(connection, "P-1", "a")
        assert take(connection, "P-1", "one", now() + LATER)
        assert take(connection, "P-1", "one", now() + LATER)
        assert not take(connection, "P-1", "two", now() + LATER)
        assert take(connection, "P-1", "two", now() - LATER, dead="one")
        assert take(connection, "P-1", "three", now() + LATER)
        assert not take(connection, "P-9", "three", now() + LATER)


def test_objects_are_entered_once_and_carry_their_provenance(store):
    kept = store.put(b"draws", kind="twin", suffix=".nc", seed=3)
    assert store.put(b"draws", kind="twin", suffix=".nc", seed=3) == kept
    with store.writing() as connection:
        store.record_object(connection, kept, "P-1")
        store.record_object(connection, kept, "P-1")
    with store.reading() as connection:
        assert store.object(connection, kept.name) == kept and kept.provenance == {"seed": 3}
    found = verify_store(store)
    assert found.problems == [] and found.orphans == [] and found.objects == 1


def test_what_a_killed_run_had_written_is_erased_too_and_nothing_is_written_afterwards(store):
    with store.writing() as connection:
        set_state(connection, "P-1", "a")
        set_state(connection, "P-2", "a")
    left = store.put(b"draws of P-1", kind="twin", suffix=".nc", subject="P-1")  # killed here: no row of it
    other = store.put(b"draws of P-2", kind="twin", suffix=".nc", subject="P-2")
    path = store.files.path(left.name, ".nc")
    half = path.parent / f".elsewhere-1-1.{path.name}.0a0b0c0d.part"  # of a machine that is gone
    half.write_bytes(b"draws of")
    assert len(verify_store(store).orphans) == 2
    with store.writing() as connection:
        assert erase_rows(store, connection, "P-1") == 1
    assert remove_doomed(store) == 1 and not path.is_file() and not half.is_file()
    assert store.files.get(other.name, ".nc") == b"draws of P-2"
    with pytest.raises(StoreError, match="not in the store any more; nothing was written"):
        store.put(b"draws of P-1", kind="twin", suffix=".nc", subject="P-1")
    assert not path.is_file()


def test_a_process_that_slept_through_an_erasure_writes_nothing(store, monkeypatch):
    with store.writing() as connection:
        set_state(connection, "P-1", "a")
    intend = intended.intend

    def then_asleep(connection, subject, name):
        intend(connection, subject, name)
        erase_rows(store, connection, "P-1")

    monkeypatch.setattr(intended, "intend", then_asleep)
    with pytest.raises(StoreError, match="not in the store any more"):
        store.put(b"draws of P-1", kind="twin", suffix=".nc", subject="P-1")
    assert remove_doomed(store) == 1 and store.files.listed() == set()


def test_an_erased_subject_leaves_an_audit_line_and_nothing_else(store):
    kept = store.put(b"draws of P-1", kind="twin", suffix=".nc")
    (store.files.reports).mkdir(parents=True)
    (store.files.reports / "bt_1.html").write_text("page", encoding="utf-8")
    with store.writing() as connection:
        set_state(connection, "P-1", "a")
        append(connection, "P-1", [], [item("lab", {"value": 1.5})])
        store.record_object(connection, kept, "P-1")
        add_outcome(connection, "P-1", "a", "basis", PUBLISHED, "", {"twin": kept.name}, {})
    with store.writing() as connection:
        assert erase_rows(store, connection, "P-1", ["bt_1.html"]) == 2
    assert store.files.listed() and remove_doomed(store) == 2  # a run killed here is finished by the next command
    assert not store.files.listed() and not list(store.files.reports.iterdir()) and remove_doomed(store) == 0
    with store.reading() as connection:
        assert current(connection) == {} and outcomes_of(connection, "P-1") == []
        assert erased_marks(connection) == {store.mark("P-1")} != {store.mark("P-2")}
        assert "P-1" not in json.dumps(audit.lines(connection))
    assert verify_store(store).problems == []


def test_a_lost_or_changed_file_is_a_problem_that_names_the_file(store):
    lost, changed = (store.put(data, kind="twin", suffix=".nc") for data in (b"one", b"two"))
    with store.writing() as connection:
        for kept in (lost, changed):
            store.record_object(connection, kept, "P-1")
    store.files.path(lost.name, ".nc").unlink()
    store.files.path(changed.name, ".nc").write_bytes(b"twO")
    first, second = sorted(verify_store(store).problems)
    assert "checksum does not fit" in first + second and "is missing" in first + second
    assert lost.name[:12] in first + second and changed.name[:12] in first + second


def test_the_digest_of_the_content_sees_content_and_no_clock(tmp_path):
    from bayestwin.store.opening import create_store

    digests = []
    for name, value in (("one", 1.5), ("two", 1.5), ("three", 1.6)):
        made = create_store(str(tmp_path / f"{name}.db"), settings={})
        with made.writing() as connection:
            append(connection, "P-1", [], [item("lab", {"value": value})])
            audit.note(connection, "learnt", audit.mark_of(made.salt, "P-1"), labs=1)  # each store salts its marks
        digests.append(content_digest(made))
    assert digests[0] == digests[1] != digests[2]
