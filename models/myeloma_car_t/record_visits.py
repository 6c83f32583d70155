"""The labs of one record, put together into visits.

A visit is what was drawn within `window` days of its first lab; a test that is repeated on a later day begins another,
since confirmation needs no least interval. Values of one test of one day count as one, their mean, of findings the
worst. The baseline is the last value of each lab at or before the start (of the same time: drawn before what starts
then), or at or before `baseline_at`, where a bridging therapy lies between. Free light chains are taken as involved and
uninvolved, or as kappa and lambda with the involved chain from the covariate `light_chain` or from the abnormal ratio
at baseline.
"""

from dataclasses import dataclass, field
from math import floor

import numpy as np

from bayestwin.errors import RecordError

from .visits import Visits

WORST = ("ife_serum", "ife_urine", "marrow_clonal", "new_lesion", "marrow_plasma_cells")  # the highest counts
VISUAL_LIMIT = {"m_protein": 1.0, "urine_m_protein": 100.0}  # g/L, mg/24 h: below these `<` means: not seen
NORMAL_RATIO = (0.26, 1.65)  # kappa / lambda
DIRECT = {  # output -> field of Visits
    "ife_serum": "ife_serum",
    "ife_urine": "ife_urine",
    "marrow_plasma_cells": "marrow",
    "marrow_clonal": "clonal",
    "plasmacytoma_spd": "spd",
    "plasmacytoma_lesions": "lesions",
    "plasmacytoma_longest": "longest",
    "plasmacytoma_short_axis": "short_axis",
    "new_lesion": "new_lesion",
    "circulating_plasma_cells": "circulating",
}
CHAINS = ("involved_flc", "uninvolved_flc", "flc_kappa", "flc_lambda", "flc_ratio")
USED = (*VISUAL_LIMIT, *DIRECT, *CHAINS)


@dataclass(frozen=True)
class RecordVisits:
    """times (V,), the baseline first (its start); visits (V,); notes : what the coding rests on, in words"""

    times: np.ndarray
    visits: Visits
    chain: str = ""
    notes: tuple[str, ...] = ()


@dataclass
class _Visit:
    """One visit's values by output: (mean or worst, seen)."""

    time: float
    values: dict = field(default_factory=dict)

    def of(self, output: str) -> float:
        return self.values.get(output, (np.nan, np.nan))[0]

    def seen(self, output: str) -> float:
        return self.values.get(output, (np.nan, np.nan))[1]


def record_visits(record, start, end=np.inf, *, window: float = 3.0, baseline_at=None) -> RecordVisits:
    """Visits of a record from its baseline at `start` (or `baseline_at`) to `end`, both included."""
    labs = [lab for lab in record.labs if lab.output in USED]
    before = [lab for lab in labs if _drawn_by(lab, start if baseline_at is None else min(baseline_at, start))]
    after = [lab for lab in labs if not _drawn_by(lab, start) and _drawn_by(lab, end)]
    latest = {lab.output: lab.time for lab in before}  # labs are sorted by time
    baseline = _Visit(start, _together([lab for lab in before if lab.time == latest[lab.output]]))
    found: list[_Visit] = [baseline]
    group: list = []
    for lab in [*after, None]:
        if group and (lab is None or lab.time - group[0].time > window or _repeats(lab, group)):
            found.append(_Visit(group[0].time, _together(group)))
            group = []
        group.append(lab)
    chain, ratios = _chain(record, found), [_ratio(one) for one in found]
    involved, other = _light_chains(found, chain)
    alone = np.isnan(other).all() or (np.isnan(other[0]) and not np.isnan(involved[0]))
    notes = _chain_notes(found, chain, bool(alone and not np.isnan(involved).all()), bool(np.isnan(other).all()))
    visits = Visits(
        serum=_all(found, "m_protein"),
        serum_seen=np.array([one.seen("m_protein") for one in found]),
        urine=_all(found, "urine_m_protein"),
        urine_seen=np.array([one.seen("urine_m_protein") for one in found]),
        involved=involved,
        dflc=involved if alone else involved - other,  # at every visit alike: a fall or rise is of one measure
        normal_ratio=np.array([_normal(*one, chain) for one in zip(involved, other, ratios)]),
        **{name: _all(found, output) for output, name in DIRECT.items()},
    )
    return RecordVisits(np.array([one.time for one in found]), visits, chain, notes)


