"""Would other moves of the particles be worth their price? The program's own, random walk, Langevin, Hamiltonian.

    python tests/benchmarks/moves.py --cases theophylline_published two_compartment relapsing --particles 4000
    python tests/benchmarks/moves.py --cases myeloma_car_t --particles 1000 --seconds 150

A twin is taken where `mover.move` takes it (`move_cases`), its particles are moved for long by the program, and from
there every kernel starts: psi by this kernel, population draws and classes as the program moves them. All are
whitened by the same covariance of the particles, steps are tuned in a pilot. Printed for each: acceptance, squared
jump in whitened coordinates for a move of psi and parameter (2: independent), what a cycle costs in plain evaluations
of all particles, whether the target is left as it is (z of means and mean squares, of as many numbers), and
evaluations for an independent refresh: integrated autocorrelation time times the cost, median and worst over the
parameters that labs feel, the log-likelihood and the chance of a response class. `--broken` leaves out the Metropolis
step. A cost is counted: evaluations with slopes for what they take more of this machine's CPU seconds, the arithmetic
of proposals for nothing. "Measured" are CPU seconds of a cycle over those of a plain evaluation; the kernels here are
not compiled as a whole, so that this is too high for the rivals where a model is solved in milliseconds.
"""

# ruff: noqa: E402
import argparse
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bayestwin.jobs.compilation_cache import use_compilation_cache

use_compilation_cache()

import jax
import jax.numpy as jnp
import numpy as np
from move_cases import CASES, begun, stage_of
from move_kernels import KERNELS, PILOT, Kernel, moved, tuned
from move_target import Target, look_of, names_of, numbers, plain_seconds, settled, slopes_of, whitened

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.twin.mover import BETWEEN, Cloud
from bayestwin.twin.moves import sweep
from bayestwin.twin.target import old_likelihood

MOVES_OF_PSI = {"random walk": 4, "Langevin": 4, "Hamiltonian, 3": 2}  # in a cycle; the program's 4, others 1
SETTLING = 8  # times FINAL_SWEEPS, in which the program's own moves lead to the target
OWN = "program"
KERNEL: dict[str, Kernel | None] = {OWN: None} | {k.name: k for k in KERNELS}
LEFT = 0.03  # autocorrelation taken for none


class Told(NamedTuple):
    """What one kernel did: history (K + 1, P, F), per move of psi acceptance and squared jump per parameter, length of
    the step, and what a cycle took in CPU seconds over a plain evaluation."""

    history: np.ndarray
    rate: float
    jump: float
    step: float
    measured: float


class Cycle:
    """Cycles of one kernel; None for the program's own moves of psi."""

    def __init__(self, target: Target, kernel: Kernel | None, way: str, *, correct: bool, seed: int):
        self.target, self.kernel, self.correct, self.key = target, kernel, correct, jax.random.key(seed)
        self.kind = "plain" if kernel is None or not kernel.sloped else way
        self.count = 4 if kernel is None else MOVES_OF_PSI.get(kernel.name, 1)
        self.rates: list[float] = []
        self.jumps: list[float] = []
        self.number = 0
        self.step = self._pilot(target.stage.cloud)

    @property
    def plain(self) -> int:
        """Plain evaluations of a cycle."""
        return 2 + bool(self.target.stage.every) + (0 if self.kind != "plain" else self.count)

    @property
    def sloped(self) -> int:
        """Evaluations with slopes of a cycle; one where the moves of psi begin."""
        return 0 if self.kind == "plain" else 1 + self.count * self.kernel.looks

    def _pilot(self, cloud: Cloud) -> float:
        if self.kernel is not None:
            x, e = whitened(self.target, cloud)
            look = look_of(self.target, cloud.draw, e, self.kind)
            return tuned(self.kernel, self.key, x, look(x), look)
        step = 0.6
        for _ in range(PILOT):
            _, rate = self._own(0, cloud, step)
            step = float(np.clip(step * np.exp(1.5 * (rate - 0.3)), 0.05, 2.0))  # as `mover`
        return step

    def _own(self, kind: int, cloud: Cloud, step: float):
        """A move of the program; (cloud, acceptance)."""
        mover, t = self.target.stage.mover, jnp.asarray(self.target.stage.t)
        about = mover.population, mover.data, mover.rho, t, (self.target.guide,), step, mover._silence
        self.number += 1
        key = jax.random.fold_in(self.key, self.number)
        *moved_on, rate, _ = sweep(mover.model, NO_GRADIENT)(kind, key, *cloud, *about, from_scratch=False)
        return Cloud(*moved_on), float(rate)

    def __call__(self, cloud: Cloud) -> Cloud:
        """Population draws and classes, then psi."""
        for kind in (*((BETWEEN,) * bool(self.target.stage.every)), 2, 1):
            cloud, _ = self._own(kind, cloud, self.step)
        return self._psi(cloud)

    def _psi(self, cloud: Cloud) -> Cloud:
        x, e = whitened(self.target, cloud)
        if self.kernel is not None:
            look = look_of(self.target, cloud.draw, e, self.kind)
            seen = look(x)
        for _ in range(self.count):
            before = x
            if self.kernel is None:
                cloud, rate = self._own(0, cloud, self.step)
                x, _ = whitened(self.target, cloud)
            else:
                self.number += 1
                key = jax.random.fold_in(self.key, self.number)
                x, seen, rate = moved(self.kernel, key, x, seen, look, self.step, correct=self.correct)
            self.rates.append(rate)
            self.jumps.append(float(((x - before) ** 2).mean()))
        if self.kernel is None:
            return cloud
        pieces, psi = seen.found
        return Cloud(psi, cloud.draw, pieces, old_likelihood(pieces))


