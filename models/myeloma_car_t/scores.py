"""Two published scores before CAR-T cells, CAR-HEMATOTOX and MyCARe, as ranges where something was not measured.

    CAR-HEMATOTOX (0 to 7)                                  MyCARe (0 to 4), one point each
    platelets    > 175: 0, 75 to 175: 1, < 75: 2 (10*9/L)   extramedullary disease or plasma cell leukaemia
    neutrophils  < 1.2: 1 (10*9/L)                          refractory to lenalidomide
    haemoglobin  < 9: 1 (g/dL)                              high-risk cytogenetics
    CRP          >= 30: 1 (mg/L)                            ferritin above normal
    ferritin     < 650: 0, 650 to 2000: 1, > 2000: 2 (ug/L)

high from 2 points on                                       low 0 to 1, intermediate 2 to 3, high 4

A missing input gives the range of what it could be, never 0; with no input at all there is no score. A value given as
(low, high) counts as lying between the two. Sources: Rejeski et al. 2021 and (in myeloma, 113 patients) 2023; Gagelmann
et al. 2024 (136 and 133 patients): see docs/endpoints.md.
"""

from dataclasses import dataclass
from math import inf, nextafter

from bayestwin.errors import RecordError
from bayestwin.labs import LabSpec

SCORE_LABS = (
    LabSpec("platelets", "10*9/L", (0.0, 3000.0), positive=False, label="platelets"),
    LabSpec("neutrophils", "10*9/L", (0.0, 200.0), positive=False, label="neutrophils"),
    LabSpec("haemoglobin", "g/dL", (1.0, 25.0), label="haemoglobin"),
    LabSpec("crp", "mg/L", (0.0, 1000.0), positive=False, label="C-reactive protein"),
    LabSpec("ferritin", "ug/L", (0.1, 500_000.0), label="ferritin"),
)
FERRITIN_NORMAL = {"female": 150.0, "male": 400.0}  # ug/L, upper end (memory); laboratories differ
LYMPHODEPLETION = 5.0  # days before the cells at which it starts at the latest; 5 to 7
RECENT = 28.0  # days before that within which a value still counts (assumed)
# what the authors saw, percent: published abstracts
SEEN_HEMATOTOX = {"low": "severe infection 5 %, death without relapse 2 % in a year", "high": "40 % and 13 %"}
SEEN_MYCARE = {"low": 7, "intermediate": 27, "high": 53}  # relapse or progression within 5 months


@dataclass(frozen=True)
class Score:
    """A score: low == high where every input is known; group "" where the range spans two, available: any input."""

    name: str
    low: int
    high: int
    most: int
    group: str
    missing: tuple[str, ...]
    available: bool

    @property
    def value(self) -> int | None:
        """The score, None where an input that matters is missing."""
        return self.low if self.low == self.high else None

    def __str__(self):
        if not self.available:
            return f"{self.name}: not available ({', '.join(self.missing)} missing)"
        points = f"{self.low}" if self.low == self.high else f"{self.low} to {self.high}"
        missing = f"; missing: {', '.join(self.missing)}" if self.missing else ""
        return f"{self.name}: {points} of {self.most}, {self.group or 'group not determined'}{missing}"


def car_hematotox(platelets=None, neutrophils=None, haemoglobin=None, crp=None, ferritin=None) -> Score:
    """CAR-HEMATOTOX from values before lymphodepletion: 10*9/L, 10*9/L, g/dL, mg/L, ug/L."""
    inputs = {
        "platelets": (platelets, lambda x: 2 if x < 75 else 1 if x <= 175 else 0, 2),
        "neutrophils": (neutrophils, lambda x: int(x < 1.2), 1),
        "haemoglobin": (haemoglobin, lambda x: int(x < 9), 1),
        "CRP": (crp, lambda x: int(x >= 30), 1),
        "ferritin": (ferritin, lambda x: 2 if x > 2000 else 1 if x >= 650 else 0, 2),
    }
    return _sum("CAR-HEMATOTOX", inputs, lambda points: "high" if points >= 2 else "low")


