"""Draws whose equations could not be solved to the horizon.

A few are borne: such a draw has no weight in the courses of labs, and for its events it borrows the future of a solved
draw, at random among those of the same population draw, so that what is known of the population keeps its weight. The
share is kept with the row and reaches the report. Where more than MOST_FAILED fail the row has no number: which draws
fail is no chance, and those that are left would not speak for them.
"""

import numpy as np

from bayestwin.twin.grid import MOST_FAILED


class TooManyFailed(Exception):
    """More draws of a row failed than can be borne; `share` of them."""

    def __init__(self, share: float):
        super().__init__(share)
        self.share = share

    @property
    def reason(self) -> str:
        """Why the row has no number."""
        whom = "any draw" if self.share == 1 else f"{100 * self.share:.1f} % of the draws"
        most = "" if self.share == 1 else f" (at most {100 * MOST_FAILED:g} %)"
        return f"the equations could not be solved to the horizon for {whom}{most}"


def check_solved(ok) -> None:
    """TooManyFailed where more than MOST_FAILED of the draws, ok (P,), failed."""
    share = float((~ok).mean())
    if share > MOST_FAILED:
        raise TooManyFailed(share)


def lenders(ok, draw, rng: np.random.Generator) -> np.ndarray:
    """Whose future each draw takes (P,): its own where solved, else that of a solved one.

    ok (P,) : whether it was solved; draw (P,) : its population draw
    """
    take = np.arange(len(ok))
    for one in np.flatnonzero(~ok) if ok.any() else ():
        alike = np.flatnonzero(ok & (draw == draw[one]))
        take[one] = rng.choice(alike if len(alike) else np.flatnonzero(ok))
    return take
