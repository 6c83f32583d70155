"""Rows of a verification beside the batch row: every difference, what would have been seen, and one sentence."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bayestwin.evaluation.scores import holm
from bayestwin.evaluation.verification.equality import FALSE_ALARM, smallest_seen, welch
from bayestwin.evaluation.verification.moments import Estimate, Moments
from bayestwin.twin.state import PASS

BATCH = "batch"
COARSE = 0.25  # posterior SDs: smaller differences than this should be seen, else the sentence asks for more particles
BLIND = 1.0  # posterior SDs: where not even such a difference of a mean would be seen, nothing is shown


@dataclass(frozen=True)
class Row:
    """One way of arriving at the posterior.

    moments : quantity -> Moments; ess, particles, verdict, reasons : of the last twin; path : how often each rung was
    walked; seconds : of all updates, compiling included; kilobytes : the last twin as a file; mark : of its particles
    """

    name: str
    says: str
    moments: dict[str, Moments]
    ess: float
    particles: int
    seconds: float
    kilobytes: float
    path: str
    verdict: str
    reasons: tuple[str, ...]
    mark: str

    @property
    def estimates(self) -> dict[tuple[str, str], Estimate]:
        """(quantity, "mean" or "sd") -> Estimate."""
        return {key: e for name, m in self.moments.items() for key, e in m.estimates(name).items()}


@dataclass(frozen=True)
class Verification:
    """Six ways of arriving at one posterior.

    rows : the row called "batch" is what the others are compared with
    patient : study key; forecast : (output, time) of the lab that was forecast, or None
    """

    rows: tuple[Row, ...]
    patient: str
    forecast: tuple[str, float] | None

    @property
    def batch(self) -> Row:
        """The reference row."""
        return next(row for row in self.rows if row.name == BATCH)

    @cached_property
    def comparisons(self):
        """One line per row and quantity (DataFrame): both estimates, difference, t, p adjusted over the whole table.

        smallest_seen : the difference that would have been declared, in posterior (or predictive) SDs of the batch row
        """
        import pandas as pd

        reference, lines = self.batch.estimates, []
        for row in (r for r in self.rows if r.name != BATCH):
            for (quantity, statistic), mine in row.estimates.items():
                theirs = reference[quantity, statistic]
                found = welch(mine, theirs)
                lines.append(
                    {"row": row.name, "quantity": quantity, "statistic": statistic, "value": mine.value}
                    | {"monte_carlo_error": mine.error, "batch": theirs.value, "batch_error": theirs.error}
                    | {"difference": found.difference, "combined_error": found.error, "t": found.t}
                    | {"freedom": found.freedom, "p": found.p}
                )
        table = pd.DataFrame(lines)
        table["p_adjusted"] = holm(table["p"])
        table["equal"] = table["p_adjusted"] >= FALSE_ALARM
        table["smallest_seen"] = [
            smallest_seen(line.combined_error, line.freedom, len(table)) / self._sd(line.quantity)
            for line in table.itertuples()
        ]
        return table

    @cached_property
    def table(self):
        """One line per row (DataFrame): mean and SD of every quantity with their errors, cost, check, largest |t|."""
        import pandas as pd

        lines = []
        for row in self.rows:
            line: dict[str, Any] = {"row": row.name}
            for (quantity, statistic), e in row.estimates.items():
                line |= {f"{quantity} {statistic}": e.value, f"{quantity} {statistic} error": e.error}
            line |= {"ess": row.ess, "particles": row.particles, "seconds": row.seconds, "kilobytes": row.kilobytes}
            line |= {"path": row.path, "verdict": row.verdict} | self._largest(row.name)
            lines.append(line)
        return pd.DataFrame(lines)

    @property
    def withheld(self) -> tuple[str, ...]:
        """Rows whose last twin failed its numerical check."""
        return tuple(row.name for row in self.rows if row.verdict != PASS)

    @property
    def unequal(self) -> tuple[str, ...]:
        """Rows that differ from the batch row."""
        return tuple(dict.fromkeys(self.comparisons.loc[~self.comparisons["equal"], "row"]))

    @property
    def blind(self) -> tuple[str, ...]:
        """Rows whose Monte Carlo error would have hidden a difference of a whole posterior SD."""
        means = self.comparisons[self.comparisons["statistic"] == "mean"]
        return tuple(dict.fromkeys(means.loc[means["smallest_seen"] > BLIND, "row"]))

    @property
    def equal(self) -> bool:
        """True where every row passed its numerical check, could be seen to differ, and does not."""
        return not (self.withheld or self.unequal or self.blind)

    @property
    def same_particles(self) -> bool:
        """True where the twin that was killed and resumed is bit for bit the one that never was."""
        marks = {row.name: row.mark for row in self.rows}
        return marks.get("killed and resumed") == marks.get("lab by lab")

    @property
    def sentence(self) -> str:
        """The result in words, with what it rests on."""
        table = self.comparisons
        worst = table.loc[table["p"].idxmin()]
        rule = f"{len(table)} comparisons, Holm's adjusted p under {FALSE_ALARM:g} declares a difference"
        said = []
        if self.unequal:
            said.append(f"NOT EQUAL within Monte Carlo error: {', '.join(self.unequal)} ({rule}).")
        if self.withheld:
            said.append(f"NOT SHOWN: the numerical check of {', '.join(self.withheld)} failed.")
        if self.blind:
            said.append(f"NOT SHOWN: the Monte Carlo error of {', '.join(self.blind)} hides a whole posterior SD.")
        if not said:
            said.append(f"All rows are EQUAL to the batch row within Monte Carlo error ({rule}).")
        said.append(
            f"Largest: {worst['quantity']} {worst['statistic']} of '{worst['row']}', t = {worst['t']:.2f} with "
            f"{worst['freedom']:.0f} degrees of freedom, p = {worst['p']:.2g}, adjusted {worst['p_adjusted']:.2g}."
        )
        coarse = float(table["smallest_seen"].max())
        said.append(f"A difference of {coarse:.2f} posterior SD would have been declared in every quantity.")
        if not coarse <= COARSE:
            said.append("That is coarse: more particles would see smaller ones.")
        return " ".join(said)

    def __repr__(self) -> str:
        return f"<Verification of patient {self.patient}: {len(self.rows)} rows. {self.sentence}>"

    def _sd(self, quantity: str) -> float:
        moments = self.batch.moments[quantity]
        spread = (
            0.5 if moments.second is None else moments.sd().value
        )  # a chance has no SD of its own: half is its most
        return spread if spread > 0 else float("nan")

    def _largest(self, row: str) -> dict[str, Any]:
        part = self.comparisons[self.comparisons["row"] == row]
        if part.empty:
            return {"largest_t": np.nan, "largest_in": "", "equal": "reference"}
        worst = part.loc[part["t"].abs().fillna(np.inf).idxmax()]
        return {
            "largest_t": abs(worst["t"]),
            "largest_in": f"{worst['quantity']} {worst['statistic']}",
            "equal": "yes" if part["equal"].all() else "NO",
        }
