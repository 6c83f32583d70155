"""`virtual_trial`: an arm of a trial simulated under every draw of a population posterior.

Two kinds of interval come from it (arm_outcomes.py): of the model's expectation, and of what an arm of n patients may
show. The second holds differences between trials too where their size is known: SDs on the transformed scale of
parameters, one per population draw, by which each simulated trial as a whole differs (`between_trial`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayestwin.axes import DAYS_PER_MONTH
from bayestwin.errors import FitError, ModelError
from bayestwin.prognosis.arm_outcomes import Arms, Expected, Group, draw_arms, expected, kaplan_meier, step_at
from bayestwin.prognosis.response import inside_levels
from bayestwin.prognosis.virtual_arm import simulate_group
from bayestwin.prognosis.virtual_course import course_of
from bayestwin.prognosis.virtual_patients import BATCHES, virtual_patients
from bayestwin.prognosis.virtual_response import coder_of
from bayestwin.specification.evidence import Constant, Outcome, Shares, TrialArm
from bayestwin.twin.grid import MOST_FAILED
from bayestwin.units import convert

LONGEST = 120.0  # months
MONTHS_OF_A_YEAR = 365.25 / DAYS_PER_MONTH
BEYOND_MEDIAN = 1.6  # times a published median: how far the model's own is looked for
STANDARD = (
    Outcome("response", 0.0),
    Outcome("complete_response", 0.0),
    Outcome("pfs_median", 1.0),
    Outcome("os_median", 1.0),
    *(Outcome(what, 0.0, month) for what in ("pfs_at", "os_at") for month in (6.0, 12.0, 18.0, 24.0)),
)


@dataclass(frozen=True)
class VirtualTrial:
    """One simulated arm.

    expectation : under each draw; arms : of n patients; months (L,) of the curves
    entered : share of virtual patients who are in the trial; failed : share whose equations could not be solved
    between_trial : parameters that differ between trials, in the prediction
    """

    model: Any
    arm: TrialArm
    expectation: Expected
    arms: Arms
    entered: float
    failed: float
    random_seed: int
    between_trial: tuple[str, ...] = ()

    @property
    def months(self) -> np.ndarray:
        """Months of the curves."""
        return self.expectation.months

    def draws_of(self, outcome: Outcome) -> np.ndarray | None:
        """The model's expectation of an outcome under each population draw; None where it is not coded."""
        return self.expectation.of(outcome)

    def predicted(self, outcome: Outcome) -> np.ndarray | None:
        """An outcome as arms of n patients would publish it; None where it is not coded."""
        return self.arms.of(outcome)

    def curve(self, endpoint: str) -> dict[str, np.ndarray]:
        """Mean (L,) of "pfs" or "os" with 95 % bands: low, high of the expectation, predicted_* of an arm of n."""
        curves = self.expectation.free if endpoint == "pfs" else self.expectation.alive
        low, high = np.quantile(curves, [0.025, 0.975], axis=0)
        at, estimate = kaplan_meier(self.arms.event if endpoint == "pfs" else self.arms.death, self.arms.drop_out)
        seen = np.stack([step_at(at, estimate, month) for month in self.months], axis=1)
        below, above = np.quantile(seen, [0.025, 0.975], axis=0)
        found = {"month": self.months, "mean": curves.mean(axis=0), "low": low, "high": high}
        return found | {"predicted_low": below, "predicted_high": above}

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What is told of the arm: the published outcomes, else the usual ones within the horizon."""
        survival = bool(self.model.progression.death_hazards)
        usual = (o for o in STANDARD if o.month is None or o.month <= self.months[-1])
        found = self.arm.outcomes or tuple(o for o in usual if survival or not o.what.startswith("os"))
        return tuple(o for o in found if self.draws_of(o) is not None)


def virtual_trial(
    population,
    arm: TrialArm,
    *,
    random_seed: int,
    draws: int = 200,
    patients: int = 48,
    months: float | None = None,
    reach: float = 0.0,
    between_trial: Mapping[str, np.ndarray] | None = None,
) -> VirtualTrial:
    """Simulate one arm.

    Parameters
    ----------
    population : PopulationPosterior
    arm : TrialArm             of the population's model
    draws : int                population draws, evenly spaced
    patients : int             virtual patients of each draw, a multiple of 4; each in both classes of response
    months : float             how far curves go; default: past every published outcome. Never less than up to those
    reach : float              months that curves reach at least: the follow-up of a hazard ratio
    between_trial : parameter -> SD between trials on its transformed scale, one per draw of the whole population;
        None takes what the population file says (`trial_effects_of`)

    Raises
    ------
    ModelError      the model has no progression endpoint; an unknown treatment or parameter
    FitError        nobody can be in the trial, or too many futures could not be solved
    """
    model = population.model
    if model.progression is None:
        raise ModelError(
            "a virtual trial needs a progression endpoint",
            subject=f"model {model.name}",
            allowed="a model with Progression(...) in endpoints",
        )
    _check(model, arm, patients, months)
    hyper, taken = population.hyper_draws(draws)
    between = trial_effects_of(population) if between_trial is None else dict(between_trial)
    moved = effects_on_arm(model, arm, between, taken)
    rng = np.random.default_rng([random_seed, *arm.name.encode()])
    horizon = max(reach, max(months, _published(arm)) if months else _horizon(model, arm))
    grid = np.unique([*np.arange(0.5, horizon + 0.25, 0.5), *(o.month for o in arm.outcomes if o.month)])
    how = {"population": population, "arm": arm, "patients": patients, "months": grid}
    groups = _groups(hyper=hyper, rng=rng, **how)
    found = expected(groups, grid, draws=len(taken), batches=BATCHES)
    theirs = found
    if moved:  # each simulated trial as a whole differs
        typical = np.array(hyper.typical)
        for k, sd in moved.items():
            typical[:, k] += sd * rng.standard_normal(len(taken))
        others = _groups(hyper=hyper._replace(typical=typical), rng=rng, **how)
        theirs = expected(others, grid, draws=len(taken), batches=BATCHES)
    arms = draw_arms(theirs, arm.n, drop_out=arm.drop_out_per_year / MONTHS_OF_A_YEAR, rng=rng)
    entered, failed = (float(np.average(getattr(groups[0].cells, name))) for name in ("entered", "failed"))
    names = tuple(model.parameter_names[k] for k in moved)
    return VirtualTrial(model, arm, found, arms, entered, failed, random_seed, names)


def _groups(*, population, arm: TrialArm, hyper, patients: int, months, rng) -> list[Group]:
    """Treated patients, and those who never were."""
    model, coder = population.model, coder_of(population.model)
    per_month, per_day = convert(1.0, "month", model.time_unit), convert(1.0, "day", model.time_unit)
    endpoint = _with_visits(model.progression, arm.visit_every * per_day)
    people = virtual_patients(model, hyper, arm.mix, patients=patients, rng=rng)
    ways = [(arm.treatment, arm.wait * per_day, 1.0 - arm.not_started)]
    if arm.not_started > 0:
        ways.append((arm.instead or None, arm.wait * per_day, arm.not_started))
    found = []
    for treatment, wait, share in ways:
        course = course_of(model, arm, treatment, wait, months, per_month, endpoint)
        cells = simulate_group(model, people, course, coder, rho=population.rho, rng=rng)
        _usable(model, arm, cells, len(hyper.typical))
        found.append(Group(cells, share))
    return found


def _with_visits(endpoint, visit_every: float):
    return replace(endpoint, visit_every=visit_every)


def _usable(model, arm, cells, draws: int) -> None:
    """FitError where a batch of patients is empty, or many futures failed."""
    where = {"subject": f"arm {arm.name}", "place": f"model {model.name}"}
    if cells.failed.mean() > MOST_FAILED:
        raise FitError(
            "the equations of too many virtual patients could not be solved",
            value=f"{cells.failed.mean():.1%}",
            allowed=f"at most {MOST_FAILED:.0%}",
            **where,
        )
    weight = np.bincount(cells.draw * BATCHES + cells.batch, cells.weight, minlength=draws * BATCHES)
    empty = 1.0 - (weight > 0).mean()
    if empty > 0:
        raise FitError(
            f"nobody is in the trial in {empty:.1%} of the batches: no virtual patient is measurable at screening",
            value=f"{cells.entered.mean():.1%} of all are measurable",
            next_step="Take more patients of each draw; where nearly none is measurable, look at the mix (isotype) "
            "and at the priors of the marker's baseline.",
            **where,
        )


def _published(arm: TrialArm) -> float:
    """Months that hold every published number, so that each has its place among simulated ones; 0 where there is none.

    A grid that ends before a published median has no median but "not reached" on either side of it.
    """
    return max((o.value + 1.0 if o.what.endswith("_median") else (o.month or 0.0) for o in arm.outcomes), default=0.0)


def _horizon(model, arm: TrialArm) -> float:
    """Months that hold every published outcome, and the model's own median where one was published."""
    medians = [BEYOND_MEDIAN * o.value + 6.0 for o in arm.outcomes if o.what.endswith("_median")]
    landmarks = [o.month + 1.0 for o in arm.outcomes if o.month]
    usual = [float(max(model.progression.landmarks_months, default=24)) + 12.0]
    return float(np.ceil(min(max(medians + landmarks + usual), max(LONGEST, *landmarks, 0.0))))


