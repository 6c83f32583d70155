"""The rungs that begin from scratch: the oracle, the oracle with four times the particles, NUTS; then withheld."""

from dataclasses import replace
from typing import Any

import jax

from bayestwin.twin.long_chain import by_long_chains
from bayestwin.twin.oracle import rebuild_twin
from bayestwin.twin.state import PASS

MORE = 4  # times the particles where the first try fails its check, and the population draws where they are too few


def more_of(times: int, few_draws: bool) -> str:
    """What the next try has more of, in words."""
    return f"{times} times the particles" + (" and population draws" if few_draws else "")


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
    feedback: bool = True,
    reasons: tuple[str, ...] = (),
    tries: tuple[int, ...] = (1, MORE),
    few_draws: bool = False,
    nuts: bool = True,
):
    """The twin of a whole record by the first of these rungs that passes its check, or withheld by the last.

    Parameters
    ----------
    size : int                  particles that the twin is to have, though a rung may take more
    feedback : as `rebuild_twin`; NUTS moves between population draws and is not asked for a cut posterior
    tries : of the oracle, in multiples of `size`; nuts : ask NUTS where all fail
    few_draws : what failed before had too few population draws: more of them from the first try on

    Returns
    -------
    Twin, UpdateInfo            reasons: what failed on the way

    Raises
    ------
    FitError                    as `rebuild_twin`
    """
    how: dict[str, Any] = {"islands": islands, "random_seed": random_seed, "rho": rho, "accuracy": accuracy}
    how["feedback"] = feedback

    def oracle(times, draws, why):
        sizes = {"particles": times * size, "population_draws": draws}
        twin, info = rebuild_twin(population, record, reasons=why, **sizes, **how)
        return replace(twin, size=size), info

    draws = population_draws * (MORE if few_draws else 1)
    twin, info = oracle(tries[0], draws, reasons)
    for times in tries[1:]:
        if info.verdict != PASS:
            failed = "; ".join(info.reasons[len(reasons) :])
            reasons = (*reasons, f"again with {more_of(times, info.few_draws)}, because {failed}")
            draws *= MORE if info.few_draws else 1
            twin, info = oracle(times, draws, reasons)
    if info.verdict == PASS or not nuts or not feedback:
        return twin, info
    with jax.enable_x64(True):
        return by_long_chains(twin, info, random_seed=random_seed, accuracy=accuracy)
