"""The ladder of one chance: the same question asked of one patient at moment after moment, as more becomes known.

At each moment the twin has learnt what was known then and that the patient is alive, unless a death was known, and is
asked for the chance to be free of progression for so many months, or until the same day each time. A rung says what it
rests on: labs learnt, evidence behind the treatment, what was assumed, and how much of the doubt labs can still take
away.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bayestwin.errors import FitError, ModelError
from bayestwin.prognosis.forecast import forecast
from bayestwin.prognosis.printed import in_100
from bayestwin.prognosis.quantities import Chance
from bayestwin.prognosis.result import Prognosis
from bayestwin.prognosis.table import table
from bayestwin.records.record import ClinicalEvent
from bayestwin.twin import start_twin, update_twin
from bayestwin.twin.state import PASS
from bayestwin.units import convert

NOISY = 0.025  # Monte Carlo error of a chance from which on a report prints no number (report/rounding.py)


@dataclass(frozen=True, eq=False)
class Rung:
    """One moment. months : from here to where the chance is asked; labs : output -> how many were learnt

    chance : None where there is no number, with `reason`; path, verdict : of the numerical check
    """

    name: str
    time: float
    months: float
    labs: dict[str, int]
    chance: Chance | None
    reason: str
    evidence: str
    assumption: str
    path: str
    verdict: str
    twin: Any = field(repr=False)
    prognosis: Prognosis | None = field(default=None, repr=False)

    @property
    def range(self) -> tuple[float, float] | None:
        """The 80 % knowledge range of the chance."""
        return None if self.chance is None or self.chance.knowledge is None else self.chance.knowledge[0.8]

    @property
    def labs_learnt(self) -> str:
        """The labs in words."""
        count = sum(self.labs.values())
        kinds = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in self.labs.items())
        return f"{count} labs ({kinds})" if count else "no lab, so the population alone"

    @property
    def rests_on(self) -> str:
        """Labs learnt, evidence of the treatment, assumption."""
        return "; ".join(part for part in (self.labs_learnt, self.evidence, self.assumption) if part)


@dataclass(frozen=True, eq=False)
class Ladder:
    """Rungs in order of time; `question` in words."""

    patient: str
    treatment: str
    question: str
    rungs: tuple[Rung, ...]

    def rung(self, name: str) -> Rung:
        """The rung of a moment."""
        for rung in self.rungs:
            if rung.name == name:
                return rung
        raise ModelError("no such moment", value=name, allowed=", ".join(r.name for r in self.rungs))

    def to_frame(self):
        """One row per moment: chance, Monte Carlo error, range, shares of the doubt, what it rests on (pandas)."""
        return table([_row(rung) for rung in self.rungs])

    def __str__(self):
        errors = [100 * rung.chance.mcse for rung in self.rungs if rung.chance is not None]
        exact = f"; Monte Carlo error up to {max(errors):.1f} points" if errors else ""
        lines = [f"{self.question}; {self.patient}, {self.treatment} (research use only){exact}"]
        for rung in self.rungs:
            if rung.chance is None:
                said = f"no number ({rung.reason})"
            else:
                limits = rung.range
                between = "no range" if limits is None else " to ".join(in_100(x) for x in limits)
                why = f": {rung.reason}" if rung.reason else ""
                said = f"{in_100(rung.chance.value)} in 100 ({between}{why})"
            lines.append(f"  {rung.name} ({rung.time:g}): {said}; rests on {rung.rests_on}")
        return "\n".join(lines)


def chance_ladder(
    population,
    record,
    moments: dict[str, float],
    *,
    treatment: str,
    month: float = 12,
    until: float | None = None,
    endpoint: str = "progression or death",
    random_seed: int,
    horizon_months: float | None = None,
    **sizes,
) -> Ladder:
    """Walk one record through moments and ask the same chance at each.

    Parameters
    ----------
    population : PopulationPosterior     fitted without this patient
    record : PatientRecord               the whole record; what became known later than a moment is not used there
    moments : name -> model time         in any order
    treatment : the row that is asked; planned, waiting or in force, as the record of the moment has it
    month : months from each moment; until : a model time instead, the same for all moments
    horizon_months : how far each forecast goes; default no further than the question needs
    sizes                                particles, islands, population_draws, as for `start_twin`

    Raises
    ------
    ModelError      no endpoint, no moment, or a moment that is not before `until`
    """
    model = population.model
    if model.progression is None or not moments:
        raise ModelError(
            "a ladder needs a model with an endpoint, and a moment",
            subject=f"model {model.name}",
            value=f"{len(moments)} moments",
        )
    per_month = convert(1.0, "month", model.time_unit)
    longest = model.progression.horizon_months
    rungs: list[Rung] = []
    twin: Any = None
    alive: tuple[ClinicalEvent, ...] = ()
    for name, time in sorted(moments.items(), key=lambda item: item[1]):
        months = float(month) if until is None else (until - time) / per_month
        if not 0 < months <= longest:
            raise ModelError(
                "the chance is asked outside the horizon of the model",
                subject=f"moment {name}",
                value=f"{months:g} months ahead",
                allowed=f"more than 0 and at most {longest} months",
            )
        alive = (*alive, ClinicalEvent("last_known_alive", time, time))
        known = record.known_at(time)
        died = min((e.time for e in known.events if e.event == "death"), default=float("inf"))
        known = replace(known, events=(*known.events, *(e for e in alive if e.time < died)))
        if twin is None:
            twin = start_twin(population, known, random_seed=random_seed, **sizes)
        else:
            twin, _ = update_twin(twin, known, random_seed=random_seed, population=population)
        ahead = horizon_months or months
        rungs.append(_asked(twin, name, time, treatment, months, ahead, endpoint, random_seed))
    what = f"until {model.time_unit} {until:g}" if until is not None else f"for {month:g} months from each moment"
    return Ladder(record.key, treatment, f"chance to be free of {endpoint} {what}", tuple(rungs))


def _asked(twin, name, time, treatment, months, ahead, endpoint, random_seed) -> Rung:
    """The rung of a twin that stands at its moment."""
    counted = dict(Counter(lab.output for lab in twin.record.labs))
    common = {"path": twin.info.path, "verdict": twin.info.verdict, "twin": twin}
    try:
        made = forecast(
            twin,
            [treatment],
            horizon_months=max(ahead, months),
            landmarks_months=(months,),
            random_seed=random_seed,
            over_rho=False,
        )
    except FitError as error:
        return Rung(name, time, months, counted, None, str(error.problem), "", "", **common)
    row, chance = made.row(treatment), made.chance(treatment, months, endpoint=endpoint)
    reason = row.refused if chance is None else chance.reason
    reason = "; ".join(part for part in (reason, *_errors(chance), *_failed(twin.info)) if part)
    return Rung(
        name,
        time,
        months,
        counted,
        chance,
        reason,
        row.plan.evidence,
        row.plan.assumption,
        prognosis=made,
        **common,
    )


def _errors(chance: Chance | None) -> list[str]:
    """Errors of a chance for which a report prints no number."""
    said = []
    if chance is not None and chance.mcse > NOISY:
        said.append(f"Monte Carlo error {100 * chance.mcse:.1f} points: take more particles")
    if chance is not None and chance.draws_error > NOISY:
        said.append(f"other population draws would move it by {100 * chance.draws_error:.1f} points: take more draws")
    return said


def _failed(info) -> list[str]:
    """That the numerical check failed, and why."""
    return [] if info.verdict == PASS else [f"the numerical check failed: {info.reasons[-1]}"]


def _row(rung: Rung) -> dict:
    chance, (low, high) = rung.chance, rung.range or (np.nan, np.nan)
    doubt = (np.nan,) * 3 if chance is None else np.array(chance.doubt) / max(sum(chance.doubt), 1e-12)
    return {
        "moment": rung.name,
        "time": rung.time,
        "months": rung.months,
        "labs": sum(rung.labs.values()),
        "chance": np.nan if chance is None else chance.value,
        "mcse": np.nan if chance is None else chance.mcse,
        "draws_error": np.nan if chance is None else chance.draws_error,
        "low": low,
        "high": high,
        "doubt_patient": doubt[0],
        "doubt_knowledge": doubt[1],
        "doubt_chance": doubt[2],
        "note": rung.reason,
        "rests_on": rung.rests_on,
    }
