"""Around day 28: is what is left of the M-protein slow clearance, or myeloma that survived?

M-protein leaves the blood with its own half-life, IgG in about 14 days, IgA in about 6. Had every myeloma cell died at
the infusion, 18 g/L of IgG would still read 4.4 g/L on day 28, and 18 g/L of IgA 0.7 g/L (14 and 6 days). So the same
reading says different things. Two questions, two numbers:

    allowed      labs had every clone been gone at the infusion, from the twin as it stood there: its clearance, its
                 M-protein on that day, the assay's error. Where does the reading lie in them?
    survivors    P(burden on this day >= a share of the burden at the infusion | every lab), from the twin of this day

A reading that clearance does not allow speaks of survivors; one that it allows does not prove their absence. Light
chains, gone within hours, say more and earlier. Nothing here is a response category (imwg.py).
"""

from dataclasses import dataclass

import numpy as np

from bayestwin.errors import RecordError
from bayestwin.prognosis.imposed import ImposedLabs, PastCourse, labs_if, past_course
from bayestwin.records.refusal import shown_key

from .mechanism import STATES

CLONES = tuple(name for name in STATES if name.startswith("ln_") and name != "ln_reference")
GONE = dict.fromkeys(CLONES, -60.0)  # ln of a burden of which not one cell is left
SHARE = 0.1  # of the burden at the infusion: less is no longer seen in M-protein, and in few light chains
DAY = 1.0  # the first twin stands at the infusion: less than this after it
USUAL = 0.1  # a reading of the highest tenth of what clearance leaves is no longer usual; ends of the 80 % range
WORDS = {"near": "near what clearance allows", "well above": "well above it", "below": "below it"}


@dataclass(frozen=True)
class Reading:
    """One M-protein against clearance alone.

    low, high : 80 % range had every clone been gone at the infusion; above : how many of such labs are this high;
        those that the reading's limit does not tell from it count half
    survivors, error : P(a tenth of the burden or more is left) and its Monte Carlo error
    said : the value as the laboratory gave it ("<0.5"); "" for a number; until : the day up to which labs are learnt,
        and on which the survivors are counted; None: the reading's own
    """

    day: float
    value: float
    unit: str
    low: float
    high: float
    above: float
    survivors: float
    error: float
    said: str = ""
    until: float | None = None

    @property
    def verdict(self) -> str:
        """ "near", "well above" or "below" what clearance allows."""
        if self.above < USUAL:
            return "well above"
        return "below" if self.above > 1.0 - USUAL else "near"

    @property
    def _ends(self) -> tuple[str, str]:
        """Both ends in so many digits, two or more, that the reading lies on the side of each on which it does."""
        for digits in range(2, 7):
            found = _rounded(self.low, digits), _rounded(self.high, digits)
            sides = zip((self.low, self.high), map(float, found))
            if all(np.sign(self.value - end) == np.sign(self.value - said) for end, said in sides):
                break
        return found

    @property
    def sentence(self) -> str:
        """What a reader is told; ends of the range to two digits or more, chances in steps of five points."""
        low, high = self._ends
        until, still = (
            ("this day", "still there") if self.until in (None, self.day) else (f"day {self.until:g}", "there then")
        )
        return (
            f"M-protein was {self.said or f'{self.value:g}'} {self.unit} on day {self.day:g}; had every myeloma cell "
            f"been gone at the infusion, 8 of 10 such labs would lie between {low} and {high} {self.unit}, "
            f"so the reading is {WORDS[self.verdict]}; with all labs up to {until} the model holds it "
            f"{_in_100(self.survivors)} in 100 that a tenth of the burden at the infusion or more is {still}."
        )


def allowed(twin, times, *, random_seed: int, output: str = "m_protein") -> ImposedLabs:
    """Labs had every clone been gone at the data cut of a twin that stands at the infusion; see `labs_if`."""
    return labs_if(twin, GONE, output, times, random_seed=random_seed)


@dataclass(frozen=True, eq=False)
class Left:
    """ln of the burden at a twin's data cut over that at the infusion, of every particle (P,), and their weights."""

    ln_share: np.ndarray
    past: PastCourse

    @property
    def weights(self) -> np.ndarray:
        """Weights summing to one, (P,)."""
        return self.past.weights

    def chance(self, holds) -> tuple[float, float]:
        """Posterior probability of what holds (P,), and its Monte Carlo error."""
        return self.past.chance(holds)


