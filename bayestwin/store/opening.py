"""Open, make and migrate a store; its address is read in address.py.

Everything here is imported when it is needed: a twin on a worker knows nothing of databases.
"""

import json
import secrets
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from bayestwin.errors import StoreError, StoreOptionError
from bayestwin.store import audit
from bayestwin.store.address import make_engine, store_url
from bayestwin.store.encryption import VARIABLE, Cipher, cipher_from_environment
from bayestwin.store.files import ObjectFiles
from bayestwin.store.plain_errors import plain_errors
from bayestwin.store.schema import meta, now
from bayestwin.store.store import Store

SCHEMA = "0003"
FIRST = "0001"  # kept the files of s.db in s.files
MAKE = "bayestwin store-population"
OURS = {"subjects", "record_items", "outcomes"}  # tables by which a store is told from other databases


def create_store(url: str, *, files=None, settings: dict[str, Any] | None = None, encrypt: bool = False) -> Store:
    """Make a new store, or open the one that is there.

    files : folder of draws and reports; default <file name>.files beside an SQLite file
    encrypt : seal draws and reports; a store that is there must have been made so
    settings : kept in the store; of a store that is there they are not changed

    Raises
    ------
    StoreOptionError  no folder for a PostgreSQL store; the store there has its files elsewhere, or in plain text
    StoreError        no key for an encrypted store; a database that holds something else
    """
    address = store_url(url)
    beside = address.get_backend_name() == "sqlite"
    if beside and not Path(address.database).parent.is_dir():
        raise StoreOptionError(
            "there is no such folder", place="--store", value=str(Path(address.database).parent), next_step="Make it."
        )
    if not beside or Path(address.database).is_file():
        if _holds_a_store(address):
            return _as_asked(open_store(url), files, encrypt)
    if files is None and not beside:
        raise StoreOptionError(
            "a store in PostgreSQL needs a folder for its files",
            place="--files",
            next_step="Name one that every machine that refreshes can reach.",
        )
    cipher = cipher_from_environment() if encrypt else None
    kept = {**(settings or {}), "files": None if files is None else str(Path(files).absolute())}
    kept["key_proof"] = cipher.proof() if cipher else None
    engine = make_engine(address)
    with plain_errors(address), engine.connect().execution_options(writing=True) as connection, connection.begin():
        _upgrade(connection)
        if connection.execute(sa.select(meta.c.id)).first() is None:
            row = {"id": 1, "salt": secrets.token_hex(16), "created_at": now(), "settings": json.dumps(kept)}
            connection.execute(sa.insert(meta).values(**row))
            audit.note(connection, "store made", schema=SCHEMA, encrypted=encrypt)
    engine.dispose()
    return _as_asked(open_store(url), files, encrypt)


def _holds_a_store(address: URL) -> bool:
    """True where the database is a store, False where it is empty."""
    engine = make_engine(address)
    with plain_errors(address), engine.connect() as connection:
        tables = sa.inspect(connection).get_table_names()
    engine.dispose()
    if tables and not OURS & set(tables):
        raise StoreError(
            "this database holds something else",
            place="--store",
            value=", ".join(sorted(tables)[:5]),
            allowed="an empty database",
            next_step="Make a database for the store alone.",
        )
    return bool(tables)


def _as_asked(store: Store, files, encrypt: bool) -> Store:
    """The store, if it is what the options say; they hold when a store is made and cannot change it afterwards."""
    if encrypt and store.files.cipher is None:
        store.close()
        raise StoreOptionError(
            "this store was made without encryption, and its files stay in plain text",
            place="--encrypt",
            next_step="Make a new store with --encrypt, refresh all labs into it, and remove this one with its files.",
        )
    if files is not None and Path(files).resolve() != store.files.folder.resolve():
        store.close()
        raise StoreOptionError(
            "the files of this store lie in another folder",
            place="--files",
            value=str(files),
            allowed=str(store.files.folder),
            next_step="Leave --files out.",
        )
    return store


def _files_beside(database: Path) -> Path:
    """The folder of an SQLite store; the whole name, so that s.db and s.sqlite do not share one."""
    return database.with_name(f"{database.name}.files")


