"""The rivals of the moves leave their target as it is: a curved one, whose draws and moments are known."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from move_kernels import KERNELS, Seen, moved, tuned

SIZE, MOVES = 20_000, 8


def height(x):
    """x_0 ~ N(0, 1), x_1 given x_0 ~ N(x_0^2 / 2, 1): curved, with a slope that a Gaussian has not."""
    return -0.5 * (x[0] ** 2 + (x[1] - 0.5 * x[0] ** 2) ** 2)


@jax.jit
def look(x):
    return Seen(*jax.vmap(jax.value_and_grad(height))(x))


def furthest(before, after) -> float:
    """Largest |z| of the change of mean and mean square of either coordinate."""
    change = np.concatenate([after - before, after**2 - before**2], axis=1)
    return float(np.abs(change.mean(axis=0) / change.std(axis=0) * np.sqrt(len(change))).max())


def run(kernel, *, correct):
    """Exact draws before and after some moves of about the usual acceptance, and that acceptance."""
    with jax.enable_x64(True):
        noise = np.random.default_rng(1).standard_normal((SIZE, 2))
        before = np.stack([noise[:, 0], noise[:, 1] + 0.5 * noise[:, 0] ** 2], axis=1)
        key, x = jax.random.key(1), jnp.asarray(before)
        seen = look(x)
        step = tuned(kernel, key, x, seen, look)
        for number in range(MOVES):
            own = jax.random.fold_in(key, 100 + number)
            x, seen, rate = moved(kernel, own, x, seen, look, step, correct=correct)
        np.testing.assert_allclose(np.asarray(seen.height), np.asarray(look(x).height))
        return before, np.asarray(x), rate


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_a_kernel_leaves_its_target_as_it_is(kernel):
    before, after, rate = run(kernel, correct=True)
    assert furthest(before, after) < 4.0
    assert rate == pytest.approx(kernel.goal, abs=0.12)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_without_metropolis_the_same_check_fails(kernel):
    before, after, _ = run(kernel, correct=False)
    assert furthest(before, after) > 8.0
