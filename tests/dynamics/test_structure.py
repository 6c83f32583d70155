"""Which models are solved exactly without saying so: those whose field is linear between events, and no others."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayestwin.dosing import DoseEvent
from bayestwin.dynamics import Accuracy, build_timeline, initial_values, solve_patient
from bayestwin.dynamics.blocks import compartments, effect_compartment, exponential_decline, transit_chain
from bayestwin.dynamics.structure import MOST_STATES, is_linear, solved_exactly
from bayestwin.records.record import PatientRecord
from bayestwin.specification import Adaptive, Linear, Steps, load_model

TWO = load_model("two_compartment")
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def with_field(field, **changed):
    """The two-compartment model with another vector field."""
    return replace(TWO, vector_field=field, source_hash="", **{"steps": None} | changed)


def flows(t, y, p, u):
    depot, absorbed = transit_chain((y.depot,), p.ka)
    central, peripheral = compartments(y.central, p.CL, p.V, (y.peripheral, p.Q, p.V2))
    return {"depot": depot[0], "central": absorbed + central, "peripheral": peripheral}


def changed(**terms):
    """The field with one term added to a state's derivative, a function of (t, y, p, u)."""

    def field(t, y, p, u):
        return {k: v + (terms[k](t, y, p, u) if k in terms else 0.0) for k, v in flows(t, y, p, u).items()}

    return field


LINEAR_TERMS = {
    "blocks": {},
    "a constant": {"central": lambda t, y, p, u: p.CL * 3.0},
    "an effect compartment": {"peripheral": lambda t, y, p, u: effect_compartment(y.peripheral, y.central / p.V, p.ka)},
    "a product with what is free of states": {"central": lambda t, y, p, u: -jnp.exp(-p.ka) * y.depot / p.V},
    "a choice by a parameter": {"central": lambda t, y, p, u: jnp.where(p.ka > 1.0, y.depot, 2.0 * y.central)},
    "a matrix": {"central": lambda t, y, p, u: (jnp.array([[1.0, p.Q]]) @ jnp.stack([y.depot, y.central]))[0]},
    "what is being done": {"central": lambda t, y, p, u: u.on("single_dose") * y.depot},
}
OTHER_TERMS = {
    "a product of states": {"central": lambda t, y, p, u: y.depot * y.central},
    "a square": {"central": lambda t, y, p, u: y.central**2},
    "saturation": {"central": lambda t, y, p, u: y.central / (1.0 + y.central)},
    "a floor": {"central": lambda t, y, p, u: jnp.maximum(y.central, 0.0)},
    "a whole number": {"central": lambda t, y, p, u: -1.0 * jnp.asarray(y.central).astype(int)},
    "a choice by a state": {"central": lambda t, y, p, u: jnp.where(y.central > 1.0, y.depot, 0.0)},
    "time": {"central": lambda t, y, p, u: -exponential_decline(t, p.ka) * y.central},
    "time since a start": {"central": lambda t, y, p, u: -u.since("single_dose") * y.central},
    "an input that changes with time": {"central": lambda t, y, p, u: jnp.sin(t)},
}


@pytest.mark.parametrize("term", LINEAR_TERMS)
def test_a_field_that_is_linear_between_events_is_found(term):
    model = with_field(changed(**LINEAR_TERMS[term]))
    assert is_linear(model) and solved_exactly(model)


@pytest.mark.parametrize("term", OTHER_TERMS)
def test_what_may_not_be_linear_or_stand_still_is_left_to_the_adaptive_solver(term):
    model = with_field(changed(**OTHER_TERMS[term]))
    assert not is_linear(model) and not solved_exactly(model)


def test_what_the_model_says_goes_before_what_is_found():
    assert not solved_exactly(with_field(flows, steps=Adaptive()))
    assert not solved_exactly(with_field(flows, steps=Steps(first=0.1, growth=1.1, largest=1.0)))
    assert solved_exactly(
        with_field(changed(central=lambda t, y, p, u: y.central**2), steps=Linear())
    )  # and fails later


def test_the_shipped_models_are_told_apart():
    names = ("one_compartment", "two_compartment", "three_compartment", "theophylline", "warfarin")
    assert all(is_linear(load_model(name)) for name in names)
    assert max(len(load_model(name).states) for name in names) <= MOST_STATES
    others = (
        "daratumumab",
        "isatuximab",
        "teclistamab",
        "elranatamab",
        "tocilizumab",
        "myeloma_car_t",
        "tumour_lesions",
    )
    assert not any(is_linear(load_model(name)) for name in others)


def test_a_model_with_hazards_or_many_states_is_not_taken_for_exact():
    assert not solved_exactly(with_field(flows, hazards={"death": lambda t, y, p, u: 0.1}))
    more = tuple(f"s{k}" for k in range(MOST_STATES + 1))
    many = with_field(
        lambda t, y, p, u: {name: -p.ka * getattr(y, name) for name in more}, states=more, routes={}, treatments=()
    )
    assert is_linear(many) and not solved_exactly(many)


def solved(model, accuracy):
    """(function of log parameters -> depot, central, peripheral at 1 and 9 h, log parameters in the middle)."""
    doses = (DoseEvent(0.0, 100.0, "oral"), DoseEvent(2.0, 50.0, "iv", duration=3.0))
    asked = [(1.0, False), (9.0, False)]
    timeline, index = build_timeline(model, PatientRecord("P-1", doses=doses), start=0.0, end=9.0, asked=asked)
    line = jax.tree.map(jnp.asarray, timeline)

    def states(z):
        values = dict(zip(model.parameter_names, jnp.exp(z)))
        return solve_patient(model, values, initial_values(model, values), line, accuracy).states[index]

    return states, jnp.log(jnp.array([p.typical.median for p in model.parameters]))


def test_both_routes_give_one_answer_and_one_slope_forward_and_backward():
    """The matrix exponential that is found automatically in reverse mode, and the adaptive solver in forward mode."""
    tight = Accuracy(1e-9, 1e-10, 4096)
    value, z = solved(with_field(flows), tight)
    other, _ = solved(with_field(flows, steps=Adaptive()), tight._replace(gradient=False))
    right, slope = jax.jit(lambda z: (value(z), jax.jacrev(value)(z)), compiler_options=QUICK)(z)
    found, forward = jax.jit(lambda z: (other(z), jax.jacfwd(other)(z)), compiler_options=QUICK)(z)
    np.testing.assert_allclose(found, right, rtol=1e-6)
    np.testing.assert_allclose(forward, slope, rtol=1e-5, atol=1e-6 * np.abs(slope).max())
