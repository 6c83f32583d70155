"""Variability between occasions of one patient: parameters that differ from one stretch of time to the next.

    h(psi_ik) = h(typical) + covariate effects + eta_i + kappa_ik,     kappa_ik ~ Normal(0, gamma^2),  k = 1 ... most

gamma is the SD between occasions of one parameter on its transformed scale, one number for all occasions and patients
(NONMEM's `$OMEGA BLOCK SAME`); the kappas of all occasions are further individual parameters, independent of each
other or, with `correlation`, correlated between parameters within an occasion, by one matrix for all occasions, so that
there is one target and any order of arrival. An occasion that has not begun keeps its prior. The record says which
occasion is on: the number `occasion`, carried forward in time; until something says another it is the first.

Source: Karlsson and Sheiner (1993), J Pharmacokinet Biopharm 21:735.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bayestwin.errors import ModelError
from bayestwin.labs import OCCASION
from bayestwin.specification.priors import LKJ, POSITIVE, holds

NEXT = "next"
LAST = "last"


@dataclass(frozen=True)
class Occasions:
    """Parameters that vary between occasions of one patient; see the module text.

    sd : parameter -> prior of gamma, its SD between occasions on the transformed scale
    most : occasions that a patient can have; they are numbered from 1
    future : what a forecast takes beyond the data cut where the record plans no occasion: "last" carries the occasion
        in force forward, "next" begins a new one at the cut, of which nothing is known but its prior
    correlation : LKJ over some of the parameters, of their kappas in one occasion
    """

    sd: Mapping[str, object]
    most: int
    future: str = LAST
    source: str = ""
    correlation: LKJ | None = field(default=None, repr=False)

    @property
    def count(self) -> int:
        """Occasions with kappas of their own: `most`, and one more where a forecast begins a new one."""
        return self.most + (self.future == NEXT)

    def names_of(self, parameter: str) -> tuple[str, ...]:
        """Names of a parameter's kappas in order, for example CL_occasion_1; the one of a forecast comes last."""
        named = tuple(f"{parameter}_occasion_{k + 1}" for k in range(self.most))
        return (*named, f"{parameter}_occasion_next") if self.future == NEXT else named

    @property
    def names(self) -> tuple[str, ...]:
        """All kappas: parameter by parameter, in each occasion by occasion."""
        return tuple(name for parameter in self.sd for name in self.names_of(parameter))

    @property
    def allowed(self) -> str:
        """What a record may say, in words."""
        return f"a whole number from 1 to {self.most}"

    def __str__(self):
        each = ", ".join(f"{name} SD {prior}" for name, prior in self.sd.items())
        ahead = "a forecast begins a new one" if self.future == NEXT else "a forecast carries the last one forward"
        together = f"; correlated within an occasion: {self.correlation}" if self.correlation is not None else ""
        return f"{each}; up to {self.most} per patient; {ahead}{together}"


def check_occasions(model) -> None:
    """Contradictions of a model's `occasions`; raises ModelError."""
    occasions = model.occasions
    if occasions is None:
        return
    where = {"subject": f"model {model.name}", "place": "occasions"}
    if isinstance(occasions.most, bool) or not isinstance(occasions.most, int) or occasions.most < 2:
        step = "Say how many occasions a patient has at most."
        raise ModelError(
            "too few occasions", value=occasions.most, allowed="most, a whole number from 2", next_step=step, **where
        )
    if occasions.future not in (LAST, NEXT):
        raise ModelError("unknown future", value=occasions.future, allowed=f'"{LAST}" or "{NEXT}"', **where)
    if not isinstance(occasions.sd, Mapping) or not occasions.sd:
        step = 'Write for example Occasions(sd={"CL": HalfNormal(sd=0.2)}, most=4).'
        raise ModelError(
            "no parameter varies between occasions",
            value=occasions.sd,
            allowed="parameter -> prior of its SD",
            next_step=step,
            **where,
        )
    if OCCASION in {e.covariate for _, _, e in model.effects} | set(model.covariate_units):
        raise ModelError("a covariate has the name of the occasion", value=OCCASION, allowed="another name", **where)
    for name, prior in occasions.sd.items():
        _parameter(model, name, prior)
    taken = {*model.parameter_names, *(name for drift in model.drift for name in drift.names)}
    for name in taken & set(occasions.names):
        raise ModelError("this is the name of an occasion's effect", value=name, allowed="another name", **where)


def _parameter(model, name: str, prior) -> None:
    """One parameter that varies between occasions and the prior of its SD."""
    subject, place = f"model {model.name}", f"occasions, {name}"
    if name not in model.parameter_names:
        known = ", ".join(sorted(model.parameter_names))
        raise ModelError("unknown name", subject=subject, place=place, value=name, allowed=f"one of {known}")
    if not holds(POSITIVE, prior):
        raise ModelError(
            "the SD between occasions needs a prior for a positive number",
            subject=subject,
            place=place,
            value=prior,
            allowed=", ".join(kind.__name__ for kind in POSITIVE) + ", all above 0",
            next_step="Leave the parameter out where it does not vary.",
        )
    classes = {n for c in model.response_classes for n in (c.parameter, c.replaced_by, c.probability)}
    scaling = {o.error.serial.scaled_by for o in model.observations if o.error.serial is not None}
    for what, names in (("belongs to a response class", classes), ("scales a serial departure", scaling)):
        if name in names:
            raise ModelError(
                f"a parameter that {what} cannot vary between occasions",
                subject=subject,
                place=place,
                value=name,
                allowed="other parameters",
                next_step="Leave it out of `occasions`.",
            )
