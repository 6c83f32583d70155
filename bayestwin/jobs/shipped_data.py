"""Where the shipped synthetic data lie: inside an installed wheel, else in the checkout."""

from pathlib import Path

from bayestwin.errors import RecordError


def shipped_data(name: str) -> Path:
    """Folder `name` of the shipped data, for example "demo_patients".

    Raises RecordError where the installation lacks it; names the folders that are there.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_data", package.parent / "data"):
        if (folder / name).is_dir():
            return folder / name
        if folder.is_dir():
            known = sorted(inside.name for inside in folder.iterdir() if inside.is_dir())
            raise RecordError("no such shipped data", value=name, allowed=f"one of {', '.join(known)}")
    raise RecordError("the shipped data are missing", next_step="Reinstall bayestwin, or run from a checkout.")
