"""Grade of cytokine release syndrome by the ASTCT consensus (Lee et al. 2019), day by day, as a range where not known.

    grade   fever >= 38.0 C and   pressure                                  oxygen
    1                             no hypotension                            none
    2                             hypotension without vasopressor    and/or low flow (<= 6 L/min)
    3                             one vasopressor (vasopressin beside)      high flow or mask
    4                             more than one vasopressor                 positive pressure (CPAP, BiPAP, ventilation)
    5       death of it

The worse of pressure and oxygen decides. Once antipyretics, tocilizumab or steroids were given fever is no longer
required. That fever, hypotension or hypoxia has another cause cannot be seen in numbers: such days are to be left out
of the record.
"""

from dataclasses import dataclass

from bayestwin.labs import LabSpec

OXYGEN = {"none": 0.0, "low flow": 2.0, "high flow": 3.0, "mask": 3.0, "positive pressure": 4.0}  # by grade
CRS_LABS = (
    LabSpec("temperature", "degC", (30.0, 45.0), label="highest body temperature of the day"),
    LabSpec(
        "hypotension",
        "",
        (0.0, 1.0),
        unit_required=False,
        positive=False,
        words={"no": 0.0, "yes": 1.0},
        label="hypotension",
    ),
    LabSpec(
        "vasopressors", "", (0.0, 10.0), unit_required=False, positive=False, label="vasopressors without vasopressin"
    ),
    LabSpec("oxygen", "", (0.0, 4.0), unit_required=False, positive=False, words=OXYGEN, label="oxygen support"),
)
# What takes fever away (against cytokines, steroids, antipyretics), by parts of names: methylprednisolone is "predniso"
MASKING = (
    *("tocilizumab", "siltuximab", "sarilumab", "anakinra"),
    *("steroid", "corticoid", "dexameth", "betameth", "predniso", "cortiso"),
    *("paracetamol", "acetaminophen", "metamizol", "ibuprofen", "antipyretic"),
)
WATCHED = 30.0  # days after the cells


@dataclass(frozen=True)
class Grade:
    """A grade from 0 to 5; low == high where everything that matters is known, `missing` what is not."""

    low: int
    high: int
    missing: tuple[str, ...] = ()

    @property
    def value(self) -> int | None:
        """The grade, None where it is not determined."""
        return self.low if self.low == self.high else None

    def __str__(self):
        return f"{self.low}" if self.low == self.high else f"{self.low} to {self.high}"


def crs_grade(
    *, temperature=None, hypotension=None, vasopressors=None, oxygen=None, fever_masked=False, died=False
) -> Grade:
    """ASTCT grade of one day.

    temperature : C, the highest; hypotension : 0 or 1; vasopressors : number, vasopressin not counted
    oxygen : a word or number of `OXYGEN`; fever_masked : one of MASKING was given; died : of CRS
    None : not known
    """
    if died:
        return Grade(5, 5)
    pressure = _pressure(hypotension, vasopressors)
    support = (0, 4) if oxygen is None else (int(OXYGEN.get(oxygen, oxygen)),) * 2
    worst = [max(pressure[k], support[k]) for k in (0, 1)]
    fever = None if temperature is None else temperature >= 38.0 - 1e-9
    if fever is False and not fever_masked:
        return Grade(0, 0)
    least = max(worst[0], 1) if fever else worst[0] if fever_masked else 0
    most = max(worst[1], 1) if fever is not False else worst[1]
    known = {"temperature": temperature, "oxygen": oxygen, "vasopressors": vasopressors, "hypotension": hypotension}
    irrelevant = () if vasopressors is None or vasopressors == 0 else ("hypotension",)
    missing = tuple(k for k, v in known.items() if v is None and k not in irrelevant) if least < most else ()
    return Grade(least, most, missing)


def _pressure(hypotension, vasopressors) -> tuple[int, int]:
    """Grade by blood pressure, as a range."""
    if vasopressors is not None and vasopressors > 0:
        return (3, 3) if vasopressors == 1 else (4, 4)
    if hypotension == 0:
        return 0, 0
    most = 2 if vasopressors == 0 else 4
    return (2 if hypotension == 1 else 0), most


def crs_by_day(record, infusion: float) -> dict[int, Grade]:
    """Day after the cells -> grade, of every day on which something of it was recorded."""
    outputs, found = tuple(spec.name for spec in CRS_LABS), {}
    labs = [lab for lab in record.labs if lab.output in outputs and 0 <= lab.time - infusion <= WATCHED]
    given = [e.time for e in record.events if e.event == "other" and any(m in e.value.lower() for m in MASKING)]
    masked = min((t for t in given if t >= infusion), default=float("inf"))
    for day in sorted({int(lab.time - infusion) for lab in labs}):
        mine = [lab for lab in labs if int(lab.time - infusion) == day]
        worst = {o: max((lab.level for lab in mine if lab.output == o), default=None) for o in outputs}
        found[day] = crs_grade(**worst, fever_masked=int(masked - infusion) <= day if masked < float("inf") else False)
    death = next((e for e in record.events if e.event == "death" and "cytokine" in e.value.lower()), None)
    if death is not None and 0 <= death.time - infusion <= WATCHED:
        found[int(death.time - infusion)] = Grade(5, 5)
    return found


def crs_sentences(record, infusion: float) -> tuple[str, ...]:
    """The highest grade in words."""
    days = crs_by_day(record, infusion)
    if not days:
        return ("CRS grade (ASTCT): not available (temperature, oxygen, vasopressors missing)",)
    low, high = max(g.low for g in days.values()), max(g.high for g in days.values())
    first = min(day for day, g in days.items() if g.low == low)
    missing = sorted({m for g in days.values() if g.high > low for m in g.missing})
    lacking = f"; missing: {', '.join(missing)}" if missing else ""
    return (f"CRS grade (ASTCT): highest {Grade(low, high)}, day {first} after the cells{lacking}",)
