"""Options that several commands share, exit codes, and how a problem reaches the person at the screen."""

import functools
from pathlib import Path
from typing import Annotated

import typer

from bayestwin.errors import BayestwinError

DONE, SOME_REFUSED, USAGE, NOTHING_USABLE, DIAGNOSTICS_FAILED = 0, 1, 2, 3, 4
EXIT_OF_ERROR = {
    "ModelError": USAGE,
    "RecordError": NOTHING_USABLE,
    "StoreError": NOTHING_USABLE,
    "FitError": DIAGNOSTICS_FAILED,
}


def say(text: str = "") -> None:
    """A remark for the person at the screen, kept out of the results."""
    typer.echo(text, err=True)


def usage_error(text: str) -> typer.Exit:
    """Say what is wrong with the command as typed; raise what comes back."""
    say(text)
    return typer.Exit(USAGE)


def clean_errors(command):
    """Run a command; a problem that the user can mend is one message and an exit code, never a traceback."""

    @functools.wraps(command)
    def run(*args, **options):
        from bayestwin.jobs.compilation_cache import use_compilation_cache

        use_compilation_cache()
        try:
            code = command(*args, **options)
        except BayestwinError as error:
            kind = type(error).__name__
            say(f"{kind}: {error}")
            code = EXIT_OF_ERROR.get(kind, NOTHING_USABLE)
        except OSError as error:
            say(f"{error.strerror or 'cannot read or write'}: {Path(error.filename).name if error.filename else error}")
            code = USAGE
        raise typer.Exit(code or DONE)

    return run


def _folder_exists(path: Path | None):
    """Found out before the work is done, not after."""
    if path is not None and not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}")
    return path


def file_to_write(text: str):
    """Option for a file that the command makes; its folder must be there."""
    return typer.Option(help=text, callback=_folder_exists, dir_okay=False)


def _file(text, panel=None):
    return typer.Option(help=text, exists=True, dir_okay=False, rich_help_panel=panel)


def _data(text):
    return typer.Option(help=text, rich_help_panel="Data")


ModelName = Annotated[str, typer.Option("--model", help="Name of a shipped model, or a folder that holds model.py.")]
Patients = Annotated[Path | None, _file("patients.csv: one row per patient, covariates.", "Data")]
Labs = Annotated[Path | None, _file("labs.csv: one row per measured value.", "Data")]
Doses = Annotated[Path | None, _file("doses.csv: past doses.", "Data")]
Events = Annotated[Path | None, _file("events.csv: lines of therapy, infusion, progression, death.", "Data")]
EventTable = Annotated[Path | None, _file("NONMEM-style event table instead of the files above.", "Data")]
TimeUnit = Annotated[str | None, _data("Unit of `time` in the files, if not the model's own (h, day, week).")]
AsOf = Annotated[str | None, _data("ISO date that divides past from future in dated files (default: now, UTC).")]
Snapshot = Annotated[bool, _data("The files are the whole record: a row they lack is withdrawn.")]
Seed = Annotated[int, typer.Option(help="Random seed; the same seed gives the same numbers.")]
PopulationFile = Annotated[Path | None, _file("Population posterior; default: the one shipped with the model.")]
ModelOfPopulation = Annotated[
    str | None,
    typer.Option(
        "--model", help="The population's model: a folder that is not shipped, or, without --population, a name."
    ),
]
TwinFile = Annotated[Path, typer.Argument(help="A twin saved by start or update.", exists=True, dir_okay=False)]
PatientKey = Annotated[
    str | None, typer.Option("--patient", help="Study key; not needed where the files hold one patient.")
]
