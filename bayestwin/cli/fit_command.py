"""The command `fit`: priors and labs of many patients in, a population posterior with its verdict out."""

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
    ModelName,
    Patients,
    PriorsFile,
    Seed,
    TimeUnit,
    file_to_write,
    say,
    usage_error,
)
from bayestwin.cli.reading import read_files, tell

Out = Annotated[Path, file_to_write("Where to save the population posterior (netCDF).")]
Chains = Annotated[int, typer.Option(help="Chains.", min=1)]
Warmup = Annotated[int | None, typer.Option(help="Warm-up draws per chain.", min=10)]
DrawsKept = Annotated[int | None, typer.Option(help="Kept draws per chain.", min=10)]
Method = Annotated[
    str,
    typer.Option(
        help="nuts: joint NUTS, the reference. gibbs: HMC within Gibbs, as exact and faster for many patients. "
        "approximate: as --approximate."
    ),
]
Approximate = Annotated[
    bool,
    typer.Option(
        "--approximate",
        help="A variational first look in minutes instead of a sampler; labelled approximate wherever it goes.",
    ),
]
StartFrom = Annotated[
    Path | None, typer.Option(help="An earlier posterior whose draws the chains begin at (a warm start).")
]
Work = Annotated[
    Path | None,
    typer.Option(
        help="A folder that keeps the run (personal data in it): the same command goes on there after a kill."
    ),
]
KeepIndividuals = Annotated[
    bool, typer.Option(help="Keep the patients' own parameters in the file (it then holds personal data).")
]
KeepFailed = Annotated[bool, typer.Option(help="Save a fit that failed its diagnostics, under a name that says so.")]


def fit(
    model: ModelName,
    out: Out,
    patients: Patients = None,
    labs: Labs = None,
    doses: Doses = None,
    events: Events = None,
    event_table: EventTable = None,
    time_unit: TimeUnit = None,
    as_of: AsOf = None,
    seed: Seed = 1,
    chains: Chains = 4,
    warmup: Warmup = None,
    draws: DrawsKept = None,
    method: Method = "nuts",
    approximate: Approximate = False,
    start_from: StartFrom = None,
    work: Work = None,
    priors: PriorsFile = None,
    keep_individuals: KeepIndividuals = False,
    keep_failed: KeepFailed = False,
):
    """Fit the population: priors of the model file, labs of many patients, NUTS; diagnostics pass or fail."""
    from bayestwin.population.devices import one_device_per_core
    from bayestwin.population.methods import METHODS
    from bayestwin.specification import load_model
    from bayestwin.specification.other_priors import read_priors, with_priors

    one_device_per_core(most=chains)
    if method not in METHODS:
        raise usage_error(f"--method {method}: choose {', '.join(METHODS)}.")
    if approximate and method == "gibbs":
        raise usage_error(
            "--approximate takes the place of a sampler: leave out one of --approximate and --method gibbs."
        )
    loaded = load_model(model)
    other = read_priors(priors) if priors else {}
    with_priors(loaded, other)  # a misspelt name is told before the files are read
    for name, prior in other.items():
        shown = prior if not isinstance(prior, float) else f"LKJ(concentration={prior:g})"
        typer.echo(f"prior of {name}, from {priors and priors.name}: {shown}")
    files = {"patients": patients, "labs": labs, "doses": doses, "events": events, "event_table": event_table}
    reading = read_files(loaded.record_schema(), files, time_unit=time_unit, as_of=as_of)
    tell(reading)
    if not any(patient.labs for patient in reading.cohort):
        say("Nothing usable: no lab was accepted.")
        return NOTHING_USABLE
    common = {"random_seed": seed, "priors": other}
    lengths = {name: n for name, n in (("warmup", warmup), ("draws", draws)) if n is not None}
    if approximate or method == "approximate":
        if lengths or start_from or work:
            raise usage_error("--warmup, --draws, --start-from and --work are of samplers; not with --approximate.")
        population = first_look(loaded, reading.cohort, **common)
    else:
        how = {"method": method, "chains": chains, "work": work}
        population = sampled(loaded, reading.cohort, start_from, **how, **lengths, **common)
    code = published(population, out, keep_individuals, keep_failed)
    return SOME_REFUSED if code == DONE and reading.refusals else code


def first_look(model, cohort, **how):
    """The variational approximation."""
    from bayestwin.population import approximate_population

    return approximate_population(model, cohort, guide="by_patient", progress=sys.stderr.isatty(), **how)


def sampled(model, cohort, start_from: Path | None, **how):
    """The fit by a sampler, begun at an earlier posterior's draws where one is named."""
    from bayestwin.population import fit_population, load_population

    how["start_from"] = None if start_from is None else load_population(start_from, model)
    return fit_population(model, cohort, progress=sys.stderr.isatty(), **how)


def published(population, out: Path, keep_individuals: bool, keep_failed: bool) -> int:
    """Print the summary and the verdict, and write the file that the verdict allows; the exit code."""
    typer.echo(population.summary().to_string(float_format="{:.3g}".format))
    verdict: Any = population.diagnostics
    if verdict.approximate:
        typer.echo(f"diagnostics: {verdict}")
    else:
        if note := population.attributes.get("method_note"):
            say(f"note: {note}")
        typer.echo(f"diagnostics: {'PASS' if verdict.passed else 'FAILED'}")
        for reason in verdict.reasons:
            typer.echo(f"  {reason}")
    usable = bool(verdict.approximate) or verdict.passed
    if not usable and not keep_failed:
        say(f"Nothing written to {out}. Longer chains (--warmup, --draws) may help; --keep-failed saves it to look at.")
        return DIAGNOSTICS_FAILED
    out = out if usable else out.with_name(f"{out.stem}.failed{out.suffix}")
    population.save(out, keep_individuals=keep_individuals)
    typer.echo(f"wrote {out}")
    return DONE if usable else DIAGNOSTICS_FAILED
