"""ISS, R-ISS and R2-ISS at the start of a treatment, as the stages that are possible where something is not known.

    ISS      I    beta-2 microglobulin < 3.5 mg/L and albumin >= 35 g/L      III  beta-2 microglobulin >= 5.5 mg/L
    R-ISS    I    ISS I, no high-risk cytogenetics, LDH normal               III  ISS III and one of the two
    R2-ISS   ISS II 1, ISS III 1.5, del(17p) 1, LDH high 1, t(4;14) 1, gain 1q 0.5
             I 0, II 0.5 to 1, III 1.5 to 2.5, IV 3 to 5 points              II of ISS and R-ISS: the rest

High-risk cytogenetics: del(17p), t(4;14) or t(14;16). They were made for newly diagnosed disease, where they were
measured before the first line; here they are features, no covariates: the model takes their parts by themselves.
Sources: Greipp et al. 2005, Palumbo et al. 2015 and D'Agostino et al. 2022, J Clin Oncol 23:3412, 33:2863, 40:3406.
"""

from dataclasses import dataclass
from itertools import product

from .scores import RECENT, flag, high_risk

LDH_NORMAL = 250.0  # U/L, upper end (memory); laboratories differ
B2M_LOW, B2M_HIGH, ALBUMIN = 3.5, 5.5, 35.0  # mg/L, mg/L, g/L
NAMES = ("I", "II", "III", "IV")


@dataclass(frozen=True)
class Stage:
    """The stages that are possible, in order, and what is missing; `value` where it is one."""

    name: str
    possible: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def value(self) -> str | None:
        """The stage, None where what is missing matters."""
        return self.possible[0] if len(self.possible) == 1 else None

    def __str__(self):
        missing = f"; missing: {', '.join(self.missing)}" if self.missing else ""
        return f"{self.name}: {' or '.join(self.possible)}{missing}"


def iss(b2m=None, albumin=None) -> Stage:
    """ISS from beta-2 microglobulin (mg/L) and albumin (g/L)."""
    if b2m is not None and b2m >= B2M_HIGH:
        possible = (3,)
    elif b2m is not None and b2m < B2M_LOW:
        possible = (1, 2) if albumin is None else ((1,) if albumin >= ALBUMIN else (2,))
    elif b2m is not None:
        possible = (2,)
    else:
        possible = (2, 3) if albumin is not None and albumin < ALBUMIN else (1, 2, 3)
    absent = [name for name, x in (("beta-2 microglobulin", b2m), ("albumin", albumin)) if x is None]
    return Stage("ISS", tuple(NAMES[k - 1] for k in possible), tuple(absent) if len(possible) > 1 else ())


def r_iss(iss=None, high_risk=None, ldh_high=None) -> Stage:
    """R-ISS from the ISS (1, 2, 3 or the possible ones) and two flags, each 0, 1 or None."""

    def of(stage, risk, ldh):
        return 1 if (stage, risk, ldh) == (1, 0, 0) else 3 if stage == 3 and (risk or ldh) else 2

    known = {"ISS": iss, "high-risk cytogenetics": high_risk, "LDH": ldh_high}
    return _possible("R-ISS", known, of)


def r2_iss(iss=None, del17p=None, ldh_high=None, t_4_14=None, gain_1q=None) -> Stage:
    """R2-ISS from the ISS (1, 2, 3 or the possible ones) and four flags, each 0, 1 or None."""

    def of(stage, deletion, ldh, translocation, gain):
        points = (0.0, 1.0, 1.5)[stage - 1] + deletion + ldh + translocation + 0.5 * gain
        return 1 + (points >= 0.5) + (points >= 1.5) + (points >= 3.0)

    known = {"ISS": iss, "del(17p)": del17p, "LDH": ldh_high, "t(4;14)": t_4_14, "gain 1q": gain_1q}
    return _possible("R2-ISS", known, of)


def _possible(name, known, of) -> Stage:
    """Every stage that a function of the inputs gives for what they may be."""
    each = [
        ((1, 2, 3) if key == "ISS" else (0, 1)) if x is None else x if isinstance(x, tuple) else (int(x),)
        for key, x in known.items()
    ]
    found = sorted({of(*one) for one in product(*each)})
    absent = tuple(key for (key, _), one in zip(known.items(), each) if len(one) > 1)
    return Stage(name, tuple(NAMES[k - 1] for k in found), absent if len(found) > 1 else ())


def stages(record, day: float) -> tuple[Stage, Stage]:
    """R-ISS and R2-ISS of a record at a day: the ISS as recorded, else from labs and albumin of the last 28 days."""
    recorded = record.covariates.get("iss")
    b2m, ldh = (_last(record, name, day) for name in ("b2m", "ldh"))
    at_entry = record.covariates.get("albumin_g_per_l") if day <= RECENT else None
    own = (
        (int(float(recorded)),)
        if str(recorded) in ("1", "2", "3", "1.0", "2.0", "3.0")
        else tuple(NAMES.index(x) + 1 for x in iss(b2m, None if at_entry is None else float(at_entry)).possible)
    )
    high = None if ldh is None else int(ldh > LDH_NORMAL)
    deletion, translocation, gain = (flag(record, name) for name in ("del17p", "t_4_14", "gain_1q"))
    risk = high_risk(record)
    if risk == 0:  # neither was found
        deletion, translocation = deletion or 0, translocation or 0
    return r_iss(own, risk, high), r2_iss(own, deletion, high, translocation, gain)


def _last(record, output: str, day: float) -> float | None:
    """The last uncensored value of a lab in the 28 days until `day`."""
    labs = [lab for lab in record.labs if lab.output == output and day - RECENT <= lab.time <= day]
    exact = [lab.value for lab in labs if not lab.censoring or lab.censoring == "none"]
    return exact[-1] if exact else None


def stage_sentences(record, day: float) -> tuple[str, ...]:
    """Both stages in words; nothing where nothing but ISS or less is known of a patient."""
    named = ("high_risk_cytogenetics", "del17p", "t_4_14", "gain_1q")
    if all(record.covariates.get(name) is None for name in named) and _last(record, "ldh", day) is None:
        return ()
    return tuple(str(stage) for stage in stages(record, day))