def left_since(twin, infusion: float, *, random_seed: int) -> Left:
    """How much of the burden at the infusion is left at a twin's data cut."""
    past = past_course(twin, np.array([infusion, twin.time]), random_seed=random_seed)
    then, now = (np.logaddexp.reduce([getattr(past.at(t), x) for x in CLONES]) for t in (infusion, twin.time))
    return Left(now - then, past)


def survivors(twin, infusion: float, *, share: float = SHARE, random_seed: int) -> tuple[float, float]:
    """P(burden at the data cut >= `share` of that at the infusion), and its Monte Carlo error."""
    left = left_since(twin, infusion, random_seed=random_seed)
    return left.chance(left.ln_share >= np.log(share))


def read_clearance(at_infusion, now, *, random_seed: int) -> Reading:
    """The newest M-protein of a twin beside clearance alone since the infusion.

    Parameters
    ----------
    at_infusion : Twin      as it stood on the day of the infusion, which its record names
    now : Twin              the same patient's, after it

    Raises
    ------
    RecordError             another patient; no infusion; a first twin that stands a day or more after it; no M-protein
    """
    if at_infusion.key != now.key:
        raise RecordError(
            "two twins of different patients",
            subject=f"patient {at_infusion.key}",
            value=shown_key(now.key),
            allowed="one patient",
        )
    infusions = [e.time for e in now.record.events if e.event == "infusion" and e.time <= at_infusion.time]
    if not infusions:
        raise RecordError(
            "no infusion by the time of the first twin",
            subject=f"patient {now.key}",
            next_step="Start a twin from the record as it was known on the day of the infusion, the infusion in it.",
        )
    if at_infusion.time - infusions[-1] >= DAY:
        raise RecordError(
            "the first twin does not stand at the infusion",
            subject=f"patient {now.key}",
            value=f"day {at_infusion.time:g}",
            allowed=f"day {infusions[-1]:g}, the day of the infusion",
            next_step="Start one from the record as it was known on that day: what was cleared since would not count.",
        )
    labs = [x for x in now.record.labs if x.output == "m_protein" and x.time > at_infusion.time]
    if not labs:
        raise RecordError(
            "no M-protein after the infusion",
            subject=f"patient {now.key}",
            next_step="Wait for one; in light-chain disease there is none to compare.",
        )
    last, start = labs[-1], infusions[-1]
    alone = allowed(at_infusion, np.array([last.time]), random_seed=random_seed)
    low, high = alone.quantiles((0.1, 0.9))[:, 0]
    chance, error = survivors(now, start, random_seed=random_seed)
    unit = now.model.observations[now.model.observation_index["m_protein"]].unit
    day, until = last.time - start, now.time - start
    above = _share_above(alone, last)
    return Reading(day, last.level, unit, float(low), float(high), above, chance, error, _said(last), until)


def _share_above(alone: ImposedLabs, lab) -> float:
    """How many labs of clearance alone are higher than this one; what its limit does not tell from it counts half."""
    drawn = alone.labs[:, int(np.flatnonzero(alone.times == lab.time)[0])]
    low = -np.inf if lab.censoring == "left" else lab.value
    high = np.inf if lab.censoring == "right" else lab.value if lab.upper is None else lab.upper
    return float((alone.weights * ((drawn > high) + 0.5 * ((drawn >= low) & (drawn <= high)))).sum())


def _said(lab) -> str:
    """A lab beyond a limit, or between two, as a laboratory writes it; "" for a number."""
    if lab.upper is not None:
        return f"{lab.value:g} to {lab.upper:g}"
    sign = {"left": "<", "right": ">"}.get(lab.censoring, "")
    return f"{sign}{lab.value:g}" if sign else ""


def _rounded(value: float, digits: int) -> str:
    return f"{float(f'{value:.{digits}g}'):g}"


def _in_100(chance: float) -> str:
    points = 5 * round(20 * chance)
    return "fewer than 5" if points == 0 else "more than 95" if points == 100 else f"about {points}"
