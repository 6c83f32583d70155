"""The command `verify-updates`: one posterior reached in six ways, or many simulated patients beside a reference."""

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
    Particles,
    PatientKey,
    Patients,
    PopulationFile,
    Seed,
    TimeUnit,
    a_time,
    path_to_write,
    say,
    usage_error,
)
from bayestwin.cli.populations import shipped_population, usable_population
from bayestwin.cli.reading import one_patient, read_files, tell

POPULATION_DRAWS = 400
ONE, MANY = "One patient", "Simulated patients"


def _of(panel, text, **limits):
    return typer.Option(help=text, rich_help_panel=panel, **limits)


def verify_updates(
    population: PopulationFile = None,
    model: Annotated[
        str | None, typer.Option("--model", help="The population's model: a shipped name or a folder with model.py.")
    ] = None,
    patients: Patients = None,
    labs: Labs = None,
    doses: Doses = None,
    events: Events = None,
    event_table: EventTable = None,
    time_unit: TimeUnit = None,
    as_of: AsOf = None,
    patient: PatientKey = None,
    until: Annotated[
        float | None, _of(ONE, "Labs and events up to this time only (the model's unit).", callback=a_time)
    ] = None,
    labs_at_most: Annotated[int | None, _of(ONE, "Only the first so many labs.", min=2)] = None,
    parameters: Annotated[
        str | None, _of(ONE, "Names, separated by commas; default: the three whose posterior SD shrank most.")
    ] = None,
    output: Annotated[
        str | None, _of(ONE, "The output whose next lab is forecast; default: the model's first that was measured.")
    ] = None,
    forecast_at: Annotated[
        float | None, _of(ONE, "Time of that lab; default: one median gap after the record's end.", callback=a_time)
    ] = None,
    patients_simulated: Annotated[
        int | None, _of(MANY, "Simulate so many patients of the model instead of reading files.", min=1)
    ] = None,
    reference_particles: Annotated[int, _of(MANY, "Particles of the from-scratch reference.", min=800)] = 100_000,
    visits: Annotated[int, _of(MANY, "Visits of a simulated patient.", min=2)] = 8,
    particles: Particles = 4000,
    islands: Annotated[int, typer.Option(help="Islands that are resampled separately.", min=4)] = 8,
    population_draws: Annotated[
        int | None,
        typer.Option(help=f"Population draws under every twin; default: {POPULATION_DRAWS}, or all there are.", min=10),
    ] = None,
    out: Annotated[
        Path | None,
        path_to_write(
            "One patient: CSV file of the table; comparisons and provenance go beside it. Simulated patients: folder "
            "of results, in which a stopped run goes on."
        ),
    ] = None,
    seed: Seed = 1,
):
    """Prove updates: however labs arrived, the posterior is the batch posterior (exit code 4 where it is not)."""
    files = {"patients": patients, "labs": labs, "doses": doses, "events": events, "event_table": event_table}
    sizes = {"particles": particles, "islands": islands, "population_draws": population_draws or POPULATION_DRAWS}
    if particles % islands:
        raise usage_error(f"--particles {particles} is not a multiple of --islands {islands}.")
    if patients_simulated is None:
        limits = {"until": until, "labs_at_most": labs_at_most}
        asked = {"parameters": _names(parameters), "output": output, "forecast_at": forecast_at, "random_seed": seed}
        reading = {"time_unit": time_unit, "as_of": as_of}
        wanted = population_draws is not None
        return _one_patient(population, model, files, reading, patient, limits, asked | sizes, out, wanted)
    alone = {"--patient": patient, "--until": until, "--labs-at-most": labs_at_most, "--parameters": parameters}
    alone |= {"--output": output, "--forecast-at": forecast_at} | {
        f"--{k}".replace("_", "-"): v for k, v in files.items()
    }
    given = [name for name, value in alone.items() if value is not None]
    if given:
        raise usage_error(f"--patients-simulated makes its own patients: leave out {', '.join(given)}.")
    if population is None and model is None:
        raise usage_error("--patients-simulated needs --model, or a --population.")
    sizes |= {"reference_particles": reference_particles, "visits": visits, "random_seed": seed}
    return _simulated(population, model, patients_simulated, sizes, out, population_draws is not None)


