"""Treatments a model can forecast: regimen, when it starts, what the evidence is, for whom it holds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real

from bayestwin.dosing import Regimen


@dataclass(frozen=True)
class Eligibility:
    """One machine-readable condition of the evidence: the covariate must lie in a range or equal a value.

    A patient known to be outside gets no number; an unknown covariate is said.

    counts_lines : the covariate is a number of lines of therapy: those begun since it was said add to it
    """

    covariate: str
    minimum: float | None = None
    maximum: float | None = None
    equals: object = None
    text: str = ""
    counts_lines: bool = False

    def check(self, covariates) -> bool | None:
        """True inside, False outside, None unknown."""
        value = covariates.get(self.covariate)
        if value is None or value != value:  # absent or not a number
            return None
        if self.equals is not None:
            return str(value) == str(self.equals) or (isinstance(value, Real) and value == self.equals)
        return not (
            (self.minimum is not None and value < self.minimum) or (self.maximum is not None and value > self.maximum)
        )

    def __str__(self):
        if self.text:
            return self.text
        if self.equals is not None:
            return f"{self.covariate} = {self.equals}"
        low = f"{self.minimum:g} <= " if self.minimum is not None else ""
        return f"{low}{self.covariate}" + (f" <= {self.maximum:g}" if self.maximum is not None else "")


@dataclass(frozen=True)
class Delay:
    """Time units by which a numeric covariate lengthens the way to a treatment, per unit above `reference`.

    An unknown covariate delays nothing.
    """

    covariate: str
    reference: float
    per_unit: float

    def of(self, covariates) -> float:
        """Time units, negative below the reference."""
        value = covariates.get(self.covariate)
        known = isinstance(value, Real) and value == value
        return self.per_unit * (float(value) - self.reference) if known else 0.0


@dataclass(frozen=True)
class Treatment:
    """A named choice.

    starts_with : the clinical event that starts it, "line_of_therapy" or "infusion" (its value names the treatment),
        or "dose" where only the doses count
    wait : time units between leukapheresis and start (vein-to-vein time), of what has none between decision and start
    to_leukapheresis : time units between the decision and the leukapheresis; delays : what moves that by covariates
    never_starts : p (natural parameter values of a patient) -> chance that one who sets out on `wait` never gets it;
        None: everybody does. instead : what these get from the day of the planned start; "": what they had goes on
    sets : (covariate, value) that eligibility for other treatments sees once this one was started
    refractory : the same once the disease progressed under this one or within 60 days of its end
    lasts : time units after which it is over by itself, None: given until something else is
    evidence : one line printed beside every number; eligibility : for whom the evidence speaks
    given : the regimen in words, for treatments that an event starts; group : class of treatments it belongs to
    by_request : forecast only where it is asked for by name, or in force
    pause : nothing is given; no line of therapy, nor is what was given before it and is given again after it
    """

    name: str
    label: str
    regimen: Regimen = Regimen()
    starts_with: str = "line_of_therapy"
    wait: float = 0.0
    to_leukapheresis: float = 0.0
    delays: tuple[Delay, ...] = ()
    never_starts: Callable | None = None
    instead: str = ""
    evidence: str = ""
    eligibility: tuple[Eligibility, ...] = ()
    assumption: str = ""
    source: str = ""
    cell_therapy: bool = False
    sets: tuple[tuple[str, object], ...] = ()
    refractory: tuple[tuple[str, object], ...] = ()
    lasts: float | None = None
    given: str = ""
    group: str = ""
    by_request: bool = False
    pause: bool = field(default=False, repr=False)
