"""Units: one number in one unit becomes the same quantity in another, or an error that says why not.

A clinical laboratory reports the same M-protein as 3.1 g/dL or 31 g/L; a factor of ten is the commonest and
most dangerous mistake in laboratory data. So every row is converted from the unit written in it, nothing is
guessed, and a number whose unit is unknown is refused. Factors are exact fractions (pint with rational
numbers), so that 1.2 g/dL is 12 g/L and not 12.000000000000002.

Beyond pint: copies and IU are dimensions of their own, cells are a plain count (cells/uL = 1e6/L), UCUM's
`10*9/L` is read as ten to the ninth per litre, one month is 30.4375 days. Mass and moles convert only where
the molar mass is given. pint is imported at first use; units of time never need it.
"""

import re
from fractions import Fraction
from functools import lru_cache
from math import isfinite, sqrt

from bayestwin.errors import ModelError, RecordError

# Seconds; a month is a twelfth of 365.25 days = 30.4375 days.
SECONDS = {"s": 1, "min": 60, "h": 3_600, "day": 86_400, "week": 604_800, "month": 2_629_800, "year": 31_557_600}
TIME_WORDS = {
    **{w: "s" for w in ("s", "sec", "second", "seconds")},
    **{w: "min" for w in ("min", "mins", "minute", "minutes")},
    **{w: "h" for w in ("h", "hr", "hrs", "hour", "hours")},
    **{w: "day" for w in ("d", "day", "days")},
    **{w: "week" for w in ("wk", "week", "weeks")},
    **{w: "month" for w in ("mo", "month", "months")},
    **{w: "year" for w in ("y", "yr", "year", "years")},
}
# g/mol, for laboratories that report moles. Sources: PubChem; haemoglobin per haem subunit (1 mmol/L = 1.611 g/dL).
MOLAR_MASS = {
    "creatinine": 113.12,
    "calcium": 40.078,
    "glucose": 180.16,
    "bilirubin": 584.66,
    "urea": 60.06,
    "urate": 168.11,
    "haemoglobin": 16114.0,
    "hemoglobin": 16114.0,
}

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_POWER = re.compile(r"(?:x\s*)?(?:10[\^*](?P<power>-?\d{1,2})|1[eE](?P<e>[+-]?\d{1,2}))\s*[*.]?\s*", re.ASCII)
# Names with an exponent of one digit and no other numbers: "10**99999999 g" would keep pint busy for years.
_UNIT = re.compile(r"[A-Za-z%]+(\^?-?[1-9])?(\s*[/*. ]\s*[A-Za-z%]+(\^?-?[1-9])?)*", re.ASCII)
# A collection over a day as laboratories write it: mg/24h, mg/(24.h), mg/24 h, mg/24 hours, g/d
_PER_DAY = re.compile(r"/\s*\(?\s*24\s*[.*]?\s*(h|hr|hrs|hours?)\s*\)?$", re.ASCII)
_GRAIN = re.compile(r"\bm?gr\b")  # a grain of 65 mg to pint, a gramme to whoever writes it
# What units are made of, as they are written: a unit in other letters is refused, and these are offered.
_PIECES = "kg g mg ug ng pg L dL mL uL fL mol mmol umol nmol pmol U kU mU IU mIU cells copies m2 h day".split()
_DEFINITIONS = (
    "cell = 1 = _ = cells",
    "copy = [copies] = _ = copies",
    "international_unit = [international_activity] = IU",
)


def convert(value: float, from_unit: str, to_unit: str, *, molar_mass: float | None = None) -> float:
    """The same quantity in another unit.

    Parameters
    ----------
    value : float            finite number in `from_unit`
    from_unit, to_unit : str for example "g/dL", "10*9/L", "copies/ug"; "" is a pure number
    molar_mass : float       g/mol; allows mass to moles and back

    Raises
    ------
    RecordError              a unit is unknown, or the two measure different things
    """
    if not isfinite(value):
        raise RecordError(
            "a quantity must be a finite number",
            value=value,
            allowed="a number",
            next_step="Leave the cell empty where nothing was measured.",
        )
    if from_unit == to_unit:
        return float(value)
    factor, offset = _line(from_unit, to_unit, molar_mass)
    # Divide where the factor is a fraction: value / 10 is closer to the truth than value * 0.1.
    result = (value / float(1 / factor) if 0 < factor < 1 else value * float(factor)) + float(offset)
    if not isfinite(result):
        raise RecordError(
            "the number is too large to convert",
            value=value,
            allowed="a plausible number",
            next_step="Correct the number.",
        )
    return result


