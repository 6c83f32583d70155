"""The mix of covariates of an arm, checked against the model: a misspelt level must not pass for the reference.

    prior_bcma = 0                                                    the same in all patients, a number or a level
    iss = { "1" = 0.40, "2" = 0.35, "3" = 0.25 }                      level -> share
    age_years = { mean = 63, sd = 9, minimum = 30, maximum = 90 }     a normal, cut off

What is measured of a human body must be possible there, as in patients.csv; a spread without an end is cut off where
that ends. Of a covariate whose levels the model does not name in full, one level may stand for its reference, which no
effect names; two would be told apart by nothing.
"""

from collections.abc import Mapping
from math import inf, isclose, isfinite

from bayestwin.labs import COUNTED, HUMAN, complete_list
from bayestwin.specification.evidence import MARKS, Constant, Mix, Shares, Spread
from bayestwin.specification.evidence_fields import Fields

SPREAD = ("mean", "sd", "minimum", "maximum")


def read_mix_table(table, model, file: str, place: str) -> Mix:
    """Covariate -> Constant, Shares or Spread; ModelError as in read_evidence.py."""
    if not isinstance(table, Mapping):
        Fields({}, file, place).refuse("a mix is a table", "", table, "covariate = number, or = { level = share, ... }")
    f, schema = Fields(table, file, place), model.record_schema()
    f.only(tuple(schema.covariates))
    return {name: _covariate(f, name, schema) for name in table}


def read_marks(f: Fields) -> dict[str, str]:
    """Covariate -> mark, of covariates that the mix names."""
    marks = f.table.get("mix_marks", {})
    if not isinstance(marks, Mapping):
        f.refuse("marks are a table", "mix_marks", marks, "covariate = mark")
    of = Fields(marks, f.file, f"{f.place}, mix_marks")
    of.only(tuple(f.table.get("mix", {})))
    return {name: of.one_of(name, MARKS) for name in marks}


def _covariate(f: Fields, name: str, schema) -> Constant | Shares | Spread:
    value, named = f.table[name], schema.levels.get(name, ())
    numeric = name in schema.numeric or not named
    if isinstance(value, Mapping):
        of = Fields(value, f.file, f"{f.place}, {name}")
        if "mean" in value or "sd" in value:
            return _spread(of, name, numeric, schema)
        return _shares(of, name, numeric, schema)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        f.refuse(
            "this is no covariate", name, value, "a number, a level, { level = share, ... } or { mean = ..., sd = ... }"
        )
    if numeric:
        if isinstance(value, str) and name not in (*schema.numeric, *HUMAN, *COUNTED):
            return Constant(value)
        return Constant(_possible(f, name, name, f.number(name, said="a number"), schema))
    _check_levels(f, name, name, [f"{value:g}" if not isinstance(value, str) else value], schema)
    return Constant(_level(value, False))


def _possible(f: Fields, field: str, name: str, value: float, schema) -> float:
    """A number of a covariate that a patient may have."""
    low, high = HUMAN.get(name, (-inf, inf))
    if not low <= value <= high:
        f.refuse(f"this {name} is implausible", field, value, f"{low:g} to {high:g}", "Check the value and its unit.")
    if name in COUNTED and value != int(value):
        f.refuse(f"{name} is counted", field, value, "a whole number")
    if name in schema.positive and value <= 0:
        f.refuse(f"this {name} is impossible: the model takes its logarithm", field, value, "more than 0")
    return value


def _shares(f: Fields, name: str, numeric: bool, schema) -> Shares:
    levels = list(f.table)
    if numeric and any(_number(level) is None for level in levels):
        wrong = next(level for level in levels if _number(level) is None)
        f.refuse("the model calculates with this covariate", "", wrong, "numbers as levels, or mean and sd")
    for level in levels if numeric else ():
        _possible(f, level, name, float(level), schema)
    if not numeric:
        _check_levels(f, "", name, levels, schema)
    shares = [f.number(level, said="a share from 0 to 1", low=0.0, high=1.0) for level in levels]
    if not isclose(sum(shares), 1.0, abs_tol=1e-6):
        f.refuse(
            "the shares do not add to 1",
            "",
            round(sum(shares), 6),
            "shares that add to 1",
            "Correct a share, or name the level that is missing.",
        )
    return Shares(tuple(_level(level, numeric) for level in levels), tuple(shares))


def _spread(f: Fields, name: str, numeric: bool, schema) -> Spread:
    f.only(SPREAD)
    if not numeric:
        f.refuse("a covariate with levels has no mean", "", name, "{ level = share, ... }")
    mean = f.number("mean", said="a number")
    sd = f.number("sd", said="an SD above 0", low=0.0, low_excluded=True)
    ends = [
        _possible(f, end, name, f.number(end, said="a number"), schema) if end in f.table else usual
        for end, usual in zip(("minimum", "maximum"), HUMAN.get(name, (-inf, inf)))
    ]
    if not ends[0] < ends[1]:
        f.refuse("minimum and maximum are the wrong way round", "minimum", ends[0], f"less than {ends[1]:g}")
    if not ends[0] - 3 * sd <= mean <= ends[1] + 3 * sd:
        f.refuse(
            "hardly any patient lies between minimum and maximum", "mean", mean, f"about {ends[0]:g} to {ends[1]:g}"
        )
    return Spread(mean, sd, *ends)


def _check_levels(f: Fields, field: str, name: str, levels, schema) -> None:
    """Refuse levels that the model, or every hospital, does not know."""
    named = schema.levels.get(name, ())
    allowed = complete_list(name, named, name in schema.all_levels)
    if allowed is not None:
        wrong = next((level for level in levels if level not in allowed), None)
        if wrong is not None:
            share = _number(wrong) is not None and "1" in allowed
            step = f'Of a share write {name} = {{ "1" = {wrong}, "0" = ... }}.' if share else ""
            f.refuse(f"the model has no such level of {name}", field, wrong, f"one of {', '.join(allowed)}", step)
        return
    nothing = next((level for level in levels if (n := _number(level)) is not None and not isfinite(n)), None)
    if nothing is not None:
        f.refuse(f"this is no level of {name}", field, nothing, "a word or a finite number")
    unnamed = [level for level in levels if level not in named]
    if len(unnamed) > 1:
        f.refuse(
            f"the model does not tell these levels of {name} apart",
            field,
            ", ".join(unnamed),
            f"{', '.join(named)}, and one level for the reference",
        )


def _level(value, numeric: bool) -> float | str:
    """A level as records hold it: a number where it is one, else the word."""
    number = _number(value)
    return value if number is None else number


def _number(value) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
