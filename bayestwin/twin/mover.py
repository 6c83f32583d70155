"""Which moves the particles make at a temperature, and how often; the moves themselves are in `moves`.

Proposals are fitted to particles. Were they fitted to all of them, what a poor fit keeps from being found would be
kept from all islands alike, and they would agree: between runs the chance of a response class differed by .26 (SD)
where islands said .05. So each half of the islands has its own proposals, and the check compares the halves.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import Accuracy
from bayestwin.twin.laplace import normals_by_draw, room_for, shares_of_classes
from bayestwin.twin.moves import BETWEEN, CYCLE, Guide, fitted_gaussian, in_parts, sweep
from bayestwin.twin.particles import (
    LARGEST_CLASS_GAP,
    LARGEST_GAP,
    effective_draws,
    half_gaps,
    halves,
    island_gaps,
    island_means,
    unique_particles,
)
from bayestwin.twin.silence import ever_started, felt, silence_of, with_silent
from bayestwin.twin.target import class_shares, evaluator, full_likelihood

FEW_DRAWS = 0.1  # share of effective population draws under which moves between draws and classes are made,
SECOND_CLASS = 0.02  # or all but the likeliest class together have this much weight
APPROXIMATED = 2  # times that the approximations of draws and classes are found in one bridge
EVERY_FEW, EVERY = 3, 6  # sweeps to one move between, where few draws are left and where not


class Cloud(NamedTuple):
    """psi (P, D), draw (P,), pieces : ClassLikelihood of the newer record, old (P, C) : of the record seen."""

    psi: Any
    draw: Any
    pieces: Any
    old: Any


@dataclass
class Mover:
    """Metropolis sweeps at a temperature; keeps the step size and what the numerical check wants to know.

    data : PatientData; acceptance : mean over the sweeps of one stage that move psi
    keep_draws : move psi alone, each particle given its population draw
    """

    model: Any
    accuracy: Accuracy
    population: Any
    data: Any
    rho: float
    islands: int
    from_scratch: bool
    key: Any
    step: float = 0.6
    sweeps: int = 0
    acceptance: float = 1.0
    failures: list = field(default_factory=list)
    keep_draws: bool = False
    _approximated: list = field(default_factory=list)
    _silence: Any = None
    _heard: Any = None
    _at_target: bool = False

    def move(self, cloud: Cloud, log_weights, t: float, sweeps: int, *, between: bool = False) -> Cloud:
        """So many sweeps that leave the target at `t` unchanged.

        between : at t = 1, move between population draws and response classes too, though neither need seems to arise
        """
        do_sweep, accepted = sweep(self.model, self.accuracy), []
        self._listen(cloud, t)
        if self._nothing_heard and unique_particles(cloud.psi) == len(cloud.psi):
            return cloud  # draws from the prior, as many of each population draw: no move could better them
        few = effective_draws(self.population.drawn(cloud.draw), log_weights) < FEW_DRAWS * self.population.draws
        between = (
            t >= 1.0
            and not self.keep_draws
            and room_for(self._active(cloud.psi), cloud.pieces.log_class.shape[-1])
            and (between or few or _two_classes(_class_shares(cloud).mean(axis=0)) or self._class_lost(cloud))
        )
        normals = self._normals(cloud) if between else [None] * self.parts(cloud)
        guides = self._guides(cloud, log_weights, normals)
        every = 0 if not between else EVERY_FEW if few else EVERY
        for number, kind in _kinds(sweeps, every, (0,) if self.keep_draws else CYCLE):
            *moved, rate, failed = do_sweep(
                kind,
                jax.random.fold_in(self.key, self.sweeps),
                *cloud,
                self.population,
                self.data,
                self.rho,
                jnp.asarray(t),
                guides,
                self.step,
                self._silence,
                from_scratch=self.from_scratch,
            )
            cloud, self.sweeps = Cloud(*moved), self.sweeps + 1
            self.failures.append(float(failed))
            if kind == 0:
                accepted.append(float(rate))
                self.step = float(np.clip(self.step * np.exp(1.5 * (float(rate) - 0.3)), 0.05, 2.0))
            if kind != BETWEEN and number % len(CYCLE) == len(CYCLE) - 1:
                guides = self._guides(cloud, log_weights, normals)
        self.acceptance = float(np.mean(accepted)) if accepted else self.acceptance
        return cloud

    def parts(self, cloud) -> int:
        """Parts of the islands that have proposals of their own."""
        return halves(self.islands, *self._active(cloud.psi).shape)

    def _class_lost(self, cloud) -> bool:
        """True where a class without particles may have weight: islands that lost it in the same reweighting agree."""
        if cloud.pieces.log_class.shape[-1] == 1:
            return False
        among, evaluate = self._among()
        about = self._active(cloud.psi), cloud.draw, cloud.pieces, among, self.data, self.rho
        return _two_classes(shares_of_classes(self.model, evaluate, *about))

    def _guides(self, cloud, log_weights, normals):
        """What the proposals of each part rest on."""
        count = self.parts(cloud)
        parts = zip(*(np.split(np.asarray(a), count) for a in (cloud.psi, log_weights)))
        active = None if self._silence is None else self._silence.active
        own = [fitted_gaussian(*part, self.islands // count, self._prior_sd, active) for part in parts]
        return tuple(Guide(*gaussian, normal) for gaussian, normal in zip(own, normals))

    def _normals(self, cloud):
        """The approximations that the moves between draws and classes rest on, of each part.

        Found twice at most: at the target, and once more when the particles have moved there.
        """
        if len(self._approximated) == APPROXIMATED:
            return self._approximated[-1]
        (among, evaluate), key = self._among(), jax.random.fold_in(self.key, self.sweeps)
        found, whole = [], (self._active(cloud.psi), cloud.draw, cloud.pieces)
        for number, parts in enumerate(in_parts(whole, self.parts(cloud))):
            about = among, self.data, self.rho, jax.random.fold_in(key, number + 1)
            found.append(normals_by_draw(self.model, evaluate, *parts, *about, solved_at_once=len(cloud.psi)))
        self._approximated.append(found)
        return found

    def _listen(self, cloud, t: float):
        """Sets which parameters are silent: when the moves begin, and at the target, where more may be heard."""
        if self._heard is None or (t >= 1.0 and not self._at_target):
            about = cloud.psi, cloud.draw, cloud.pieces, self.population, self.data, self.rho
            heard = felt(evaluator(self.model, self.accuracy), *about)
            heard &= ever_started(self.model, self.data.relevant)
            heard = heard if self._heard is None else heard | self._heard
            if self._heard is None or (heard != self._heard).any():
                self._heard, self._silence = heard, silence_of(heard, self.population)
            self._at_target = t >= 1.0

    @property
    def _nothing_heard(self) -> bool:
        return self._silence is not None and len(self._silence.places) == 0

    def _active(self, psi):
        """psi (P, A) of the parameters that are heard."""
        return psi if self._silence is None else psi[:, self._silence.places]

    def _among(self):
        """Their population, and an evaluator of them alone, the silent ones being at their mean given them."""
        evaluate, silence = evaluator(self.model, self.accuracy), self._silence
        if silence is None:
            return self.population, evaluate

        def of_active(psi, draw, among, data, rho):
            return evaluate(with_silent(psi, draw, self.population, silence), draw, self.population, data, rho)

        return silence.among, of_active

    @cached_property
    def _prior_sd(self):
        """Scale of each individual parameter, (D,), so that a parameter without spread keeps a little."""
        scale = np.asarray(self.population.scale)
        return scale.std(axis=0).max() + np.sqrt(np.einsum("mde,mde->md", scale, scale)).mean(axis=0)


def islands_apart(cloud: Cloud, log_weights, islands) -> bool:
    """True where the check of the finished twin would say so."""
    shares, sd = _class_shares(cloud), np.asarray(cloud.psi).std(axis=0)
    if island_gaps(cloud.psi, log_weights, islands).max() > LARGEST_GAP:
        return True
    if (half_gaps(cloud.psi, log_weights, islands) > LARGEST_GAP * sd).any():
        return True
    of_islands = island_means(shares, log_weights, islands).std(axis=0, ddof=1)
    return float(np.maximum(of_islands, half_gaps(shares, log_weights, islands)).max()) > LARGEST_CLASS_GAP


def _kinds(sweeps: int, every: int, cycle):
    """Number and kind of each move: the cycle, and one between before every so many of it (0: none)."""
    for number in range(sweeps):
        if every and number % every == 0:
            yield number, BETWEEN
        yield number, cycle[number % len(cycle)]


def _two_classes(shares) -> bool:
    """True where a second response class is alive: each class may have a mode of psi to itself."""
    return bool(np.sort(shares)[:-1].sum() > SECOND_CLASS)


def _class_shares(cloud: Cloud) -> np.ndarray:
    """P(response class | psi, labs) of each particle, (P, C)."""
    return class_shares(cloud.pieces.log_class + full_likelihood(cloud.pieces))
