"""A regularised horseshoe: many candidate markers, of which few act.

A slope b_j of a group of J, on a parameter whose SD between patients is omega:

    b_j = omega tau l_j z_j,    z_j ~ Normal(0, 1),    l_j^2 = c^2 lambda_j^2 / (c^2 + tau^2 lambda_j^2)
    lambda_j ~ HalfCauchy(1),   tau ~ HalfCauchy(tau_0),    c^2 ~ InverseGamma(df / 2, df slab^2 / 2)
    tau_0 = p_0 / ((J - p_0) sqrt(N))         p_0 expected away from 0, N patients

Most slopes are drawn to 0 by tau; those that the labs ask for escape by their own lambda, up to the slab, which is
about the largest effect in SDs between patients. Slopes are in units of omega, the residual SD of the regression, so
the markers' terms want to be standardised (reference the mean, values in SDs; for a yes or no as it is).

Source: Piironen and Vehtari (2017), Electronic Journal of Statistics 11:5018.
"""

from dataclasses import dataclass
from math import sqrt

from bayestwin.errors import ModelError
from bayestwin.specification.priors import HalfCauchy, InverseGamma, Normal


@dataclass(frozen=True, kw_only=True)
class Horseshoe:
    """One prior for a group of covariate slopes: give the same object to every slope of the group.

    expected_nonzero : how many of them are believed to act
    patients : how many the fit will have; with the number of slopes it says how far tau draws them to 0
    slab, slab_df : scale and degrees of freedom of the largest slopes, in SDs between patients
    group : its name, where a model has several
    """

    expected_nonzero: float
    patients: int
    slab: float = 1.0
    slab_df: float = 4.0
    group: str = "markers"

    def __post_init__(self):
        for name in ("expected_nonzero", "patients", "slab", "slab_df"):
            if not getattr(self, name) > 0:
                raise ModelError(f"Horseshoe needs a positive {name}", value=getattr(self, name), allowed=f"{name} > 0")

    def global_scale(self, slopes: int) -> float:
        """tau_0 of a group of so many slopes."""
        return self.expected_nonzero / ((slopes - self.expected_nonzero) * sqrt(self.patients))

    def scalar_sites(self, slopes: int) -> dict[str, object]:
        """Site -> prior of what the group shares: tau, and the square of the slab's width."""
        return {
            f"{self.group}_global": HalfCauchy(scale=self.global_scale(slopes)),
            f"{self.group}_slab": InverseGamma(shape=0.5 * self.slab_df, scale=0.5 * self.slab_df * self.slab**2),
        }

    @property
    def vector_sites(self) -> dict[str, object]:
        """Site -> prior of each entry: lambda and z of every slope of the group."""
        return {f"{self.group}_local": HalfCauchy(scale=1.0), f"{self.group}_raw": Normal(mean=0.0, sd=1.0)}

    def __str__(self):
        return (
            f"regularised horseshoe {self.group} ({self.expected_nonzero:g} expected away from 0, {self.patients} "
            f"patients, slab {self.slab:g} SD between patients, {self.slab_df:g} df)"
        )


def prior_of(effect):
    """The prior of a covariate effect's coefficient."""
    return getattr(effect, "exponent", None) or getattr(effect, "slope", None) or effect.shift


def horseshoes(model) -> dict[Horseshoe, list[int]]:
    """Each horseshoe of a model and the positions of its slopes in `model.effects`."""
    found: dict[Horseshoe, list[int]] = {}
    for k, (_, _, effect) in enumerate(model.effects):
        if isinstance(prior_of(effect), Horseshoe):
            found.setdefault(prior_of(effect), []).append(k)
    return found


def check_horseshoes(model) -> None:
    """Contradictions of a model's horseshoes; raises ModelError."""
    groups = horseshoes(model)
    named = [one.group for one in groups]
    for one, slopes in groups.items():
        where = {"subject": f"model {model.name}", "place": f"horseshoe {one.group}"}
        if named.count(one.group) > 1:
            raise ModelError(
                "two horseshoes of one name differ",
                value=one.group,
                allowed="one object for all slopes of a group, or another `group`",
                **where,
            )
        if not one.expected_nonzero < len(slopes):
            raise ModelError(
                "as many slopes are expected away from 0 as there are",
                value=one.expected_nonzero,
                allowed=f"less than {len(slopes)}",
                next_step="Take Normal priors for few slopes that all act.",
                **where,
            )
        for k in slopes:
            name, position, _ = model.effects[k]
            if position not in model.varying:
                raise ModelError(
                    "a horseshoe needs a parameter that varies between patients, whose SD is its unit",
                    value=name,
                    allowed="parameters with `between`",
                    **where,
                )
        taken = {*model.parameter_names, *model.residual_parameters}
        sites = {*one.scalar_sites(len(slopes)), *one.vector_sites}
        if sites & taken:
            raise ModelError("this name is taken", value=min(sites & taken), allowed="another `group`", **where)
