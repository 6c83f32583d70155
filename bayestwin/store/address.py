"""Where a store is: a path or URL becomes one address, and the address an engine.

clinic.db                              one SQLite file; its files in clinic.db.files/ beside it
sqlite:///folder/clinic.db             the same, as a URL
postgresql://user@host/database        PostgreSQL (extra `postgres`); the folder of files is named when it is made
"""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine, make_url

from bayestwin.errors import StoreError, StoreOptionError

ADDRESSES = "a file name, sqlite:///file or postgresql://user@host/database"


def store_url(text: str) -> URL:
    """A path or URL as SQLAlchemy's URL, with the driver this program uses; an SQLite file without symbolic links.

    Raises
    ------
    StoreOptionError      no address, another kind of database, options of SQLite's own
    """
    if "://" not in text:
        return _file_url(text)
    try:
        url = make_url(text)
    except (sa.exc.ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise StoreOptionError("this is no address of a store", place="--store", allowed=ADDRESSES) from error
    kind = url.get_backend_name()
    if kind in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if kind == "sqlite" and url.query:
        raise StoreOptionError(
            "options of SQLite are not taken",
            place="--store",
            value=", ".join(sorted(url.query)),
            allowed="sqlite:///file",
            next_step="Every command needs to write into the store; give the file alone.",
        )
    if kind == "sqlite" and url.database and url.database != ":memory:":
        return _file_url(url.database)
    raise StoreOptionError(
        "this kind of database is not known",
        place="--store",
        value=url.render_as_string(hide_password=True),
        allowed=ADDRESSES,
    )


def _file_url(text: str) -> URL:
    """The address of a file; one store has one address, however many links lead to it."""
    if not text or "\x00" in text:
        raise StoreOptionError("this is no name of a file", place="--store", value=text, allowed=ADDRESSES)
    try:
        return URL.create("sqlite", database=str(Path(text).resolve()))
    except (OSError, RuntimeError) as error:  # links that lead in a circle
        raise StoreOptionError("this path leads nowhere", place="--store", value=text, allowed=ADDRESSES) from error


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
