"""What each dose of a record does, and when: boluses, infusions, resets, steady states, with NONMEM's meaning.

    arrival = time + lag          amount = bioavailability * amount given
    an infusion of fixed duration D runs at amount / D, one of fixed rate R lasts amount / R

A reset (EVID 3 and 4) and SS = 1 end every infusion and cancel what earlier doses still had to give: additional
doses, and doses on their way through a lag. SS = 2 leaves them. Rows of one time follow each other in file order;
what an earlier row sends to that time (an additional or a lagged dose) comes before all of them. Where the model has
parameters for a compartment (`Dosing`), doses into it and steady states are left open: arrivals.py, moving.py.

Source: NONMEM Users Guide VI (PREDPP), dose, reset and steady-state event records.
"""

from dataclasses import dataclass

from bayestwin.dynamics.arrivals import ANY_INTERVAL, EARLIER, Arrival, Repeated, arrivals_of, cancelled_after
from bayestwin.dynamics.cycle import Cycle, dosing_cycle
from bayestwin.errors import RecordError


@dataclass(frozen=True)
class Happening:
    """One jump: what changes at `time`; `order` breaks ties.

    bolus, rate : (state, amount) or (state, change of the infusion rate)
    restart : every state returns to its initial value; clear : infusions end
    steady : the cycle whose steady state is put in the place of the state (clear) or added to it; in a model with
        parameters for doses, what is repeated
    """

    time: float
    order: float
    bolus: tuple[int, float] | None = None
    rate: tuple[int, float] | None = None
    treatment: int | None = None
    restart: bool = False
    clear: bool = False
    steady: Cycle | Repeated | None = None

    @property
    def adds(self) -> bool:
        """True for a jump that only adds to what is there, so that its place among others like it does not matter."""
        return not (self.restart or self.clear) and self.steady is None and self.treatment is None


def dose_happenings(model, record) -> tuple[list[Happening], list[Arrival]]:
    """Every jump that a record's doses bring, in no order: those that stand where they are, and those that move."""
    found: list[Happening] = []
    moving: list[Arrival] = []
    for dose in record.doses:
        if dose.reset or dose.ss == 1:
            found = [h for h in found if h.time <= dose.time]
            moving = cancelled_after(moving, dose.time)
        if dose.reset:
            found.append(Happening(dose.time, dose.order, restart=True, clear=True))
        if dose.amount > 0 or dose.ss:
            state = _state(model, record, dose)
            declared = model.dosing_of.get(state)
            _check_modelled(model, record, dose, declared)
            if dose.ss:
                _check_steady(model, record, dose)
            if declared is None and not (model.dosing and dose.ss):
                found += _given(model, dose, state)
                continue
            jumps, repeated = arrivals_of(dose, state, lagged=declared is not None and declared.lag is not None)
            moving += jumps
            if repeated is not None:
                found.append(Happening(dose.time, dose.order, steady=repeated, clear=dose.ss == 1))
    return found, moving


def _given(model, dose, state: int) -> list[Happening]:
    """The jumps of one dose and its additional doses."""
    at = dose.time
    amount, duration = dose.bioavailability * dose.amount, dose.duration
    if dose.rate > 0:
        duration = amount / dose.rate
    found = []
    if dose.ss:
        if amount == 0:
            return _constant_infusion(dose, state, len(model.states))
        found += _steady(dose, state, len(model.states), amount, duration)
    for k in range(dose.addl + 1):
        arrival = at + k * dose.ii + dose.lag
        found += _arriving(arrival, dose.order if k == 0 and dose.lag == 0 else EARLIER, state, amount, duration)
    return found


def _arriving(time: float, order: float, state: int, amount: float, duration: float) -> list[Happening]:
    """A bolus, or the start and the end of an infusion."""
    if duration <= 0:
        return [Happening(time, order, bolus=(state, amount))]
    rate = amount / duration
    return [
        Happening(time, order, rate=(state, rate)),
        Happening(time + duration, EARLIER, rate=(state, -rate)),
    ]


def _steady(dose, state: int, states: int, amount: float, duration: float) -> list[Happening]:
    """The steady state at the time of the row, and what its implied earlier doses still bring after it."""
    cycle, running, pending = dosing_cycle(states, state, amount, duration, dose.ii, dose.lag)
    found = [Happening(dose.time, dose.order, steady=cycle, clear=dose.ss == 1)]
    for left in running:
        found.append(Happening(dose.time, dose.order, rate=(state, amount / duration)))
        found.append(Happening(dose.time + left, EARLIER, rate=(state, -amount / duration)))
    for wait in pending:
        found += _arriving(dose.time + wait, dose.order if wait == 0 else EARLIER, state, amount, duration)
    return found


def _constant_infusion(dose, state: int, states: int) -> list[Happening]:
    """The steady state of an infusion that has always run; it stops at the time of the row, or a lag later."""
    cycle, _, _ = dosing_cycle(states, state, ANY_INTERVAL * dose.rate, ANY_INTERVAL, ANY_INTERVAL, 0.0)
    found = [Happening(dose.time, dose.order, steady=cycle, clear=dose.ss == 1)]
    if dose.lag > 0:
        found.append(Happening(dose.time, dose.order, rate=(state, dose.rate)))
        found.append(Happening(dose.time + dose.lag, EARLIER, rate=(state, -dose.rate)))
    return found


def _state(model, record, dose) -> int:
    """Position of the state that a dose goes into."""
    compartment = model.routes.get(dose.target, dose.target)
    if compartment not in model.states:
        raise RecordError(
            "a dose goes nowhere",
            subject=f"patient {record.key}",
            place=f"dose at {dose.time:g}",
            value=dose.target,
            allowed=f"a route ({', '.join(model.routes)}) or a compartment ({', '.join(model.states)})",
        )
    return model.states.index(compartment)


def _check_modelled(model, record, dose, declared) -> None:
    """A dose leaves its rate or duration to a parameter that the model has; readers refuse others with the row."""
    if dose.modelled and (declared is None or dose.modelled not in declared.named):
        raise RecordError(
            f"the model has no parameter for the {dose.modelled} of this dose",
            subject=f"patient {record.key}",
            place=f"dose at {dose.time:g}",
            value=f"{dose.target}, modelled {dose.modelled}",
            allowed="a rate or a duration, or Dosing(...) in the model file",
        )


def _check_steady(model, record, dose) -> None:
    """Contradictions of a steady-state dose that was written by hand; readers refuse them with the row."""
    where = {"subject": f"patient {record.key}", "place": f"dose at {dose.time:g}"}
    if dose.ss not in (1, 2):
        raise RecordError("this kind of steady state is not known", value=f"ss={dose.ss}", allowed="1 or 2", **where)
    if dose.amount > 0 and dose.ii <= 0:
        raise RecordError("a steady-state dose needs its interval", value=dose.ii, allowed="ii more than 0", **where)
    runs = dose.rate > 0 or dose.modelled == "rate"
    if dose.amount <= 0 and not (runs and dose.ii == 0 and dose.addl == 0):
        raise RecordError(
            "a steady-state dose without an amount is a constant infusion",
            value=f"rate={dose.rate:g}, ii={dose.ii:g}, addl={dose.addl}",
            allowed="rate more than 0, ii and addl 0",
            **where,
        )
