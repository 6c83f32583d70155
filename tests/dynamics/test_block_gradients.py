"""Gradients of every building block against finite differences, and finite over the range of a wide prior.

Fast: the vector field itself, where each block's derivative lives. `make validate`: whole solves, the gradient at a
solver tolerance of 1e-8, the differences at 1e-11, 1e-5 relative to the largest slope of the block.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_block import DOSES, PARTS, TIMES, write_every_block

from bayestwin.dynamics import Accuracy, build_timeline, initial_values, named_state, solve_patient
from bayestwin.dynamics.names import parameters_at
from bayestwin.individual.parameters import to_natural
from bayestwin.records.record import PatientRecord

RANGE, LANES = 3.29, 256  # 99.9 % of a normal; patients at once
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@pytest.fixture(scope="module")
def every_block(tmp_path_factory):
    return write_every_block(tmp_path_factory.mktemp("models") / "every_block")


def natural(model, z):
    """Natural values at z prior SDs from the medians."""
    middle = {"log": np.log, "logit": lambda x: np.log(x / (1 - x))}
    spread = [getattr(p.typical, "sd_log", None) or p.typical.sd_logit for p in model.parameters]
    at = [middle[p.scale](p.typical.median) for p in model.parameters]
    return {p.name: to_natural(a + s * z[k], p.scale) for k, (p, a, s) in enumerate(zip(model.parameters, at, spread))}


def part_of_state(model):
    """(parts, states): 1 where a state belongs to a part."""
    return np.array([[state in states for state in model.states] for states in PARTS.values()], dtype=float)


def test_every_state_belongs_to_one_part(every_block):
    assert (part_of_state(every_block).sum(axis=0) == 1).all()


def test_the_slopes_of_every_block_are_finite_differences_and_finite_over_the_prior(every_block):
    """Of the vector field by parameters and states, over 99.9 % of the prior and states from nothing to plenty."""
    model, rng = every_block, np.random.default_rng(3)
    size, states = len(model.parameters), len(model.states)

    def field(x, t):
        values = natural(model, x[:size])
        slopes = model.vector_field(t, named_state(model, x[size:]), parameters_at(model, values, t), None)
        return jnp.stack([slopes[name] for name in model.states])

    def weighed(x, weights, t):
        return weights @ field(x, t)

    # one program of LANES for everything
    many = jax.jit(jax.vmap(jax.value_and_grad(weighed), in_axes=(0, None, 0)), compiler_options=QUICK)
    z = rng.uniform(-RANGE, RANGE, (LANES, size))
    level = np.exp(rng.uniform(-4.0, 3.0, (LANES, states)))
    logs = np.array([name.startswith("ln_") for name in model.states])
    level[:, logs] = np.log(level[:, logs])
    level[:32, ~logs & (np.array(model.states) != "circ")] = 0.0
    points, times = np.concatenate([z, level], axis=1), rng.uniform(0.0, 12.0, LANES)
    for weights in (rng.normal(size=states), np.ones(states)):
        value, slope = many(points, weights, times)
        assert np.isfinite(value).all() and np.isfinite(slope).all()
    # one point away from all edges, every direction, fourth order
    x, h = np.concatenate([0.5 * rng.normal(size=size), np.where(logs, 0.3, 2.0)]), 1e-3
    eye = h * np.eye(len(x))
    moved = np.concatenate([x + eye, x - eye, x + 2 * eye, x - 2 * eye])
    lanes = np.concatenate([moved, np.tile(x, (LANES - len(moved), 1))])
    for weights in part_of_state(model):
        value, slope = many(lanes, weights, np.full(LANES, 5.0))
        up, down, further_up, further_down = np.split(np.asarray(value)[: len(moved)], 4)
        expected = (8 * (up - down) - (further_up - further_down)) / (12 * h)
        np.testing.assert_allclose(slope[-1], expected, rtol=1e-8, atol=1e-9 * np.abs(expected).max())


@pytest.mark.validate
@pytest.mark.slow
def test_solved_gradients_of_every_block_are_finite_differences_and_finite_over_the_prior(every_block):
    model = every_block
    record = PatientRecord("P-1", doses=DOSES)
    line, index = build_timeline(model, record, start=0.0, end=12.0, asked=[(t, False) for t in TIMES])
    line = jax.tree.map(jnp.asarray, line)

    def parts(z, accuracy):
        """Each part's states, weighed and summed over TIMES."""
        values = natural(model, z)
        solution = solve_patient(model, values, initial_values(model, values), line, accuracy)
        weights = jnp.asarray(1.0 + np.random.default_rng(4).random((len(TIMES), len(model.states))))
        sums = part_of_state(model) @ (solution.states[index] * weights).sum(axis=0)
        return sums, solution.ok

    def slopes(z):
        sums, pull, ok = jax.vjp(lambda z: parts(z, Accuracy(1e-8, 1e-10, 4096)), z, has_aux=True)
        return sums, jax.vmap(pull)(jnp.eye(len(PARTS)))[0], ok

    fine = jax.jit(jax.vmap(lambda z: parts(z, Accuracy(1e-11, 1e-12, 16_384))), compiler_options=QUICK)
    many, size, h = jax.jit(jax.vmap(slopes), compiler_options=QUICK), len(model.parameters), 3e-3
    rng = np.random.default_rng(5)
    lanes = np.concatenate([np.zeros((1, size)), rng.uniform(-RANGE, RANGE, (31, size))])
    _, found, ok = many(lanes)
    assert ok.all() and np.isfinite(found).all()
    eye = h * np.eye(size)
    value, ok = fine(np.concatenate([eye, -eye, 2 * eye, -2 * eye]))
    assert ok.all()
    up, down, further_up, further_down = np.split(np.asarray(value), 4)
    expected = ((8 * (up - down) - (further_up - further_down)) / (12 * h)).T
    for name, mine, right in zip(PARTS, found[0], expected):
        np.testing.assert_allclose(mine, right, rtol=1e-5, atol=1e-5 * np.abs(right).max(), err_msg=name)
