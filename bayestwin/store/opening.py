"""Open, make and migrate a store.

    clinic.db                              one SQLite file; its files in clinic.db.files/ beside it
    sqlite:///folder/clinic.db             the same, as a URL
    postgresql://user@host/database        PostgreSQL (extra `postgres`); the folder of files is named when it is made

Everything here is imported when it is needed: a twin on a worker knows nothing of databases.
"""

import json
import secrets
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine, make_url

from bayestwin.errors import StoreError
from bayestwin.store import audit
from bayestwin.store.encryption import VARIABLE, Cipher, cipher_from_environment
from bayestwin.store.files import ObjectFiles
from bayestwin.store.plain_errors import plain_errors
from bayestwin.store.schema import meta, now
from bayestwin.store.store import Store

SCHEMA = "0001"
MAKE = "bayestwin store-population"


def store_url(text: str) -> URL:
    """A path or URL as SQLAlchemy's URL, with the driver this program uses."""
    if "://" not in text:
        return URL.create("sqlite", database=str(Path(text)))
    try:
        url = make_url(text)
    except sa.exc.ArgumentError as error:
        raise StoreError(
            "this is no address of a store",
            place="--store",
            allowed="a file name, sqlite:///file or postgresql://user@host/database",
        ) from error
    kind = url.get_backend_name()
    if kind in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if kind == "sqlite" and url.database and url.database != ":memory:":
        return url
    raise StoreError(
        "this kind of database is not known",
        place="--store",
        value=url.render_as_string(hide_password=True),
        allowed="a file name, sqlite:///file or postgresql://user@host/database",
    )


def make_engine(url: URL) -> Engine:
    """The engine; SQLite with write-ahead log, full syncs and real transactions."""
    try:
        if url.get_backend_name() == "postgresql":
            return sa.create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})
        engine = sa.create_engine(url)
    except ModuleNotFoundError as error:
        raise StoreError(
            "PostgreSQL needs its driver",
            place="--store",
            next_step="Install it with `pip install 'bayestwin[postgres]'`.",
        ) from error

    @sa.event.listens_for(engine, "connect")
    def _settle(raw, _):
        raw.isolation_level = None  # this program begins its transactions itself
        for line in ("busy_timeout=60000", "journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            raw.execute(f"PRAGMA {line}").close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection):
        writing = connection.get_execution_options().get("writing")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def create_store(url: str, *, files=None, settings: dict[str, Any] | None = None, encrypt: bool = False) -> Store:
    """Make a new store, or open the one that is there.

    files : folder of draws and reports; default <file name>.files beside an SQLite file
    settings : kept in the store; of a store that is there they are not changed

    Raises
    ------
    StoreError      no folder for a PostgreSQL store; no key for an encrypted one; a database that holds something else
    """
    address = store_url(url)
    beside = address.get_backend_name() == "sqlite"
    if beside and not Path(address.database).parent.is_dir():
        raise StoreError(
            "there is no such folder", place="--store", value=str(Path(address.database).parent), next_step="Make it."
        )
    engine = make_engine(address)
    with plain_errors(), engine.connect() as connection:
        tables = sa.inspect(connection).get_table_names()
    if "alembic_version" in tables:
        engine.dispose()
        return open_store(url)
    if tables:
        raise StoreError(
            "this database holds something else",
            place="--store",
            value=", ".join(sorted(tables)[:5]),
            allowed="an empty database",
            next_step="Make a database for the store alone.",
        )
    if files is None and not beside:
        raise StoreError(
            "a store in PostgreSQL needs a folder for its files",
            place="--files",
            next_step="Name one that every machine that refreshes can reach.",
        )
    cipher = cipher_from_environment() if encrypt else None
    kept = {**(settings or {}), "files": None if files is None else str(Path(files).absolute())}
    kept["key_proof"] = cipher.proof() if cipher else None
    with plain_errors(), engine.connect().execution_options(writing=True) as connection, connection.begin():
        _upgrade(connection)
        if connection.execute(sa.select(meta.c.id)).first() is None:
            row = {"id": 1, "salt": secrets.token_hex(16), "created_at": now(), "settings": json.dumps(kept)}
            connection.execute(sa.insert(meta).values(**row))
            audit.note(connection, "store made", schema=SCHEMA, encrypted=encrypt)
    engine.dispose()
    return open_store(url)


def _files_beside(database: Path) -> Path:
    """The folder of an SQLite store; the whole name, so that s.db and s.sqlite do not share one."""
    return database.with_name(f"{database.name}.files")


def open_store(url: str) -> Store:
    """Open a store that is there.

    Raises
    ------
    StoreError      none there; made by an older or newer program; encrypted and no key, or another one
    """
    address = store_url(url)
    if address.get_backend_name() == "sqlite" and not Path(address.database).is_file():
        raise StoreError("there is no store", place=Path(address.database).name, next_step=f"Make one with `{MAKE}`.")
    engine = make_engine(address)
    with plain_errors(), engine.connect() as connection:
        _check_schema(connection)
        row = connection.execute(sa.select(meta)).first()
    settings = json.loads(row.settings)
    folder = settings["files"] or _files_beside(Path(address.database))
    return Store(engine, ObjectFiles(folder, _cipher(settings["key_proof"])), settings, row.salt)


def migrate_store(url: str) -> tuple[str, str]:
    """Bring an older store to this program's schema; (before, after)."""
    engine = make_engine(store_url(url))
    with plain_errors():
        with engine.connect().execution_options(writing=True) as connection, connection.begin():
            before = _schema_of(connection)
            if before and before < SCHEMA:
                _upgrade(connection)
            _check_schema(connection)
    return before, SCHEMA


def _cipher(proof: str | None) -> Cipher | None:
    if proof is None:
        return None
    cipher = cipher_from_environment()
    if not cipher.fits(proof):
        raise StoreError("this store was encrypted with another key", place="store", next_step=f"Check {VARIABLE}.")
    return cipher


def _schema_of(connection) -> str:
    """The schema's number; "" where this is no store."""
    if "alembic_version" not in sa.inspect(connection).get_table_names():
        return ""
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() or ""


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
