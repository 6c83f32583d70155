"""Many simulated patients, one table: does updating give the reference's posterior, and is its printed error true?

    mean square of z              0.8 to 1.3: 1 where the twin is right and its Monte Carlo error true
    largest |z|                   at most 4.5
    means near the reference      95 in 100 within 0.1 posterior SD
    interval ends                 80 in 100 intervals of 90 % with both ends within 2 % of their width
    printed error covers          90 % intervals made of it hold the reference in 85 to 95 of 100
    numerical check passed        in at least half of the patients; the others are counted and left out

z compares means (parameters, chances of non-response, forecasts); that of SDs must only not be larger than 1.3.
Distances are asked at 16,000 particles; with P of them they are wider by sqrt(16000 / P), as Monte Carlo errors are.

An SD is compared only where as many independent draws as the twin has particles would know it to KNOWN of itself. Where
a mode of one in a thousand lies thirty SDs off, nearly all of the variance is there, and no twin of some thousand
particles can know it; how many are left out is said. A mean is left out, and counted, where more than
UNSEEN of it lies where not one of so many draws is expected, such as the 1e-11 mg/L that a rare tail leaves of a
concentration. Both criteria look at the reference, at no twin.

Few patients leave a share uncertain. A target is MISSED where the value is outside and chance does not explain it (the
99 % interval, patients as clusters, is outside too), or where 200 patients or more were compared; else what is outside
stays OPEN: these patients do not tell.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from bayestwin.twin.state import PASS

MET, MISSED, OPEN = "met", "MISSED", "open"
ENOUGH = 200  # patients from which on a target must be met by the value itself
FULL = 16_000  # particles at which the distances are meant
NEAR, ENDS, COVER = 0.1, 0.02, 0.9
KNOWN = 0.05  # relative error of an SD, at best, up to which it is compared
UNSEEN = 0.5  # share of a mean, up to which it may lie where no particle is expected and is compared still
REFERENCE = 100_000  # particles the reference should have
CONFIDENCE = 0.99


@dataclass(frozen=True)
class Proof:
    """Twins against references.

    rows : DataFrame        one line per patient and quantity, from `verify_simulated`
    particles : of a twin, as asked; failed : patient -> why there are no rows
    """

    rows: Any
    particles: int
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def usable(self):
        """Rows of patients whose twin and reference both passed their numerical check."""
        return self.rows[(self.rows["verdict"] == PASS) & (self.rows["reference_verdict"] == PASS)]

    @property
    def judged(self):
        """Usable rows less the SDs and means that so many particles cannot know."""
        return self.usable[~self._unknowable]

    @property
    def _unknowable(self):
        rows, limits = self.usable, {"sd_error_at_best": KNOWN, "mean_unseen": UNSEEN}
        return sum((rows[name] > most for name, most in limits.items() if name in rows), rows["z"] != rows["z"]) > 0

    @cached_property
    def summary(self):
        """One line per measure (DataFrame): value, 99 % interval, target, how many patients, met, open or MISSED."""
        import pandas as pd

        rows, wider = self.judged, float(np.sqrt(FULL / self.particles))
        means, sds = rows[rows["statistic"] == "mean"], rows[rows["statistic"] == "sd"]
        parameters = means[means["kind"] == "parameter"]
        near, ends = NEAR * wider, ENDS * wider
        off = parameters[["low_end_off", "high_end_off"]].max(axis=1)
        checked = self.rows.drop_duplicates("patient")
        passed = (checked["verdict"] == PASS) & (checked["reference_verdict"] == PASS)
        lines = [
            _line("mean square of z, means", means["z"] ** 2, means["patient"], 0.8, 1.3),
            _line("mean square of z, SDs", sds["z"] ** 2, sds["patient"], 0.0, 1.3),
            _largest(rows["z"], rows["patient"]),
            _line(f"means within {near:.2g} SD", means["difference_in_sd"].abs() <= near, means["patient"], 0.95, 1.0),
            _line(f"90 % intervals within {100 * ends:.2g} % of width", off <= ends, parameters["patient"], 0.8, 1.0),
            _line("90 % Monte Carlo intervals cover", means["p"] >= 1 - COVER, means["patient"], 0.85, 0.95),
            _line("numerical check passed", passed, checked["patient"], 0.5, 1.0),
        ]
        if rows.empty:
            lines[-1]["status"] = MISSED  # nothing was compared, so nothing is proved
        return pd.DataFrame(lines)

    @property
    def missed(self) -> tuple[str, ...]:
        """Measures whose target was missed."""
        return tuple(self.summary.loc[self.summary["status"] == MISSED, "measure"])

    @property
    def sentence(self) -> str:
        """The result in words, and how far it reaches."""
        usable, patients = self.usable["patient"].nunique(), self.rows["patient"].nunique()
        said = [f"{usable} of {patients} simulated patients compared."]
        if self.failed:
            said.append(f"{len(self.failed)} could not be computed.")
        still = tuple(self.summary.loc[self.summary["status"] == OPEN, "measure"])
        if self.missed:
            said.append(f"NOT PROVED: {'; '.join(self.missed)}.")
        else:
            said.append("No target is missed" + (f"; open: {'; '.join(still)}." if still else "."))
        reference = int(self.rows["reference_particles"].min()) if patients else 0
        if reference < REFERENCE:
            said.append(f"The reference had {reference} particles, fewer than {REFERENCE}: its own error weighs in.")
        left = self.usable.loc[self._unknowable, "statistic"]
        for statistic, name in (("sd", "SDs"), ("mean", "means")):
            if (left == statistic).any():
                said.append(f"{int((left == statistic).sum())} {name} were left out: a rare tail carries them.")
        refused = self.rows.drop_duplicates("patient").get("reference_path")
        if refused is not None and (refused == "oracle").any():
            said.append(f"In {int((refused == 'oracle').sum())} patients the reference is tempered SMC.")
        if self.particles != FULL:
            said.append(f"Distances are scaled to {self.particles} particles.")
        return " ".join(said)

    def __repr__(self) -> str:
        return f"<Proof: {self.sentence}>"


def _line(measure, values, patients, low, high) -> dict:
    """A mean over everything with an interval over patients, beside its target."""
    values, patients = np.asarray(values), np.asarray(patients)
    count = len(np.unique(patients))
    line = {"measure": measure, "value": np.nan, "low": np.nan, "high": np.nan, "target": f"{low:g} to {high:g}"}
    line |= {"patients": count, "status": OPEN}
    if not len(values):
        return line
    value = float(values.mean())
    bounds = _share_interval(value, count) if values.dtype == bool else _mean_interval(values, patients)
    line |= {"value": value, "low": bounds[0], "high": bounds[1]}
    elsewhere = bounds[0] > high or bounds[1] < low
    return line | {"status": MET if low <= value <= high else MISSED if elsewhere or count >= ENOUGH else OPEN}


def _share_interval(share: float, patients: int) -> tuple[float, float]:
    """Clopper and Pearson's, every patient counting once: what one patient's numbers do, they may do together."""
    from scipy.stats import beta

    hits, tail = share * patients, 0.5 * (1 - CONFIDENCE)
    low = beta.ppf(tail, hits, patients - hits + 1) if hits > 0 else 0.0
    high = beta.isf(tail, hits + 1, patients - hits) if hits < patients else 1.0
    return float(low), float(high)


def _mean_interval(values, patients) -> tuple[float, float]:
    """Student's, over the sums of patients; of squares, so never below zero."""
    from scipy.stats import t as student

    keys, value = np.unique(patients), values.mean()
    count = len(keys)
    if count < 2:
        return 0.0, np.inf
    own = np.array([(values[patients == key] - value).sum() for key in keys]) / (len(values) / count)
    half = float(student.isf(0.5 * (1 - CONFIDENCE), count - 1) * own.std(ddof=1) / np.sqrt(count))
    return max(value - half, 0.0), value + half


def _largest(z, patients, limit: float = 4.5) -> dict:
    """The largest |z|; chance is in its limit already."""
    line = {"measure": "largest |z|", "value": np.nan, "low": np.nan, "high": np.nan, "target": f"at most {limit:g}"}
    line |= {"patients": int(np.unique(patients).size), "status": OPEN}
    if not len(z):
        return line
    value = float(np.abs(z).max())
    return line | {"value": value, "status": MET if value <= limit else MISSED}
