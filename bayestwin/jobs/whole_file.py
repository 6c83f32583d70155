"""Text files written whole or not at all: under another name first, so that a killed run leaves no half file."""

from pathlib import Path


def write_whole(path: Path, text: str) -> Path:
    """Write UTF-8 text to a file."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    return part.replace(path)
