"""The population posterior that a command starts from."""

from pathlib import Path

import typer

from bayestwin.cli.options import DIAGNOSTICS_FAILED, say, usage_error


def shipped_population(model: str) -> Path:
    """The population posterior that travels with a model."""
    from bayestwin.specification import model_folder

    return model_folder(model) / "population.nc"


def usable_population(path: Path | None, model: str | None, *, accept_failed: bool = False):
    """The posterior named, or the model's shipped one; one that failed its diagnostics ends the command.

    accept_failed : it is told, and taken all the same
    """
    if path is None and model is None:
        raise usage_error(
            "Name a population posterior (--population), or the model whose shipped one is meant (--model)."
        )
    from bayestwin.population import load_population
    from bayestwin.store import of_this_version

    place = path or shipped_population(model)
    known = load_population(place, model)
    with of_this_version("population", place, made_by="bayestwin fit"):
        diagnostics = known.diagnostics
    if diagnostics.approximate:
        say(f"Note: the population posterior is {diagnostics}")
    elif not diagnostics.passed:
        then = "it is taken as you say" if accept_failed else "no twin is started from it"
        say(f"The population posterior failed its diagnostics; {then}:")
        for reason in diagnostics.reasons:
            say(f"  {reason}")
        if not accept_failed:
            raise typer.Exit(DIAGNOSTICS_FAILED)
    return known
