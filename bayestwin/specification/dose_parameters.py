"""Parameters that speak of doses: lag, bioavailability, infusion rate and duration of what goes into a compartment.

    arrival = time of the dose + its own lag + lag            share that arrives = its own share * bioavailability
    a dose of modelled rate runs at `rate`, one of modelled duration lasts `duration` (NONMEM: RATE -1, -2)

NONMEM's ALAGn, Fn, Rn and Dn: they belong to a compartment, are individual where they vary between patients, and are
read at the time of the dose, when a covariate or a drift may have changed them.
"""

from dataclasses import dataclass

from bayestwin.dosing import modelled_by
from bayestwin.errors import ModelError

POSITIVE = ("log", "logit")


@dataclass(frozen=True)
class Dosing:
    """What a model's parameters say of doses into one compartment.

    into : the compartment, or a route that leads there
    lag : parameter, time from a dose to its arrival; bioavailability : parameter, share of it that arrives
    rate, duration : parameters of doses that leave their rate or their duration to the model
    """

    into: str
    lag: str | None = None
    bioavailability: str | None = None
    rate: str | None = None
    duration: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """What is said -> the parameter that says it."""
        said = {name: getattr(self, name) for name in ("lag", "bioavailability", "rate", "duration")}
        return {name: parameter for name, parameter in said.items() if parameter is not None}

    def __str__(self):
        return f"{self.into}: " + ", ".join(f"{name} {parameter}" for name, parameter in self.named.items())


def check_dosing(model) -> None:
    """Contradictions of a model's `dosing`; raises ModelError."""
    scales = {p.name: p.scale for p in model.parameters}
    reached: dict[str, str] = {}
    for one in model.dosing:
        where = {"subject": f"model {model.name}", "place": f"dosing of {one.into}"}
        state = model.routes.get(one.into, one.into)
        if state not in model.states:
            known = ", ".join((*model.states, *model.routes))
            raise ModelError("unknown name", value=one.into, allowed=f"one of {known}", **where)
        if state in reached:
            raise ModelError(
                "two declarations speak of one compartment",
                value=f"{reached[state]} and {one.into}",
                allowed="one for each compartment",
                next_step="Give what differs by route a compartment of its own.",
                **where,
            )
        reached[state] = one.into
        if not one.named:
            raise ModelError("it says nothing", allowed="lag, bioavailability, rate or duration", **where)
        for name, parameter in one.named.items():
            if parameter not in scales:
                raise ModelError("unknown name", value=parameter, allowed=f"one of {', '.join(scales)}", **where)
            if scales[parameter] not in POSITIVE:
                raise ModelError(
                    f"a {name} is positive",
                    value=f"{parameter}, scale {scales[parameter]}",
                    allowed="a parameter of scale log or logit",
                    **where,
                )
    _regimens(model)


def _regimens(model) -> None:
    """A regimen that leaves its rate or duration to the model, which has no parameter for it."""
    said = {model.routes.get(one.into, one.into): one.named for one in model.dosing}
    for treatment in model.treatments:
        for _, amount, route, duration in treatment.regimen.doses:
            what, state = modelled_by(duration), model.routes.get(route, route)
            if what and what not in said.get(state, {}):
                raise ModelError(
                    f"the model has no parameter for the {what} of doses into {state}, which this regimen leaves to it",
                    subject=f"model {model.name}",
                    place=f"regimen of {treatment.name}",
                    value=f"{amount} {route}, {duration}",
                    allowed=f'a duration such as "1 h", or Dosing("{route}", {what}=...) with a parameter',
                )
