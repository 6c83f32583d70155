"""A sampler's run kept on disk block by block: a killed fit goes on where it stopped and ends in the same draws.

    FOLDER/run.json            what is sampled and how: hashes of model and cohort, priors, seed, settings, versions
    FOLDER/block-000350.npz    unbounded draws and statistics of one block, named by the iterations done
    FOLDER/state.npz           the sampler's state after the last block, written after it

Every file is written whole or not at all. A folder of another run is refused. It holds the patients' own parameters.
"""

import io
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.errors import FitError
from bayestwin.store.durable import write_durably


class SavedRun:
    """One run's folder.

    Parameters
    ----------
    folder : path
    fingerprint : dict      of JSON values; a folder with another one is refused

    Raises
    ------
    FitError                the folder is of another run, naming what differs
    """

    def __init__(self, folder, fingerprint: dict):
        self.folder, path = Path(folder), Path(folder) / "run.json"
        if not path.exists():
            write_durably(path, json.dumps(fingerprint, indent=1).encode())
            return
        found = json.loads(path.read_text(encoding="utf-8"))
        differ = [name for name in fingerprint if found.get(name) != json.loads(json.dumps(fingerprint[name]))]
        if differ:
            raise FitError(
                "the folder holds another run",
                subject=f"folder {self.folder.name}",
                place=", ".join(differ),
                value=found.get(differ[0]),
                allowed=str(fingerprint[differ[0]]),
                next_step="Give the run a folder of its own, or empty this one.",
            )

    def restored(self, state, warmup: int):
        """(state, blocks of draws, iterations done) as kept, or the given state where nothing is.

        state : of the same structure, before the first block
        """
        path = self.folder / "state.npz"
        if not path.exists():
            return state, [], 0
        with np.load(path) as kept:
            done = int(kept["done"])
            leaves = [_like(kept[f"leaf_{k}"], leaf) for k, leaf in enumerate(jax.tree.leaves(state))]
        blocks = {int(p.stem.split("-")[1]): p for p in self.folder.glob("block-*.npz")}
        pieces = [_read(blocks[number]) for number in sorted(blocks) if warmup < number <= done]
        return jax.tree.unflatten(jax.tree.structure(state), leaves), pieces, done

    def keep(self, state, piece, done: int) -> None:
        """Keep a block of draws (None in warm-up), then the state after it."""
        if piece is not None:
            flat = {f"z/{k}": v for k, v in piece["z"].items()} | {k: v for k, v in piece.items() if k != "z"}
            write_durably(self.folder / f"block-{done:06d}.npz", _bytes(flat))
        leaves = {f"leaf_{k}": _plain(leaf) for k, leaf in enumerate(jax.tree.leaves(state))}
        write_durably(self.folder / "state.npz", _bytes(leaves | {"done": np.array(done)}))


def _is_key(leaf) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf) -> np.ndarray:
    leaf = jnp.asarray(leaf)
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _like(array, leaf):
    leaf = jnp.asarray(leaf)
    return jax.random.wrap_key_data(jnp.asarray(array)) if _is_key(leaf) else jnp.asarray(array, dtype=leaf.dtype)


def _bytes(arrays: dict) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _read(path: Path) -> dict:
    with np.load(path) as kept:
        z = {name.removeprefix("z/"): kept[name] for name in kept.files if name.startswith("z/")}
        return {"z": z} | {name: kept[name] for name in kept.files if not name.startswith("z/")}
