"""The cross-check's second program: the same specification in PyMC, by separate code, sampled by PyMC or nutpie.

Promise 1: this is the one allowed second derivation of a likelihood, and no result ever comes from it.
`evaluation.crosscheck` compares its posterior with a fit's.
"""

from bayestwin.population.crosscheck.program import long_numbers, pymc_program, refuse_unsupported
from bayestwin.population.crosscheck.sampling import SAMPLERS, check_sampler, sample_pymc, scalars

__all__ = ["SAMPLERS", "check_sampler", "long_numbers", "pymc_program", "refuse_unsupported", "sample_pymc", "scalars"]
