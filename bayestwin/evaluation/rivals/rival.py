"""What every rival forecaster shares: it goes through the same panels as the twin and is scored on the same labs.

A rival is fitted on training patients and then says, for every lab of a panel, a location and a scale on the lab's
error scale, from nothing but what was known before the panel (and the treatments, as the twin knows them).
What is counted or graded has no such scale: rivals leave it out, and a comparison counts it as the twin's only.
"""

import zlib
from abc import ABC, abstractmethod
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from bayestwin.errors import RecordError
from bayestwin.evaluation.panels import panels
from bayestwin.evaluation.predictions import prediction_rows
from bayestwin.evaluation.rivals.location_scale import Forecast, score_lab
from bayestwin.individual import information_time
from bayestwin.twin import Surprise
from bayestwin.twin.compare import difference
from bayestwin.twin.oracle import start_applied
from bayestwin.twin.state import PASS, WITHHELD


class Rival(ABC):
    """A fitted rival; subclasses are frozen dataclasses with the model they were fitted for.

    name : as in the table of scores
    """

    name: ClassVar[str]
    model: Any

    @abstractmethod
    def forecasts(self, course) -> list[list[Forecast]]:
        """For each panel of `course` one forecast per lab to predict, of those whose output the model observes."""

    @abstractmethod
    def knows(self, record) -> bool:
        """True where this patient was among those the rival was fitted on."""

    def predict(self, panel, *, random_seed: int = 0) -> tuple[Surprise, ...]:
        """What the rival expected of each lab of a panel, and how that turned out.

        random_seed : for the PIT of censored labs
        """
        rng = np.random.default_rng([random_seed, _number(panel.newer)])
        return self.scored(panel, self.forecasts([panel])[0], rng)

    def scored(self, panel, forecasts, rng) -> tuple[Surprise, ...]:
        """The labs of a panel against their forecasts."""
        labs = observed_labs(self.model, panel)
        observations = [self.model.observations[self.model.observation_index[lab.output]] for lab in labs]
        return tuple(score_lab(o, lab, f, rng) for o, lab, f in zip(observations, labs, forecasts))


def _number(record) -> int:
    """What sets the drawn PITs of one patient apart from those of others with the same seed."""
    return zlib.crc32(record.key.encode())


def observed_labs(model, panel):
    """Labs of a panel whose output the model measures; no rival forecasts what is counted or graded."""
    index = model.observation_index
    return [lab for lab in panel.labs if lab.output in index and not model.observations[index[lab.output]].discrete]


def rival_rows(
    fitted: Rival, record, *, reveal_until: float | None = None, doses_known_until: float | None = None, random_seed
) -> list[dict]:
    """Follow one patient panel by panel with a rival, as `replay` does with the twin.

    Parameters
    ----------
    fitted : Rival                 fitted without this patient, with the same `reveal_until`
    record : PatientRecord         the whole record
    reveal_until : float           labs of a later time are predicted from the earlier ones; the rows are then those of
        these labs only
    doses_known_until : float      doses of a later time are hidden
    random_seed : int              for the PIT of censored labs

    Returns
    -------
    rows of predictions.csv as dicts; verdict WITHHELD where the rival could not compute a forecast of its panel

    Raises
    ------
    RecordError                    the patient was among those the rival was fitted on

    As in a replay, a panel that changes the past (a correction, a treatment that becomes known late) has no rows.
    """
    if fitted.knows(record):
        raise RecordError(
            f"this patient was in the cohort that {fitted.name} was fitted on",
            subject=f"patient {record.key}",
            next_step="Fit without this patient.",
        )
    course = panels(record, reveal_until=reveal_until, doses_known_until=doses_known_until)
    asked = [(k, panel) for k, panel in enumerate(course) if panel.final or reveal_until is None]
    asked = [(k, panel) for k, panel in asked if panel.labs and not changes_the_past(fitted.model, panel)]
    rows = []
    for (k, panel), said in zip(asked, fitted.forecasts([panel for _, panel in asked])):
        expected = fitted.scored(panel, said, np.random.default_rng([random_seed, k, _number(record)]))
        verdict = PASS if all(f.ok for f in said) else WITHHELD
        rows += prediction_rows(fitted.model, panel.newer, expected, n_seen=len(panel.known.labs), verdict=verdict)
    return rows


def changes_the_past(model, panel) -> bool:
    """True where a twin that had learnt `panel.known` would start again, and so say nothing of the panel's labs."""
    known = panel.known
    applied = start_applied(model, known)
    seen = SimpleNamespace(model=model, record=known, time=information_time(known), applied=applied)
    return difference(seen, panel.newer).taken_away
