"""Draws of the PyMC program by PyMC's own NUTS or by nutpie; both run the program through PyTensor's JAX backend."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec

import jax
import numpy as np
import xarray as xr

from bayestwin.errors import FitError
from bayestwin.population.crosscheck.prediction import jax_call_type
from bayestwin.population.crosscheck.program import long_numbers

SAMPLERS = ("pymc", "nutpie")


def check_sampler(sampler: str) -> None:
    """FitError for a sampler that is not known or not installed."""
    if sampler not in SAMPLERS:
        raise FitError("unknown sampler", subject="cross-check", value=sampler, allowed=" or ".join(SAMPLERS))
    if find_spec(sampler) is None:
        raise FitError(
            "this sampler is not installed",
            subject="cross-check",
            value=sampler,
            next_step=f'Install it with pip install "bayestwin[{sampler}]", or sample with pymc.',
        )


def sample_pymc(
    program,
    names,
    *,
    random_seed: int,
    chains: int,
    tune: int,
    draws: int,
    target_accept: float,
    sampler: str = "pymc",
    progress: bool = False,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Sample a PyMC program, chain after chain in this process.

    names : variables to be kept

    Returns
    -------
    posterior, sample_stats : Datasets (chain, draw)

    Raises
    ------
    FitError            the sampler is unknown or absent, or found no start of finite density
    """
    import pymc as pm

    check_sampler(sampler)
    common = {"draws": draws, "tune": tune, "chains": chains, "cores": 1, "random_seed": random_seed}
    quiet = {"progressbar": progress, "quiet": not progress, "compute_convergence_checks": False}
    # PyMC draws its bars on the standard output, which is for results
    with program, long_numbers(), whole_process_in_float64(), redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PyTensor could not link to a BLAS")  # everything large is JAX's
        try:
            tree = pm.sample(
                nuts_sampler=sampler,
                backend="jax",
                var_names=list(names),
                nuts={"target_accept": target_accept},
                **common,
                **quiet,
            )
        except (pm.exceptions.SamplingError, RuntimeError) as error:
            raise FitError(
                f"{sampler} could not sample the PyMC program: {str(error).splitlines()[0]}",
                subject="cross-check",
                next_step="Look for a lab far outside what the priors allow.",
            ) from error
    posterior, stats = tree["posterior"].to_dataset(), tree["sample_stats"].to_dataset()
    return posterior[list(names)], stats


@contextmanager
def whole_process_in_float64() -> Iterator[None]:
    """Float64 in every thread, since nutpie calls from its own; PyTensor's JAX backend switches it on for good when it
    is loaded, and the caller's flag is put back here."""
    before = jax.config.jax_enable_x64
    try:
        from pytensor.link.jax.dispatch import jax_funcify

        kind = jax_call_type()
        if jax_funcify.dispatch(kind) is jax_funcify.dispatch(object):
            jax_funcify.register(kind)(lambda op, **_: op.function)
        jax.config.update("jax_enable_x64", True)
        yield
    finally:
        jax.config.update("jax_enable_x64", before)


def scalars(posterior: xr.Dataset, blocks=()) -> dict[str, np.ndarray]:
    """Every population parameter that moves as one (chain, draw) array by name; of a Cholesky factor the correlations.

    blocks : of the model, `Model.correlation_blocks`
    """
    found: dict[str, np.ndarray] = {}
    named = {block.site: (block.prior_name, block.prior.over) for block in blocks}
    for name, array in posterior.data_vars.items():
        values = np.asarray(array.transpose("chain", "draw", ...), dtype=float)
        if name in named:
            word, over = named[str(name)]
            matrix = values @ np.swapaxes(values, -1, -2)
            for row, one in enumerate(over):
                found |= {f"{word}[{other}, {one}]": matrix[..., row, k] for k, other in enumerate(over[:row])}
        else:
            found[str(name)] = values
    return {name: values for name, values in found.items() if values.std() > 1e-12}
