"""Commands on one patient: `start` a twin, `update` it with newer labs, `forecast` each treatment, `report`."""

import hashlib
from pathlib import Path
from typing import Annotated, Any

import typer

from bayestwin.cli.options import (
    DIAGNOSTICS_FAILED,
    DONE,
    NOTHING_USABLE,
    SOME_REFUSED,
    AllowOlder,
    AsOf,
    Doses,
    Events,
    EventTable,
    Labs,
    ModelOfPopulation,
    Particles,
    PatientKey,
    Patients,
    PopulationFile,
    Seed,
    Snapshot,
    TimeUnit,
    TwinFile,
    _moment,
    discreet,
    file_to_write,
    say,
    usage_error,
)
from bayestwin.cli.populations import usable_population
from bayestwin.cli.reading import one_patient, read_files, tell


def start(
    out: Annotated[Path, file_to_write("Where to save the twin (netCDF).")],
    population: PopulationFile = None,
    model: ModelOfPopulation = None,
    patients: Patients = None,
    labs: Labs = None,
    doses: Doses = None,
    events: Events = None,
    event_table: EventTable = None,
    time_unit: TimeUnit = None,
    as_of: AsOf = None,
    patient: PatientKey = None,
    particles: Particles = 4000,
    feedback: Annotated[
        bool,
        typer.Option(
            help="Let the patient's labs weigh the population draws; without it the posterior is cut, and says so."
        ),
    ] = True,
    accept_failed_fit: Annotated[
        bool,
        typer.Option("--accept-failed-fit", help="Take a fit that failed its diagnostics; the twin says so."),
    ] = False,
    seed: Seed = 1,
):
    """Start a patient's twin as a draw from the population; labs already in the files are learnt at once."""
    from bayestwin.twin import start_twin

    known = usable_population(population, model, accept_failed=accept_failed_fit)
    files = {"patients": patients, "labs": labs, "doses": doses, "events": events, "event_table": event_table}
    reading = read_files(known.model.record_schema(), files, time_unit=time_unit, as_of=as_of)
    tell(reading)
    record = one_patient(reading.cohort, patient)
    how: dict[str, Any] = {"particles": particles, "feedback": feedback, "accept_failed_fit": accept_failed_fit}
    twin = start_twin(known, record, random_seed=seed, **how)
    twin = twin.with_refusals(reading.refusals)
    return _publish(twin, twin.info, out, reading)


def update(
    twin: TwinFile,
    out: Annotated[Path, file_to_write("Where to save the newer twin (netCDF).")],
    population: PopulationFile = None,
    model: ModelOfPopulation = None,
    patients: Patients = None,
    labs: Labs = None,
    doses: Doses = None,
    events: Events = None,
    event_table: EventTable = None,
    time_unit: TimeUnit = None,
    as_of: AsOf = None,
    snapshot: Snapshot = False,
    allow_older: AllowOlder = False,
    seed: Seed = 1,
):
    """Move a twin to newer labs, doses or events; prints how surprising each lab was and how exact the move."""
    files = {"patients": patients, "labs": labs, "doses": doses, "events": events, "event_table": event_table}
    content = _content(twin)
    before, known = _twin(twin, population, model)
    reading = read_files(
        before.model.record_schema(), files, base=before.record, time_unit=time_unit, as_of=as_of, snapshot=snapshot
    )
    tell(reading)
    from bayestwin.cli.surprise_lines import question_line, surprise_line
    from bayestwin.errors import RecordError
    from bayestwin.records.refusal import shown_key

    if not any(count.read for count in reading.files):
        say("Nothing usable: the files hold no row; nothing written.")
        return NOTHING_USABLE
    from bayestwin.twin import update_twin
    from bayestwin.twin.compare import difference

    if not allow_older and (older := reading.older.get(before.key)):
        raise RecordError(
            f"the record is older than the twin; {older}",
            subject=f"patient {shown_key(before.key)}",
            allowed="a snapshot that is newer than the twin, or withdraws that row (status = retracted)",
            next_step="Give the newer files, or --allow-older to go back to these.",
        )

    record = reading.cohort[before.key]
    if known is None and (change := difference(before, record)).taken_away:
        raise usage_error(
            f"The record changed in its past ({change.why}): name --population, to start the twin again from it."
        )
    after, info = update_twin(before, record, random_seed=seed, population=known, allow_older=True)  # refused above
    after, unchanged = after.with_refusals(reading.refusals), after.updates == before.updates
    others = [record.key for record in reading.cohort if record.key != before.key]
    if others:
        say(f"rows of {len(others)} other patients in these files were not used: this twin is {shown_key(before.key)}")
    if unchanged and others:
        say(f"Nothing usable: the files hold no newer row of {shown_key(before.key)}; nothing written.")
        return NOTHING_USABLE
    if unchanged:
        typer.echo("nothing new: the record is the one this twin has seen; its last check was")
    for lab in () if unchanged else info.surprise:
        typer.echo(surprise_line(after.model, lab))
        if question := question_line(after.model, lab):
            say(question)
    if out.exists() and out.samefile(twin) and _content(twin) != content:
        say(f"{twin.name} was replaced by another run while this one worked: nothing written. Run the command again.")
        return NOTHING_USABLE
    return _publish(after, info, out, reading)


