"""Which words or flags a categorical covariate may hold: a misspelt level must not pass for the reference.

The model names the levels that matter to it (a shift for IgA, a rule for light_chain, exposed = 1); whatever is not
named stands at the reference, so `iga` would silently mean IgG. The rule:

    every named level is 0 or 1                       a flag: 0 and 1, nothing else
    a field every hospital codes alike (labs.py)      the whole list, where the model's levels are among it
    any other                                         another spelling of a named level is refused; the rest stands
                                                      at the reference, said in a note
"""

from bayestwin.labs import FLAG, complete_list
from bayestwin.records.cells import one_of, parse_number
from bayestwin.records.refusal import RowRefused, folded
from bayestwin.units import NUMBER


def level_of(text: str, column: str, name: str, named: tuple[str, ...]) -> float | str:
    """One cell as a flag (0.0 or 1.0) or a level; raises RowRefused where it is neither."""
    allowed = complete_list(name, named)
    if allowed == FLAG:
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
        return one_of(text, column, allowed, f"this level of {name}", next_step=step)
    if text not in named and folded(text) in [folded(level) for level in named]:
        one_of(text, column, named, f"this spelling of a level of {name}", next_step=step)
    return parse_number(text, column) if NUMBER.fullmatch(text) else text


def at_reference(value: float | str, name: str, named: tuple[str, ...]) -> bool:
    """True for a value the model does not name, of a covariate whose levels are not all known."""
    text = value if isinstance(value, str) else f"{value:g}"
    return bool(named) and complete_list(name, named) is None and text not in named