def mycare(
    extramedullary=None,
    plasma_cell_leukaemia=None,
    lenalidomide_refractory=None,
    high_risk_cytogenetics=None,
    ferritin=None,
    ferritin_normal=(FERRITIN_NORMAL["female"], FERRITIN_NORMAL["male"]),
) -> Score:
    """MyCARe from flags (0, 1 or None) and ferritin (ug/L) before lymphodepletion.

    ferritin_normal : upper end of normal, or the range in which it lies where the sex is not known
    """
    least, most = ferritin_normal if isinstance(ferritin_normal, tuple) else (ferritin_normal, ferritin_normal)
    outside = _either(extramedullary, plasma_cell_leukaemia)
    above = ferritin
    if ferritin is not None:
        low, high = ferritin if isinstance(ferritin, tuple) else (ferritin, ferritin)
        above = (float(low > most), float(high > least))
    inputs = {
        "extramedullary disease or plasma cell leukaemia": (outside, int, 1),
        "lenalidomide-refractory": (lenalidomide_refractory, int, 1),
        "high-risk cytogenetics": (high_risk_cytogenetics, int, 1),
        "ferritin": (above, int, 1),
    }
    return _sum("MyCARe", inputs, lambda points: "low" if points < 2 else "intermediate" if points < 4 else "high")


def _either(one, other):
    """1 where one of two flags is, 0 where both are known to be 0."""
    if 1 in (one, other):
        return 1
    return None if None in (one, other) else 0


def _sum(name, inputs, group) -> Score:
    """Points summed, as a range: name -> (value or None, points of a value, most points)."""
    low = high = 0
    for value, points, most in inputs.values():
        ends = (0, most) if value is None else sorted(map(points, value if isinstance(value, tuple) else (value,)))
        low, high = low + ends[0], high + ends[-1]
    missing = tuple(key for key, (value, _, _) in inputs.items() if value is None)
    named = group(low) if group(low) == group(high) else ""
    available = len(missing) < len(inputs)
    return Score(name, low, high, sum(m for _, _, m in inputs.values()), named if available else "", missing, available)


def before_lymphodepletion(record, output: str, infusion: float):
    """The last value of a lab before lymphodepletion; of one beyond a limit or between two the range it lies in; None
    without."""
    until = infusion - LYMPHODEPLETION
    labs = [lab for lab in record.labs if lab.output == output and until - RECENT <= lab.time <= until]
    if not labs:
        return None
    last = labs[-1]
    below, above = (0.0, nextafter(last.value, -inf)), (nextafter(last.value, inf), inf)
    return {"left": below, "right": above, "interval": (last.value, last.upper)}.get(last.censoring, last.value)


def scores(record, infusion: float) -> tuple[Score, Score]:
    """CAR-HEMATOTOX and MyCARe of one record before the cells given at `infusion`."""
    names = ("platelets", "neutrophils", "haemoglobin", "crp", "ferritin")
    labs = {name: before_lymphodepletion(record, name, infusion) for name in names}
    flags = ("extramedullary", "plasma_cell_leukaemia", "lenalidomide_refractory")
    sex = record.covariates.get("sex")
    limit = FERRITIN_NORMAL[sex] if sex in FERRITIN_NORMAL else tuple(FERRITIN_NORMAL.values())
    known = {name: flag(record, name) for name in flags}
    risk = high_risk(record)
    more = {"high_risk_cytogenetics": risk, "ferritin": labs["ferritin"], "ferritin_normal": limit}
    return car_hematotox(**labs), mycare(**known, **more)


def high_risk(record) -> int | None:
    """High-risk cytogenetics, 0, 1 or None: what is recorded as such, and del(17p) or t(4;14) that were found."""
    found = [flag(record, name) for name in ("high_risk_cytogenetics", "del17p", "t_4_14")]
    return 1 if 1 in found else found[0]


def flag(record, name: str) -> int | None:
    """A covariate that is 0 or 1, None where it is not known."""
    value = record.covariates.get(name)
    if value is None or str(value) in ("0", "1", "0.0", "1.0"):
        return None if value is None else int(float(value))
    raise RecordError(
        f"{name} is neither 0 nor 1", subject=f"patient {record.key}", place=name, value=value, allowed="0, 1 or empty"
    )


def score_sentences(record, infusion: float) -> tuple[str, ...]:
    """Both scores in words, with what was seen in their patients."""
    toxicity, relapse = scores(record, infusion)
    said = [str(toxicity), str(relapse)]
    if toxicity.group:
        said[0] += f" (in 63 low and 50 high: {SEEN_HEMATOTOX['low']}, and {SEEN_HEMATOTOX['high']})"
    if relapse.group:
        said[1] += f" (relapse within 5 months in {SEEN_MYCARE[relapse.group]} % of such patients)"
    return tuple(said)
