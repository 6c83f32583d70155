"""The rungs that begin from scratch: the oracle, the oracle with four times the particles, NUTS; then withheld."""

from dataclasses import replace
from typing import Any

import jax

from bayestwin.twin.long_chain import by_long_chains
from bayestwin.twin.oracle import rebuild_twin
from bayestwin.twin.state import PASS

MORE = 4  # times the particles where the first try fails its check


def from_scratch(
    population,
    record,
    *,
    size: int,
    islands: int,
    population_draws: int,
    random_seed: int,
    rho: float,
    accuracy,
    reasons: tuple[str, ...] = (),
    tries: tuple[int, ...] = (1, MORE),
    nuts: bool = True,
):
    """The twin of a whole record by the first of these rungs that passes its check, or withheld by the last.

    Parameters
    ----------
    size : int                  particles that the twin is to have, though a rung may take more
    tries : of the oracle, in multiples of `size`; nuts : ask NUTS where all fail

    Returns
    -------
    Twin, UpdateInfo            reasons: what failed on the way

    Raises
    ------
    FitError                    as `rebuild_twin`
    """
    how: dict[str, Any] = {"islands": islands, "population_draws": population_draws, "rho": rho, "accuracy": accuracy}

    def oracle(times, why):
        particles = times * size
        twin, info = rebuild_twin(population, record, particles=particles, random_seed=random_seed, reasons=why, **how)
        return replace(twin, size=size), info

    twin, info = oracle(tries[0], reasons)
    for times in tries[1:]:
        if info.verdict != PASS:
            failed = "; ".join(info.reasons[len(reasons) :])
            reasons = (*reasons, f"again with {times} times the particles, because {failed}")
            twin, info = oracle(times, reasons)
    if info.verdict == PASS or not nuts:
        return twin, info
    with jax.enable_x64(True):
        return by_long_chains(twin, info, random_seed=random_seed, accuracy=accuracy)