def open_store(url: str) -> Store:
    """Open a store that is there.

    Raises
    ------
    StoreError      none there; made by an older or newer program; encrypted and no key or another one; damaged settings
    """
    address = store_url(url)
    _refuse_absent(address)
    engine = make_engine(address)
    with plain_errors(address), engine.connect() as connection:
        _check_schema(connection)
        settings, salt = _settings(connection)
    folder = settings["files"] or _files_beside(Path(address.database))
    return Store(engine, ObjectFiles(folder, _cipher(settings["key_proof"])), settings, salt)


def _refuse_absent(address: URL) -> None:
    """Asked before a connection is made: SQLite would make a file, or write into an empty one."""
    if address.get_backend_name() != "sqlite":
        return
    file = Path(address.database)
    if not file.is_file() or not file.stat().st_size:
        problem = "this file is empty, no store" if file.is_file() else "there is no store"
        raise StoreError(problem, place=file.name, next_step=f"Make one with `{MAKE}`.")


def _settings(connection) -> tuple[dict[str, Any], str]:
    """Settings and salt of a store, from the one row of the table meta."""
    row = connection.execute(sa.select(meta.c.settings, meta.c.salt)).first()
    try:
        settings, salt = json.loads(row.settings), row.salt
        whole = isinstance(salt, str) and {"files", "key_proof"} <= settings.keys()
    except (AttributeError, TypeError, ValueError):  # no row, no text, no JSON
        whole = False
    if not whole:
        raise StoreError(
            "the settings of this store are damaged or missing",
            place="table meta",
            allowed="one row with a salt and settings as JSON",
            next_step="Restore the database from a backup; files and other tables were not looked at.",
        )
    return settings, salt


def migrate_store(url: str) -> tuple[str, str]:
    """Bring an older store to this program's schema; (before, after).

    Raises
    ------
    StoreError      none there; a database that is no store; made by a newer program
    """
    address = store_url(url)
    _refuse_absent(address)
    engine = make_engine(address)
    with plain_errors(address):
        with engine.connect().execution_options(writing=True) as connection, connection.begin():
            before = _schema_of(connection)
            if before and before < SCHEMA:
                _upgrade(connection)
            _check_schema(connection)
            if before == FIRST and address.get_backend_name() == "sqlite":
                _stay_with_its_files(connection, Path(address.database))
    engine.dispose()
    return before, SCHEMA


def _stay_with_its_files(connection, database: Path) -> None:
    """Schema 0001 kept the files of s.db in s.files; they stay there and the settings say so from now on.

    Not renamed: s.sqlite may have kept its files in the same folder.
    """
    settings, _ = _settings(connection)
    folder = database.with_suffix(".files")
    if settings["files"] is None and folder.is_dir():
        connection.execute(sa.update(meta).values(settings=json.dumps(settings | {"files": str(folder)})))


def _cipher(proof: str | None) -> Cipher | None:
    if proof is None:
        return None
    cipher = cipher_from_environment()
    if not cipher.fits(proof):
        raise StoreError("this store was encrypted with another key", place="store", next_step=f"Check {VARIABLE}.")
    return cipher


def _schema_of(connection) -> str:
    """The schema's number; "" where this is no store, whatever else numbers its versions in this way."""
    tables = set(sa.inspect(connection).get_table_names())
    if not OURS & tables or "alembic_version" not in tables:
        return ""
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    if not isinstance(found, str):
        raise StoreError(
            "the number of this store's schema is missing",
            place="table alembic_version",
            next_step="Restore the database from a backup.",
        )
    return found


def _check_schema(connection) -> None:
    found = _schema_of(connection)
    if not found:
        raise StoreError("this database is no store", place="--store", next_step=f"Make one with `{MAKE}`.")
    if found < SCHEMA:
        raise StoreError(
            "this store was made by an older bayestwin",
            place="--store",
            value=f"schema {found}",
            allowed=f"schema {SCHEMA}",
            next_step="Copy it, then run `bayestwin store-migrate`.",
        )
    if found > SCHEMA:
        raise StoreError(
            "this store was made by a newer bayestwin",
            place="--store",
            value=f"schema {found}",
            allowed=f"schema {SCHEMA}",
            next_step="Use the newer program; nothing was changed.",
        )


def _upgrade(connection: sa.Connection) -> None:
    """Run the numbered migrations up to this program's schema, in the caller's transaction: all or none."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, SCHEMA)