def _repeats(lab, group) -> bool:
    """True for a test that the visit already holds of another day."""
    return any(one.output == lab.output and floor(one.time) != floor(lab.time) for one in group)


def _drawn_by(lab, time: float) -> bool:
    """True for a lab drawn before what starts at `time`."""
    return lab.time < time or (lab.time == time and lab.order <= 0)


def _all(visits, output: str) -> np.ndarray:
    return np.array([one.of(output) for one in visits])


def _together(labs) -> dict[str, tuple[float, float]]:
    """Output -> (value, seen) of the labs of one visit, whatever their order."""
    found = {}
    for output in dict.fromkeys(lab.output for lab in labs):
        mine = [lab for lab in labs if lab.output == output]
        value = (max if output in WORST else np.mean)([lab.level for lab in mine])
        found[output] = (float(value), float(any(_seen(lab) for lab in mine)))
    return found


def _seen(lab) -> bool:
    """False for nothing measured, and for `<` a limit as low as electrophoresis sees."""
    low = lab.censoring == "left" and lab.value <= VISUAL_LIMIT.get(lab.output, 0.0)
    return not low and lab.level > 0.0


def _ratio(visit: _Visit) -> float:
    """kappa / lambda of one visit, as reported or calculated."""
    if not np.isnan(visit.of("flc_ratio")):
        return visit.of("flc_ratio")
    kappa, lambda_ = visit.of("flc_kappa"), visit.of("flc_lambda")
    return kappa / lambda_ if lambda_ > 0 else np.nan


def _chain(record, visits) -> str:
    """The involved light chain: what the covariate says, else by the abnormal ratio at baseline, else ""."""
    said = str(record.covariates.get("light_chain", "")).lower()
    if said not in ("", "kappa", "lambda"):
        raise RecordError(
            "the involved light chain is not known by this name",
            subject=f"patient {record.key}",
            place="light_chain",
            value=said,
            allowed="kappa or lambda",
        )
    ratio = _ratio(visits[0])
    return said or ("kappa" if ratio > NORMAL_RATIO[1] else "lambda" if ratio < NORMAL_RATIO[0] else "")


def _light_chains(visits, chain: str):
    """Involved and uninvolved chains, (V,) each."""
    involved, other = _all(visits, "involved_flc"), _all(visits, "uninvolved_flc")
    kappa, lambda_ = _all(visits, "flc_kappa"), _all(visits, "flc_lambda")
    if chain:
        mine, less = (kappa, lambda_) if chain == "kappa" else (lambda_, kappa)
        involved, other = np.where(np.isnan(involved), mine, involved), np.where(np.isnan(other), less, other)
    return involved, other


def _normal(involved: float, other: float, ratio: float, chain: str) -> float:
    """1 where the ratio of light chains is normal, 0 where it is not, not a number where that cannot be said."""
    low, high = NORMAL_RATIO
    if not np.isnan(ratio):
        return float(low <= ratio <= high)
    if np.isnan(involved) or np.isnan(other):
        # nobody has 100 mg/L of one chain with a normal ratio but in renal failure
        return 0.0 if involved >= 100.0 and np.isnan(other) else np.nan
    if other <= 0:
        return np.nan
    share = involved / other
    as_kappa, as_lambda = low <= share <= high, low <= 1.0 / max(share, 1e-12) <= high
    if chain:
        return float(as_kappa if chain == "kappa" else as_lambda)
    return float(as_kappa) if as_kappa == as_lambda else np.nan


def _chain_notes(visits, chain: str, alone: bool, never: bool) -> tuple[str, ...]:
    """What had to be assumed of the light chains. alone, never : uninvolved ones not at the baseline, at no visit"""
    measured = [name for name in CHAINS if any(name in one.values for one in visits)]
    if alone:
        return (
            f"uninvolved free light chains were not measured{'' if never else ' at the baseline'}: the involved ones "
            "alone stand for the difference at every visit, and a baseline of 100 mg/L or more counts as abnormal "
            "ratio where none was reported",
        )
    if measured and not chain and "involved_flc" not in measured:
        return ("the involved light chain is not known (covariate light_chain): free light chains are not used",)
    return ()
