"""What was given (`DoseEvent`) and what could be given: doses, a sequence of treatments, or a rule that reads labs.

A `DoseEvent` is one row of doses.csv in the model's units. A `Regimen` holds doses relative to the
start of a treatment and becomes dose events when a start time and a patient are known. A `Schedule` names treatments
at times fixed beforehand; a `Policy` lets each visit's labs decide ("pause below 4 ng/mL, resume above 10").
"""

from dataclasses import dataclass, replace
from math import inf, isfinite

from bayestwin.errors import ModelError
from bayestwin.units import NUMBER, convert, dosed_per, parse_dose, parse_duration

MODELLED = {"modelled": "duration", "modelled duration": "duration", "modelled rate": "rate"}  # duration of a regimen


def modelled_by(duration: str) -> str:
    """ "rate" or "duration" where the duration of a regimen leaves that to a parameter of the model; "" else."""
    return MODELLED.get(" ".join(duration.split()), "")


@dataclass(frozen=True)
class DoseEvent:
    """One administration in the model's units and time, with the meaning that NONMEM gives its event records.

    target : compartment or route name
    duration : infusion time (0 = bolus); the rate is bioavailability * amount / duration
    rate : the rate of a pump, which bioavailability does not touch: it then changes the duration (0 = not said);
        with amount 0 and ss an infusion that has always run and stops at `time`
    addl, ii : further doses and their interval
    ss : 1 the state becomes the steady state of this dose repeated every ii, 2 that state is added to what is there
    lag : time from the dose to its arrival; bioavailability : share of the amount that arrives
    modelled : "rate" or "duration" where a parameter of the model says it (`Dosing` in a model file); "" as above
    reset : every state returns to its initial value first, infusions and pending doses end; with amount 0 nothing else
    order : position among rows of one time (event tables keep file order)
    """

    time: float
    amount: float
    target: str
    known_time: float = 0.0
    duration: float = 0.0
    treatment: str = ""
    addl: int = 0
    ii: float = 0.0
    ss: int = 0
    order: int = 0
    rate: float = 0.0
    lag: float = 0.0
    bioavailability: float = 1.0
    reset: bool = False
    modelled: str = ""

    def expanded(self) -> tuple["DoseEvent", ...]:
        """Additional doses written out one by one; what a reset or steady state does happens at the first."""
        first = replace(self, addl=0, ii=self.ii if self.ss else 0.0)
        again = replace(self, addl=0, ii=0.0, ss=0, reset=False)
        return (first, *(replace(again, time=self.time + k * self.ii) for k in range(1, self.addl + 1)))

    def until(self, time: float) -> "DoseEvent | None":
        """The dose without its additional doses after `time`; None where the first comes later."""
        if self.time > time:
            return None
        kept = sum(self.time + k * self.ii <= time for k in range(1, self.addl + 1))
        return self if kept == self.addl else replace(self, addl=kept, ii=self.ii if kept or self.ss else 0.0)