def compatible(unit_a: str, unit_b: str) -> bool:
    """True if both units are known and measure the same thing."""
    try:
        _line(unit_a, unit_b, None)
    except RecordError:
        return False
    return True


def known(unit: str) -> bool:
    """True if the unit can be read at all."""
    return compatible(unit, unit)


def time_word(unit: str) -> str | None:
    """The canonical name of a unit of time ("d" -> "day"), None for anything else."""
    return TIME_WORDS.get(unit.strip().lower())


def parse_duration(text: str) -> tuple[float, str]:
    """Number and unit of a duration: "7 days" -> (7.0, "day"). Raises ModelError for anything else."""
    match = NUMBER.match(str(text).strip())
    unit = time_word(str(text).strip()[match.end() :]) if match else None
    if match is None or unit is None:
        raise ModelError(
            "this is not a duration",
            value=text,
            allowed='a number and a unit of time, as in "7 days"',
            next_step=f"Use one of {', '.join(SECONDS)}.",
        )
    return float(match.group()), unit


def parse_dose(text: str, dose_unit: str, covariates) -> float:
    """Amount of one dose in `dose_unit`, from a clinician's words: "16 mg/kg", "30 mg/m2", "450e6 cells".

    Parameters
    ----------
    text : str          amount, unit, and per what (/kg, /m2) where it depends on the patient
    dose_unit : str     the model's unit of amounts, "" for a pure number
    covariates : mapping  `weight_kg` for /kg; `bsa_m2`, or `height_cm` and `weight_kg`, for /m2

    Raises
    ------
    ModelError          the text is not a dose
    RecordError         the patient's size is missing, or the unit measures something else

    Source for body surface: Mosteller (1987), N Engl J Med 317:1098, sqrt(height cm * weight kg / 3600).
    """
    text = str(text).strip()
    match = NUMBER.match(text)
    if match is None:
        raise ModelError("this is not a dose", value=text, allowed='a number and a unit, as in "16 mg/kg"')
    amount, unit = float(match.group()), text[match.end() :].strip()
    if unit and compatible(unit, dose_unit):
        return convert(amount, unit, dose_unit)
    if per := dosed_per(text):
        return convert(amount * _size(covariates, per), unit.rpartition("/")[0].strip(), dose_unit)
    return convert(amount, unit, dose_unit)


SIZES = {"kg": "weight_kg", "m2": "bsa_m2, or height_cm and weight_kg"}


def dosed_per(text: str) -> str:
    """ "kg" or "m2" where a dose in a clinician's words depends on the patient's size, "" else."""
    per = re.fullmatch(r".*/\s*(kg|m2|m\^2|m²)", str(text).strip())
    return "" if per is None else "kg" if per[1] == "kg" else "m2"


def size_of(covariates, per: str) -> float | None:
    """Body weight in kg or body surface in m2 of one patient, None where nothing says it."""

    def number(name):
        value = covariates.get(name)
        return value if isinstance(value, int | float) and value > 0 else None

    weight, height, surface = number("weight_kg"), number("height_cm"), number("bsa_m2")
    if per == "m2" and surface is None and weight and height:
        surface = sqrt(height * weight / 3600)
    return weight if per == "kg" else surface


def _size(covariates, per: str) -> float:
    size = size_of(covariates, per)
    if size is None:
        needed = SIZES[per]
        raise RecordError(
            f"a dose per {per} needs the patient's size",
            allowed=f"the covariate {needed}",
            next_step=f"Add {needed} to patients.csv, or give the dose as a whole amount.",
        )
    return float(size)


