"""Options that several commands share, exit codes, and how a problem reaches the person at the screen."""

import errno
import functools
import linecache
import os
import traceback
from math import isfinite
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

from bayestwin.errors import BayestwinError, ModelError

DONE, SOME_REFUSED, USAGE, NOTHING_USABLE, DIAGNOSTICS_FAILED = 0, 1, 2, 3, 4
INTERRUPTED = 130  # as a shell tells it: 128 and the number of the signal
EXIT_OF_ERROR = {
    "ModelError": USAGE,
    "RecordError": NOTHING_USABLE,
    "StoreError": NOTHING_USABLE,
    "StoreOptionError": USAGE,
    "FitError": DIAGNOSTICS_FAILED,
    "FitOptionError": USAGE,
}
FREE_SPACE = "Free some space there and run the command again."
ANOTHER_FOLDER = "Name a place that can be written to."
NEXT_STEP = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), FREE_SPACE),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), ANOTHER_FOLDER),
    errno.ENAMETOOLONG: "Name a shorter one.",
}


def say(text: str = "") -> None:
    """A remark for the person at the screen, kept out of the results."""
    typer.echo(text, err=True)


def usage_error(text: str) -> typer.Exit:
    """Say what is wrong with the command as typed; raise what comes back."""
    say(text)
    return typer.Exit(USAGE)


def discreet(key: str, text: str) -> str:
    """A text about a patient, fit for the screen: a key that looks like a person is not repeated."""
    from bayestwin.records.refusal import shown_key

    return text.replace(key, shown_key(key)) if key else text


def problem_text(error: BayestwinError) -> str:
    """What an error says, fit for the screen."""
    kind, _, key = error.subject.partition(" ")
    return discreet(key if kind == "patient" else "", str(error))


class OneValueEach(TyperCommand):
    """A command that refuses an option named twice: the last would count, and the first file be lost in silence."""

    def parse_args(self, ctx, args):
        """Arguments as Typer reads them, once each option has been counted."""
        typed = args[: args.index("--")] if "--" in args else args
        for option in self.params:
            names = [name for name in option.opts if name.startswith("--")]
            if option.param_type_name != "option" or option.is_flag or option.multiple:
                continue
            count = sum(word in names or any(word.startswith(f"{name}=") for name in names) for word in typed)
            if count > 1:
                raise usage_error(
                    f"{names[0]} is given {count} times and takes one value. Put the rows of several files into one; "
                    "`refresh` and `read_records` in a notebook read several files of a kind."
                )
        return super().parse_args(ctx, args)


def clean_errors(command):
    """Run a command; a problem that the user can mend is one message and an exit code, never a traceback."""

    @functools.wraps(command)
    def run(*args, **options):
        from bayestwin.jobs.compilation_cache import use_compilation_cache

        try:
            _keep_inputs(command.__name__, options)
            use_compilation_cache()
            code = command(*args, **options)
        except BayestwinError as error:
            say(problem_text(error))
            if isinstance(error, ModelError) and (place := _line_of_model_file(error)) and "model.py" not in str(error):
                say(f"It stands at {place}")
            code = EXIT_OF_ERROR.get(type(error).__name__, NOTHING_USABLE)
        except OSError as error:
            say(_trouble(error, options.get("out") or options.get("folder")))
            code = USAGE
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except KeyboardInterrupt:
            say("Stopped by Ctrl-C: what was being made was not written.")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if os.environ.get("BAYESTWIN_TRACEBACK"):
                raise
            if place := _line_of_model_file(error):
                say(f"The model file stopped with {type(error).__name__} at {place}")
                say("What it calculates is written with jax.numpy (docs/model_language.md). Nothing was written.")
                raise typer.Exit(USAGE) from None
            say(f"A fault in bayestwin ({type(error).__name__} in `{command.__name__}`); nothing was published.")
            say("Please report it, with what BAYESTWIN_TRACEBACK=1 prints: it may hold values of a patient.")
            code = DIAGNOSTICS_FAILED
        raise typer.Exit(code or DONE)

    return run


def _line_of_model_file(error: BaseException) -> str:
    """The last line of a model's own folder that an error came through; "" where it came through none."""
    from bayestwin.specification.load import PACKAGE

    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__", "").startswith(PACKAGE):
            code = frame.f_code
            text = linecache.getline(code.co_filename, line).strip()
            found = f"{Path(code.co_filename).name} line {line}, in {code.co_name}: {text}"
    return found


def _trouble(error: OSError, out: Path | None) -> str:
    """What the system says, of which file, and what to do; a full disk does not say the file: it is `out`, if any."""
    name = Path(os.fsdecode(error.filename)).name if isinstance(error.filename, str | bytes) else out and out.name
    said = error.strerror or "cannot read or write"
    return " ".join(filter(None, (f"{said}: {name}." if name else f"{said}.", NEXT_STEP.get(error.errno or 0))))


RESULTS = ("out", "courses")  # options that name a file to write


