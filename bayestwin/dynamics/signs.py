"""Does one state feed another, for all parameters? The sign of a coefficient, read from a vector field's program.

Two states that exchange have real rates where each feeds the other (A_ij >= 0 and A_ji >= 0: compartments), and may
swing where one drives the other down. Followed through the operations are, for each value, the sign of its coefficient
of one state and, where it is free of that state, its own sign: parameters on the scales log and logit are positive.
What an operation does that is not known here is UNKNOWN.
"""

from typing import NamedTuple

from jax.extend.core import Literal

from bayestwin.dynamics.structure import argument_names, program_called_by

POSITIVE, NEGATIVE, UNKNOWN, ABSENT = 1, -1, 0, None
ALIKE = {"broadcast_in_dim", "reshape", "squeeze", "convert_element_type", "copy", "expand_dims", "stop_gradient"}
ALWAYS_POSITIVE = {"exp", "logistic", "abs", "sqrt", "exp2", "square"}


class Sign(NamedTuple):
    """own : of a value; coefficient : of the state in question within it, ABSENT where the value is free of it."""

    own: int
    coefficient: int | None = ABSENT


def feeds(model, program, first: int, source: int, into: int) -> bool:
    """True where the slope of state `into` has a coefficient of state `source` that is positive for all parameters."""
    scales = {p.name: p.scale for p in model.parameters}
    positive = [scales.get(name) in ("log", "logit") for name in argument_names(model)]
    given = [Sign(UNKNOWN)] * first + [
        Sign(UNKNOWN, POSITIVE if k == source else ABSENT) for k in range(len(model.states))
    ]
    given += [Sign(POSITIVE if one else UNKNOWN) for one in positive]
    given += [Sign(UNKNOWN)] * (len(program.invars) - len(given))
    return _signs(program, given)[into].coefficient == POSITIVE


def _signs(program, given) -> list[Sign]:
    known = dict(zip(program.invars, given))

    def sign_of(atom) -> Sign:
        if isinstance(atom, Literal):
            return Sign(_of_number(atom.val))
        return known.get(atom, Sign(UNKNOWN))

    for equation in program.eqns:
        inputs = [sign_of(atom) for atom in equation.invars]
        inner = program_called_by(equation)
        found = [_after(equation, inputs)] * len(equation.outvars) if inner is None else _signs(inner, inputs)
        known.update(zip(equation.outvars, found))
    return [sign_of(atom) for atom in program.outvars]


def _of_number(value) -> int:
    try:
        return POSITIVE if float(value) >= 0 else NEGATIVE
    except (TypeError, ValueError):
        return UNKNOWN


def _after(equation, inputs) -> Sign:
    """The sign that one operation makes of those of its operands."""
    name = equation.primitive.name
    if name in ALIKE:
        return inputs[0]
    if name == "neg":
        return _times(inputs[0], NEGATIVE)
    if name in ("add", "add_any"):
        return _sum(*inputs)
    if name == "sub":
        return _sum(inputs[0], _times(inputs[1], NEGATIVE))
    if name in ("mul", "div"):
        a, b = inputs
        if b.coefficient is ABSENT:
            return _times(a, b.own)
        if a.coefficient is ABSENT and name == "mul":
            return _times(b, a.own)
    absent = all(sign.coefficient is ABSENT for sign in inputs)
    own = POSITIVE if name in ALWAYS_POSITIVE else UNKNOWN
    if name in ("pow", "integer_pow") and inputs[0].own == POSITIVE:
        own = POSITIVE
    return Sign(own) if absent else Sign(own, UNKNOWN)


def _times(sign: Sign, factor: int) -> Sign:
    return Sign(sign.own * factor, sign.coefficient if sign.coefficient is ABSENT else sign.coefficient * factor)


def _sum(a: Sign, b: Sign) -> Sign:
    parts = {sign.coefficient for sign in (a, b)} - {ABSENT}
    coefficient = ABSENT if not parts else parts.pop() if len(parts) == 1 else UNKNOWN
    return Sign(a.own if a.own == b.own else UNKNOWN, coefficient)
