"""The bedside rival: our own model at the mode of the patient's parameters, as Bayesian dosing programs do it.

The population stands at its posterior means, the individual parameters at the maximum of prior times likelihood given
the labs known, each treatment's response class at the more likely one (the higher of the modes), and the forecast is
the error model around the prediction there. What the twin adds is the uncertainty of all of these; this rival shows
what that is worth. Every panel is searched from the prior mean and from two random starts, then again from the modes of
the panels before and after it, and the best mode is kept.

Source: Sheiner and Beal (1982), J Pharm Sci 71:1344; Le Louedec et al. (2021), CPT Pharmacometrics Syst Pharmacol
10:1208 (mapbayr).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np

from bayestwin.errors import FitError
from bayestwin.evaluation.rivals.location_scale import Forecast
from bayestwin.evaluation.rivals.map_search import Modes, find_modes, predictions_at
from bayestwin.evaluation.rivals.rival import Rival, observed_labs
from bayestwin.individual import Hyper, bucket, compile_record, informative_labs, with_seen
from bayestwin.individual.data import used_sizes
from bayestwin.individual.residuals import departed, location_and_scale

RANDOM_STARTS, START_SD = 2, 0.7
LABS, INTERVALS = (128, 512, 2048), (128, 256, 512, 1024, 2048)  # few shapes, so that few programs are compiled


@dataclass(frozen=True, eq=False)
class OwnMap(Rival):
    """Made by `fit_own_map`; hyper : the population at its posterior means, rho : declared response correlation."""

    name: ClassVar[str] = "own_map"
    model: Any
    hyper: Hyper
    rho: float
    population: Any

    def knows(self, record) -> bool:
        """True where this patient was in the fitted cohort."""
        return self.population.knows(record)

    def forecasts(self, course) -> list[list[Forecast]]:
        """One forecast per lab; `ok` False where no start led to a mode or the solver gave up there."""
        if not course:
            return []
        known, newer = compiled_alike(self.model, course)
        with jax.enable_x64(True):
            modes = self.modes(known)
            predicted, fine, departure = predictions_at(self.model, self.hyper, newer, modes)
        departure = [None] * len(course) if departure is None else departure
        return [self._around(*of) for of in zip(course, predicted, departure, modes.ok & fine)]

    def modes(self, known) -> Modes:
        """Modes given stacked PatientData."""
        size = len(self.model.individual_names)
        random = np.random.default_rng(0).standard_normal((RANDOM_STARTS, size)) * START_SD
        first = find_modes(self.model, self.hyper, known, np.concatenate([np.zeros((1, size)), random]), rho=self.rho)
        if len(first.x) == 1:
            return first
        before, after = np.roll(first.x, 1, axis=0), np.roll(first.x, -1, axis=0)
        again = find_modes(self.model, self.hyper, known, np.stack([before, after], axis=1), rho=self.rho)
        better = again.objective < first.objective
        return Modes(*(np.where(better.reshape(-1, *[1] * (a.ndim - 1)), b, a) for a, b in zip(first, again)))

    def _around(self, panel, predicted, departure, ok) -> list[Forecast]:
        """The error model around the predictions of the panel's labs."""
        rows = informative_labs(self.model, panel.newer)
        found = []
        for lab in observed_labs(self.model, panel):
            k = self.model.observation_index[lab.output]
            at = next(n for n, row in enumerate(rows) if row is lab)
            assay = self.model.observations[k].assay_of(lab)
            location, scale = location_and_scale(self.model, k, predicted[at], self.hyper.sigma, assay=assay, xp=np)
            location, scale = departed(location, scale, None if departure is None else departure[at], xp=np)
            found.append(Forecast(float(location), float(scale), self.model.observations[k].error.nu, bool(ok)))
        return found


def fit_own_map(model, cohort=None, *, population=None, reveal_until: float | None = None) -> OwnMap:
    """Take the population at its posterior means; nothing is fitted anew.

    Parameters
    ----------
    population : PopulationPosterior      of this model, fitted on the training patients
    cohort, reveal_until : not used

    Raises
    ------
    FitError      no population, or one of another model
    """
    if population is None or population.model.hash != model.hash:
        raise FitError(
            "this rival needs the population posterior of the model",
            subject=f"model {model.name}",
            value=None if population is None else population.model.name,
            next_step="Pass population=, fitted without the patients to be forecast.",
        )
    draws, _ = population.hyper_draws()
    return OwnMap(population.model, jax.tree.map(lambda a: np.mean(a, axis=0), draws), population.rho, population)


def compiled_alike(model, course):
    """PatientData of what each panel knows and of what it is to predict: two stacks, leading axis the panels.

    A treatment that becomes known with the panel has a class too, told by its prior alone: what is known takes the
    classes of what is newer. Panels of fewer classes repeat their first.
    """
    records = [record for panel in course for record in (panel.known, panel.newer)]
    first = [compile_record(model, record) for record in records]
    shape = bucket(max(len(d.mask) for d in first), LABS), bucket(max(len(d.timeline.start) for d in first), INTERVALS)
    rest = np.max([used_sizes(d)[2:] for d in first], axis=0)
    alike = [compile_record(model, record, sizes=(*shape, *rest)) for record in records]
    for n, panel in enumerate(course):
        learnt = set(panel.known.labs)
        rows = informative_labs(model, panel.newer)
        alike[2 * n + 1] = with_seen(alike[2 * n + 1], [lab in learnt for lab in rows])
    most = max(len(data.classes) for data in alike)
    newer = [
        data._replace(classes=np.pad(data.classes, [(0, most - len(data.classes)), (0, 0)])) for data in alike[1::2]
    ]
    known = [k._replace(classes=n.classes, relevant=n.relevant) for k, n in zip(alike[::2], newer)]
    return tuple(jax.tree.map(lambda *a: np.stack(a), *side) for side in (known, newer))
