"""The command `replay`: every lab of many patients forecast before it is learnt, beside rivals that do the same."""

import json
import sys
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
    EventTable,
    Labs,
    ModelOfPopulation,
    Particles,
    Patients,
    PopulationFile,
    Seed,
    TimeUnit,
    a_time,
    discreet,
    file_to_write,
    say,
    usage_error,
)
from bayestwin.cli.populations import usable_population
from bayestwin.cli.reading import TABLES, add_recognised, read_files, tell
from bayestwin.errors import HIDDEN_KEY


def replay(
    out: Annotated[Path, file_to_write("Where to write predictions.csv; rivals and provenance go beside it.")],
    population: PopulationFile = None,
    model: ModelOfPopulation = None,
    patients: Patients = None,
    labs: Labs = None,
    doses: Doses = None,
    events: Events = None,
    event_table: EventTable = None,
    time_unit: TimeUnit = None,
    as_of: AsOf = None,
    patient: Annotated[list[str] | None, typer.Option("--patient", help="Only these study keys; repeatable.")] = None,
    reveal_until: Annotated[
        float | None,
        typer.Option(help="Learn only labs up to this time (the model's unit) and forecast the rest.", callback=a_time),
    ] = None,
    doses_known_until: Annotated[
        float | None, typer.Option(help="Hide doses after this time.", callback=a_time)
    ] = None,
    rivals: Annotated[bool, typer.Option("--rivals", help="Let rival forecasters go through the same labs.")] = False,
    training: Annotated[
        Path | None,
        typer.Option(
            help="Tables the population was fitted from, for the rivals: a folder, or one event table.", exists=True
        ),
    ] = None,
    layers: Annotated[
        bool,
        typer.Option("--layers", help="Three twins: labs of a registry, of routine care, of a research laboratory."),
    ] = False,
    further_labs: Annotated[
        list[Path] | None,
        typer.Option(help="A further file of labs, read as one table with --labs; repeatable.", exists=True),
    ] = None,
    particles: Particles = 4000,
    seed: Seed = 1,
):
    """Forecast every lab before it is learnt, panel by panel, and write predictions.csv.

    With --layers the same markers are forecast by three twins, which learn the labs of a registry, of routine care and
    of a research laboratory; each writes a file of its own, and their scores stand beside each other.
    """
    if layers and (rivals or reveal_until is not None or doses_known_until is not None):
        raise usage_error("--layers goes with none of --rivals, --reveal-until, --doses-known-until.")
    if rivals and training is None:
        raise usage_error("--rivals needs --training: the tables that the population was fitted from.")
    from bayestwin.jobs.replay import provenance, replay_cohort, write_replay

    known = usable_population(population, model)
    schema = known.model.record_schema()
    every = [*([labs] if labs else []), *(further_labs or [])]
    files = {"patients": patients, "labs": every or None, "doses": doses, "events": events, "event_table": event_table}
    reading = read_files(schema, files, time_unit=time_unit, as_of=as_of)
    tell(reading)
    cohort = _chosen(reading.cohort, patient)
    if not any(record.labs for record in cohort):
        say("Nothing usable: no lab was accepted.")
        return NOTHING_USABLE
    if layers:
        return _layers(known, cohort, out, seed, particles, reading)
    limits: dict[str, Any] = {"reveal_until": reveal_until, "doses_known_until": doses_known_until}
    fitted, of_events = _rivals(known, schema, training, reveal_until, time_unit, as_of) if rivals else ((), None)
    common: dict[str, Any] = {"random_seed": seed, "particles": particles, **limits}
    found = replay_cohort(known, cohort, rivals=fitted, event_rival=of_events, progress=sys.stderr.isatty(), **common)
    said = provenance(known, cohort, **common, rivals=[r.name for r in (*fitted, of_events) if r is not None])
    for key, why in found.failed.items():
        say(_not_replayed(key, why))
    if found.unforecast:
        number = sum(found.unforecast.values())
        say(
            f"no forecast of {number} labs: with them came what changed the past (a correction, a treatment known late)"
        )
    if not found.rows:
        say(f"Nothing to predict; nothing written to {out}.")
        return NOTHING_USABLE
    for path in write_replay(found, out, said):
        typer.echo(f"wrote {path}")
    _summary(found, seed, reveal_until)
    return SOME_REFUSED if reading.refusals or found.failed else DONE


