"""Commands on a store: put a `population` in, ask what was `believed`, `erase`, `verify`."""

import sys
from datetime import UTC
from pathlib import Path
from typing import Annotated

import typer

from bayestwin.cli.options import (
    DONE,
    NOTHING_USABLE,
    ModelOfPopulation,
    Particles,
    PopulationFile,
    Seed,
    StoreUrl,
    _folder_exists,
    _moment,
    say,
    usage_error,
)
from bayestwin.cli.populations import usable_population


def _readable_key(key: str) -> str:
    """A key that no file could hold is a mistake in the command; one that is refused today may be stored already."""
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise usage_error("PATIENT is not UTF-8 text: type the study key as it stands in the files.") from error
    if not key.strip() or "\0" in key:
        raise usage_error("PATIENT is empty or holds control characters: type the study key as it stands in the files.")
    return key


def _new_file(path: Path | None) -> Path | None:
    """What a store hands out never takes the place of a file: it might be the store itself, or a file of it."""
    if _folder_exists(path) is not None and path.exists():
        raise usage_error(f"{path.name} is there already and would be replaced: name a new file for --out.")
    return path


StudyKey = Annotated[str, typer.Argument(metavar="PATIENT", help="Study key.", callback=_readable_key)]
POPULATION_DRAWS = 400
LEAST_PARTICLES = (
    800  # a report needs 400 effective draws, and a twin is moved anew only where fewer than half are left
)
WHAT = {"report": "report", "json": "report_json", "prognosis": "prognosis", "twin": "twin"}


def store_population(
    store: StoreUrl,
    population: PopulationFile = None,
    model: ModelOfPopulation = None,
    files: Annotated[
        Path | None,
        typer.Option(
            help="Folder of draws and reports; default: <store>.files beside an SQLite file.", file_okay=False
        ),
    ] = None,
    encrypt: Annotated[
        bool,
        typer.Option(
            "--encrypt", help="Seal draws and reports with the key of BAYESTWIN_STORE_KEY_FILE (extra crypto)."
        ),
    ] = False,
    particles: Particles = 4000,
    population_draws: Annotated[
        int | None,
        typer.Option(help=f"Population draws under a twin; default: {POPULATION_DRAWS}, or all there are.", min=8),
    ] = None,
    seed: Seed = 1,
):
    """Make a store, or give one a newer population posterior; every twin then rests on it."""
    from bayestwin.jobs.basis import keep_population
    from bayestwin.jobs.publish import publish_all
    from bayestwin.prognosis.quantities import FEWEST_DRAWS
    from bayestwin.store.opening import create_store

    if particles < LEAST_PARTICLES:
        raise usage_error(
            f"--particles {particles}: every report would be withheld, or might be, since one needs 400 effective "
            f"draws; ask for {LEAST_PARTICLES} or more (4000 for chances in steps of 5 points)."
        )
    known = usable_population(population, model)
    there_are = known.posterior.sizes["chain"] * known.posterior.sizes["draw"]
    if population_draws is not None and population_draws > there_are:
        raise usage_error(f"--population-draws {population_draws}: this posterior holds {there_are} draws.")
    sizes = {"particles": particles, "islands": 8, "population_draws": population_draws or POPULATION_DRAWS}
    settings = {"model_name": known.model.name, "seed": seed, "sizes": sizes}
    opened = create_store(store, files=files, settings=settings, encrypt=encrypt)
    place = str(Path(model).absolute()) if model and (Path(model) / "model.py").is_file() else known.model.name
    new = keep_population(opened, known, model_text=place)
    if new:
        publish_all(opened)  # reports that rest on the one before say so from now on
    kept = {name: opened.settings[name] for name in ("seed", "sizes")}
    if kept != {"seed": seed, "sizes": sizes}:
        say(f"Note: this store was made with seed {kept['seed']} and {kept['sizes']}; they stay.")
    if opened.files.cipher:
        say(
            "Note: draws and reports are sealed; the tables of the database hold labs, doses, events and reasons in "
            "plain text: encrypt its disk."
        )
    if (usual := kept["sizes"]["population_draws"]) > there_are:
        say(
            f"Note: twins rest on all {there_are} draws of this posterior, fewer than {usual}. A report gives no "
            f"range of knowledge where the weight of fewer than {FEWEST_DRAWS:.0f} draws is left after the labs."
        )
    typer.echo(f"{'now rests on' if new else 'rests on this population already:'} {known!r}")
    return DONE


