"""Is a vector field linear in its states, with coefficients that stand still between events? Read from its program.

    dy/dt = A y + b        A and b free of y and of t

JAX writes the field down as a list of elementary operations. Each value in it is constant (free of states and time),
linear (a sum of constants times states, plus a constant) or neither; an operation that is not known to keep linearity
gives neither, so that what is found linear is so for all parameters. A model that says nothing of its `steps` is then
solved by the matrix exponential: exact however stiff, and faster than an adaptive solver up to MOST_STATES states.

    automatic          a field that is linear as a whole: compartments, transit chains, K-PD depots, effect compartments
    not automatic      coefficients that change with t (clearance that wanes); hazards; a linear part that drives
                       one that is not (a drug and a response to it): solved as one system, adaptively
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


def solved_exactly(model) -> bool:
    """True where the matrix exponential follows a model: it says so, or says nothing and is found linear."""
    if model.steps is not None or model.hazards:
        return isinstance(model.steps, Linear)
    return len(model.states) <= MOST_STATES and is_linear(model)


def is_linear(model) -> bool:
    """True where the vector field of a model is linear in its states between events, for all parameters."""
    # by the function too: two fields made in a notebook by one factory have the same source, and so the same model hash
    return _found(model.vector_field, model)


@lru_cache(maxsize=256)
def _found(vector_field, model) -> bool:
    states, treatments = len(model.states), len(model.treatments)
    values = {p.name: 0.5 for p in model.parameters} | {name: 0.0 for d in model.drift for name in d.names}

    def field(t, y, values, active, started):
        p, u = parameters_at(model, values, 0.0), Doing(model, t, active, started)
        return listed_state(model, vector_field(t, named_state(model, y), p, u), "vector_field")

    y, nothing = tuple(1.0 for _ in range(states)), jnp.zeros(treatments)
    program = jax.make_jaxpr(field)(0.0, y, values, nothing, nothing)
    kinds = [NEITHER, *[LINEAR] * states]
    kinds += [CONSTANT] * (len(program.jaxpr.invars) - len(kinds))
    return all(kind != NEITHER for kind in _kinds(program.jaxpr, kinds))


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


def _after(equation, inputs) -> list[int]:
    """The kinds of what one operation returns."""
    name, count = equation.primitive.name, len(equation.outvars)
    worst = max(inputs, default=CONSTANT)
    if worst != LINEAR:
        return [worst] * count
    inner = next((equation.params[key] for key in ("jaxpr", "call_jaxpr") if key in equation.params), None)
    if inner is not None and name in ("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call"):
        return _kinds(getattr(inner, "jaxpr", inner), inputs)
    alone = inputs.count(LINEAR) == 1
    kept = (
        name in KEEPING
        or (name == "convert_element_type" and jnp.issubdtype(equation.params["new_dtype"], jnp.floating))
        or (name in ("mul", "dot_general") and alone)
        or (name in ("div", "dynamic_slice", "gather") and alone and inputs[0] == LINEAR)
        or (name == "select_n" and inputs[0] == CONSTANT)
    )
    return [LINEAR if kept else NEITHER] * count
