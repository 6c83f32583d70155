"""Linear vector fields are solved exactly, however stiff; what is not linear is not passed off as such."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm, expm_frechet

from bayestwin.dosing import DoseEvent
from bayestwin.dynamics import NO_GRADIENT, Accuracy, build_timeline, initial_values, solve_patient
from bayestwin.dynamics.linear import LARGEST_NORM, SCALARS, linear_flow, matrix_exponential
from bayestwin.errors import ModelError
from bayestwin.records.record import PatientRecord
from bayestwin.specification import Linear, load_model

QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # as in conftest.py
RECORD = PatientRecord("P-001", doses=(DoseEvent(0.0, 320.0, "oral"),))


@pytest.mark.parametrize("size, length", [(1, 0.0), (2, 1e-6), (3, 1.0), (3, 40.0), (5, 900.0)])
def test_the_exponential_is_scipy_s(size, length):
    rng = np.random.default_rng(size)
    rates = rng.uniform(0.1, 2.0, (size, size))
    flow = rates - np.diag(rates.sum(axis=0)) - np.eye(size)  # compartments that lose: bounded for any length
    np.testing.assert_allclose(matrix_exponential(length * flow), expm(length * flow), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("gradient", [True, False])
@pytest.mark.parametrize(
    "size, length", [(1, 0.0), (1, 1e-9), (1, 3.0), (1, 900.0), (2, 1e-6), (3, 1.0), (4, 900.0), (5, 40.0)]
)
def test_a_state_under_constant_infusion_flows_as_scipy_s_exponential_says(gradient, size, length):
    rng = np.random.default_rng(size)
    rates = rng.uniform(0.1, 2.0, (size, size))
    flow, infusion = length * (rates - np.diag(rates.sum(axis=0)) - np.eye(size)), length * rng.uniform(0, 300, size)
    whole = expm(np.block([[flow, infusion[:, None]], [np.zeros((1, size + 1))]]))
    rows = tuple(tuple(jnp.asarray(x) for x in row) for row in flow)
    growth, gain, ok = linear_flow(rows, tuple(jnp.asarray(x) for x in infusion), gradient=gradient)
    assert bool(ok)
    np.testing.assert_allclose(np.array(growth), whole[:size, :size], rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(np.array(gain), whole[:size, size], rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("rate", [0.0, 1e-10, -1e-6, -2.0])
def test_the_gradient_of_one_state_is_that_of_the_matrix(rate):
    def scalar(rate, b):
        growth, gain, _ = linear_flow(((rate,),), (b,), gradient=True)
        return growth[0][0] + gain[0]

    def whole(rate, b):
        found = matrix_exponential(jnp.array([[rate, b], [0.0, 0.0]]))
        return found[0, 0] + found[0, 1]

    found, wanted = (jax.grad(f, argnums=(0, 1))(rate, 0.7) for f in (scalar, whole))
    np.testing.assert_allclose(found, wanted, rtol=1e-7)


def test_its_gradient_is_the_finite_difference():
    flow = np.array([[-1.5, 0.0], [1.5, -0.1]])

    def central(scale):
        return matrix_exponential(scale * jnp.asarray(flow))[1, 0]

    step = 1e-6
    expected = (central(3.0 + step) - central(3.0 - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(central)(3.0), expected, rtol=1e-7)


def test_backward_and_forward_slopes_of_scalars_are_scipy_s():
    rng = np.random.default_rng(0)
    whole = np.vstack([np.c_[rng.uniform(0.1, 9.0, (2, 2)) - 12.0 * np.eye(2), rng.uniform(0.0, 90.0, 2)], np.zeros(3)])
    along, weights = (np.vstack([rng.normal(size=(2, 3)), np.zeros(3)]) for _ in range(2))

    def weighed(whole):
        growth, gain, _ = linear_flow(tuple(map(tuple, whole[:2, :2])), tuple(whole[:2, 2]), gradient=True)
        return (jnp.c_[jnp.array(growth), jnp.array(gain)] * weights[:2]).sum()

    def both(x):
        return jax.grad(weighed)(x), jax.jvp(weighed, (x,), (jnp.asarray(along),))[1]

    backward, forward = jax.jit(both, compiler_options=QUICK)(jnp.asarray(whole))
    right = (expm_frechet(whole, along, compute_expm=False) * weights).sum()
    np.testing.assert_allclose([(backward * along).sum(), forward], right, rtol=1e-9)


@pytest.mark.parametrize("size", [2, SCALARS + 1])
def test_a_gradient_keeps_the_matrix_and_not_what_its_exponential_passed_through(size):
    """Kept for every term and squaring it took 80 kB a patient: dear, and dearer the more patients there are."""
    matrix, constant = -jnp.eye(size), jnp.ones(size)

    def flow(matrix, constant):
        return linear_flow(tuple(map(tuple, matrix)), tuple(constant), gradient=True)[:2]

    kept = jax.eval_shape(lambda a, b: jax.vjp(flow, a, b)[1], matrix, constant)
    assert sum(leaf.size for leaf in jax.tree.leaves(kept)) < 8 * (size + 1) ** 2


@pytest.mark.parametrize("accuracy", [Accuracy(), NO_GRADIENT], ids=["with gradient", "without"])
@pytest.mark.parametrize("ka", [0.2, 1.5, 30.0, 4000.0])
def test_an_oral_dose_has_its_closed_form_however_fast_it_is_absorbed(ka, accuracy):
    model, values = load_model("theophylline"), {"ka": ka, "CL": 2.8, "V": 32.0}
    assert isinstance(model.steps, Linear)
    times = np.array([0.1, 0.5, 2.0, 9.0, 24.0])
    timeline, index = build_timeline(model, RECORD, start=0.0, end=24.0, asked=[(t, False) for t in times])
    begin, line = initial_values(model, values), jax.tree.map(jnp.asarray, timeline)
    solution = solve_patient(model, values, begin, line, accuracy)
    k = 2.8 / 32.0
    closed = 320.0 * ka / (ka - k) * (np.exp(-k * times) - np.exp(-ka * times))
    np.testing.assert_allclose(solution.states[index, 1], closed, rtol=1e-9)
    assert bool(solution.ok)


def test_a_field_that_is_not_linear_fails_instead_of_passing_for_linear():
    model = load_model("theophylline")

    def saturating(t, y, p, u):
        absorbed = p.ka * y.depot
        return {"depot": -absorbed, "central": absorbed - p.CL / p.V * y.central / (1.0 + y.central / 50.0)}

    wrong = replace(model, vector_field=saturating, source_hash="")
    timeline, _ = build_timeline(wrong, RECORD, start=0.0, end=5.0, asked=[(1.0, False), (5.0, False)])
    values = {"ka": 1.5, "CL": 2.8, "V": 32.0}
    solution = solve_patient(wrong, values, initial_values(wrong, values), jax.tree.map(jnp.asarray, timeline))
    assert not bool(solution.ok) and float(solution.error) > 1e-3


def test_what_no_squaring_can_reach_is_not_ok_and_finite():
    model, values = load_model("theophylline"), {"ka": 10 * LARGEST_NORM, "CL": 2.8, "V": 32.0}
    timeline, _ = build_timeline(model, RECORD, start=0.0, end=5.0, asked=[(5.0, False)])

    def last(ka):
        chosen = values | {"ka": ka}
        return solve_patient(model, chosen, initial_values(model, chosen), jax.tree.map(jnp.asarray, timeline))

    many = solve_patient(model, values, initial_values(model, values), jax.tree.map(jnp.asarray, timeline), NO_GRADIENT)
    assert not bool(many.ok) and np.isfinite(many.states).all()
    assert not bool(last(values["ka"]).ok) and np.isfinite(last(values["ka"]).states).all()
    assert np.isfinite(jax.grad(lambda ka: last(ka).states[-1, 1])(values["ka"]))


def test_a_model_with_hazards_cannot_be_declared_linear():
    with pytest.raises(ModelError, match="hazards cannot be Linear"):
        replace(load_model("myeloma_car_t"), steps=Linear(), source_hash="")
