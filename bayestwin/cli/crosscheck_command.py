"""The command `crosscheck`: a fit beside the same specification written and sampled in PyMC."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bayestwin.cli.options import (
    DIAGNOSTICS_FAILED,
    DONE,
    NOTHING_USABLE,
    SOME_REFUSED,
    AsOf,
    Doses,
    Events,
    EventTable,
    Labs,
    Patients,
    PriorsFile,
    Seed,
    TimeUnit,
    file_to_write,
    say,
    usage_error,
)
from bayestwin.cli.reading import read_files, tell
from bayestwin.cli.verify_tables import drawn, with_error


def crosscheck(
    population: Annotated[
        Path | None,
        typer.Option(help="Population posterior of `fit`; default: fit it here first.", exists=True, dir_okay=False),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Name of a shipped model, or a folder that holds model.py.")
    ] = None,
    patients: Patients = None,
    labs: Labs = None,
    doses: Doses = None,
    events: Events = None,
    event_table: EventTable = None,
    time_unit: TimeUnit = None,
    as_of: AsOf = None,
    priors: PriorsFile = None,
    sampler: Annotated[str, typer.Option(help="Who samples the PyMC program: pymc, or nutpie (an extra).")] = "pymc",
    chains: Annotated[int, typer.Option(help="Chains of the PyMC program.", min=2)] = 4,
    warmup: Annotated[int, typer.Option(help="Its warm-up draws per chain.", min=100)] = 1000,
    draws: Annotated[int, typer.Option(help="Its kept draws per chain.", min=100)] = 1000,
    out: Annotated[Path | None, file_to_write("CSV file of the table.")] = None,
    seed: Seed = 1,
):
    """Cross-check a fit: the same specification in PyMC, by separate code, agrees or not (exit code 4)."""
    if population is None and model is None:
        raise usage_error("Name the fit (--population), or the model to be fitted here (--model).")
    from bayestwin.errors import FitError
    from bayestwin.evaluation.crosscheck import crosscheck as compare
    from bayestwin.evaluation.crosscheck import refuse_other_fit
    from bayestwin.population import load_population
    from bayestwin.population.crosscheck import SAMPLERS, check_sampler
    from bayestwin.specification import load_model
    from bayestwin.specification.other_priors import read_priors

    if sampler not in SAMPLERS:
        raise usage_error(f"--sampler {sampler}: choose {' or '.join(SAMPLERS)}.")
    try:
        check_sampler(sampler)
    except FitError as error:
        raise usage_error(str(error)) from error
    other = read_priors(priors) if priors else {}
    known = load_population(population, model) if population else None
    used = known.model if known else load_model(model)
    files = {"patients": patients, "labs": labs, "doses": doses, "events": events, "event_table": event_table}
    reading = read_files(used.record_schema(), files, time_unit=time_unit, as_of=as_of)
    tell(reading)
    if not any(record.labs for record in reading.cohort):
        say("Nothing usable: no lab was accepted.")
        return NOTHING_USABLE
    try:  # before the hours of sampling, and not as a comparison that failed
        if known:
            refuse_other_fit(known, used, reading.cohort, other)
    except FitError as error:
        raise usage_error(str(error)) from error
    first = "The PyMC program is sampled" if known else "The fit is sampled first, then the PyMC program"
    say(f"{first}: {chains} chains of {warmup} and {draws} draws. This takes minutes, with many patients hours.")
    asked: dict[str, Any] = {"sampler": sampler, "chains": chains, "tune": warmup, "draws": draws}
    asked |= {"random_seed": seed, "priors": other, "progress": sys.stderr.isatty()}
    found = compare(used, reading.cohort, known, **asked)
    for line in table(found):
        typer.echo(line)
    if out is not None:
        found.table.to_csv(out, index=False)
        typer.echo(f"wrote {out}")
    if found.pymc_diagnostics.reasons:
        say("Longer chains of the PyMC program (--warmup, --draws) may help.")
    if not found.agrees:
        return DIAGNOSTICS_FAILED
    return SOME_REFUSED if reading.refusals else DONE


def table(found):
    """Lines: both posteriors of every population parameter with their Monte Carlo errors, and the result."""
    heads = ["parameter", "mean of the fit", "of PyMC", "z", "SD of the fit", "of PyMC", "z", "adjusted p", "verdict"]
    lines = []
    for row in found.table.itertuples():
        cells = [row.parameter]
        for which in ("mean", "sd"):
            ours, theirs = (
                with_error(getattr(row, f"{whose}{which}"), getattr(row, f"{whose}mcse_{which}"))
                for whose in ("", "pymc_")
            )
            cells += [ours, theirs, f"{getattr(row, f'z_{which}'):.2f}"]
        lines.append([*cells, f"{row.p_adjusted:.2g}", row.verdict])
    yield from drawn(heads, lines)
    yield "Each number with its Monte Carlo error."
    yield f"the fit: {found.population.diagnostics}"
    yield f"PyMC program, sampled by {found.sampler}: {found.pymc_diagnostics}"
    yield ""
    yield found.sentence
