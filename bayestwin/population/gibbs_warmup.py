"""What HMC within Gibbs learns in warm-up: step sizes in every sweep, views and metrics at the end of every window."""

import jax
import jax.numpy as jnp

from bayestwin.population.gibbs_jump import mixture_of
from bayestwin.population.gibbs_state import LONGEST, average_step, restarted, step_sizes
from bayestwin.population.whitening import reaching, root_of, viewed

FLATTEST = 0.25  # curvature of the population's density, in units of the prior's
CAREFUL = 1.0 / 3.0  # share of the rejections that patients' own moves aim at: one of many diverges in each sweep


def stepped(tuning, accepted, target: float):
    """Step sizes after one more sweep, which accepted so much of each move; target : acceptance of the population's."""
    targets = (1.0 - CAREFUL * (1.0 - target), target, target, target)
    averaging = tuple(average_step(t - a, s) for t, a, s in zip(targets, accepted, tuning.averaging))
    steps = tuple(jnp.minimum(jnp.exp(a[0]), LONGEST) for a in averaging)
    return tuning._replace(averaging=averaging, steps=steps)


def relearnt(tuning, learning, drawn, acting: int, tied):
    """New view and metrics from the window's sums, which start anew.

    drawn : sums of all chains over the moving coordinates of the population; acting : its coordinates in the view
    tied (P, P) : 1 for two of them that may go together, 0 where they do not whatever few moves say
    """
    n = len(tuning.view.offset)
    view = viewed(learning.patients, learning.moved_along, acting)
    population = learning.population._replace(products=learning.population.products * jnp.tile(tied, (2, 2)))
    roots = [root_of(sums, FLATTEST) for sums in (population, learning.centred, learning.observed)]
    roots[0] = reaching(roots[0], covariance_of(drawn) * tied)
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


def covariance_of(drawn):
    """Covariance (P, P) over the sweeps of all chains, of sums that lead with chains."""
    count, total, products = jax.tree.map(lambda a: a.sum(0), drawn)
    mean = total / jnp.maximum(count, 1.0)
    return products / jnp.maximum(count, 1.0) - mean[:, None] * mean


def met(tuning, seen):
    """Where patients may jump to, of what all chains have seen."""
    mixture = mixture_of(tuning.mixture, seen)
    fine = jnp.all(jnp.array([jnp.isfinite(a).all() for a in mixture]))
    mixture = jax.tree.map(lambda a, b: jnp.where(fine, a, b), mixture, tuning.mixture)
    return tuning._replace(mixture=mixture)


def settled(tuning, last):
    """The step sizes that sampling keeps: at the last sweep of warm-up (`last`) the averaged ones."""
    steps = tuple(
        jnp.where(last & (a[3] > 0), jnp.minimum(jnp.exp(a[1]), LONGEST), s)
        for a, s in zip(tuning.averaging, tuning.steps)
    )
    return tuning._replace(steps=steps)
