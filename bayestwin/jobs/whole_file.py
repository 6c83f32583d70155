"""Text files written whole or not at all: under another name first, so that neither a killed run nor a full disk leaves
half a file."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> Path:
    """Write UTF-8 text to a file; a pipe or a device is written into, not replaced."""
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return path
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        return part.replace(path)
    finally:
        part.unlink(missing_ok=True)