@lru_cache(maxsize=4096)
def _line(from_unit: str, to_unit: str, molar_mass: float | None) -> tuple[Fraction, Fraction]:
    """Factor and offset of the straight line from one unit to the other."""
    time_from, time_to = time_word(from_unit), time_word(to_unit)
    if time_from and time_to:
        return Fraction(SECONDS[time_from], SECONDS[time_to]), Fraction(0)
    here, there = _quantity(from_unit), _quantity(to_unit)
    one = here.units
    if here.dimensionality != there.dimensionality and molar_mass:
        here = _bridge(here, there, molar_mass)
    if here.dimensionality != there.dimensionality:
        raise RecordError(
            f"{from_unit or 'a pure number'} and {to_unit or 'a pure number'} measure different things",
            value=from_unit,
            allowed=f"a unit that converts to {to_unit or 'a pure number'}",
            next_step=_in_other_case(from_unit, to_unit)
            or "Check the unit; mass and moles convert only where the molar mass is known.",
        )
    unit = there.units
    if here.units != one or here._is_multiplicative and there._is_multiplicative:
        return Fraction(here.to(unit).magnitude) / Fraction(there.magnitude), Fraction(0)
    registry = _registry()  # temperatures: degC to degF has an offset
    zero = Fraction(registry.Quantity(Fraction(0), one).to(unit).magnitude)
    return Fraction(registry.Quantity(Fraction(1), one).to(unit).magnitude) - zero, zero


def _bridge(here, there, molar_mass: float):
    """`here` in grams instead of moles or moles instead of grams, where that makes the dimensions agree."""
    mass = _registry().Quantity(Fraction(str(molar_mass)), "g/mol")
    for bridged in (here * mass, here / mass):
        if bridged.dimensionality == there.dimensionality:
            return bridged
    return here


def _quantity(unit: str):
    """One `unit` as a pint quantity with an exact magnitude."""
    text = unit.strip()
    for sign, plain in (("µ", "u"), ("μ", "u"), ("²", "2"), ("³", "3"), ("°", "deg")):
        text = text.replace(sign, plain)
    text = _PER_DAY.sub("/day", text)
    scale, power = Fraction(1), _POWER.match(text)
    if power:
        scale, text = Fraction(10) ** int(power["power"] or power["e"]), text[power.end() :]
    if text.startswith(("/", "1/")):
        text = "dimensionless" + text.removeprefix("1")
    if text not in ("", "1") and (len(text) > 40 or not _UNIT.fullmatch(text) or _GRAIN.search(text)):
        raise _unknown(unit)
    text = re.sub(r"([A-Za-z])(-?[1-9])", r"\1^\2", text).replace(".", "*").removeprefix("1")
    try:
        return _registry().Quantity(scale, _registry().parse_units(time_word(text) or text))
    except Exception as problem:  # pint raises a dozen kinds, and some of their messages fail in turn
        raise _unknown(unit) from problem


def _in_other_case(unit: str, to_unit: str | None = None) -> str:
    """The advice for a unit that is one in other letters ("MG/L"), which converts to `to_unit` if given; "" else."""
    written = {piece.lower(): piece for piece in _PIECES}
    parts = re.split(r"([/*.\s]+)", unit.strip())
    meant = "".join(written.get(part.lower(), part) for part in parts)
    if meant == unit.strip() or not all(part.lower() in written for part in parts[::2]):
        return ""
    if to_unit is not None and _quantity(meant).dimensionality != _quantity(to_unit).dimensionality:
        return ""
    return f"Upper and lower case differ in units: is {meant} meant? Then write it so."


def _unknown(unit: str) -> RecordError:
    return RecordError(
        "this unit is not known",
        value=unit,
        allowed="a unit such as g/L, mg/dL, 10*9/L, copies/ug, IU",
        next_step=_in_other_case(unit)
        or "Write the unit as on the laboratory's report; upper and lower case differ (mg, not MG).",
    )


@lru_cache(maxsize=1)
def _registry():
    import pint

    registry = pint.UnitRegistry(non_int_type=Fraction)
    for line in _DEFINITIONS:
        registry.define(line)
    return registry
