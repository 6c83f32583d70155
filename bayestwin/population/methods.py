"""The samplers behind `fit_population(method=...)`: what each takes, refuses and needs to begin.

nuts          joint NUTS over population and patients: the reference
gibbs         HMC within Gibbs: patients in parallel, the population between them (gibbs.py); as exact, and faster
              the more patients and individual parameters there are
approximate   a variational normal (variational.py): minutes, labelled approximate
"""

from typing import NamedTuple

from bayestwin.errors import FitError
from bayestwin.population.joint import joint_of
from bayestwin.population.program import population_program
from bayestwin.population.sampling import run_gibbs, run_nuts
from bayestwin.specification.priors import Fixed


class Method(NamedTuple):
    """bold, cautious : target acceptance, warmup : draws, where the caller does not say; refused : of other methods."""

    bold: float
    cautious: float
    warmup: int
    refused: tuple[str, ...]


METHODS = {
    "nuts": Method(0.95, 0.99, 500, ()),
    "gibbs": Method(0.8, 0.95, 300, ("centred", "max_tree_depth", "climb")),
    "approximate": Method(
        0.0, 0.0, 0, ("centred", "max_tree_depth", "climb", "chains", "warmup", "target_accept", "start_from", "work")
    ),
}


def check_method(model, method: str, given: dict) -> Method:
    """The method of that name.

    given : settings by name, None where the caller did not say them

    Raises
    ------
    FitError      no such method, a setting that it does not have, or a model that it cannot sample
    """
    if method not in METHODS:
        raise FitError("no such method", subject=f"model {model.name}", value=method, allowed=" or ".join(METHODS))
    for name in METHODS[method].refused:
        if given.get(name) is not None:
            others = [other for other in METHODS if name not in METHODS[other].refused]
            raise FitError(
                f"method {method!r} has no setting {name!r}",
                subject=f"model {model.name}",
                value=given[name],
                next_step=f"Leave it out, or take method={' or '.join(repr(o) for o in others)}.",
            )
    if method == "gibbs" and not model.individual_names:
        raise FitError(
            "nothing varies between patients, so there are no patients to move in parallel",
            subject=f"model {model.name}",
            value=method,
            next_step="Take method='nuts', or give a parameter `between`.",
        )
    own = [c for c in model.covariate_distributions if c.covariate not in model.latent_covariates or _learnt(c)]
    if method == "gibbs" and own:
        raise FitError(
            "covariates that are summed out where they are missing, or whose distribution is learnt, give each "
            "patient a prior of their own, which this method cannot move with",
            subject=f"model {model.name}",
            place=", ".join(one.covariate for one in own),
            value=method,
            next_step="Take method='nuts'; or, of categories alone, give them known shares and as_normal=True.",
        )
    return METHODS[method]


def _learnt(one) -> bool:
    return not all(isinstance(prior, Fixed) for prior in one.sites.values())


def run(
    method: str, model, groups, start, *, rho: float, centred, accuracy, max_tree_depth, climb: int, search: bool, **how
):
    """Draws of the cohort's joint density.

    search : look for where patients begin (`gibbs`)
    start, how : as for `run_nuts` and `run_gibbs`
    """

    def program(labs=True):
        population_program(model, groups, rho=rho, centred=centred, labs=labs, accuracy=accuracy)

    if method == "gibbs":
        joint = joint_of(model, groups, rho=rho, accuracy=accuracy)
        return run_gibbs(joint, lambda: program(labs=False), start, search=search, **how)
    return run_nuts(program, start, max_tree_depth=max_tree_depth, climb=climb, **how)
