"""Chains on two devices make the draws that they make on one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from bayestwin.population.devices import one_device_per_core

HERE = Path(__file__).parent


def draws_of_a_fit(method: str) -> dict:
    """Twenty-five draws of four chains of a normal model, how many devices held them, and how often they compiled."""
    from two_modes import two_modes

    from bayestwin.population.devices import mesh_of
    from bayestwin.population.sampling import run_gibbs, run_nuts

    joint = two_modes(np.zeros((3, 2)))

    def program():
        import numpyro

        numpyro.sample("h", numpyro.distributions.Normal(np.zeros(1), 1.0).to_event(1))
        if method == "nuts":
            numpyro.sample("z", numpyro.distributions.Normal(np.zeros((3, 1)), 1.0).to_event(2))

    def start(keys):
        h = jax.vmap(lambda key: jax.random.normal(key, (4,)))(keys)
        return {"h": h[:, :1], "z": h[:, 1:, None]}

    how = {"key": jax.random.key(2), "chains": 4, "warmup": 50, "draws": 25, "target_accept": 0.8}
    with jax.enable_x64(True), jax.log_compiles(True):
        if method == "nuts":
            drawn = run_nuts(program, start, max_tree_depth=5, **how)
        else:
            drawn = run_gibbs(joint, program, start, search=False, **how)
    mesh = mesh_of(4)
    return {"h": drawn.samples["h"].tolist(), "devices": 1 if mesh is None else mesh.size}


def in_another_process(*lines: str) -> subprocess.CompletedProcess:
    """What these lines print where nothing says how many devices there are."""
    flags = [f for f in os.environ.get("XLA_FLAGS", "").split() if "device_count" not in f]
    environment = os.environ | {"XLA_FLAGS": " ".join(flags)}
    code = [sys.executable, "-c", "\n".join(lines)]
    return subprocess.run(code, capture_output=True, text=True, env=environment, check=True)


def on_devices(count: int, method: str) -> tuple[dict, int]:
    """The same in another process whose JAX counts so many devices, and how often it compiled the sweeps."""
    ran = in_another_process(
        f"import sys; sys.path.insert(0, {str(HERE)!r})",
        "import json, jax",
        f"jax.config.update('jax_num_cpu_devices', {count})",
        "from test_devices import draws_of_a_fit",
        f"print(json.dumps(draws_of_a_fit({method!r})))",
    )
    compiled = sum("Finished XLA compilation of jit(advance)" in line for line in ran.stderr.splitlines())
    return json.loads(ran.stdout.splitlines()[-1]), compiled


@pytest.mark.parametrize("method", [pytest.param("gibbs", marks=pytest.mark.validate), "nuts"])
def test_chains_on_two_devices_make_the_same_draws_and_are_compiled_once(method):
    (found, compiled), alone = on_devices(2, method), draws_of_a_fit(method)
    assert (found["devices"], alone["devices"], compiled) == (2, 1, 1)
    assert np.allclose(found["h"], alone["h"], atol=1e-6) and np.std(alone["h"]) > 0.3


def test_a_process_that_has_begun_to_compute_keeps_its_devices():
    before = len(jax.local_devices())
    one_device_per_core(4)
    assert len(jax.local_devices()) == before


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core only")
def test_a_fresh_process_has_a_device_for_each_core_up_to_the_chains():
    asked = "from bayestwin.population.devices import one_device_per_core; one_device_per_core(most=2)"
    assert in_another_process(asked, "import jax", "print(len(jax.local_devices()))").stdout.split() == ["2"]
