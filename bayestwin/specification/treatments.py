"""Treatments a model can forecast: regimen, when it starts, what the evidence is, for whom it holds."""

from dataclasses import dataclass

from bayestwin.dosing import Regimen


@dataclass(frozen=True)
class Eligibility:
    """One machine-readable condition of the evidence: the covariate must lie in a range or equal a value.

    A patient known to be outside gets no number; an unknown covariate is said.
    """

    covariate: str
    minimum: float | None = None
    maximum: float | None = None
    equals: object = None
    text: str = ""

    def check(self, covariates) -> bool | None:
        """True inside, False outside, None unknown."""
        value = covariates.get(self.covariate)
        if value is None or value != value:  # absent or not a number
            return None
        if self.equals is not None:
            return str(value) == str(self.equals) or (isinstance(value, (int, float)) and value == self.equals)
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
class Treatment:
    """A named choice.

    starts_with : the clinical event that starts it, "line_of_therapy" or "infusion" (its value names the treatment),
        or "dose" where only the doses count
    wait : time units between the decision and the start (vein-to-vein time), unless the record shows otherwise
    sets : (covariate, value) that eligibility for other treatments sees once this one was started
    evidence : one line printed beside every number; eligibility : for whom the evidence speaks
    given : the regimen in words, for treatments that an event starts; group : class of treatments it belongs to
    by_request : forecast only where it is asked for by name, or in force
    """

    name: str
    label: str
    regimen: Regimen = Regimen()
    starts_with: str = "line_of_therapy"
    wait: float = 0.0
    evidence: str = ""
    eligibility: tuple[Eligibility, ...] = ()
    assumption: str = ""
    source: str = ""
    cell_therapy: bool = False
    sets: tuple[tuple[str, object], ...] = ()
    given: str = ""
    group: str = ""
    by_request: bool = False
