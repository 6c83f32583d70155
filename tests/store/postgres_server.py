"""A real PostgreSQL server for tests: the machine's own binaries, loopback only, gone afterwards."""

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest


class PostgresServer:
    """A server in a folder of its own; skips the test with a reason where it cannot be started."""

    def __enter__(self):
        self.binaries = _binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="bayestwin_pg_"))
        self.user = _unprivileged()
        if self.user:
            shutil.chown(self.folder, self.user)
        self.port, self.numbers = _free_port(), itertools.count()
        self._run("initdb", "-D", "data", "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        self._run("pg_ctl", "-D", "data", "-w", "-t", "60", "-l", "log", "-o", options, "start")
        return self

    def __exit__(self, *_):
        self._run("pg_ctl", "-D", "data", "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program, *arguments):
        done = subprocess.run(
            [self.binaries / program, *arguments],
            cwd=self.folder,
            user=self.user,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=120,
        )
        if done.returncode:
            pytest.skip(f"PostgreSQL did not start here: {done.stdout[-200:]}")

    def new_database(self) -> str:
        """The URL of an empty database."""
        import psycopg

        name = f"store{next(self.numbers)}"
        with psycopg.connect(f"postgresql://tester@127.0.0.1:{self.port}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://tester@127.0.0.1:{self.port}/{name}"


def _binaries() -> Path:
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for place in places:
        if (place / "initdb").is_file() and (place / "pg_ctl").is_file():
            return place
    pytest.skip("this machine has no PostgreSQL binaries (initdb, pg_ctl)")


def _unprivileged():
    """PostgreSQL refuses to run as root: then as `postgres` or `nobody`."""
    if os.getuid():
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    pytest.skip("PostgreSQL does not run as root, and there is no other user")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