def told(target: Target, cycle: Cycle, seconds: float, fewest: int) -> Told:
    """Cycles for so many CPU seconds, after one that compiles; `fewest` at least."""
    cloud = cycle(target.stage.cloud)
    cycle.rates, cycle.jumps = [], []
    history, spent = [numbers(target, cloud)], 0.0
    before = plain_seconds(target)
    while spent < seconds or len(history) <= fewest:
        begin = time.process_time()
        cloud = cycle(cloud)
        spent += time.process_time() - begin
        history.append(numbers(target, cloud))
    measured = spent / (len(history) - 1) / (0.5 * (before + plain_seconds(target)))
    return Told(np.stack(history), float(np.mean(cycle.rates)), float(np.mean(cycle.jumps)), cycle.step, measured)


def refresh(history: np.ndarray) -> np.ndarray:
    """Integrated autocorrelation time of each number, in cycles (F,); what is left at the end by a geometric tail."""
    x, cycles = history - history.mean(axis=(0, 1)), len(history) - 1
    variance, time_of = (x**2).mean(axis=(0, 1)) + 1e-12, np.ones(x.shape[2])  # a class that is sure: no time
    lags = [(x[k:] * x[: len(x) - k]).mean(axis=(0, 1)) / variance for k in range(1, cycles + 1)]
    for f in range(len(time_of)):
        rho = np.array([lag[f] for lag in lags])[: max(1, cycles * 3 // 4)]
        gone = np.flatnonzero(rho < LEFT)
        end = gone[0] if len(gone) else len(rho)
        time_of[f] += 2.0 * rho[:end].sum()
        if not len(gone):
            half = rho[len(rho) // 2] if len(rho) > 2 else 1.0
            ratio = min(0.999, (rho[-1] / half) ** (1.0 / max(1, len(rho) - 1 - len(rho) // 2)))
            time_of[f] += 2.0 * rho[-1] * ratio / (1.0 - ratio)
    return time_of


def moved_away(history: np.ndarray, size: int) -> tuple[float, float]:
    """Mean square and largest |z| of the change of means and mean squares of the parameters from first to last."""
    first, last = history[0][:, :size], history[-1][:, :size]
    centre = first.mean(axis=0)
    change = np.column_stack([last - first, (last - centre) ** 2 - (first - centre) ** 2])
    z = change.mean(axis=0) / (change.std(axis=0) / np.sqrt(len(change)) + 1e-300)
    return float((z**2).mean()), float(np.abs(z).max())


def compared(name: str, folder: Path, asked) -> None:
    """One case: every kernel, one after the other."""
    stage = stage_of(begun(name, folder, asked.particles), 2, asked.stage)
    target = settled(stage, 18 * SETTLING)
    plain, (way, sloped), names = plain_seconds(target), slopes_of(target), names_of(target)
    print(
        f"\n{name}, t = {stage.t:.2f}: {target.size} active parameters, {asked.particles} particles; one evaluation "
        f"{plain:.3f} s, one with slopes ({way}) {sloped:.3f} s = {sloped / plain:.1f} evaluations"
        + (", with moves between draws and classes" if stage.every else ""),
        flush=True,
    )
    columns = ("moves of psi", "step", "accepted", "squared jump", "cost of a cycle, measured")
    columns = (*columns, "z: mean square, largest", "median", "worst", "cycles")
    print(f"| {' | '.join(columns)} |\n|{len(columns) * '---|'}", flush=True)
    for kernel in (KERNEL[name] for name in asked.kernels):
        cycle = Cycle(target, kernel, way, correct=not asked.broken, seed=3)
        found = told(target, cycle, asked.seconds, asked.fewest)
        square, largest = moved_away(found.history, target.size)
        cost = cycle.plain + cycle.sloped * sloped / plain
        needed = refresh(found.history) * cost
        label = OWN if kernel is None else kernel.name
        row = (f"{label} x {cycle.count}", f"{found.step:.2f}", f"{found.rate:.2f}", f"{found.jump:.2f}")
        row = (*row, f"{cost:.1f}, {found.measured:.1f}", f"{square:.2f}, {largest:.1f}", f"{np.median(needed):.0f}")
        row = (*row, f"{needed.max():.0f} ({names[needed.argmax()]})", f"{len(found.history) - 1}")
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    """Each case in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES), default=list(CASES))
    parser.add_argument("--kernels", nargs="+", choices=tuple(KERNEL), default=list(KERNEL))
    parser.add_argument("--particles", type=int, default=4000)
    parser.add_argument("--seconds", type=float, default=20.0, help="CPU seconds for each kernel")
    parser.add_argument("--fewest", type=int, default=8, help="cycles at least")
    parser.add_argument("--stage", choices=("first", "last"), default="last")
    parser.add_argument("--broken", action="store_true", help="accept every proposal (not the program's)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, jax.enable_x64(True):
        for name in asked.cases:
            compared(name, Path(folder), asked)


if __name__ == "__main__":
    main()
