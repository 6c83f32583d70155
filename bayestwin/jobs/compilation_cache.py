"""Keep JAX's compiled programs on disk, so that the second start of a program compiles nothing.

Compiling the solvers takes ten to thirty seconds; reading them back takes one or two. Results never depend
on the cache. Programs (command line, jobs, tests) switch it on before JAX is imported; the library does not,
since in a notebook JAX's settings belong to the caller.

Entries hold machine code, so each kind of processor and each jaxlib has a folder of its own. Known fault:
some hosts with AVX-512 reject every entry on reload (jax#38445) and then compile as if there were no cache.

    BAYESTWIN_COMPILATION_CACHE=off        no cache
    JAX_COMPILATION_CACHE_DIR=/some/folder JAX's own variable; left as it is
"""

import hashlib
import os
import platform
from importlib import metadata
from pathlib import Path


def use_compilation_cache(folder: str | Path | None = None) -> Path | None:
    """Tell JAX, through its environment variables, where compiled programs are kept.

    Parameters
    ----------
    folder : path      parent of the per-machine folders; default $XDG_CACHE_HOME/bayestwin or ~/.cache/bayestwin

    Returns
    -------
    Path or None       the folder in use; None when switched off
    """
    if os.environ.get("BAYESTWIN_COMPILATION_CACHE", "").lower() in ("off", "no", "0", "false"):
        return None
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        parent = (
            Path(folder) if folder else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "bayestwin"
        )
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(parent / f"jax-{machine_key()}")
    # Without these two JAX keeps only programs that took a second or more; measured 15 s against 10 s.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    return Path(os.environ["JAX_COMPILATION_CACHE_DIR"])


def machine_key() -> str:
    """Twelve letters that stand for this processor's instruction set and this jaxlib."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    processor = [line for line in lines if line.startswith(("model name", "flags", "Features"))][:2]
    try:
        jaxlib = metadata.version("jaxlib")
    except metadata.PackageNotFoundError:
        jaxlib = "none"
    text = "\n".join([platform.machine(), platform.processor(), jaxlib, *processor])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