def _check(model, arm: TrialArm, patients: int, months) -> None:
    for name in (arm.treatment, *([arm.instead] if arm.instead else [])):
        model.treatment(name)  # raises with the names allowed
    if not arm.outside:
        _check_inside(model, arm)
    if patients < BATCHES or patients % BATCHES:
        raise ModelError(
            "virtual patients come in batches",
            subject=f"arm {arm.name}",
            place="patients",
            value=patients,
            allowed=f"a multiple of {BATCHES}",
        )
    if months is not None and not 1.0 <= months <= LONGEST:
        raise ModelError(
            "a virtual trial cannot go on so long",
            subject=f"arm {arm.name}",
            place="months",
            value=months,
            allowed=f"1 to {LONGEST:g} months",
        )


def _check_inside(model, arm: TrialArm) -> None:
    """ModelError where patients of the mix are none the model is meant for."""
    for name, levels in inside_levels(model).items():
        one = arm.mix.get(name)
        given = one.levels if isinstance(one, Shares) else (one.value,) if isinstance(one, Constant) else ()
        wrong = next((level for level in given if str(level) not in levels), None)
        if wrong is not None:
            raise ModelError(
                "the arm lies outside the model's context of use",
                subject=f"arm {arm.name}",
                place=f"mix, {name}",
                value=wrong,
                allowed=f"one of {', '.join(levels)}",
                next_step="To simulate it all the same say why it is outside in the arm's field `outside`.",
            )


