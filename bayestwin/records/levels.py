"""Which words or flags a categorical covariate may hold: a misspelt level must not pass for the reference.

The model names the levels that matter to it (a shift for IgA, a rule for light_chain, exposed = 1); whatever is not
named stands at the reference, so `iga` would silently mean IgG. The rule:

    every named level is 0 or 1                       a flag: 0 and 1, nothing else
    a category whose distribution the model gives     its levels, which are all there are
    a field every hospital codes alike (labs.py)      the whole list, where the model's levels are among it
    any other                                         another spelling of a named level is refused; the rest stands
                                                      at the reference, said in a note
"""

from bayestwin.labs import FLAG, complete_list
from bayestwin.records.cells import one_of, parse_number
from bayestwin.records.refusal import RowRefused, folded
from bayestwin.units import NUMBER


def level_of(text: str, column: str, name: str, named: tuple[str, ...], all_named: bool = False) -> float | str:
    """One cell as a flag (0.0 or 1.0) or a level; raises RowRefused where it is neither."""
    allowed = complete_list(name, named, all_named)
    if allowed is not None and set(allowed) == set(FLAG):
        if NUMBER.fullmatch(text) and parse_number(text, column) in (0.0, 1.0):
            return float(text)
        raise RowRefused(
            f"{name} is neither 0 nor 1",
            column=column,
            value=text,
            allowed="0 (no) or 1 (yes)",
            next_step="Write 0 or 1; leave the cell empty where it is not known. Until then it counts as missing.",
        )
    step = "Spell it as listed; leave the cell empty where it is not known. Until then it counts as missing."
    if allowed is not None:
        found = _as_named(text, allowed)
        one_of(found, column, allowed, f"this level of {name}", next_step=step)
        return parse_number(found, column) if NUMBER.fullmatch(found) else found
    if text not in named and folded(text) in [folded(level) for level in named]:
        one_of(text, column, named, f"this spelling of a level of {name}", next_step=step)
    return parse_number(text, column) if NUMBER.fullmatch(text) else text


def _as_named(text: str, named: tuple[str, ...]) -> str:
    """A number as the level writes it (2.0 is 2), else the word."""
    if NUMBER.fullmatch(text) is None:
        return text
    return next((level for level in named if NUMBER.fullmatch(level) and float(level) == float(text)), text)


def at_reference(value: float | str, name: str, named: tuple[str, ...], all_named: bool = False) -> bool:
    """True for a value the model does not name, of a covariate whose levels are not all known."""
    text = value if isinstance(value, str) else f"{value:g}"
    return bool(named) and complete_list(name, named, all_named) is None and text not in named
