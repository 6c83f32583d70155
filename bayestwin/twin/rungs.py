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
    if times == 1 and few_draws:
        return "more population draws"
    return f"{times} times the particles" + (" and population draws" if few_draws else "")


def after(info) -> tuple[int, ...]:
    """Multiples of the particles to try where a check failed: where population draws were too few and nothing else was
    wrong, more draws first, for as many particles."""
    return (1, MORE) if info.nothing_else else (MORE,)


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
    failed=None,
    once: bool = False,
):
    """The twin of a whole record by the first of these rungs that passes its check, or withheld by the last.

    Parameters
    ----------
    size : int                  particles that the twin is to have, though a rung may take more
    feedback : as `rebuild_twin`; NUTS moves between population draws and is not asked for a cut posterior
    failed : UpdateInfo of the rung before these, None where there was none: what it lacked, the first try has more of
    once : the oracle alone, with as many particles as the twin is to have

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

    times, *left = after(failed) if failed else (1,)
    draws = population_draws * (MORE if failed and failed.few_draws else 1)
    twin, info = oracle(times, draws, reasons)
    left = left if failed else list(after(info))
    while info.verdict != PASS and not once and (left or info.nothing_else):
        (times, *left), why = left or [times], "; ".join(info.reasons[len(reasons) :])
        reasons = (*reasons, f"again with {more_of(times, info.few_draws)}, because {why}")
        draws *= MORE if info.few_draws else 1
        twin, info = oracle(times, draws, reasons)
    if info.verdict == PASS or once or not feedback:
        return twin, info
    with jax.enable_x64(True):
        return by_long_chains(twin, info, random_seed=random_seed, accuracy=accuracy)