def _one_patient(population, model, files, how, patient, limits, asked, out, wanted):
    """Six ways to one patient's posterior."""
    if out is not None and out.is_dir():
        raise usage_error(f"--out {out.name} is a folder: name a CSV file for the table.")
    from bayestwin.cli.verify_tables import one_patient_table
    from bayestwin.evaluation.verification import first_part, verify_patient
    from bayestwin.jobs import killed
    from bayestwin.jobs.verify_patient import write_verification
    from bayestwin.records.refusal import shown_key

    known = usable_population(population, model)
    _check_names(known.model, asked)
    _check_draws(known, asked["population_draws"], wanted)
    reading = read_files(known.model.record_schema(), files, **how)
    tell(reading)
    record = first_part(one_patient(reading.cohort, patient), **limits)
    sizes = f"{asked['particles']} particles in {asked['islands']} islands"
    say(f"patient {shown_key(record.key)}: {len(record.labs)} labs, {sizes}")
    begun = (lambda row: say(f"  {row} ...")) if sys.stderr.isatty() else (lambda row: None)
    found = verify_patient(known, record, resume=killed.killed_and_resumed, began=begun, **asked)
    for line in one_patient_table(found):
        typer.echo(line)
    if out is not None:
        for path in write_verification(found, known, record, out, limits | asked):
            typer.echo(f"wrote {path}")
    if not found.equal:
        return DIAGNOSTICS_FAILED
    return SOME_REFUSED if reading.refusals else DONE


def _simulated(population, model, count, asked, out, wanted):
    """Many simulated patients against a reference."""
    if out is not None and out.is_file():
        raise usage_error(f"--out {out.name} is a file: name a folder for the results.")
    from bayestwin.cli.verify_tables import proof_table
    from bayestwin.evaluation.verification.simulated import refuse_unmeasured
    from bayestwin.jobs.verify_simulated import verify_cohort

    known = _population_of(population, model, asked)
    refuse_unmeasured(known.model)
    _check_draws(known, asked["population_draws"], wanted)
    proof = verify_cohort(known, count, folder=out, progress=sys.stderr.isatty(), **asked)
    for key, why in proof.failed.items():
        say(f"not computed: {key}: {why}")
    if proof.rows.empty:
        say("Nothing to compare: no simulated patient could be computed.")
        return NOTHING_USABLE
    for line in proof_table(proof):
        typer.echo(line)
    if out is not None:
        typer.echo(f"wrote {out}")
    if proof.missed:
        return DIAGNOSTICS_FAILED
    return SOME_REFUSED if proof.failed else DONE


def _population_of(population, model, asked):
    """The population named, the one shipped with the model, or draws of the model's own priors; said which."""
    if population is not None or shipped_population(model).is_file():
        return usable_population(population, model)
    from bayestwin.population import prior_population
    from bayestwin.specification import load_model

    say("Note: no fitted population; patients and twins rest on draws of the model's own priors")
    common: dict[str, Any] = {"draws": asked["population_draws"], "random_seed": asked["random_seed"]}
    return prior_population(load_model(model), **common)


def _check_names(model, asked) -> None:
    """Parameters and output are the model's, and the next lab is expected while somebody may live."""
    from bayestwin.records.clocks import LONGEST_YEARS
    from bayestwin.units import convert

    outputs = tuple(o.output for o in model.observations)
    chosen = () if asked["output"] is None else (asked["output"],)
    for option, names, there_are in (
        ("--parameters", asked["parameters"] or (), model.individual_names),
        ("--output", chosen, outputs),
    ):
        if unknown := [name for name in names if name not in there_are]:
            raise usage_error(f"{option} {unknown[0]}: {model.name} has {', '.join(there_are)}.")
    if abs(asked["forecast_at"] or 0.0) > convert(LONGEST_YEARS, "year", model.time_unit):
        raise usage_error(
            f"--forecast-at {asked['forecast_at']:g} lies more than {LONGEST_YEARS} years from time zero."
        )


def _check_draws(known, asked: int, wanted: bool) -> None:
    """A posterior that holds fewer draws than were asked for is no mistake only where nobody named a number."""
    there_are = known.posterior.sizes["chain"] * known.posterior.sizes["draw"]
    if wanted and asked > there_are:
        raise usage_error(f"--population-draws {asked}: this posterior holds {there_are} draws.")
    if asked > there_are:
        say(f"Note: twins rest on all {there_are} draws of this posterior, fewer than {asked}.")


def _names(text: str | None) -> tuple[str, ...] | None:
    names = tuple(name.strip() for name in (text or "").split(",") if name.strip())
    return names or None
