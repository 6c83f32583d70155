"""What is known of a myeloma patient at each assessment, for one record or for thousands of simulated courses.

Arrays are (..., V): V assessments of one patient or draw, the baseline first, not a number where nothing was measured.
imwg.py codes response from them and progression.py progression; record_visits.py makes them from a record.
"""

from dataclasses import dataclass, fields
from math import inf
from typing import NamedTuple

import numpy as np

from bayestwin.errors import RecordError
from bayestwin.prognosis.rises import DUST


@dataclass(frozen=True)
class Criteria:
    """What trials decide differently; the defaults are those of the IMWG 2016.

    serum_measurable : g/L; several trials take 5, many for IgA disease
    mr_plasmacytoma : fall of a plasmacytoma that MR asks for; 0.5 in the text of 2016, 0.25 in that of 2011
    """

    serum_measurable: float = 10.0  # g/L
    urine_measurable: float = 200.0  # mg/24 h
    chains_measurable: float = 100.0  # mg/L of the involved chain, with an abnormal ratio
    marrow_measurable: float = 30.0  # % plasma cells
    mr_plasmacytoma: float = 0.5

    def __post_init__(self):
        for name, highest in (("serum", inf), ("urine", inf), ("chains", inf), ("marrow", 100.0)):
            in_range(f"{name}_measurable", getattr(self, f"{name}_measurable"), highest)
        in_range("mr_plasmacytoma", self.mr_plasmacytoma, 1.0)


def in_range(name: str, value: float, highest: float = inf) -> None:
    """RecordError where an option of the criteria is no number above 0 and up to `highest`."""
    if not (0.0 < value <= highest and value < inf):
        said = "a number above 0" if highest == inf else f"a number above 0, at most {highest:g}"
        raise RecordError("the criteria cannot use this", place=name, value=value, allowed=said)


@dataclass(frozen=True)
class Visits:
    """What is known at each assessment, (..., V), the baseline first; flags are 0 or 1.

    serum (g/L), urine (mg/24 h) : M-protein; of a value below its limit the limit, and `*_seen` is 0
    involved, dflc (mg/L) : involved free light chains, and less the uninvolved ones; normal_ratio : a flag
    ife_serum, ife_urine : immunofixation, 1 positive
    marrow (%), clonal : plasma cells; whether clonal ones are among them, by immunohistochemistry or flow cytometry
    spd (cm2), lesions, longest, short_axis (cm) : sum of products and number of plasmacytomas, the largest one
    new_lesion : 0 none, 1 outside bone, 2 in bone; circulating : plasma cells per uL
    """

    serum: np.ndarray
    serum_seen: np.ndarray
    urine: np.ndarray
    urine_seen: np.ndarray
    involved: np.ndarray
    dflc: np.ndarray
    normal_ratio: np.ndarray
    ife_serum: np.ndarray
    ife_urine: np.ndarray
    marrow: np.ndarray
    clonal: np.ndarray
    spd: np.ndarray
    lesions: np.ndarray
    longest: np.ndarray
    short_axis: np.ndarray
    new_lesion: np.ndarray
    circulating: np.ndarray

    @classmethod
    def of(cls, shape, **known) -> "Visits":
        """Visits of which only `known` was measured."""
        given = {k: np.broadcast_to(np.asarray(v, dtype=float), shape) for k, v in known.items()}
        return cls(**{f.name: given.get(f.name, np.full(shape, np.nan)) for f in fields(cls)})


class Measurable(NamedTuple):
    """By what a patient is followed, (..., 1) each; chains, marrow and lesion only where nothing before them is."""

    serum: np.ndarray
    urine: np.ndarray
    chains: np.ndarray
    marrow: np.ndarray
    lesion: np.ndarray


def measurable(v: Visits, criteria: Criteria = Criteria()) -> Measurable:
    """What is measurable at baseline."""
    serum = v.serum[..., :1] >= criteria.serum_measurable - DUST
    urine = v.urine[..., :1] >= criteria.urine_measurable - DUST
    chains = (v.involved[..., :1] >= criteria.chains_measurable - DUST) & (v.normal_ratio[..., :1] == 0)
    chains = chains & ~serum & ~urine
    marrow = (v.marrow[..., :1] >= criteria.marrow_measurable - DUST) & ~serum & ~urine & ~chains
    lesion = (v.spd[..., :1] > 0) & ~serum & ~urine & ~chains & ~marrow
    return Measurable(serum, urine, chains, marrow, lesion)


def carried(values) -> np.ndarray:
    """The last value measured since the start; the baseline is none of them."""
    found, last = np.full(values.shape, np.nan), np.full(values.shape[:-1], np.nan)
    for i in range(1, values.shape[-1]):
        last = np.where(np.isnan(values[..., i]), last, values[..., i])
        found[..., i] = last
    return found


def first_true(there) -> np.ndarray:
    """Index of the first True along the assessments, -1 where there is none."""
    return np.where(there.any(axis=-1), np.argmax(there, axis=-1), -1)


def simulated_visits(m_protein, dflc=None, *, seen=1.0, fixed=0.25) -> Visits:
    """Visits of simulated courses (..., V) of serum M-protein (g/L) and perhaps of dFLC (mg/L).

    Assumed, since the courses say nothing of these tests: electrophoresis sees `seen` g/L (its visual limit),
    immunofixation `fixed` g/L (0.1 to 0.25); both are negative in urine where they are in serum; the marrow is clear
    where immunofixation is negative; the ratio of light chains is normal below a difference of 10 mg/L. So CR here is
    what the protein allows, and is called a CR proxy where it is shown.
    """
    m = np.asarray(m_protein, dtype=float)
    shown = np.where(np.isnan(m), np.nan, m >= seen)
    ife, more = np.where(np.isnan(m), np.nan, np.where(m < fixed, 0.0, 1.0)), {}
    if dflc is not None:
        chains = np.asarray(dflc, dtype=float)
        more = {"dflc": chains, "involved": chains, "normal_ratio": np.where(np.isnan(chains), np.nan, chains < 10.0)}
    marrow = np.where(ife == 0, 0.0, np.where(ife == 1, 50.0, np.nan))
    return Visits.of(m.shape, serum=m, serum_seen=shown, ife_serum=ife, ife_urine=ife, marrow=marrow, **more)
