"""The likelihood where predictions are known: other residual parameters and chances of the classes, nothing solved.

The pieces are those of likelihood.py and so are the functions; a population fit moves with these between its solves.
"""

import jax
import jax.numpy as jnp
from jax.interpreters.partial_eval import dce_jaxpr

from bayestwin.dynamics import Accuracy, initial_values, solve_patient
from bayestwin.individual.data import PatientData
from bayestwin.individual.likelihood import ClassLikelihood, event_terms, outputs_at, rows_given
from bayestwin.individual.parameters import class_log_probability, natural_values
from bayestwin.individual.serial import beginning_of, serial_terms


def under_population(model, psi, hyper, data: PatientData, pieces: ClassLikelihood, *, rho=0.0) -> ClassLikelihood:
    """The same pieces under another population, with its rows and `log_class`.

    Right only where `hyper` differs in what predictions and events do not depend on: residual parameters, and
    parameters that are `unread`. `seen`, `departure` and `end` stay as they were.
    """
    data = jax.tree.map(jnp.asarray, data)
    measured = [k for k in range(len(model.observations)) if k not in model.serial]

    def one(response_class, own):
        safe = jnp.where(own.ok & (data.mask > 0), own.prediction, 1.0)
        rows = jnp.where(data.mask > 0, rows_given(model, safe, data, hyper.sigma, measured), 0.0)
        if model.serial:
            values = natural_values(model, psi, hyper, data.terms, response_class, data.changes)
            begin = beginning_of(model, hyper.sigma)
            rows = rows + serial_terms(model, data, safe, values, hyper.sigma, begin, gradient=True)[0]
        log_class = class_log_probability(model, psi, hyper, data.terms, response_class, data.relevant, rho)
        return own._replace(rows=jnp.where(own.ok, rows, -jnp.inf), log_class=log_class)

    return jax.vmap(one)(data.classes, pieces)


def unread(model, names, data: PatientData) -> set[str]:
    """Those of the parameters that neither equations nor outputs nor events of this patient read.

    Found by tracing the solve and looking whether the value is used; nothing is compiled. Which parameter takes
    another's place in a response class is not looked at.
    """
    data = jax.tree.map(jnp.asarray, data)

    def told(value, name):
        values = {other: jnp.asarray(0.5) for other in (*model.parameter_names, *model.individual_names)}
        values[name] = value
        solution = solve_patient(model, values, initial_values(model, values), data.timeline, Accuracy())
        seen = outputs_at(model, values, data.timeline, solution, data.index)
        return seen, solution, event_terms(model, values, data, solution)

    found = set()
    for name in names:
        traced = jax.make_jaxpr(lambda value, name=name: told(value, name))(0.5).jaxpr
        if not dce_jaxpr(traced, [True] * len(traced.outvars))[1][0]:
            found.add(name)
    return found
