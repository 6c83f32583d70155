"""What HMC within Gibbs learns in warm-up: step sizes in every sweep, views and metrics at the end of every window."""

import jax
import jax.numpy as jnp

from bayestwin.population.gibbs_state import LONGEST, average_step, restarted, step_sizes
from bayestwin.population.whitening import root_of, viewed

FLATTEST = 0.25  # curvature of the population's density, in units of the prior's


def stepped(tuning, accepted, target: float):
    """Step sizes after one more sweep, which accepted so much of each move."""
    averaging = tuple(average_step(target - a, s) for a, s in zip(accepted, tuning.averaging))
    steps = tuple(jnp.minimum(jnp.exp(a[0]), LONGEST) for a in averaging)
    return tuning._replace(averaging=averaging, steps=steps)


def relearnt(tuning, learning, acting: int):
    """New view and metrics from the window's sums, which start anew; acting : population coordinates in the view."""
    n = len(tuning.view.offset)
    view = viewed(learning.patients, learning.moved_along, acting)
    roots = [root_of(sums, FLATTEST) for sums in (learning.population, learning.centred, learning.observed)]
    found = tuning._replace(
        view=view,
        population=roots[0],
        centred=roots[1],
        observed=roots[2],
        steps=step_sizes(n, 0.3),
        averaging=restarted(n, 0.3),
    )
    fine = jax.tree.map(lambda a: jnp.isfinite(a).all(), (view, roots))
    fine = jnp.all(jnp.array(jax.tree.leaves(fine)))
    return jax.tree.map(lambda a, b: jnp.where(fine, a, b), found, tuning), jax.tree.map(jnp.zeros_like, learning)


def settled(tuning, last):
    """The step sizes that sampling keeps: at the last sweep of warm-up (`last`) the averaged ones."""
    steps = tuple(
        jnp.where(last & (a[3] > 0), jnp.minimum(jnp.exp(a[1]), LONGEST), s)
        for a, s in zip(tuning.averaging, tuning.steps)
    )
    return tuning._replace(steps=steps)
