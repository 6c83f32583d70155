"""A store opens only where it fits: schema, database, key, driver."""

import os
import subprocess
import sys

import pytest
import sqlalchemy as sa

from bayestwin.errors import StoreError, StoreOptionError
from bayestwin.store import opening
from bayestwin.store.address import make_engine, store_url
from bayestwin.store.encryption import VARIABLE
from bayestwin.store.intended import intended_of
from bayestwin.store.items import append, current, item
from bayestwin.store.opening import SCHEMA, create_store, migrate_store, open_store
from bayestwin.store.outcomes import set_state
from bayestwin.store.refused import keep_refused
from bayestwin.store.schema import metadata, now, objects
from bayestwin.store.verify import verify_store


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


@pytest.mark.parametrize("content", [None, b"", b"a text, no database\n" * 400])
def test_a_file_that_is_no_store_is_not_migrated_nor_made_nor_touched(tmp_path, content):
    file = tmp_path / "x.db"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StoreError, match="no store|no database"):
        migrate_store(str(file))
    assert (file.read_bytes() if file.exists() else None) == content and len(list(tmp_path.iterdir())) <= 1


def test_another_program_s_database_with_numbered_migrations_is_no_store(tmp_path):
    url = str(tmp_path / "other.db")
    with make_engine(store_url(url)).begin() as connection:
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(sa.text(f"INSERT INTO alembic_version VALUES ('{SCHEMA}')"))
    for opened in (migrate_store, open_store):
        with pytest.raises(StoreError, match="this database is no store"):
            opened(url)
    with pytest.raises(StoreError, match="holds something else.*alembic_version"):
        create_store(url)


def test_a_store_behind_a_link_is_the_same_store_with_the_same_files(sqlite_store, tmp_path):
    kept = sqlite_store.put(b"draws", kind="twin", suffix=".nc")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link.db").symlink_to(tmp_path / "s.db")
    (tmp_path / "folder").symlink_to(tmp_path)
    for text in (tmp_path / "elsewhere" / "link.db", tmp_path / "folder" / "s.db"):
        for url in (str(text), f"sqlite:///{text}"):
            assert open_store(url).files.get(kept.name, ".nc") == b"draws"
            assert create_store(url, files=tmp_path / "s.db.files").files.folder == sqlite_store.files.folder
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["link.db"]


def test_options_that_contradict_the_store_that_is_there_are_refused(tmp_path, monkeypatch):
    pytest.importorskip("cryptography")
    plain, sealed, elsewhere = (str(tmp_path / name) for name in ("plain.db", "sealed.db", "elsewhere.db"))
    create_store(plain)
    create_store(elsewhere, files=tmp_path / "files")
    with pytest.raises(StoreOptionError, match="--encrypt: this store was made without encryption.*Make a new store"):
        create_store(plain, encrypt=True)
    with pytest.raises(
        StoreOptionError, match="--files: the files of this store lie in another folder.*plain.db.files"
    ):
        create_store(plain, files=tmp_path / "files")
    with pytest.raises(StoreOptionError, match="lie in another folder"):
        create_store(elsewhere, files=tmp_path / "elsewhere.db.files")
    assert create_store(elsewhere, files=tmp_path / "files").files.folder == tmp_path / "files"
    (tmp_path / "key").write_text(os.urandom(32).hex(), encoding="ascii")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "key"))
    create_store(sealed, encrypt=True)
    assert create_store(sealed, encrypt=True).files.cipher and create_store(sealed).files.cipher


@pytest.mark.parametrize(
    "damage", ["DELETE FROM meta", "UPDATE meta SET settings = '{'", "UPDATE meta SET settings = '[]'"]
)
@pytest.mark.parametrize("opened", [open_store, create_store])
def test_damaged_settings_are_named(sqlite_store, tmp_path, damage, opened):
    with sqlite_store.engine.begin() as connection:
        connection.execute(sa.text(damage))
    with pytest.raises(StoreError, match="table meta: the settings of this store are damaged or missing.*backup"):
        opened(str(tmp_path / "s.db"))


