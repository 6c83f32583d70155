"""What a rival sees of a patient: values on the error scale, the treatment in force, and since when."""

from typing import NamedTuple

import numpy as np

from bayestwin.dynamics import treatment_starts
from bayestwin.evaluation.predictions import treatment_at
from bayestwin.evaluation.rivals.location_scale import on_error_scale
from bayestwin.individual import beginning


class Course(NamedTuple):
    """Treatments of one patient: (start, name) in order of time, and the time the record begins."""

    starts: tuple
    begin: float

    def treatment(self, time: float) -> str:
        """The treatment in force just before `time`, "" before the first."""
        return treatment_at(self.starts, time)

    def episodes(self, time: float) -> list[tuple[str, float]]:
        """(treatment, time spent in it) up to just before `time`, in order; the first is "" from the beginning."""
        begun = [(self.begin, ""), *((start, name) for start, name in self.starts if start < time)]
        ends = [start for start, _ in begun[1:]] + [time]
        return [(name, max(end - max(start, self.begin), 0.0)) for (start, name), end in zip(begun, ends)]

    def since(self, time: float) -> float:
        """Time since the treatment in force started; before the first, since the record began."""
        return self.episodes(time)[-1][1]


def course_of(model, record) -> Course:
    """Treatments of a record."""
    return Course(tuple(treatment_starts(model, record)), beginning(record))


def values_of(observation, labs) -> np.ndarray:
    """Values of labs of one output on its error scale, (N,), each where it stands."""
    return np.array([stands_at(observation, lab) for lab in labs], dtype=float)


def stands_at(observation, lab) -> float:
    """A lab on its error scale; a censored value stands at its limit, one between two limits in the middle."""
    ends = (lab.value, lab.value if lab.upper is None else lab.upper)
    return 0.5 * sum(on_error_scale(observation, end) for end in ends)


def labs_of(record, output: str) -> list:
    """Labs of one output in order of time."""
    return [lab for lab in record.labs if lab.output == output]
