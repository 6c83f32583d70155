"""Read arrays by name inside a model's functions, and the other way round; drift applied to parameters.

`y.central`, `p.CL` and `u.on("dara_pd")` keep a vector field readable as a methods section; all of this
happens while JAX traces, so nothing of it is left in the compiled program.
"""

from copy import copy
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp

from bayestwin.errors import ModelError


class Named(SimpleNamespace):
    """Values read by name; a name that is not there is a mistake of the model file, and the message says which are."""

    def __getattr__(self, name):
        if name.startswith("__"):  # what Python itself looks for
            raise AttributeError(name)
        raise ModelError(
            "the model file reads an unknown name",
            value=name,
            allowed=", ".join(vars(self)),
        )


def named_state(model, y):
    """Namespace of the model's states from a sequence of scalars; hazard integrals after them are left out."""
    return Named(**{name: y[k] for k, name in enumerate(model.states)})


def listed_state(model, values: dict, place: str) -> tuple:
    """The states in order from {state: value}."""
    if set(values) != set(model.states):
        wrong = ", ".join(sorted(set(values) ^ set(model.states)))
        raise ModelError(
            f"{place} must return every state once",
            subject=f"model {model.name}",
            value=wrong,
            allowed=", ".join(model.states),
        )
    return tuple(jnp.asarray(values[name], dtype=float) for name in model.states)


class Doing:
    """What is being done to the patient at time t: u.on(treatment), u.since(treatment)."""

    def __init__(self, model, t, active, started):
        # split once: tracing an index again and again costs more than the rest of a vector field
        self._names, self._t = model.treatment_names, t
        self._active, self._started = jnp.unstack(active), jnp.unstack(started)

    def at(self, t):
        """The same at another time of the interval."""
        other = copy(self)
        other._t = t
        return other

    def _index(self, name):
        if name not in self._names:
            raise ModelError("the model asks for an unknown treatment", value=name, allowed=", ".join(self._names))
        return self._names.index(name)

    def on(self, name):
        """1.0 while `name` is the current treatment, else 0.0."""
        return self._active[self._index(name)]

    def since(self, name):
        """Time since the latest start of `name`; negative if it has not started."""
        return self._t - self._started[self._index(name)]


CHANGED = "changed covariates"


class ChangedCovariates(NamedTuple):
    """What changes of covariates and occasions do, J of them: times (J,) in order, and by how much each moves every
    parameter from its first value, transformed scale, shifts (J, Q)."""

    times: jax.Array
    shifts: jax.Array


def parameters_at(model, values: dict, t):
    """Parameters in force at time t: changed covariates, occasions and drift steps added on the transformed scale.

    values : name -> natural value, name of a drift step -> step, and CHANGED -> ChangedCovariates where some change
    """
    now = {p.name: values[p.name] for p in model.parameters}
    if CHANGED in values:
        times, shifts = values[CHANGED]
        reached = jnp.concatenate([jnp.zeros((1, shifts.shape[1])), shifts])[(t >= times).sum()]
        apart = [model.parameter_names.index(c.parameter) for c in model.response_classes if c.without]
        for k in sorted({*(position for _, position, _ in model.effects), *model.occasional, *apart}):
            name, scale = model.parameters[k].name, model.parameters[k].scale
            now[name] = shifted(now[name], reached[k], scale)
    for drift in model.drift:
        steps = jnp.stack([values[name] for name in drift.names])
        reached = jnp.concatenate([jnp.zeros(1), jnp.cumsum(steps)])
        shift = reached[jnp.clip(jnp.floor(t / drift.every).astype(int), 0, drift.steps)]
        scale = model.parameters[model.parameter_names.index(drift.parameter)].scale
        now[drift.parameter] = shifted(now[drift.parameter], shift, scale)
    return Named(**now)


def shifted(value, shift, scale: str):
    """A natural value moved by `shift` on its transformed scale."""
    if scale == "log":
        return value * jnp.exp(shift)
    if scale == "logit":
        return jax.nn.sigmoid(jnp.log(value) - jnp.log1p(-value) + shift)
    return value + shift
