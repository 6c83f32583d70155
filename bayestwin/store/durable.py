"""Write a file whole or not at all, and so that it survives the machine going down."""

import errno
import glob
import os
import secrets
from pathlib import Path

from bayestwin.errors import StoreError
from bayestwin.store.process import is_gone, this_process


class DiskFull(StoreError):
    """No room is left; the only trouble of the store that stops a whole run."""


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_durably(path, data: bytes) -> Path:
    """Write under another name, force it to the disk, rename; what stood there before stays until then.

    Raises
    ------
    StoreError      the disk is full; nothing half-written is left
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.parent / f".{this_process()}.{path.name}.{secrets.token_hex(4)}.part"
    try:
        with open(unfinished, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        if error.errno in FULL:
            raise disk_full(path.name) from error
        raise
    finally:
        unfinished.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return path


def disk_full(what: str) -> DiskFull:
    """The error of a full disk."""
    return DiskFull(
        "the disk is full; nothing was lost and nothing half-written is kept",
        place=what,
        next_step="Free space on the disk of the store, then run the same command again: it goes on where it stopped.",
    )


def remove_durably(path: Path) -> None:
    """Remove a file that may be gone already."""
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        _sync_folder(path.parent)


def remove_halves(path: Path) -> None:
    """Remove what anybody left half-written of one file; only where nobody may be writing it."""
    for half in path.parent.glob(f".*.{glob.escape(path.name)}.*.part"):
        half.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> int:
    """Remove what killed processes of this machine left half-written; how many files."""
    removed = 0
    for path in folder.rglob(".*.part"):
        if is_gone(path.name[1:].partition(".")[0]):
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _sync_folder(folder: Path) -> None:
    """A rename is on the disk only once its folder is."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
