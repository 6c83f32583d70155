"""Population: model and cohort become a NumPyro program and its draws a `PopulationPosterior`.

What samples is loaded when it is asked for: a nightly update of twins needs no NumPyro.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from bayestwin.population.diagnostics import Diagnostics
from bayestwin.population.posterior import PopulationPosterior, combine_chains, load_population

if TYPE_CHECKING:
    from bayestwin.population.fit import fit_population as fit_population
    from bayestwin.population.prior import prior_population as prior_population
    from bayestwin.population.provenance import versions as versions
    from bayestwin.population.variational import approximate_population as approximate_population

_SAMPLING = {
    "approximate_population": "bayestwin.population.variational",
    "fit_population": "bayestwin.population.fit",
    "prior_population": "bayestwin.population.prior",
    "versions": "bayestwin.population.provenance",
}

__all__ = [
    "Diagnostics",
    "PopulationPosterior",
    "approximate_population",
    "combine_chains",
    "fit_population",
    "load_population",
    "prior_population",
    "versions",
]


def __getattr__(name):
    if name in _SAMPLING:
        return getattr(import_module(_SAMPLING[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