def trial_effects_of(population) -> dict[str, np.ndarray]:
    """Parameter -> SD between trials, transformed scale, one per draw, as a population file holds it; {} without any.

    Group `trial_effects` of the file: variables named by parameter, or by what a treatment's name completes ("f" for
    "f_ide_cel" in an arm of ide_cel), dimensions (chain, draw).
    """
    if "trial_effects" not in population.tree.children:
        return {}
    group = population.tree["trial_effects"].to_dataset()
    return {str(name): group[name].stack(sample=("chain", "draw")).values for name in group.data_vars}


def effects_on_arm(model, arm: TrialArm, between: Mapping[str, np.ndarray], taken) -> dict[int, np.ndarray]:
    """Position of a parameter -> SD between trials in the draws that are `taken`.

    Of parameters named in full, and of those whose name the arm's treatment ends.
    """
    found = {}
    for name, sd in between.items():
        whole = name if name in model.parameter_names else f"{name}_{arm.treatment}"
        if whole not in model.parameter_names:
            if any(f"{name}_{t}" in model.parameter_names for t in model.treatment_names):
                continue
            raise ModelError(
                "differences between trials are given of a parameter that the model does not have",
                subject=f"model {model.name}",
                place="between_trial",
                value=name,
                allowed=f"one of {', '.join(model.parameter_names)}, or the first part of one that a treatment ends",
            )
        sd = np.asarray(sd, dtype=float)
        found[model.parameter_names.index(whole)] = (
            np.broadcast_to(sd, (1,)).repeat(len(taken)) if sd.ndim == 0 else sd[taken]
        )
    return found
