"""The log density of one specification by two programs, NumPyro's and PyMC's, at the same random points."""

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.population.crosscheck import long_numbers, pymc_program
from bayestwin.population.program import population_program
from bayestwin.population.stacks import stack_cohort
from bayestwin.specification.other_priors import with_priors


def plain(outputs, program):
    """A function of a point, evaluated by NumPy: nothing is compiled."""
    from pytensor.compile.mode import Mode

    return program.compile_fn(outputs, mode=Mode(linker="py", optimizer="merge"))


def natural_sites(program) -> list:
    """Every free variable of a PyMC program on its natural scale, as a function of the unbounded values."""
    found = []
    for site in program.free_RVs:
        value, transform = program.rvs_to_values[site], program.rvs_to_transforms[site]
        found.append(value if transform is None else transform.backward(value, *site.owner.inputs))
    return found


def random_points(program, count: int, random_seed: int) -> list[dict]:
    """Unbounded points around PyMC's own starting point."""
    rng, start = np.random.default_rng(random_seed), program.initial_point(random_seed=random_seed)
    return [{k: v + 0.4 * rng.standard_normal(np.shape(v)) for k, v in start.items()} for _ in range(count)]


def as_numpyro_sites(model, natural: dict) -> dict:
    """PyMC's sites under NumPyro's names: the individual effects as one array, columns in the model's order."""
    together = model.correlation.over if model.correlation is not None else ()
    found = {k: v for k, v in natural.items() if not k.startswith(("psi", "z"))}
    for which in ("psi", "z"):
        columns = {f"{which}_{name}": natural[which][:, k] for k, name in enumerate(together) if which in natural}
        columns |= {name: value for name, value in natural.items() if name.startswith(f"{which}_")}
        own = [columns[f"{which}_{name}"] for name in model.individual_names if f"{which}_{name}" in columns]
        found |= {which: np.stack(own, axis=1)} if own else {}
    return found


def numpyro_density(model, cohort, *, centred, priors=None):
    """A function of natural sites: the joint log density of NumPyro's program, without the Jacobian of transforms."""
    from numpyro.infer.util import log_density

    with jax.enable_x64(True):
        groups, _ = stack_cohort(model, cohort)
    fitted = with_priors(model, priors or {})

    @jax.jit
    def density(natural):
        return log_density(lambda: population_program(fitted, groups, rho=0.0, centred=centred), (), {}, natural)[0]

    def of(natural) -> float:
        with jax.enable_x64(True):
            return float(density({k: jnp.asarray(v, dtype=float) for k, v in natural.items()}))

    return of


def density_pairs(model, cohort, *, points: int, random_seed: int, centred=True, **how) -> list:
    """(NumPyro's, PyMC's) joint log density of all labs and parameters at random points, natural scale."""
    program = pymc_program(model, cohort, centred=centred, **how)
    density = numpyro_density(model, cohort, centred=centred)
    places = random_points(program, points, random_seed)
    return [(density(as_numpyro_sites(model, natural)), theirs) for natural, theirs in pymc_densities(program, places)]


def pymc_densities(program, places, *, jacobian: bool = False) -> list:
    """(natural sites, joint log density) at unbounded points."""
    with long_numbers():
        evaluate = plain([*natural_sites(program), *program.logp(jacobian=jacobian, sum=False)], program)
    names, found = [site.name for site in program.free_RVs], []
    for point in places:
        values = evaluate(point)
        found.append((dict(zip(names, values)), float(sum(np.sum(factor) for factor in values[len(names) :]))))
    return found