def _keep_inputs(command: str, options: dict) -> None:
    """A result never replaces a file it was made from, nor another; only `update` may write a twin over its older
    self."""
    results = {name: options[name] for name in RESULTS if options.get(name) is not None}
    given = {k: v for k, v in options.items() if k not in results and not (command == "update" and k == "twin")}
    inputs = [p for v in given.values() for p in (v if isinstance(v, list) else [v]) if isinstance(p, Path)]
    tables = [inside for p in inputs if p.is_dir() for inside in p.glob("*.csv")]
    for name, path in results.items():
        if path.exists() and any(p.exists() and path.samefile(p) for p in (*inputs, *tables)):
            raise usage_error(
                f"{path.name} is read by this command and would be replaced: name another file for --{name}."
            )
        if any(path.resolve() == other.resolve() for key, other in results.items() if key != name):
            raise usage_error(f"{path.name} is named for two results: name another file for --{name}.")


def _folder_exists(path: Path | None):
    """Found out before the work is done, not after."""
    if path is None:
        return path
    try:
        path.exists()
    except OSError as error:
        raise typer.BadParameter(_trouble(error, path)) from error
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise typer.BadParameter(f"the folder {path.parent} cannot be written to")
    return path


def a_time(number: float | None):
    """Times that options name are numbers; nan compares with nothing, and so would hide nothing."""
    if number is not None and not isfinite(number):
        raise typer.BadParameter(f"{number} is no time")
    return number


def _islands_of_eight(particles: int):
    if particles % 8:
        raise typer.BadParameter(f"{particles} is not a multiple of 8: take {particles // 8 * 8 or 8}")
    return particles


def _moment(text: str | None):
    from bayestwin.errors import RecordError
    from bayestwin.records.clocks import parse_as_of

    try:
        parse_as_of(text)
    except RecordError as error:
        raise typer.BadParameter(str(error)) from error
    return text


def _unit_of_time(text: str | None):
    from bayestwin.units import time_word

    if text is not None and time_word(text) is None:
        raise typer.BadParameter(f"'{text}' is no unit of time: h, day, week or month")
    return text


def file_to_write(text: str):
    """Option for a file that the command makes; its folder must be there."""
    return typer.Option(help=text, callback=_folder_exists, dir_okay=False)


def folder_to_write(text: str):
    """Option for a folder that the command makes or fills; the folder around it must be there."""
    return typer.Option(
        help=text, callback=lambda path: path if path and path.is_dir() else _folder_exists(path), file_okay=False
    )


def path_to_write(text: str):
    """Option for a file or a folder that the command makes; the folder around it must be there."""
    return typer.Option(help=text, callback=_folder_exists)


def _file(text, panel=None):
    return typer.Option(help=text, exists=True, dir_okay=False, rich_help_panel=panel)


def _data(text, check=None):
    return typer.Option(help=text, rich_help_panel="Data", callback=check)


ModelName = Annotated[str, typer.Option("--model", help="Name of a shipped model, or a folder that holds model.py.")]
Patients = Annotated[Path | None, _file("patients.csv: one row per patient, covariates.", "Data")]
Labs = Annotated[Path | None, _file("labs.csv: one row per measured value.", "Data")]
Doses = Annotated[Path | None, _file("doses.csv: past doses.", "Data")]
Events = Annotated[Path | None, _file("events.csv: lines of therapy, infusion, progression, death.", "Data")]
EventTable = Annotated[Path | None, _file("NONMEM-style event table instead of the files above.", "Data")]
TimeUnit = Annotated[
    str | None, _data("Unit of `time` in the files, if not the model's own (h, day, week).", _unit_of_time)
]
AsOf = Annotated[
    str | None, _data("ISO date that divides past from future in dated files (default: now, UTC).", _moment)
]
Snapshot = Annotated[bool, _data("The files are the whole record: a row they lack is withdrawn.")]
AllowOlder = Annotated[
    bool, _data("Go back where a snapshot lacks what became known after every row of it, as an older file does.")
]
Seed = Annotated[int, typer.Option(help="Random seed; the same seed gives the same numbers.", min=0, max=2**32 - 1)]
Particles = Annotated[
    int,
    typer.Option(
        help="Particles in all, in 8 islands: a multiple of 8.", min=80, max=1_000_000, callback=_islands_of_eight
    ),
]
PopulationFile = Annotated[Path | None, _file("Population posterior; default: the one shipped with --model.")]
ModelOfPopulation = Annotated[
    str | None,
    typer.Option(
        "--model", help="The population's model: a folder that is not shipped, or, without --population, a name."
    ),
]
PriorsFile = Annotated[
    Path | None,
    typer.Option(
        "--priors",
        help="TOML file of priors that take the place of the model file's; see docs/model_language.md.",
        exists=True,
        dir_okay=False,
    ),
]
TwinFile = Annotated[Path, typer.Argument(help="A twin saved by start or update.", exists=True, dir_okay=False)]
PatientKey = Annotated[
    str | None, typer.Option("--patient", help="Study key; not needed where the files hold one patient.")
]
StoreUrl = Annotated[
    str,
    typer.Option(
        "--store",
        help="An SQLite file, or postgresql://user@host/database.",
        envvar="BAYESTWIN_STORE",
        show_envvar=True,
    ),
]
