"""The audit log: a change, a gap or a cut in it shows."""

import pytest

from bayestwin.store import audit


@pytest.fixture
def chain(sqlite_store):
    for number in range(4):
        with sqlite_store.writing() as connection:
            audit.note(connection, "published", sqlite_store.mark("P-1"), number=number)
    with sqlite_store.reading() as connection:
        return audit.lines(connection)


def test_a_whole_log_has_no_broken_link(chain):
    assert audit.broken_links(chain) == [] and audit.broken_links(chain, chain[2]["hash"]) == []
    assert [row["number"] for row in chain] == [1, 2, 3, 4, 5] and chain[0]["action"] == "store made"


@pytest.mark.parametrize("column", ["action", "mark", "details", "at"])
def test_a_changed_line_is_named(chain, column):
    chain[2][column] = "other"
    assert audit.broken_links(chain) == ["audit line 3 was changed"]


def test_a_line_changed_with_its_hash_breaks_the_next(chain):
    chain[2]["details"] = "{}"
    chain[2]["hash"] = audit._hash(chain[2])
    assert audit.broken_links(chain) == ["audit line 4 does not continue the line before it"]


def test_a_missing_line_is_named_and_a_cut_end_needs_the_hash_noted_before(chain):
    assert audit.broken_links([*chain[:1], *chain[2:]]) == ["audit line 2 is missing"]
    assert audit.broken_links(chain[:3]) == []
    assert "does not hold the hash that was noted" in audit.broken_links(chain[:3], chain[4]["hash"])[0]


def test_a_mark_is_of_one_store_only(sqlite_store):
    assert audit.mark_of("salt", "P-1") != audit.mark_of("other", "P-1") != audit.mark_of("other", "P-2")
    assert audit.mark_of("salt", "") == ""
