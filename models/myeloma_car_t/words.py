"""What was coded of a record, in words a clinician can check against the laboratory's reports."""

import numpy as np

from bayestwin.prognosis.response import Assessment

from .imwg import CR, NAMES, SD, VGPR, Coded, depths
from .progression import CAUSES
from .record_visits import RecordVisits
from .visits import Criteria, carried, measurable

UNITS = ("g/L", "mg/24 h", "mg/L", "%", "/uL")  # of the markers of CAUSES
THERAPEUTIC = ("dara", "isa", "elo")  # treatments with an antibody that is itself an IgG kappa band
OLD_BASELINE = 42.0  # days


class Words:
    """Sentences about one coded record."""

    def __init__(self, found: RecordVisits, coded: Coded, rules: Criteria):
        self.found, self.coded, self.v = found, coded, found.visits
        self.by = measurable(found.visits, rules)
        self.depth = depths(found.visits, rules, self.by)

    def measured_by(self) -> dict[str, str]:
        """Marker -> its baseline, of what is measurable."""
        v, by = self.v, self.by
        said = (
            (by.serum, "serum M-protein", f"baseline {v.serum[0]:g} g/L"),
            (by.urine, "urine M-protein", f"baseline {v.urine[0]:g} mg/24 h"),
            (by.chains, "free light chains", f"baseline difference {v.dflc[0]:g} mg/L"),
            (by.marrow, "marrow plasma cells", f"baseline {v.marrow[0]:g} %"),
            (by.lesion, "plasmacytomas", f"baseline {v.spd[0]:g} cm2"),
        )
        return {name: baseline for there, name, baseline in said if there[0]}

    def assessment(self, i: int) -> Assessment:
        """The i-th visit: category, whether confirmed, and why."""
        worse, depth, time = self.coded.progressed, int(self.coded.depth[i]), float(self.found.times[i])
        at, met = int(worse.at), bool(worse.met[i])
        if met and (at < 0 or i <= at):
            return Assessment(time, "PD", i == at, False, self.rise(i))
        if 0 <= at < i:
            second = i == self._confirming()
            said = f"confirms progression: {self.rise(i)}" if second else "after progression"
            return Assessment(time, "PD" if met else NAMES[depth], second, False, said)
        sure = depth >= SD and int(self.coded.confirmed[i]) >= depth
        return Assessment(time, NAMES[depth], sure, depth >= SD, self._response(i))

    def rise(self, i: int) -> str:
        """What met a criterion of progression at the i-th visit."""
        worse, parts = self.coded.progressed, []
        for name, unit, rises, values in zip(CAUSES, UNITS, worse.rises, self._markers()):
            if rises.met[i]:
                up = values[i] - rises.nadir[i]
                parts.append(f"{name} {values[i]:.4g} {unit}, {up:+.4g} from the nadir {rises.nadir[i]:.4g}")
        if worse.lesions[i]:
            parts.append("new or larger lesion " + ("outside bone" if worse.lesions[i] == 1 else "in bone"))
        return "; ".join(parts)

    def notes(self, record, baseline: float) -> tuple[str, ...]:
        """What a reader should know of the baseline, measured by then, and of the tests."""
        found, nothing = [], not any(group[0] for group in self.by)
        if nothing and not np.isnan(self.v.serum[0]):
            found.append(
                f"serum M-protein of {self.v.serum[0]:g} g/L at baseline is not measurable by the IMWG (10 g/L); "
                "serum_measurable takes a lower limit, baseline_at an earlier baseline (before bridging)"
            )
        if nothing or self.by.chains[0]:
            found += self.found.notes
        used = [("m_protein", self.by.serum), ("urine_m_protein", self.by.urine)]
        for output, there in used:
            times = [lab.time for lab in record.labs if lab.output == output and lab.time <= baseline]
            if there[0] and baseline - times[-1] > OLD_BASELINE:
                found.append(f"the baseline of {output} was measured {baseline - times[-1]:g} days before")
        antibody = [e.value for e in record.events if e.event == "line_of_therapy" and e.value.startswith(THERAPEUTIC)]
        if antibody and record.covariates.get("isotype") == "IgG" and self._only_fixed():
            found.append(
                f"immunofixation alone is positive, and {antibody[-1]} holds an IgG kappa antibody that is seen by it: "
                "a test that tells them apart (DIRA, mass spectrometry) decides between VGPR and CR"
            )
        return tuple(found)

    def _markers(self):
        v = self.v
        return v.serum, v.urine, v.dflc, v.marrow, v.circulating

    def _confirming(self) -> int:
        """The visit that confirms a progression of blood or urine; -1 where none had to."""
        worse = self.coded.progressed
        at, cause = int(worse.at), int(worse.cause)
        if cause >= len(UNITS) or CAUSES[cause] == "marrow plasma cells":
            return -1
        later = np.flatnonzero(worse.rises[cause].met[at + 1 :])
        return at + 1 + int(later[0])

    def _only_fixed(self) -> bool:
        """True where the protein was last seen by immunofixation and by nothing else."""
        return bool(np.any((self.v.ife_serum == 1) & (self.v.serum_seen == 0)))

    def _response(self, i: int) -> str:
        """The measurements that a category rests on, and what is missing for the next one."""
        v, parts = self.v, []
        for name, unit, values in zip(("serum", "urine", "dFLC"), UNITS, self._markers()):
            if not np.isnan(values[i]):
                sign = "<" if (name, i) in self._unseen() else ""
                parts.append(f"{name} {sign}{values[i]:.4g} {unit}{_change(values[i], values[0])}")
        for name, flag in (("serum", v.ife_serum[i]), ("urine", v.ife_urine[i])):
            if not np.isnan(flag):
                parts.append(f"immunofixation {name} {'positive' if flag else 'negative'}")
        for name, values, unit in (("marrow", v.marrow, "%"), ("SPD", v.spd, "cm2")):
            if not np.isnan(values[i]):
                parts.append(f"{name} {values[i]:g} {unit}")
        return "; ".join([*parts, *self._missing(i)])

    def _unseen(self) -> set:
        v = self.v
        seen = (("serum", v.serum_seen, v.serum), ("urine", v.urine_seen, v.urine))
        return {(name, i) for name, s, x in seen for i in np.flatnonzero((s == 0) & (x > 0))}

    def _missing(self, i: int) -> list[str]:
        """What would have to be known for a deeper category, or for any."""
        v, full, laboratory = self.v, int(self.depth.full[i]), int(self.depth.laboratory[i])
        marrow, spd = carried(v.marrow)[i], carried(v.spd)[i]
        said = []
        if self.by.serum[0] and np.isnan(v.serum[i]) and full < SD:
            said.append("serum M-protein missing")
        if self.by.urine[0] and np.isnan(v.urine[i]) and full < SD:
            said.append("urine M-protein missing")
        if v.ife_serum[i] == 0 and np.isnan(v.ife_urine[i]):
            said.append("no CR without immunofixation of urine")
        if laboratory >= CR > full and np.isnan(marrow):
            said.append("no CR without marrow")
        if v.spd[0] > 0 and np.isnan(spd) and laboratory > SD:
            said.append(f"{NAMES[min(laboratory, VGPR)]} but for imaging of the plasmacytoma, which is missing")
        return said


def _change(value: float, baseline: float) -> str:
    return f" ({100 * (value / baseline - 1):+.1f} %)" if baseline > 0 else ""
