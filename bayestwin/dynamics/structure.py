"""Is a vector field linear in its states, with coefficients that stand still between events? Read from its program.

    dy/dt = A y + b        A and b free of y and of t

JAX writes the field down as a list of elementary operations. Each value in it is constant (free of states and time),
linear (a sum of constants times states, plus a constant) or neither; an operation that is not known to keep linearity
gives neither, so that what is found linear is so for all parameters. A model that says nothing of its `steps` is then
solved by the matrix exponential: exact however stiff, and faster than an adaptive solver up to MOST_STATES states.

    automatic          a field that is linear as a whole: compartments, transit chains, K-PD depots, effect compartments
    in part            a linear part that drives one that is not (a drug and a response to it): `drivers.py`
    not automatic      coefficients that change with t (clearance that wanes); hazards
"""

from functools import lru_cache

import jax
import jax.numpy as jnp
from jax.extend.core import Var

from bayestwin.dynamics.names import Doing, listed_state, named_state, parameters_at
from bayestwin.specification import Linear

CONSTANT, LINEAR, NEITHER = range(3)
MOST_STATES = 4  # a fit's gradient is faster by the exponential up to here: tests/benchmarks/linear_route.py
# Operations that move, repeat or add up the entries of their first operand.
KEEPING = {
    "add",
    "add_any",
    "broadcast_in_dim",
    "concatenate",
    "copy",
    "cumsum",
    "expand_dims",
    "neg",
    "reduce_sum",
    "reshape",
    "rev",
    "slice",
    "split",
    "squeeze",
    "stack",
    "sub",
    "transpose",
    "unstack",
}
CALLS = {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call"}


def solved_exactly(model) -> bool:
    """True where the matrix exponential follows a model: it says so, or says nothing and is found linear."""
    if model.steps is not None or model.hazards:
        return isinstance(model.steps, Linear)
    return len(model.states) <= MOST_STATES and is_linear(model)


@lru_cache(maxsize=256)
def is_linear(model) -> bool:
    """True where the vector field of a model is linear in its states between events, for all parameters."""
    program, first = program_of(model)
    size = len(model.states)
    return all(kind != NEITHER for kind in kinds_of_slopes(program, first, [LINEAR] * size))


def program_of(model):
    """The vector field as JAX's list of operations, and the position among its arguments of the first state.

    The arguments are the time, the states, the parameters (`argument_names`), what is being done and since when.
    """
    values = dict.fromkeys(argument_names(model), 0.5)

    def field(t, y, listed, active, started):
        p, u = parameters_at(model, dict(zip(values, listed)), 0.0), Doing(model, t, active, started)
        return listed_state(model, model.vector_field(t, named_state(model, y), p, u), "vector_field")

    y, nothing = tuple(1.0 for _ in model.states), jnp.zeros(len(model.treatments))
    return jax.make_jaxpr(field)(0.0, y, tuple(values.values()), nothing, nothing).jaxpr, 1


def argument_names(model) -> tuple[str, ...]:
    """Parameters and drift steps in the order in which `program_of` takes them."""
    return (*model.parameter_names, *(name for d in model.drift for name in d.names))


def kinds_of_slopes(program, first: int, states) -> list[int]:
    """The kind of every slope from those of the states; time counts as neither, the rest as constant."""
    kinds = [NEITHER] * first + list(states)
    return _kinds(program, kinds + [CONSTANT] * (len(program.invars) - len(kinds)))


def _kinds(program, given) -> list[int]:
    """The kinds of what a program returns, from those of its arguments."""
    known = dict(zip(program.invars, given))

    def kind_of(atom) -> int:
        return known.get(atom, CONSTANT) if isinstance(atom, Var) else CONSTANT

    for equation in program.eqns:
        inputs = [kind_of(atom) for atom in equation.invars]
        for variable, kind in zip(equation.outvars, _after(equation, inputs)):
            known[variable] = kind
    return [kind_of(atom) for atom in program.outvars]


def program_called_by(equation):
    """The operations behind one that only calls others, else None."""
    if equation.primitive.name not in CALLS:
        return None
    inner = next((equation.params[key] for key in ("jaxpr", "call_jaxpr") if key in equation.params), None)
    return getattr(inner, "jaxpr", inner)


def _after(equation, inputs) -> list[int]:
    """The kinds of what one operation returns."""
    name, count = equation.primitive.name, len(equation.outvars)
    inner = program_called_by(equation)
    if inner is not None:
        return _kinds(inner, inputs)
    worst = max(inputs, default=CONSTANT)
    if worst != LINEAR:
        return [worst] * count
    alone = inputs.count(LINEAR) == 1
    kept = (
        name in KEEPING
        or (name == "convert_element_type" and jnp.issubdtype(equation.params["new_dtype"], jnp.floating))
        or (name in ("mul", "dot_general") and alone)
        or (name in ("div", "dynamic_slice", "gather") and alone and inputs[0] == LINEAR)
        or (name == "select_n" and inputs[0] == CONSTANT)
    )
    return [LINEAR if kept else NEITHER] * count