def _content(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def forecast(
    twin: TwinFile,
    out: Annotated[Path, file_to_write("Where to save the prognosis (netCDF).")],
    population: PopulationFile = None,
    model: ModelOfPopulation = None,
    treatments: Annotated[
        str | None, typer.Option(help="Names, separated by commas; default: what the model offers.")
    ] = None,
    horizon_months: Annotated[
        float | None,
        typer.Option(help="How far ahead; default 36, or 48 of the model's units of time where it has no endpoint."),
    ] = None,
    courses: Annotated[
        Path | None, file_to_write("Where to write the labs expected, at every time, as a table (CSV).")
    ] = None,
    seed: Seed = 1,
):
    """What may happen under each treatment: chances at the landmarks with their ranges, how treatments compare, and the
    labs expected."""
    from bayestwin.jobs.whole_file import write_whole
    from bayestwin.prognosis import compare_treatments, course_table
    from bayestwin.prognosis import forecast as forecast_twin

    loaded, _ = _twin(twin, population, model)
    wanted = {name.strip(): None for name in treatments.split(",") if name.strip()} if treatments is not None else None
    if horizon_months is None and loaded.model.progression is not None:
        horizon_months = min(36.0, loaded.model.progression.horizon_months)
    prognosis = forecast_twin(loaded, wanted, horizon_months=horizon_months, random_seed=seed)
    typer.echo(discreet(loaded.key, str(prognosis)))
    if len(prognosis.treatments) > 1 and prognosis.landmarks:
        typer.echo(f"\n{compare_treatments(prognosis)}")
    prognosis.save(out)
    typer.echo(f"wrote {out}")
    if courses is not None:
        write_whole(courses, course_table(prognosis).to_csv(index=False))
        typer.echo(f"wrote {courses}")
    return DONE


def report(
    twin: TwinFile,
    prognosis: Annotated[Path, typer.Argument(help="A prognosis saved by forecast.", exists=True, dir_okay=False)],
    folder: Annotated[Path, typer.Option(help="Folder for the report's files.", file_okay=False)],
    population: PopulationFile = None,
    model: ModelOfPopulation = None,
    previous_twin: Annotated[
        Path | None, typer.Option(help="Twin of the last report.", exists=True, dir_okay=False)
    ] = None,
    previous_prognosis: Annotated[
        Path | None, typer.Option(help="Prognosis of the last report.", exists=True, dir_okay=False)
    ] = None,
    number: Annotated[int, typer.Option(help="Which report of this patient: 1, 2, ...", min=1)] = 1,
    as_of: Annotated[
        str | None,
        typer.Option(help="ISO day on which it is read, if the record has dates; default today.", callback=_moment),
    ] = None,
):
    """Write the report of one patient: a self-contained page (HTML) and the same as JSON."""
    from bayestwin.prognosis import load_prognosis
    from bayestwin.records.refusal import shown_key
    from bayestwin.report import write_report
    from bayestwin.report.inputs import gather_report_input
    from bayestwin.twin import load_twin

    if (previous_twin is None) != (previous_prognosis is None):
        raise usage_error("The last report needs both --previous-twin and --previous-prognosis.")
    loaded, known = _twin(twin, population, model)
    now, before = load_prognosis(prognosis, loaded.model), None
    if previous_twin is not None:
        before = load_twin(previous_twin, loaded.model), load_prognosis(previous_prognosis, loaded.model)
        if before[0].key != loaded.key:
            raise usage_error(f"The twin of the last report is of another patient than {shown_key(loaded.key)}.")
    gathered = gather_report_input(loaded, now, population=known, previous=before, report_number=number, as_of=as_of)
    written = write_report(gathered, folder)
    typer.echo(f"{written.status}: wrote {written.path} and {written.json_path}")
    return DIAGNOSTICS_FAILED if written.status == "WITHHELD" else DONE


def _twin(path, population, model):
    """A saved twin and the population posterior it rests on; None for that where it is not at hand.

    An update needs it only for a rebuild from scratch; a posterior other than the twin's own is refused.
    """
    from bayestwin.errors import StoreError
    from bayestwin.population import load_population
    from bayestwin.specification import load_model
    from bayestwin.twin import load_twin

    twin = load_twin(path, load_model(model) if model else None)
    at_hand = population or Path(twin.model.folder) / "population.nc"
    known = load_population(at_hand, twin.model) if at_hand.is_file() else None
    if known is not None and known.hash != twin.population_hash:
        if population is not None:
            raise StoreError(
                "the twin rests on another population posterior",
                subject=f"patient {twin.key}",
                place=population.name,
                value=known.hash[:12],
                allowed=twin.population_hash[:12],
                next_step="Name the one it was started from, or start the twin again.",
            )
        known = None
    return twin, known


def _publish(twin, info, out, reading):
    """Print the numerical check and the data cut; save a twin that passed. One that failed is never written."""
    from bayestwin.prognosis.printed import after_the_cut, data_cut_text
    from bayestwin.twin import save_twin

    typer.echo(f"numerical check: {info.verdict} by {info.path}, {info.seconds:.1f} s")
    k_hat = "not needed (weights are even)" if info.pareto_k == float("-inf") else f"{info.pareto_k:.2f}"
    draws = f"effective population draws {info.ess_population_draws:.1f} of {twin.population.draws}"
    typer.echo(f"  ESS {info.ess:.0f}, Pareto k {k_hat}, {draws}")
    for reason in info.reasons:
        typer.echo(f"  {reason}")
    if info.verdict != "PASS":
        say(f"Nothing written to {out}: a twin that failed its numerical check is not published.")
        return DIAGNOSTICS_FAILED
    typer.echo(f"{data_cut_text(twin.model, twin.time)}; forecasts begin there")
    for line in after_the_cut(twin.model, twin.record, twin.time):
        typer.echo(f"  {line}")
    save_twin(twin, out)
    typer.echo(f"wrote {out}")
    return SOME_REFUSED if reading.refusals else DONE
