"""Shared by the tests of dynamics: 64-bit numbers, the two shipped models, one compiled solve per model and length."""

import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayestwin.dynamics import Accuracy, build_timeline, initial_values, pad_timeline, solve_patient
from bayestwin.specification import Adaptive, Steps, load_model

sys.path.insert(0, str(Path(__file__).parent))  # every_block.py

# These programs run a few times: compiling them without optimisation takes a third of the time.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
TIGHT = Accuracy(rtol=1e-9, atol=1e-10, max_steps=4096)


@pytest.fixture(scope="module", autouse=True)
def sixty_four_bits():
    """All numbers of these tests are 64-bit; the flag is put back."""
    with jax.enable_x64(True):
        yield


# Newton's method runs dozens of times, a second each without optimisation.
OPTIMISED = {"xla_backend_optimization_level": 1, "xla_llvm_disable_expensive_passes": True}


@lru_cache
def compiled(model, accuracy, optimised=False):
    """One jitted solve from a given state."""

    def solve(values, y0, timeline):
        return solve_patient(model, values, y0, timeline, accuracy)

    return jax.jit(solve, compiler_options=OPTIMISED if optimised else QUICK)


class Solver:
    """solve(record, values, asked, ...) -> states at the asked (time, after) pairs; `last` keeps the whole solution."""

    def __init__(self, model, accuracy, lengths=(16, 64, 160, 512, 1024), cycles=None, optimised=False):
        self.model, self.accuracy, self.last, self.optimised = model, accuracy, None, optimised
        self.lengths, self.cycles = lengths, cycles

    def timeline(self, record, asked, *, start=0.0, end=None, resumed=False):
        end = max(t for t, _ in asked) if end is None else end
        timeline, index = build_timeline(self.model, record, start=start, end=end, asked=asked, resumed=resumed)
        length = next(n for n in self.lengths if n >= len(timeline.start))
        moves = None if timeline.moving is None else 32
        return pad_timeline(timeline, length, self.cycles, moves), index

    def __call__(self, record, values, asked, *, start=0.0, end=None, resumed=False, y0=None):
        asked = [a if isinstance(a, tuple) else (a, False) for a in asked]
        values = {k: jnp.asarray(v, dtype=float) for k, v in values.items()}
        timeline, index = self.timeline(record, asked, start=start, end=end, resumed=resumed)
        y0 = initial_values(self.model, values) if y0 is None else jnp.asarray(y0)
        self.last = compiled(self.model, self.accuracy, self.optimised)(values, y0, timeline)
        return np.asarray(self.last.states)[index]


def with_steps(model, accuracy=Accuracy()):
    return Solver(model, accuracy)


def adaptive(model, accuracy=TIGHT):
    return Solver(replace(model, steps=Adaptive(), source_hash=""), accuracy)


@pytest.fixture(params=["exact", "fixed grid", "adaptive"])
def solve_theophylline(request):
    """The theophylline model solved exactly, on a fixed grid and with the adaptive solver."""
    model = load_model("theophylline")
    if request.param == "fixed grid":
        grid = Steps(first=0.03, growth=1.1, largest=0.2)
        return with_steps(replace(model, steps=grid, source_hash=""))
    return with_steps(model) if request.param == "exact" else adaptive(model)


@pytest.fixture(params=["fixed grid", "adaptive"])
def solve_myeloma(request):
    """The myeloma model on its own grid and with the adaptive solver."""
    model = load_model("myeloma_car_t")
    return with_steps(model) if request.param == "fixed grid" else adaptive(model)


def middle(prior):
    """Median of a prior: its median, its mean where it is normal, its value where it is fixed."""
    return next(getattr(prior, name) for name in ("median", "mean", "value") if hasattr(prior, name))


@pytest.fixture
def median_patient():
    """Natural values of a patient at every prior median of the myeloma model, growth not drifting; resistant as the
    usual mix of patients is, so that f is that of the treatment's row."""
    model = load_model("myeloma_car_t")
    values = {p.name: middle(p.typical) for p in model.parameters} | {"resistance": 0.0}
    return values | {name: 0.0 for drift in model.drift for name in drift.names}


@pytest.fixture
def fixed_and_adaptive():
    """The myeloma model solved both ways."""
    model = load_model("myeloma_car_t")
    return with_steps(model), adaptive(model)


@pytest.fixture(params=["exact", "Newton"])
def solve_steady(request):
    """The exact steady state of a linear model, and Newton's method with the adaptive solver."""
    model = load_model("theophylline")
    if request.param == "exact":
        return with_steps(model)
    # one length for all, so that Newton's method is compiled once
    return Solver(replace(model, steps=Adaptive(), source_hash=""), TIGHT, lengths=(64,), cycles=2, optimised=True)


@pytest.fixture
def solve_exactly():
    """The exact solver, for long histories."""
    return with_steps(load_model("theophylline"))


@pytest.fixture(scope="session")
def solver_of():
    """solver_of(model) -> Solver of one length and four steady states, tight, so that each model is compiled once."""
    return lambda model, lengths=(64,), cycles=4: Solver(model, TIGHT, lengths=lengths, cycles=cycles)