@dataclass(frozen=True)
class Regimen:
    """Doses relative to the start of a treatment, in a clinician's words.

    doses : (offset, amount text, route, duration text), for example ("0 day", "16 mg/kg", "iv", "4 h"); the duration
        "modelled" leaves it to a parameter of the model, and so does "modelled rate" with the rate
    """

    doses: tuple[tuple[str, str, str, str], ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "doses", tuple(tuple(dose) for dose in self.doses))
        for dose in self.doses:
            _check_dose(dose)

    @property
    def per(self) -> tuple[str, ...]:
        """ "kg", "m2" or both, where amounts depend on the patient's size."""
        return tuple(dict.fromkeys(size for _, amount, _, _ in self.doses if (size := dosed_per(amount))))

    @classmethod
    def none(cls) -> "Regimen":
        """A treatment whose model needs no dose amounts."""
        return cls()

    @classmethod
    def single(cls, amount: str, *, route: str, duration: str = "") -> "Regimen":
        """One dose at the start."""
        return cls((("0 h", amount, route, duration),))

    @classmethod
    def repeated(cls, amount: str, *, route: str, every: str, times: int, duration: str = "") -> "Regimen":
        """The same dose `times` times, `every` so often, first at the start."""
        if times < 1:
            raise ModelError("a regimen needs at least one dose", value=times, allowed="times >= 1")
        step, unit = parse_duration(every)
        return cls(tuple((f"{k * step} {unit}", amount, route, duration) for k in range(times)))

    @classmethod
    def on_days(cls, amount: str, *, days, route: str, duration: str = "") -> "Regimen":
        """The same dose on these days of a cycle; day 1 is the start."""
        if any(day < 1 for day in days):
            raise ModelError("the first day of a cycle is day 1", value=tuple(days), allowed="days >= 1")
        return cls(tuple((f"{day - 1} day", amount, route, duration) for day in days))

    def again(self, *, every: str, times: int) -> "Regimen":
        """This regimen `times` times, `every` so often ("28 days"): cycles."""
        step, unit = parse_duration(every)
        whole = self
        for k in range(1, times):
            whole = whole.then(self, at=f"{k * step:.12g} {unit}")
        return whole

    def then(self, next: "Regimen", *, at: str) -> "Regimen":
        """This regimen, and another whose start lies `at` so long after the start of this one ("56 days")."""
        step, unit = parse_duration(at)
        moved = []
        for offset, amount, route, duration in next.doses:
            later, its = parse_duration(offset)
            moved.append((f"{step + convert(later, its, unit):.12g} {unit}", amount, route, duration))
        return Regimen((*self.doses, *moved))

    def events(self, *, start: float, time_unit: str, dose_unit: str, covariates=None, treatment: str = ""):
        """Dose events from `start` (model time unit); amounts per kg or m2 use the patient's covariates."""
        made = []
        for offset, amount, route, duration in self.doses:
            step, unit = parse_duration(offset)
            modelled = modelled_by(duration)
            length = convert(*parse_duration(duration), time_unit) if duration and not modelled else 0.0
            made.append(
                DoseEvent(
                    time=start + convert(step, unit, time_unit),
                    amount=parse_dose(amount, dose_unit, covariates or {}),
                    target=route,
                    known_time=start,
                    duration=length,
                    treatment=treatment,
                    modelled=modelled,
                )
            )
        return tuple(made)


def _check_dose(dose) -> None:
    """ModelError for a dose of a regimen that nobody can be given, whatever the model."""
    if len(dose) != 4 or not all(isinstance(part, str) for part in dose):
        raise ModelError(
            "a dose of a regimen has four texts",
            place="regimen",
            value=dose,
            allowed='(offset, amount, route, duration), as in ("0 day", "16 mg/kg", "iv", "4 h")',
        )
    offset, amount, _, duration = dose
    if not 0 <= parse_duration(offset)[0] < inf:
        raise ModelError("a dose before the start of its regimen", place="regimen", value=offset, allowed="0 or later")
    number = NUMBER.match(amount.strip())
    if number is None or not 0 < float(number.group()) < inf:
        raise ModelError(
            "this is not a dose", place="regimen", value=amount, allowed="an amount above 0, as in 16 mg/kg"
        )
    if duration and not modelled_by(duration) and not 0 <= parse_duration(duration)[0] < inf:
        raise ModelError("an infusion of less than no time", place="regimen", value=duration, allowed="0 or more")


@dataclass(frozen=True)
class Schedule:
    """Named treatments one after another, at times counted from the data cut.

    steps : (offset, treatment), for example (("0 day", "pause"), ("180 day", "androgen_deprivation")). Until the first
        of them what is in force goes on; a step that names what is in force already changes nothing.
    """

    steps: tuple[tuple[str, str], ...]

    def __post_init__(self):
        object.__setattr__(self, "steps", tuple((str(offset), name) for offset, name in self.steps))
        offsets = [_days(offset) for offset, _ in self.steps]
        if not self.steps or offsets[0] < 0 or any(b <= a for a, b in zip(offsets, offsets[1:])):
            raise ModelError(
                "the steps of a schedule follow each other from the data cut on",
                value=self.steps,
                allowed='increasing times, as in (("0 day", "pause"), ("180 day", "androgen_deprivation"))',
            )
        for (_, before), (offset, name) in zip(self.steps, self.steps[1:]):
            if before == name:
                raise ModelError(
                    "a schedule starts the same treatment twice in a row",
                    value=f"{name} at {offset}",
                    next_step="Leave the second step out: a treatment goes on until another starts.",
                )

    def starts(self, time_unit: str) -> tuple[tuple[float, str], ...]:
        """(time after the data cut, treatment) in the model's time unit."""
        return tuple((convert(*parse_duration(offset), time_unit), name) for offset, name in self.steps)


