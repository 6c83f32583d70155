"""Chains on several devices: each runs its share of them, and none waits for another within a sweep.

A CPU is one device unless JAX is told otherwise before its first computation: `one_device_per_core`, or NumPyro's
`numpyro.set_host_device_count`. The command `fit` does so; in a notebook JAX's settings belong to the caller.
"""

import os
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

CHAINS = "chains"


def one_device_per_core(most: int) -> None:
    """Let JAX count every core that this process may use as a device, up to `most`; nothing where it has begun to
    compute, or where XLA_FLAGS say how many."""
    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    try:
        jax.config.update("jax_num_cpu_devices", max(1, min(most, len(os.sched_getaffinity(0)))))
    except RuntimeError:
        return


def mesh_of(chains: int) -> Mesh | None:
    """The devices among which so many chains are shared out evenly; None where that is one."""
    devices = jax.local_devices()
    count = max(n for n in range(1, len(devices) + 1) if chains % n == 0)
    return None if count == 1 else Mesh(np.array(devices[:count]), (CHAINS,))


def shared_out(function: Callable, chains: int, shared: int = 0) -> Callable:
    """`function` with each device at its share of the chains.

    shared : so many arguments, the first, are the same for all chains; every other array, and every array of the
        result, leads with chains
    """
    mesh = mesh_of(chains)
    if mesh is None:
        return function
    whole, own = PartitionSpec(), PartitionSpec(CHAINS)

    def spread(*args):
        specs = tuple(whole if n < shared else own for n in range(len(args)))
        return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=own, check_vma=False)(*args)

    return spread


def on_all(tree, chains: int):
    """`tree` as every device among which so many chains are shared out holds it."""
    mesh = mesh_of(chains)
    return tree if mesh is None else jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def compiled(function: Callable, chains: int) -> Callable:
    """`jax.jit` of a function that is called with what `on_all` returns, and returns such: it is compiled once."""
    mesh = mesh_of(chains)
    return jax.jit(function, out_shardings=None if mesh is None else NamedSharding(mesh, PartitionSpec()))
