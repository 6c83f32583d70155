"""The command line: commands only, no science (`bayestwin --help` lists them).

Results go to the standard output, progress and remarks to the standard error; patients appear by study key.
Everything heavy is imported inside the command that needs it, so that `--help` answers at once.
"""

import os
from importlib import metadata
from typing import Annotated

import typer

from bayestwin.cli.check_fit_command import check_fit
from bayestwin.cli.cohort_commands import check, demo
from bayestwin.cli.compare_fits_command import compare_fits
from bayestwin.cli.crosscheck_command import crosscheck
from bayestwin.cli.fit_command import fit
from bayestwin.cli.options import OneValueEach, clean_errors
from bayestwin.cli.patient_commands import forecast, report, start, update
from bayestwin.cli.refresh_command import refresh
from bayestwin.cli.replay_command import replay
from bayestwin.cli.response_command import response
from bayestwin.cli.score_commands import scores
from bayestwin.cli.scoreboard_command import scoreboard
from bayestwin.cli.simulate_command import simulate
from bayestwin.cli.store_commands import (
    believed,
    erase,
    history,
    refused,
    store_migrate,
    store_population,
    verify_store,
)
from bayestwin.cli.verify_command import verify_updates
from bayestwin.cli.virtual_trial_command import virtual_trial

app = typer.Typer(
    name="bayestwin",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Bayesian digital twins of patients: a prognosis per treatment, moved lab by lab. Research use only.",
    epilog="Exit codes: 0 done; 1 done, some rows or patients refused; 2 usage error; 3 nothing usable; "
    "4 diagnostics failed, nothing published.",
)

populations = (demo, check, fit, check_fit, compare_fits, crosscheck, simulate, virtual_trial)
patients = (start, update, forecast, report, response, replay, scores, verify_updates)
stores = (store_population, refresh, refused, believed, history, scoreboard, erase, verify_store, store_migrate)
for command in (*populations, *patients, *stores):
    app.command(command.__name__.replace("_", "-"), cls=OneValueEach)(clean_errors(command))


def _print_version(wanted: bool):
    if wanted:
        typer.echo(metadata.version("bayestwin"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
):
    pass


def main():
    """Run the command line; the entry point of the installed program."""
    # Matrices here are small: a second thread of the linear algebra library gains nothing, and beside other work waits
    # by spinning (a fit of the Gaussian process rival took forty times the CPU). Read when NumPy is first imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    app()
