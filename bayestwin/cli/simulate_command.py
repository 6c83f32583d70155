"""The command `simulate`: outputs of a model for given parameters and doses, row by row of an event table."""

import csv
import io
from pathlib import Path
from typing import Annotated

import typer

from bayestwin.cli.options import (
    DONE,
    NOTHING_USABLE,
    SOME_REFUSED,
    ModelName,
    TimeUnit,
    file_to_write,
    say,
    usage_error,
)


def simulate(
    model: ModelName,
    parameters: Annotated[
        Path,
        typer.Option(
            help="values.csv: parameter, value (natural scale), ID if they differ.", exists=True, dir_okay=False
        ),
    ],
    events: Annotated[
        Path,
        typer.Option(help="Event table: ID, TIME, EVID, AMT, CMT, RATE, ADDL, II, SS ...", exists=True, dir_okay=False),
    ],
    out: Annotated[Path, file_to_write("Where to write ID, TIME and the outputs of every observation row.")],
    time_unit: TimeUnit = None,
    lag_and_bioavailability_of: Annotated[
        list[str] | None,
        typer.Option(help="Compartment whose doses LAGT and BIOAV speak of (F2 = BIOAV); repeatable; default all."),
    ] = None,
):
    """Simulate an event table with given parameters: no data, no random error."""
    from bayestwin.errors import RecordError
    from bayestwin.individual.simulate import NotSolved, drift_steps, parameter_bounds, simulate_outputs
    from bayestwin.jobs.whole_file import write_whole
    from bayestwin.records.parameter_values import EVERYBODY, read_parameter_values, values_of
    from bayestwin.records.refusal import shown_key
    from bayestwin.records.schedule import read_schedule
    from bayestwin.specification import load_model

    known = load_model(model)
    steps = drift_steps(known)
    values = read_parameter_values(parameters, parameter_bounds(known), steps)
    schema, only = known.record_schema(), tuple(lag_and_bioavailability_of or ())
    if unknown := [name for name in only if name not in schema.compartments]:
        raise usage_error(f"{unknown[0]} is no compartment of {known.name}: {', '.join(schema.compartments)}.")
    schedule = read_schedule(events, schema, time_unit=time_unit, lag_and_bioavailability_of=only)
    for refusal in schedule.refusals:
        say(f"refused: {refusal}")
    for note in schedule.notes:
        say(f"note: {note}")
    # rows of values.csv that nobody of the table has; an ID whose rows were refused is said already
    strangers = values.keys() - {EVERYBODY, *schedule.doses, *schedule.set_aside}
    if strangers:
        ids = ", ".join(shown_key(key) for key in values if key in strangers)
        say(f"not used: rows of {parameters.name} for ID {ids}, of whom {events.name} has no row")
    failed, found = list(schedule.set_aside), {}
    for key, doses in schedule.doses.items():
        asked = [(one.time, one.row) for one in schedule.asked if one.id == key]
        try:
            mine = values_of(values, key, known.parameter_names, steps)
            outputs = simulate_outputs(known, mine, doses, asked, occasions=schedule.occasions.get(key, ()))
        except (NotSolved, RecordError) as problem:
            say(f"not simulated: ID {shown_key(key)}: {problem}")
            failed.append(key)
            continue
        found[key] = iter(outputs)
    if failed:
        say(f"not simulated, and not in {out.name}: ID {', '.join(map(shown_key, failed))}")
    rows = [(one, next(found[one.id])) for one in schedule.asked if one.id in found]
    if not rows:
        say(f"Nothing to simulate; nothing written to {out}.")
        return NOTHING_USABLE
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\r\n")
    writer.writerow(["ID", "TIME", *known.outputs])
    writer.writerows([one.id, one.written, *(f"{v:.12g}" for v in outputs)] for one, outputs in rows)
    write_whole(out, table.getvalue())
    typer.echo(f"wrote {out}")
    return SOME_REFUSED if failed or strangers or schedule.refusals else DONE
