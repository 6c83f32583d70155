"""Doses: what was given (`DoseEvent`) and what could be given (`Regimen`).

A `DoseEvent` is one row of doses.csv in the model's units. A `Regimen` holds doses relative to the
start of a treatment and becomes dose events when a start time and a patient are known.
"""

from dataclasses import dataclass, replace

from bayestwin.errors import ModelError
from bayestwin.units import convert, parse_dose, parse_duration


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

    doses : (offset, amount text, route, duration text), for example ("0 day", "16 mg/kg", "iv", "4 h")
    """

    doses: tuple[tuple[str, str, str, str], ...] = ()

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

    def events(self, *, start: float, time_unit: str, dose_unit: str, covariates=None, treatment: str = ""):
        """Dose events from `start` (model time unit); amounts per kg or m2 use the patient's covariates."""
        made = []
        for offset, amount, route, duration in self.doses:
            step, unit = parse_duration(offset)
            length = convert(*parse_duration(duration), time_unit) if duration else 0.0
            made.append(
                DoseEvent(
                    time=start + convert(step, unit, time_unit),
                    amount=parse_dose(amount, dose_unit, covariates or {}),
                    target=route,
                    known_time=start,
                    duration=length,
                    treatment=treatment,
                )
            )
        return tuple(made)