def test_a_store_of_the_first_schema_is_migrated_and_loses_nothing(tmp_path, monkeypatch):
    url = str(tmp_path / "s.db")
    with monkeypatch.context() as patch:
        patch.setattr(opening, "SCHEMA", "0001")
        patch.setattr(opening, "_files_beside", lambda database: database.with_suffix(".files"))  # as it then was
        old = create_store(url, settings={"seed": 3})
        kept = old.put(b"draws", kind="twin", suffix=".nc")
        with old.writing() as connection:
            append(connection, "P-1", [], [item("lab", {"value": 1.5})])
            row = {"id": kept.name, "subject": "P-1", "kind": "twin", "suffix": ".nc", "size": 5, "provenance": "{}"}
            connection.execute(sa.insert(objects).values(**row, stored_at=now()))
        old.close()
    assert (tmp_path / "s.files" / "objects").is_dir()
    with pytest.raises(StoreError, match="older bayestwin.*store-migrate"):
        open_store(url)
    assert migrate_store(url) == ("0001", SCHEMA) and migrate_store(url) == (SCHEMA, SCHEMA)
    store = open_store(url)
    assert store.settings["seed"] == 3 and verify_store(store).problems == []
    assert store.files.get(kept.name, ".nc") == b"draws" and store.files.folder == tmp_path / "s.files"
    assert create_store(url, files=tmp_path / "s.files").files.get(kept.name, ".nc") == b"draws"
    with store.writing() as connection:
        assert current(connection)["P-1"] and keep_refused(connection, [("P-1", {"row": 2})] * 2) == 1
    with pytest.raises(StoreError, match="cannot be changed"):
        with store.writing() as connection:
            connection.execute(sa.text("UPDATE refused SET body = '{}'"))


def test_a_store_of_the_second_schema_is_migrated_and_then_knows_what_it_is_about_to_write(tmp_path, monkeypatch):
    url = str(tmp_path / "s.db")
    with monkeypatch.context() as patch:
        patch.setattr(opening, "SCHEMA", "0002")
        old = create_store(url)
        with old.writing() as connection:
            set_state(connection, "P-1", "a")
        old.close()
    with pytest.raises(StoreError, match="older bayestwin.*'schema 0002'.*store-migrate"):
        open_store(url)
    assert migrate_store(url) == ("0002", SCHEMA)
    store = open_store(url)
    assert store.files.folder == tmp_path / "s.db.files" and verify_store(store).problems == []
    kept = store.put(b"draws", kind="twin", suffix=".nc", subject="P-1")
    with store.writing() as connection:
        assert intended_of(connection, "P-1") == [store.files.place(kept.name, ".nc")]
        store.record_object(connection, kept, "P-1")
        assert intended_of(connection, "P-1") == []


def test_a_first_store_that_has_no_old_folder_or_named_one_keeps_its_place(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(opening, "SCHEMA", "0001")
        create_store(str(tmp_path / "bare.db")).close()
        create_store(str(tmp_path / "named.db"), files=tmp_path / "elsewhere").close()
    (tmp_path / "named.files").mkdir()  # another program's, or an older store's
    for name, folder in (("bare", "bare.db.files"), ("named", "elsewhere")):
        assert migrate_store(str(tmp_path / f"{name}.db")) == ("0001", SCHEMA)
        assert open_store(str(tmp_path / f"{name}.db")).files.folder == tmp_path / folder


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
    with pytest.raises(StoreError, match="text.db: this file is no database"):
        open_store(str(tmp_path / "text.db"))


def test_addresses_of_other_databases_are_refused_without_their_password():
    wrong = ("mysql://u:secret@h/d", "sqlite://", "sqlite:///:memory:", "://", "postgresql://u:secret@h:port/d", "")
    for text in (*wrong, "sqlite:///s.db?mode=ro"):
        with pytest.raises(
            StoreOptionError, match="address of a store|kind of database|name of a file|options of"
        ) as caught:
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
