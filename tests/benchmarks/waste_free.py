"""Would a twin learn more from the same solves if every state of a chain were kept, not the last alone?

    python tests/benchmarks/waste_free.py --cases theophylline_published two_compartment relapsing --particles 1600
    python tests/benchmarks/waste_free.py --cases myeloma_car_t --particles 1000 --shares 4

The bridge to a newer lab (`move_cases`), with the program's moves in cycles of six sweeps, one in each stage and three
in the last. Equal numbers of solves:

    last state      N ancestors, the last state of each: the program
    all states      the same chains, every state kept from the ancestor on (Dau and Chopin): 4 N particles at the end
    N / k, k kept   N / k ancestors, chains k times as long, k states of each: N particles at the end

Every seed begins with particles drawn from a large twin; the reference is that twin moved for long. Printed for means,
SDs and the chance of the upper 5 % of every parameter that labs feel: N times the mean square error over the seeds,
in units of the error of N independent draws (1: as good as N of them), median and worst over the parameters; the same
for the chance of each response class; and the true error over the stated one (SD over islands / sqrt of their number).

Source: Dau and Chopin (2022), JRSS B 84:114.
"""

# ruff: noqa: E402
import argparse
import tempfile
from pathlib import Path
from typing import NamedTuple

from bayestwin.jobs.compilation_cache import use_compilation_cache

use_compilation_cache()

import jax
import numpy as np
from move_cases import CASES, Begun, begun, mover_of, some_of, stepped

from bayestwin.twin import smc
from bayestwin.twin.mover import _class_shares
from bayestwin.twin.particles import island_means, normalised, systematic

LAST, REFERENCE = 3, 16  # cycles of the last stage; of the reference


class Scheme(NamedTuple):
    """share : particles to an ancestor; whole : every state is kept, else as many of each chain as `share`"""

    name: str
    share: int
    whole: bool = False


class Result(NamedTuple):
    """psi (K, D) of what is kept, island after island; chance (K, C) of each response class; solves of one particle"""

    psi: np.ndarray
    chance: np.ndarray
    solves: int


