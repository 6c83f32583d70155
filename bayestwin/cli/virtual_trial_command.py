"""The command `virtual-trial`: an arm of virtual patients under a population posterior, beside what was published."""

from pathlib import Path
from typing import Annotated

import typer

from bayestwin.cli.options import (
    DIAGNOSTICS_FAILED,
    DONE,
    SOME_REFUSED,
    ModelName,
    PopulationFile,
    Seed,
    say,
    usage_error,
)
from bayestwin.cli.populations import usable_population


def virtual_trial(
    out: Annotated[Path, typer.Option(help="Folder for tables (CSV), figures and provenance.", file_okay=False)],
    model: ModelName = "myeloma_car_t",
    population: PopulationFile = None,
    evidence: Annotated[
        Path | None,
        typer.Option(help="evidence.toml with published arms (docs/virtual_trials.md).", exists=True, dir_okay=False),
    ] = None,
    arm: Annotated[
        list[str] | None, typer.Option(help="Name of an arm in --evidence; repeatable; default: all of them.")
    ] = None,
    treatment: Annotated[str | None, typer.Option(help="Instead of --evidence: a treatment of the model.")] = None,
    mix: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of covariates of the patients; default: all missing.", exists=True, dir_okay=False
        ),
    ] = None,
    patients: Annotated[
        int | None, typer.Option(help="Size of the arm; default 100, or as published.", min=1, max=100_000)
    ] = None,
    visit_every: Annotated[
        float | None,
        typer.Option(help="Days between assessments; default: as published, or the model's.", min=1.0, max=3650.0),
    ] = None,
    wait: Annotated[float | None, typer.Option(help="Days to the start of the treatment.", min=0.0, max=3650.0)] = None,
    drop_out: Annotated[float | None, typer.Option(help="Hazard of drop-out a year.", min=0.0, max=100.0)] = None,
    assay_error: Annotated[
        float | None,
        typer.Option(help="Factor on the SD of every lab's error; default 1, or as published.", min=0.0, max=10.0),
    ] = None,
    not_started: Annotated[
        float | None, typer.Option(help="Share who never get the treatment.", min=0.0, max=0.99)
    ] = None,
    months: Annotated[
        float | None, typer.Option(help="How far curves go; default: past every published number.", min=1.0, max=1200.0)
    ] = None,
    not_learnt: Annotated[
        list[str] | None,
        typer.Option(help="A trial that --population never saw; rows of all others are in-sample; repeatable."),
    ] = None,
    draws: Annotated[int, typer.Option(help="Population draws.", min=20, max=100_000)] = 200,
    per_draw: Annotated[
        int, typer.Option(help="Virtual patients of each draw, a multiple of 4.", min=4, max=100_000)
    ] = 48,
    seed: Seed = 1,
):
    """Simulate arms of trials: response, progression, survival, with intervals of the expectation and of such an arm.

    With --evidence the arms of a file stand beside what was published; with --treatment an arm of your own. The options
    of the design (visits, wait, drop-out, size) replace what the file says.
    """
    if (evidence is None) == (treatment is None):
        raise usage_error(
            "Give either --evidence with the file of published arms, or --treatment for an arm of your own."
        )
    if evidence is not None and mix is not None:
        raise usage_error("--mix goes with --treatment; the arms of --evidence have their own.")
    if treatment is not None and arm:
        raise usage_error("--arm names arms of --evidence, and goes with it.")
    from bayestwin.errors import FitError
    from bayestwin.jobs.virtual_trials import (
        check_not_learnt,
        chosen_arms,
        own_arm,
        printed_ratio,
        ratio_rows,
        reach_of,
        simulate_arm,
        write_trials,
    )
    from bayestwin.specification import read_hazard_ratios

    known = usable_population(population, model)
    ratios = read_hazard_ratios(evidence, known.model) if evidence is not None else ()
    design = {"n": patients, "visit_every": visit_every, "wait": wait}
    design |= {"drop_out_per_year": drop_out, "not_started": not_started, "assay_error": assay_error}
    if evidence is not None:
        arms = chosen_arms(evidence, known.model, arm, design)
    else:
        arms = (own_arm(known.model, treatment, mix, design),)
    check_not_learnt(not_learnt or (), arms)
    found, failed = [], {}
    how = {"random_seed": seed, "draws": draws, "patients": per_draw, "months": months}
    for one in arms:
        try:
            found.append(simulate_arm(known, one, reach=reach_of(one, ratios), **how))
        except FitError as problem:
            failed[one.name] = str(problem)
            say(f"not simulated: {problem}")
    if not found:
        return DIAGNOSTICS_FAILED
    asked = how | {"evidence": evidence.name if evidence else None, "not_learnt": list(not_learnt or ())}
    everyone = chosen_arms(evidence, known.model, None, {}) if evidence is not None else ()
    rows, without = ratio_rows(known, found, ratios, asked["not_learnt"])
    for text in without.values():
        say(f"no hazard ratio: {text}")
    failed |= without
    published = evidence is not None
    for path in write_trials(known, found, out, everyone, published=published, asked=asked, failed=failed, ratios=rows):
        say(f"wrote {path}")
    typer.echo("\n\n".join([*(one.printed() for one in found), *map(printed_ratio, rows)]))
    return SOME_REFUSED if failed else DONE