def _not_replayed(key: str, why: str) -> str:
    """Why a patient was left out; an error names the patient itself, others do not."""
    return "not replayed: " + discreet(key, why if key in why or HIDDEN_KEY in why else f"patient {key}: {why}")


def _layers(known, cohort, out, seed, particles, reading):
    """Replay by layers: a file of predictions per layer, their scores beside each other."""
    from bayestwin.evaluation import predictions_frame
    from bayestwin.evaluation.layers import layer_table
    from bayestwin.jobs.replay import provenance, replay_layers
    from bayestwin.jobs.whole_file import write_whole

    rows, failed = replay_layers(known, cohort, random_seed=seed, progress=sys.stderr.isatty(), particles=particles)
    for key, why in failed.items():
        say(_not_replayed(key, why))
    if not any(rows.values()):
        say(f"Nothing to predict; nothing written to {out}.")
        return NOTHING_USABLE
    for layer, found in rows.items():
        path = out.with_name(f"{out.stem}_{layer}{out.suffix}")
        typer.echo(f"wrote {write_whole(path, predictions_frame(found).to_csv(index=False))}")
        withheld = sum(row["verdict"] != "PASS" for row in found)
        if withheld:
            say(f"{layer}: {withheld} of {len(found)} labs were forecast by a twin whose numerical check failed")
    said = provenance(known, cohort, random_seed=seed, particles=particles, layers=list(rows)) | {"failed": failed}
    typer.echo(f"wrote {write_whole(out.with_suffix('.provenance.json'), json.dumps(said, indent=1, sort_keys=True))}")
    typer.echo(layer_table(rows, random_seed=seed).to_string(index=False, float_format="{:.3f}".format))
    return SOME_REFUSED if reading.refusals or failed else DONE


def _chosen(cohort, keys):
    """The patients of these keys, or all."""
    if not keys:
        return cohort
    from bayestwin.records import Cohort

    return Cohort(tuple(cohort[key] for key in dict.fromkeys(keys)))


def _rivals(known, schema, training, reveal_until, time_unit, as_of):
    """Rivals for labs, and one for events or None, fitted on the patients that the population was fitted on."""
    from bayestwin.errors import FitError
    from bayestwin.evaluation.event_replay import landmark_months
    from bayestwin.evaluation.rivals import fit_landmark_cox, fit_rivals
    from bayestwin.jobs.replay import training_part
    from bayestwin.units import convert

    files: dict = dict.fromkeys(TABLES)
    add_recognised(files, training)
    reading = read_files(schema, files, time_unit=time_unit, as_of=as_of)
    tell(reading)
    cohort = training_part(known, reading.cohort)
    fitted, of_events = tuple(fit_rivals(known.model, known, cohort, reveal_until=reveal_until).values()), None
    months, unit = landmark_months(known.model), known.model.time_unit
    if months and reveal_until is None:
        try:
            of_events = fit_landmark_cox(known.model, cohort, horizon=convert(max(months), "month", unit))
        except FitError as error:
            say(f"no rival for events: {error}")
    return fitted, of_events


def _summary(found, seed, reveal_until):
    """Scores of the twin, and against the best rival."""
    from bayestwin.evaluation import score_predictions

    frame = found.frame()
    table = score_predictions(frame, random_seed=seed)
    typer.echo(table.to_string(index=False, float_format="{:.3f}".format))
    withheld = int((frame["verdict"] != "PASS").sum())
    if withheld:
        say(f"{withheld} of {len(frame)} labs were forecast by a twin whose numerical check failed (verdict WITHHELD)")
    if found.rivals:
        from bayestwin.evaluation.comparison import compare_forecasters

        whole = found.rivals_frame()
        rivals = {name: part.drop(columns="forecaster") for name, part in whole.groupby("forecaster", sort=False)}
        typer.echo(compare_forecasters(frame, rivals, random_seed=seed, reveal_until=reveal_until).headline)
    if found.events:
        from bayestwin.evaluation.event_replay import TWIN
        from bayestwin.evaluation.rivals import compare_events

        typer.echo("Brier score of no progression or death (rival - twin: positive, the twin is better):")
        table = compare_events(found.events, twin=TWIN, random_seed=seed)
        typer.echo(table.to_string(index=False, float_format="{:.3f}".format))
