"""What is expected at every lab, given every patient's own parameters: the model's equations, wrapped for PyTensor.

This is the one part that the PyMC program shares with the rest of bayestwin: the solver. A closed form written in
PyTensor takes its place where the caller has one (`closed_form` of `pymc_program`). The gradient is JAX's
vector-Jacobian product.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import Accuracy, initial_values, solve_patient
from bayestwin.individual import outputs_at
from bayestwin.population.stacks import stack_cohort


def value_names(model) -> tuple[str, ...]:
    """What has a value for every patient: all parameters, then the drift steps."""
    return (*model.parameter_names, *(name for drift in model.drift for name in drift.names))


def solved(model, cohort, accuracy: Accuracy):
    """A function of PyTensor: values (N, V) of N patients -> what is expected at each lab (N, L + 1), L the largest
    number of labs of a patient; rows beyond a patient's own are 1. The last column is 1 where the equations were
    solved, 0 where the solver gave up."""
    return jax_call_type()(*compiled(model, cohort, accuracy))


@cache
def jax_call_type():
    """The PyTensor Op that calls a JAX function of matrices, defined when PyTensor is wanted.

    `pytensor.wrap_jax` would do, were it not float32 wherever the caller's JAX is.
    """
    import pytensor.tensor as pt
    from pytensor.graph.basic import Apply
    from pytensor.graph.op import Op

    class JaxCall(Op):
        __props__ = ("function", "gradient")

        def __init__(self, function, gradient=None):
            self.function, self.gradient = function, gradient

        def make_node(self, *inputs):
            return Apply(self, [pt.as_tensor(value) for value in inputs], [pt.dmatrix()])

        def perform(self, node, inputs, outputs):
            outputs[0][0] = in_float64(self.function, *inputs)

        def pullback(self, inputs, outputs, cotangents):
            return [JaxCall(self.gradient)(*inputs, *cotangents)]

    return JaxCall


def in_float64(function, *inputs) -> np.ndarray:
    """A JAX function of NumPy arrays, in float64 whatever the caller's flags and thread."""
    with jax.enable_x64(True):
        return np.array(function(*(jnp.asarray(value, dtype=float) for value in inputs)))


def compiled(model, cohort, accuracy: Accuracy):
    """Two JAX functions: values -> expected, and (values, weights) -> gradient of their weighted sum."""
    with jax.enable_x64(True):
        (group,), _ = stack_cohort(model, cohort, by_length=False)
        group = jax.tree.map(jnp.asarray, group)
    names = value_names(model)

    def one(row, data):
        values = dict(zip(names, jnp.unstack(row)))
        solution = solve_patient(model, values, initial_values(model, values), data.timeline, accuracy)
        every = outputs_at(model, values, data.timeline, solution, data.index)
        expected = jnp.take_along_axis(every, data.output[:, None], axis=1)[:, 0]
        expected = jnp.where(data.mask > 0, expected, 1.0)
        good = solution.ok & jnp.isfinite(expected).all()
        return jnp.append(jnp.where(good, expected, 1.0), good.astype(float))

    @jax.jit
    def expected(values):
        return jax.vmap(one)(values, group)

    @jax.jit
    def gradient(values, weights):
        return jax.vjp(expected, values)[1](weights)[0]

    return expected, gradient
