"""Which process this is, and whether another one is gone: who holds a lease, whose unfinished file this is.

A name says machine, process and when the process began, so that a number used again by the system is not mistaken for
the old process. Of a process on another machine nothing is known; its leases end by the clock.
"""

import hashlib
import itertools
import os
import platform
from pathlib import Path

_numbers = itertools.count(1)


def this_process() -> str:
    """Name of this process, fit for a file name: <machine>-<pid>-<began>."""
    return f"{_machine()}-{os.getpid()}-{_began(os.getpid())}"


def one_of_this_process() -> str:
    """A name that nobody else has, of this process too: <machine>-<pid>-<began>-<number>."""
    return f"{this_process()}-{next(_numbers)}"


def is_gone(name: str) -> bool:
    """True where the named process ran on this machine and has ended; False where it lives or nothing is known."""
    machine, _, rest = name.partition("-")
    pid, _, began = rest.partition("-")
    began = began.partition("-")[0]
    if machine != _machine() or not pid.isdigit():
        return False
    if began != "0":
        return _began(int(pid)) != began
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _machine() -> str:
    """Eight letters for this machine since its last start and, in containers, this name space of processes."""
    parts = [platform.node()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        pass
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:8]


def _began(pid: int) -> str:
    """Clock ticks between the machine's start and the process's; "0" where the system does not say."""
    if not Path("/proc/self/stat").exists():
        return "0"
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return "ended"
    return "ended" if stat[0] in "ZX" else stat[19]