def refused(
    store: StoreUrl,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the table to this file; default: the standard output.", callback=_new_file),
    ] = None,
):
    """Every row of every file that was not used, with its place and reason, as a CSV table."""
    from bayestwin.jobs.ask_store import refused_table
    from bayestwin.store.opening import open_store

    table = refused_table(open_store(store))
    table.to_csv(out or sys.stdout, index=False)
    say(f"{len(table)} rows refused since the store was made" + (f"; wrote {out}" if out else ""))
    return DONE


def believed(
    patient: StudyKey,
    store: StoreUrl,
    on: Annotated[str, typer.Option(help="ISO date (end of that day, UTC) or moment.", callback=_moment)],
    what: Annotated[str, typer.Option(help="report, json, prognosis or twin.")] = "json",
    out: Annotated[
        Path | None,
        typer.Option(help="Write it to this file; default: the standard output.", callback=_new_file),
    ] = None,
):
    """What did we believe on this date? The stored answer, byte for byte."""
    if what not in WHAT:
        raise usage_error(f"--what {what}: choose one of {', '.join(WHAT)}.")
    from bayestwin.jobs.ask_store import believed as ask
    from bayestwin.store.opening import open_store

    answer = ask(open_store(store), patient, on, what=WHAT[what])
    say(f"stored {_utc(answer.outcome.at)}; object {answer.outcome.objects[WHAT[what]][:12]}")
    if answer.note:
        say(answer.note)
    if out:
        out.write_bytes(answer.data)
        typer.echo(f"wrote {out}")
    else:
        sys.stdout.buffer.write(answer.data)
    return DONE


def history(patient: StudyKey, store: StoreUrl):
    """Everything that was published, held back or failed for a patient, and when."""
    from bayestwin.jobs.ask_store import history as ask
    from bayestwin.store.opening import open_store

    opened = open_store(store)
    outcomes = ask(opened, patient)
    say(f"mark {opened.mark(patient)} in the audit log")
    for outcome in outcomes:
        facts = outcome.facts
        parts = [f"{outcome.status:9}", _utc(outcome.at), f"record {outcome.state_hash[:12]}"]
        if "labs" in facts:
            parts.append(f"{facts['labs']} labs, {facts['new_labs']} new, by {facts['path']}, ESS {facts['ess']:.0f}")
        if facts.get("chance") is not None:
            parts.append(_main_chance(facts))
        typer.echo("  ".join([*parts, outcome.reason]).rstrip())
    return DONE


def _main_chance(facts) -> str:
    """The 12-month chance of a report with its Monte Carlo error, which old stores did not keep."""
    *_, error = facts.get("chances", {}).get(facts["treatment"], (None,))
    said = f"{facts['treatment']}: {100 * facts['chance']:.0f} in 100 at 12 months"
    return said if error is None else f"{said} (Monte Carlo error {100 * error:.1f})"


def erase(
    patient: StudyKey,
    store: StoreUrl,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
):
    """Remove a patient's rows, draws and reports for good; an audit line stays."""
    from bayestwin.jobs.ask_store import erase as erase_patient
    from bayestwin.store.opening import open_store

    opened = open_store(store)
    if not yes:
        if not typer.confirm("This cannot be undone. Remove all of this patient?", err=True):
            say("Nothing was erased.")
            return DONE
    number = erase_patient(opened, patient)
    typer.echo(f"erased: {number} files and all rows; an audit line stays. Backups and mailed reports are not reached.")
    return DONE


def verify_store(
    store: StoreUrl,
    head: Annotated[str, typer.Option(help="Last hash of the audit log, noted at an earlier time.")] = "",
):
    """Check the audit log's chain, every file against its checksum, every record against itself."""
    from bayestwin.jobs.verify_records import damaged_records
    from bayestwin.store.opening import open_store
    from bayestwin.store.verify import verify_store as verify

    opened = open_store(store)
    found = verify(opened, head=head)
    problems = [*found.problems, *(damaged_records(opened) if found.records_readable else ())]
    for problem in problems:
        typer.echo(f"problem: {problem}")
    for name in found.orphans:
        typer.echo(f"note: a file that no row speaks of (left by a killed run; the same update takes it up): {name}")
    typer.echo(f"{found.objects} files and {found.lines} audit lines checked, {len(problems)} problems")
    typer.echo(f"audit head {found.head}\ncontent {found.digest}")
    return NOTHING_USABLE if problems else DONE


def store_migrate(store: StoreUrl):
    """Bring a store that an older bayestwin made to this program's schema; copy it first."""
    from bayestwin.store.opening import migrate_store

    before, after = migrate_store(store)
    typer.echo(f"schema {before}: nothing to do" if before == after else f"schema {before} is now {after}")
    return DONE


def _utc(moment) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
