"""Are the ranks of many simulated patients uniform, quantity by quantity, and do knowledge ranges hold the truth?

For each quantity the distribution function of its PITs is compared with the uniform one at all points at once: the
least of the pointwise binomial tails, and how often uniform PITs have one as small (so p < 0.01 says that the curve
leaves its simultaneous 99 % band). Over all quantities together Holm's adjusted p under 1 % says NOT CALIBRATED: of a
hundred sound programs one is called so. Of each knowledge range the number of patients in whom it held the true chance
is binomial; these p are adjusted among themselves in the same way. An 80 % range under half a point wide, such as 0 to
0 in a patient who has progressed, is a point: it holds the truth or not at every level, so points are counted by
themselves, and those from which the truth lies half a point or more away. Patients whose twin failed its numerical
check are counted and left out.

Source: Sailynoja, Burkner and Vehtari (2022), Statistics and Computing 32:32.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from bayestwin.evaluation.scores import GRID, holm
from bayestwin.evaluation.verification.equality import FALSE_ALARM
from bayestwin.twin.state import PASS

SEED, SIMULATIONS = 1, 40_000  # of the simulated band: small p are needed where there are many quantities
LEVELS = (50, 80, 95)
POINT = 0.005  # wide, an 80 % range is a point for every reader


@dataclass(frozen=True)
class Calibration:
    """Ranks of simulated patients.

    rows : DataFrame     of `calibration_rows`, patients under each other; failed : patient -> why there are no rows
    """

    rows: Any
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def usable(self):
        """Rows of patients whose twin passed its numerical check."""
        return self.rows[self.rows["verdict"] == PASS]

    @cached_property
    def summary(self):
        """One line per quantity (DataFrame): patients, mean PIT (1/2 expected), p of uniformity alone and adjusted."""
        import pandas as pd

        rows, lines = self.usable[self.usable["kind"] != "knowledge"], []
        for quantity, part in rows.groupby("quantity", sort=False):
            p = uniform_p(part["pit"])
            line = {"quantity": quantity, "kind": part["kind"].iloc[0], "patients": len(part)}
            lines.append(line | {"mean_pit": part["pit"].mean(), "p": p, "within_band": p >= FALSE_ALARM})
        table = pd.DataFrame(lines)
        table["p_adjusted"] = holm(table["p"])
        table["calibrated"] = table["p_adjusted"] >= FALSE_ALARM
        return table

    @cached_property
    def knowledge(self):
        """One line per landmark and level (DataFrame): share of patients whose range held the true chance, its 90 %
        limits (Clopper and Pearson), Holm's adjusted p of the level; ranges that could not be had are counted, and
        points, and those of them that the truth is not at."""
        import pandas as pd

        rows, lines = self.usable[self.usable["kind"] == "knowledge"], []
        for quantity, part in rows.groupby("quantity", sort=False):
            low_80, high_80 = (part.get(name, pd.Series(np.nan, part.index)) for name in ("low_80", "high_80"))
            point = high_80 - low_80 < POINT
            missed = point & ~part["truth"].between(low_80 - POINT, high_80 + POINT)
            for level in LEVELS:
                held = part.get(f"covered_{level}", pd.Series(np.nan, part.index))[~point].dropna()
                low, high = _limits(int(held.sum()), len(held))
                line = {"quantity": quantity, "level": level / 100, "covered": held.mean(), "low": low, "high": high}
                line |= {"p": _binomial_p(int(held.sum()), len(held), level / 100)}
                line |= {"patients": len(held), "no_range": len(part) - int(point.sum()) - len(held)}
                lines.append(line | {"points": int(point.sum()), "points_missed": int(missed.sum())})
        table = pd.DataFrame(lines)
        if lines:
            table["p_adjusted"] = holm(table.pop("p"))
        return table

    @property
    def miscalibrated(self) -> tuple[str, ...]:
        """Quantities whose ranks are not uniform, and those whose knowledge range does not hold as often as it says."""
        ranks = tuple(self.summary.loc[~self.summary["calibrated"], "quantity"])
        table = self.knowledge
        wrong = () if table.empty else table.loc[table["p_adjusted"] < FALSE_ALARM, "quantity"]
        return ranks + tuple(dict.fromkeys(wrong))

    @property
    def sentence(self) -> str:
        """The result in words."""
        usable, patients, table = self.usable["patient"].nunique(), self.rows["patient"].nunique(), self.summary
        said = [f"{usable} of {patients} simulated patients ranked, {len(table)} quantities."]
        if self.failed:
            said.append(f"{len(self.failed)} could not be computed.")
        rule = f"Holm's adjusted p under {FALSE_ALARM:g}"
        if self.miscalibrated:
            said.append(f"NOT CALIBRATED: {', '.join(self.miscalibrated)} ({rule}).")
        else:
            said.append(f"All are calibrated ({rule} would say otherwise).")
        worst = table.loc[table["p"].idxmin()]
        outside = int((~table["within_band"]).sum())
        said.append(
            f"Least p {worst['p']:.2g} ({worst['quantity']}), adjusted {worst['p_adjusted']:.2g}; "
            f"{outside} of {len(table)} leave their own 99 % band."
        )
        return " ".join([*said, *self._said_of_knowledge])

    @property
    def _said_of_knowledge(self):
        """How often 80 % knowledge ranges held the true chance; nothing where they were not asked."""
        table = self.knowledge
        if table.empty:
            return
        held = [
            f"{100 * line.covered:.0f} % ({100 * line.low:.0f} to {100 * line.high:.0f}) of {line.patients}"
            for line in table[table["level"] == 0.8].itertuples()
            if line.patients
        ]
        if held:
            yield f"80 % knowledge ranges held the true chance in {'; '.join(held)} patients."
        missing, points, missed = (
            int(table.loc[table["level"] == 0.8, name].sum()) for name in ("no_range", "points", "points_missed")
        )
        if points:
            yield f"{points} ranges are points; of {missed} of them the truth lies {100 * POINT:g} points or more away."
        if missing:
            yield f"{missing} knowledge ranges could not be had."

    def __repr__(self) -> str:
        return f"<Calibration: {self.sentence}>"


def uniform_p(pit) -> float:
    """p of the hypothesis that independent PITs are uniform, by the simultaneous band of their distribution."""
    pit = np.sort(np.asarray(pit, dtype=float))
    counts = np.searchsorted(pit, GRID, side="right")
    least = _tails(counts, len(pit)).min()
    return float((1 + (_least_tails(len(pit)) <= least).sum()) / (1 + SIMULATIONS))


def _tails(counts, size: int):
    """The lesser of P(X <= count) and P(X >= count), X binomial at every u of the grid."""
    from scipy.special import bdtr, bdtrc

    counts = np.asarray(counts, dtype=float)
    upper = np.where(counts > 0, bdtrc(np.maximum(counts - 1, 0), size, GRID), 1.0)
    return np.minimum(bdtr(counts, size, GRID), upper)


@lru_cache(maxsize=16)
def _least_tails(size: int) -> np.ndarray:
    """The least tail of so many uniform PITs, simulated."""
    cells = np.full(len(GRID) + 1, 1 / (len(GRID) + 1))
    counts = np.random.default_rng(SEED).multinomial(size, cells, size=SIMULATIONS).cumsum(axis=1)[:, :-1]
    every = _tails(np.arange(size + 1.0)[:, None], size)
    return every[counts, np.arange(len(GRID))].min(axis=1)


def _binomial_p(hits: int, count: int, share: float) -> float:
    """Two-sided p of so many hits; 1 of none."""
    from scipy.stats import binomtest

    return float(binomtest(hits, count, share).pvalue) if count else 1.0


def _limits(hits: int, count: int, tail: float = 0.05) -> tuple[float, float]:
    from scipy.stats import beta

    if not count:
        return float("nan"), float("nan")
    low = beta.ppf(tail, hits, count - hits + 1) if hits else 0.0
    high = beta.isf(tail, hits + 1, count - hits) if hits < count else 1.0
    return float(np.clip(low, 0.0, 1.0)), float(np.clip(high, 0.0, 1.0))
