"""Endpoints: hazards integrated along the trajectory, and progression coded from simulated labs.

Serological progression (IMWG 2016): increase over the confirmed nadir by at least `relative` and at least
`absolute`, seen at `confirmations` consecutive assessments. The confirmed nadir is the lowest value reached
or undercut by two consecutive assessments. Progression-free survival ends with serological progression, with
an event of one of the `progression_hazards`, or with death.

Where a marker rises by design in pauses of treatment (prostate-specific antigen under intermittent androgen
deprivation), a rise speaks of resistance only on treatment: `counts_on` names the treatments under which it counts.
Nadir and rise are then counted anew in each uninterrupted episode on those treatments, from its first visit after the
start on, and the confirming assessments lie in the same episode. Sources: Prostate Cancer Working Group 3 (Scher et al.
2016, J Clin Oncol 34:1402; memory) for rise and confirmation; Kuo et al. (2014), Clin Genitourin Cancer 13:10, who call
only rises at castrate testosterone castration resistance.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SerologicalRule:
    """Rise of one marker over its confirmed nadir.

    relative : 0.25 for 25 %; absolute in the observation's unit
    high_nadir, high_absolute : from this nadir on an absolute rise alone suffices
    strict : the rise must be more than `absolute`, not that much
    when : (covariate, value) for whom this rule is used, or None for everybody else
    counts_on : treatments under which it counts, anew in each uninterrupted episode; empty: always
    """

    output: str
    relative: float
    absolute: float
    high_nadir: float = float("inf")
    high_absolute: float = float("inf")
    when: tuple[str, str] | None = None
    counts_on: tuple[str, ...] = ()
    strict: bool = False


@dataclass(frozen=True)
class Progression:
    """The progression endpoint of a model; visits are the declared grid on which it is coded.

    progression_hazards : ways to progress without a rise, each on a line of its own (extramedullary disease)
    death_hazard, other_death_hazards : ways to die, each on a line of its own (infection); their sum is mortality
    recorded_as : hazard -> words by which a record names it in the value of a progression or a death; an event that
        names none may have been any of them
    """

    rules: tuple[SerologicalRule, ...]
    visit_every: float
    confirmations: int = 2
    progression_hazards: tuple[str, ...] = ()
    death_hazard: str | None = None
    landmarks_months: tuple[int, ...] = (6, 12, 24)
    horizon_months: int = 36
    other_death_hazards: tuple[str, ...] = ()
    recorded_as: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    @property
    def death_hazards(self) -> tuple[str, ...]:
        """Every way to die, the main one first."""
        return (*((self.death_hazard,) if self.death_hazard else ()), *self.other_death_hazards)

    @property
    def first_events(self) -> tuple[str, ...]:
        """What may end progression-free survival: a serological rise, then the hazards."""
        return ("serological progression", *self.progression_hazards, *self.death_hazards)

    def way_of(self, hazards: tuple[str, ...], value: str) -> int | None:
        """Position among `hazards` of the one that the value of an event names, None where it names none."""
        said = value.lower()
        named = (k for k, h in enumerate(hazards) if any(word in said for word in self.recorded_as.get(h, ())))
        return next(named, None)

    def rule_for(self, covariates) -> SerologicalRule:
        """The rule by whose marker this patient is followed."""
        for rule in self.rules:
            if rule.when is not None and str(covariates.get(rule.when[0], "")) == rule.when[1]:
                return rule
        return next(rule for rule in self.rules if rule.when is None)
