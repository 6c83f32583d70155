"""A sampler made ready for a cohort: sampled at a target acceptance, kept under the name of all that decides it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from bayestwin.errors import FitError
from bayestwin.population.arrival import boldly_first, long_enough
from bayestwin.population.methods import Method, run
from bayestwin.population.sampling import Draws
from bayestwin.population.saved_run import SavedRun


@dataclass(frozen=True)
class Runner:
    """What samples a cohort's joint density.

    method : of METHODS; model : under the priors in use; groups : stacked patients
    start : one key per chain -> where the chains begin
    how : settings of the run; named : what else decides its draws, for a folder that keeps it
    random_seed : int; most : draws of each chain that a run may grow to, None: it does not
    work : folder, or None; progress : as for `fit_population`
    """

    method: str
    model: Any
    groups: list
    start: Callable
    how: dict
    named: dict
    random_seed: int
    most: int | None
    work: Any
    progress: Any

    def at(self, accept: float, *, give_up: bool = False) -> Draws:
        """Draws at a target acceptance; give_up : no longer run where divergences fail it too."""
        return run(
            self.method,
            self.model,
            self.groups,
            self.start,
            key=jax.random.key(self.random_seed),
            most=self.most,
            enough=lambda drawn: long_enough(drawn, give_up=give_up),
            target_accept=accept,
            saved=None
            if self.work is None
            else SavedRun(Path(self.work) / f"acceptance-{accept:g}", self.decided(accept)),
            progress=self.progress,
            **self.how,
        )

    def decided(self, accept: float) -> dict:
        """All that decides the draws, as text and numbers."""
        settings = {name: str(value) for name, value in self.how.items() if name != "draws"}
        return {"method": self.method, "seed": self.random_seed, "target_accept": accept} | self.named | settings


def sampled(runner: Runner, settings: Method, target_accept: float | None) -> tuple[Draws, str]:
    """Draws and a note; where neither acceptance nor length is given, boldly first.

    Raises
    ------
    FitError      the sampler could not start
    """
    try:
        if runner.most is not None and target_accept is None:  # divergences are a reason to sample again, not longer
            return boldly_first(runner.at, settings)
        return runner.at(target_accept or settings.bold), ""
    except RuntimeError as error:
        raise FitError(
            f"the sampler could not start: {error}",
            subject=f"model {runner.model.name}",
            next_step="Look for a lab far outside what the priors allow.",
        ) from error
