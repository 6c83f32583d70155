"""The command `response`: category by visit, best confirmed response and time to each endpoint of observed patients."""

from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer

from bayestwin.cli.options import (
    DONE,
    NOTHING_USABLE,
    SOME_REFUSED,
    AsOf,
    Doses,
    Events,
    Labs,
    ModelName,
    Patients,
    TimeUnit,
    discreet,
    problem_text,
    say,
    usage_error,
)
from bayestwin.cli.reading import read_files, tell


def response(
    model: ModelName = "myeloma_car_t",
    patients: Patients = None,
    labs: Labs = None,
    doses: Doses = None,
    events: Events = None,
    time_unit: TimeUnit = None,
    as_of: AsOf = None,
    patient: Annotated[list[str] | None, typer.Option("--patient", help="Only these study keys; repeatable.")] = None,
    start: Annotated[
        str | None, typer.Option(help="Count from this treatment or time; default: the latest treatment.")
    ] = None,
    new_therapy: Annotated[str, typer.Option(help="A next therapy: `censor` before it, or `ignore` it.")] = "censor",
    missed_visits: Annotated[
        int, typer.Option(help="Censor what is found after so many missed visits; 0: never.", min=0)
    ] = 0,
    visit_every: Annotated[float, typer.Option(help="Time between scheduled visits, in the model's unit.")] = 28.0,
    deaths_end_response: Annotated[
        str, typer.Option(help="Deaths that end a response: of the `disease`, or `any`.")
    ] = "disease",
    criterion: Annotated[
        list[str] | None,
        typer.Option(help="Option of the model's criteria, NAME=NUMBER (serum_measurable=5); repeatable."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Folder for response.csv and endpoints.csv.", file_okay=False)
    ] = None,
):
    """Observed response and endpoints by the model's criteria, from labs and events; nothing is predicted."""
    from bayestwin.errors import RecordError
    from bayestwin.prognosis import Conventions, response_schema, response_table
    from bayestwin.prognosis.response import check_criteria
    from bayestwin.records.clocks import LONGEST_YEARS
    from bayestwin.specification import load_model
    from bayestwin.units import convert

    if folder is not None:
        inputs = [path for path in (patients, labs, doses, events) if path is not None]
        for result in (folder / name for name in RESULTS):
            if result.exists() and any(result.samefile(path) for path in inputs):
                raise usage_error(
                    f"{result.name} is read by this command and would be replaced: name another --folder."
                )
    known, options = load_model(model), _numbers(criterion)
    if not isfinite(visit_every):
        raise usage_error(f"--visit-every wants a number of {known.time_unit}s (found {visit_every}).")
    try:
        rules = Conventions(new_therapy, missed_visits, visit_every, deaths_end_response)
        check_criteria(known, options)
    except RecordError as problem:
        raise usage_error(str(problem)) from problem
    files = {"patients": patients, "labs": labs, "doses": doses, "events": events}
    reading = read_files(response_schema(known), files, time_unit=time_unit, as_of=as_of)
    tell(reading)
    since: Any = start
    if start is not None and start not in known.treatment_names:
        since = _number(start, f"--start is neither a treatment ({', '.join(known.treatment_names)}) nor a time")
        if abs(since) > convert(LONGEST_YEARS, "year", known.time_unit):
            raise usage_error(f"--start {start} lies more than {LONGEST_YEARS} years from time zero.")
    chosen = [reading.cohort[key] for key in dict.fromkeys(patient)] if patient else list(reading.cohort)
    found, failed = [], []
    for record in chosen:
        try:
            found.append(response_table(known, record, start=since, conventions=rules, **options))
        except RecordError as problem:
            failed.append(record.key)
            say(f"not coded: {problem_text(problem)}")
    if not found:
        say("Nothing usable: no patient has a treatment, or a row after the start, to count from.")
        return NOTHING_USABLE
    typer.echo("\n\n".join(discreet(one.patient, str(one)) for one in found))
    if folder is not None:
        _write(found, folder)
    return SOME_REFUSED if reading.refusals or failed else DONE


RESULTS = ("response.csv", "endpoints.csv")


def _numbers(criteria) -> dict[str, float]:
    """NAME=NUMBER of every option."""
    said = "--criterion wants NAME=NUMBER, as in serum_measurable=5"
    found: dict[str, float] = {}
    for text in criteria or ():
        name, _, value = (part.strip() for part in text.partition("="))
        if name in found:
            raise usage_error(f"--criterion {name} is given twice.")
        found[name] = _number(value, said)
    return found


def _number(text: str, said: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not isfinite(found):
        raise usage_error(f"{said} (found {text!r}).")
    return found


def _write(found, folder: Path) -> None:
    """Both tables of all patients, with the study key in front."""
    import pandas as pd

    from bayestwin.jobs.whole_file import write_whole

    folder.mkdir(parents=True, exist_ok=True)
    for name, frames in (
        (RESULTS[0], [(one.patient, one.to_frame()) for one in found]),
        (RESULTS[1], [(one.patient, one.endpoints_to_frame()) for one in found]),
    ):
        parts = [frame.assign(patient=key) for key, frame in frames if len(frame)]
        whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"patient": []})
        whole = whole[["patient", *(c for c in whole.columns if c != "patient")]]
        typer.echo(f"wrote {write_whole(folder / name, whole.to_csv(index=False))}")