def led(start: Begun, scheme: Scheme, seed: int) -> Result:
    """From t = 0 to the newer record; a stage's states are weighted and resampled for the next."""
    mover, cloud, weights, t = mover_of(start, seed), start.cloud, start.log_weights, 0.0
    islands, rng, solves = mover.islands, np.random.default_rng(seed), 0
    size = len(cloud.psi) // scheme.share
    while t < 1.0:
        t, weights = stepped(cloud, weights, t, islands)
        chain = [smc._taken(cloud, systematic(rng, weights, islands, particles=size))]
        even = normalised(np.zeros(size), islands)
        for _ in range(scheme.share * (1 if t < 1.0 else LAST)):
            chain.append(mover.move(chain[-1], even, t, smc.STAGE_SWEEPS))
        kept = chain if scheme.whole else chain[:: -(len(chain) // scheme.share)][: scheme.share]
        cloud, solves = side_by_side(kept, islands), solves + size * smc.STAGE_SWEEPS * (len(chain) - 1)
        weights = normalised(np.zeros(len(cloud.psi)), islands)
    return Result(np.asarray(cloud.psi), _class_shares(cloud), solves)


def side_by_side(clouds, islands: int):
    """States of chains as particles, those of an island together."""

    def joined(*arrays):
        cut = [np.asarray(a).reshape(islands, -1, *a.shape[1:]) for a in arrays]
        return np.concatenate(cut, axis=1).reshape(-1, *arrays[0].shape[1:])

    return jax.tree.map(joined, *clouds)


def reference(start: Begun) -> tuple[Result, np.ndarray]:
    """The large twin, led there and moved for long: all of its states of the second half; felt parameters (A,)."""
    mover, cloud, weights, t = mover_of(start, 0), start.cloud, start.log_weights, 0.0
    rng, kept = np.random.default_rng(0), []
    while t < 1.0:
        t, weights = stepped(cloud, weights, t, mover.islands)
        cloud = smc._taken(cloud, systematic(rng, weights, mover.islands))
        weights = normalised(np.zeros(len(weights)), mover.islands)
        cloud = mover.move(cloud, weights, t, smc.STAGE_SWEEPS)
    for number in range(REFERENCE):
        cloud = mover.move(cloud, weights, t, smc.STAGE_SWEEPS)
        if number >= REFERENCE // 2:
            kept.append(Result(np.asarray(cloud.psi), _class_shares(cloud), 0))
    silence = mover._silence  # of another run it may be another: few particles try out what is felt
    places = np.arange(kept[0].psi.shape[1]) if silence is None else np.asarray(silence.places)
    return Result(*(np.concatenate(part) for part in zip(*[(r.psi, r.chance) for r in kept])), 0), places


class Truth(NamedTuple):
    """mean, sd, upper (A,) : the upper 5 % begin there; chance (C,)"""

    mean: np.ndarray
    sd: np.ndarray
    upper: np.ndarray
    chance: np.ndarray
    kurtosis: np.ndarray


def truth_of(result: Result) -> Truth:
    mean, sd = result.psi.mean(axis=0), result.psi.std(axis=0)
    kurtosis = (((result.psi - mean) / sd) ** 4).mean(axis=0)
    return Truth(mean, sd, np.quantile(result.psi, 0.95, axis=0), result.chance.mean(axis=0), kurtosis)


def errors(result: Result, truth: Truth, islands: int):
    """Errors of means, squares and upper tails in units of one independent draw (3, A), of class chances (C,); their
    stated errors in the same units."""
    z = (result.psi - truth.mean) / truth.sd
    square = (z**2 - 1.0) / np.sqrt(np.maximum(truth.kurtosis - 1.0, 1e-9))
    upper = ((result.psi > truth.upper) - 0.05) / np.sqrt(0.05 * 0.95)
    each = np.concatenate([z, square, upper, result.chance - truth.chance], axis=1)
    by_island = island_means(each, np.zeros(len(each)), islands)
    return by_island.mean(axis=0), by_island.std(axis=0, ddof=1) / np.sqrt(islands)


def compared(name: str, folder: Path, asked) -> None:
    """One case: every scheme over the seeds."""
    large = begun(name, folder, asked.large * asked.particles)
    found, places = reference(large)
    truth = truth_of(found._replace(psi=found.psi[:, places]))
    size, islands = len(truth.mean), large.twin.islands
    print(
        f"\n{name}: {size} active parameters, N = {asked.particles}, {asked.seeds} seeds, reference of {asked.large} N"
    )
    print("| scheme | kept | solves / N | means | squares | upper 5 % | classes | true / stated error |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    fewer = [Scheme(f"N / {share}, {share} kept", share) for share in asked.shares]
    for scheme in (Scheme("last state", 1), Scheme("all states", 1, True), *fewer):
        found, stated, solves = [], [], []
        for seed in range(asked.seeds):
            start = some_of(large, asked.particles, np.random.default_rng(1000 + seed))
            result = led(start, scheme, 1 + seed)
            one, own = errors(result._replace(psi=result.psi[:, places]), truth, islands)
            found, stated, solves = [*found, one], [*stated, own], [*solves, result.solves / asked.particles]
        square = (np.array(found) ** 2).mean(axis=0)
        factor, ratio = asked.particles * square, np.sqrt(square / ((np.array(stated) ** 2).mean(axis=0) + 1e-300))
        parts = factor[: 3 * size].reshape(3, size)
        told = " | ".join(f"{np.median(p):.2f}, {p.max():.2f}" for p in parts)
        classes = np.sqrt(square[3 * size :][1:])
        print(
            f"| {scheme.name} | {len(result.psi)} | {np.mean(solves):.0f} | {told} "
            f"| {', '.join(f'{c:.4f}' for c in classes)} "
            f"| {np.median(ratio[: 3 * size]):.2f}, {ratio[: 3 * size].max():.2f} |",
            flush=True,
        )


def main() -> None:
    """Each case in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES), default=list(CASES))
    parser.add_argument("--particles", type=int, default=1600)
    parser.add_argument("--large", type=int, default=10, help="times the particles, of the twin that seeds draw from")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--shares", type=int, nargs="*", default=[4, 10])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, jax.enable_x64(True):
        for name in asked.cases:
            compared(name, Path(folder), asked)


if __name__ == "__main__":
    main()
