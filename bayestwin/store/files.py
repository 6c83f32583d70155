"""Immutable files named by their content: draws, prognoses, reports.

A file is named by the SHA-256 of what it holds. So nothing is ever overwritten, two processes that write the same
thing agree, a file left by a killed run is found again by the next one, and a damaged one shows itself when it is read.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bayestwin.errors import StoreError
from bayestwin.store.durable import remove_durably, write_durably
from bayestwin.store.encryption import Cipher

SEALED = ".enc"


def content_hash(data: bytes) -> str:
    """SHA-256 of the bytes."""
    return hashlib.sha256(data).hexdigest()


class ObjectFiles:
    """The folder of a store's files. cipher : where the store is encrypted, what seals them."""

    def __init__(self, folder, cipher: Cipher | None = None):
        self.folder, self.cipher = Path(folder), cipher

    @property
    def objects(self) -> Path:
        """Where the immutable files lie."""
        return self.folder / "objects"

    @property
    def reports(self) -> Path:
        """Where the reports in force are published."""
        return self.folder / "reports"

    def path(self, name: str, suffix: str) -> Path:
        """Where an object lies; spread over folders by its first two letters."""
        return self.objects / name[:2] / f"{name}{suffix}{SEALED if self.cipher else ''}"

    def place(self, name: str, suffix: str) -> str:
        """The path of an object within the folder of the store, as tables hold it."""
        return self.path(name, suffix).relative_to(self.folder).as_posix()

    def put(self, data: bytes, suffix: str) -> str:
        """Keep bytes; their name. What is there already is not written again."""
        name = content_hash(data)
        path = self.path(name, suffix)
        if not path.is_file() or not self.is_whole(name, suffix):
            write_durably(path, self.cipher.seal(data, name) if self.cipher else data)
        return name

    def get(self, name: str, suffix: str) -> bytes:
        """The bytes of a name, checked against it.

        Raises
        ------
        StoreError      the file is missing, cannot be read, or has changed since it was written
        """
        path = self.path(name, suffix)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise StoreError(
                "a file of the store is missing",
                place=path.name,
                next_step="Restore it from a backup; `bayestwin verify-store` lists all that is missing.",
            ) from error
        except OSError as error:  # a bad sector, a permission: this file's trouble, and nobody else's
            raise StoreError(
                "a file of the store cannot be read",
                place=path.name,
                value=error.strerror or type(error).__name__,
                next_step="Look at the disk and the permissions, or restore the file from a backup.",
            ) from error
        if self.cipher:
            data = self.cipher.open(data, name)
        if content_hash(data) != name:
            raise StoreError(
                "a file of the store has changed since it was written: its checksum does not fit",
                place=path.name,
                next_step="Restore it from a backup; nothing else is touched. "
                "`bayestwin refresh --rebuild-damaged` makes a damaged twin again from the record, "
                "`bayestwin store-population` puts a population in again.",
            )
        return data

    def is_whole(self, name: str, suffix: str) -> bool:
        """True where the file is there and unchanged."""
        try:
            self.get(name, suffix)
        except StoreError:
            return False
        return True

    @contextmanager
    def at_hand(self, name: str, suffix: str) -> Iterator[Path]:
        """A path under which an object can be read; of a sealed one a copy in memory where the system has that."""
        data = self.get(name, suffix)
        if not self.cipher:
            yield self.path(name, suffix)
            return
        memory = Path("/dev/shm")
        with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
            copy = Path(folder) / f"{name[:12]}{suffix}"
            copy.write_bytes(data)
            yield copy

    def remove(self, name: str, suffix: str) -> None:
        """Remove an object (erasure only)."""
        remove_durably(self.path(name, suffix))

    def listed(self) -> set[str]:
        """Names of all object files as they lie on the disk, unfinished ones left out."""
        return {path.name for path in self.objects.rglob("*") if path.is_file() and not path.name.endswith(".part")}
