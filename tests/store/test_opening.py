"""A store opens only where it fits: schema, database, key, driver."""

import os
import subprocess
import sys

import pytest
import sqlalchemy as sa

from bayestwin.errors import StoreError
from bayestwin.store.encryption import VARIABLE
from bayestwin.store.opening import SCHEMA, create_store, make_engine, migrate_store, open_store, store_url
from bayestwin.store.schema import metadata


def test_the_migrations_make_the_tables_that_the_program_reads(store):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("0000", "older bayestwin.*'schema 0000'.*store-migrate"),
        ("0009", "newer bayestwin.*'schema 0009'.*nothing was"),
    ],
)
def test_another_schema_is_refused_with_what_to_do(sqlite_store, tmp_path, found, said):
    with sqlite_store.writing() as connection:
        connection.execute(sa.text(f"UPDATE alembic_version SET version_num = '{found}'"))
    with pytest.raises(StoreError, match=said):
        open_store(str(tmp_path / "s.db"))


def test_a_store_of_this_schema_needs_no_migration(sqlite_store, tmp_path):
    assert migrate_store(str(tmp_path / "s.db")) == (SCHEMA, SCHEMA)


def test_what_is_no_store_is_told_apart(tmp_path):
    with pytest.raises(StoreError, match=r"none.db: there is no store.*store-population"):
        open_store(str(tmp_path / "none.db"))
    with make_engine(store_url(str(tmp_path / "other.db"))).begin() as connection:
        connection.execute(sa.text("CREATE TABLE patients_of_the_clinic (n INTEGER)"))
    with pytest.raises(StoreError, match="this database is no store"):
        open_store(str(tmp_path / "other.db"))
    with pytest.raises(StoreError, match="holds something else.*patients_of_the_clinic.*expected an empty database"):
        create_store(str(tmp_path / "other.db"))
    (tmp_path / "text.db").write_text("no database at all, only a text that is long enough\n" * 50, encoding="utf-8")
    with pytest.raises(StoreError, match="this file is no database"):
        open_store(str(tmp_path / "text.db"))


def test_addresses_of_other_databases_are_refused_without_their_password():
    for text in ("mysql://u:secret@h/d", "sqlite://", "sqlite:///:memory:", "://"):
        with pytest.raises(StoreError, match="address of a store|kind of database") as caught:
            store_url(text)
        assert "secret" not in str(caught.value)


def test_a_server_that_does_not_answer_is_a_clear_error(tmp_path):
    with pytest.raises(StoreError, match="the database cannot be reached") as caught:
        create_store("postgresql://u:secret@127.0.0.1:1/d", files=tmp_path)
    assert "secret" not in str(caught.value)


def test_a_store_in_postgresql_needs_a_folder_for_its_files(postgres):
    with pytest.raises(StoreError, match="needs a folder for its files"):
        create_store(postgres.new_database())


def test_an_encrypted_store_opens_with_its_key_only_and_shows_nothing_on_the_disk(tmp_path, monkeypatch):
    pytest.importorskip("cryptography")
    url = str(tmp_path / "s.db")
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(StoreError, match="no key was given.*openssl rand -hex 32"):
        create_store(url, encrypt=True)
    for name in ("right", "wrong"):
        (tmp_path / name).write_text(os.urandom(32).hex() + "\n", encoding="ascii")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "right"))
    store = create_store(url, encrypt=True)
    kept = store.put(b"draws of a patient", kind="twin", suffix=".nc")
    path = store.files.path(kept.name, ".nc")
    assert b"patient" not in path.read_bytes() and store.files.get(kept.name, ".nc") == b"draws of a patient"
    with store.files.at_hand(kept.name, ".nc") as plain:
        assert plain.read_bytes() == b"draws of a patient"
    assert not plain.exists()
    other = store.put(b"draws of another", kind="twin", suffix=".nc")
    path.write_bytes(store.files.path(other.name, ".nc").read_bytes())
    with pytest.raises(StoreError, match="cannot be opened with the key"):
        store.files.get(kept.name, ".nc")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "wrong"))
    with pytest.raises(StoreError, match="encrypted with another key"):
        open_store(url)
    (tmp_path / "wrong").write_text("no key", encoding="ascii")
    with pytest.raises(StoreError, match="wrong: the key file cannot be read"):
        open_store(url)


def test_neither_the_help_page_nor_the_rooms_that_save_trees_load_a_database():
    code = (
        "import sys, bayestwin.cli, bayestwin.store\n"
        "print([m for m in sys.modules if m in ('sqlalchemy', 'alembic', 'cryptography')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