@dataclass(frozen=True)
class Rule:
    """One sentence of a policy: which treatment is given when a lab says so.

    treatment : what is given from the visit on at which the rule fits
    output, below, above : the lab that is read, in the model's unit, and where it must lie: at or below `below`, at or
        above `above`, or both. A lab below its limit of quantification is seen at that limit.
    while_on : the rule is read only while this treatment is in force; "" always
    after : least time on the treatment in force, for example "36 week"; without a threshold it decides alone
    """

    treatment: str
    output: str = ""
    below: float | None = None
    above: float | None = None
    while_on: str = ""
    after: str = ""

    def __post_init__(self):
        thresholds = [x for x in (self.below, self.above) if x is not None]
        problem = allowed = ""
        if any(not isinstance(x, int | float) or not isfinite(x) for x in thresholds):
            problem, allowed = "a threshold of a rule must be a number", "a finite number in the model's unit"
        elif bool(thresholds) != bool(self.output):
            problem, allowed = (
                "a rule needs a lab and a threshold",
                'output="..." with below=... or above=..., or neither',
            )
        elif not thresholds and not self.after:
            problem, allowed = "a rule without a condition", "a threshold of a lab, or a least time `after`"
        elif self.below is not None and self.above is not None and self.above > self.below:
            problem, allowed = (
                "no value lies above the one and below the other: the rule can never fire",
                "above <= below",
            )
        elif self.while_on == self.treatment:
            problem, allowed = "the rule can never fire: its treatment is in force already", "another treatment"
        elif self.after and _days(self.after) < 0:
            problem, allowed = "a least time must not be negative", "zero or more"
        if problem:
            raise ModelError(problem, place="rule", value=str(self), allowed=allowed)

    def least_time(self, time_unit: str) -> float:
        """`after` in the model's time unit, 0 where it is not given."""
        return convert(*parse_duration(self.after), time_unit) if self.after else 0.0

    def __str__(self):
        said = [f"while on {self.while_on}"] if self.while_on else []
        said += [f"{self.output} <= {self.below:g}"] if isinstance(self.below, int | float) else []
        said += [f"{self.output} >= {self.above:g}"] if isinstance(self.above, int | float) else []
        said += [f"after {self.after}"] if self.after else []
        return f"{self.treatment}: " + (", ".join(said) or "always")


@dataclass(frozen=True)
class Policy:
    """Rules by which each visit decides how treatment goes on.

    rules : read in order; the first that fits names the treatment in force from that visit on (the same one: no change)
    every : time between visits, the first of them this long after the data cut
    start : treatment begun at the data cut; "" leaves what is in force

    Example: Policy((Rule("pause", "psa", below=4, while_on="androgen_deprivation", after="36 week"),
                     Rule("androgen_deprivation", "psa", above=10, while_on="pause")), start="pause")
    """

    rules: tuple[Rule, ...]
    every: str = "28 day"
    start: str = ""

    def __post_init__(self):
        object.__setattr__(self, "rules", tuple(self.rules))
        if not self.rules or not all(isinstance(rule, Rule) for rule in self.rules):
            raise ModelError("a policy needs rules", value=self.rules, allowed="one Rule(...) or several")
        if _days(self.every) <= 0:
            raise ModelError("visits need time between them", value=self.every, allowed='as in "28 day"')

    @property
    def treatments(self) -> tuple[str, ...]:
        """Treatments the policy names, each once."""
        named = (self.start, *(rule.treatment for rule in self.rules))
        return tuple(dict.fromkeys(name for name in named if name))


def _days(text: str) -> float:
    return convert(*parse_duration(text), "day")
