"""Population: model and cohort become a NumPyro program and its draws a `PopulationPosterior`."""

from bayestwin.population.diagnostics import Diagnostics
from bayestwin.population.fit import fit_population, versions
from bayestwin.population.posterior import PopulationPosterior, combine_chains, load_population
from bayestwin.population.variational import approximate_population

__all__ = [
    "Diagnostics",
    "PopulationPosterior",
    "approximate_population",
    "combine_chains",
    "fit_population",
    "load_population",
    "versions",
]
