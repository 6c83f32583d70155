"""A joint of patients with one effect and two modes, and no path up between them."""

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.population.joint import Joint

WHERE, STEEP = np.array([-1.0, 3.0]), 40.0


def two_modes(heights):
    """Patients whose one effect has modes at -1 and 3 of these heights, and no path up between them."""

    def one(psi, shared, height):
        return jax.scipy.special.logsumexp(jnp.asarray([height[0], height[1]]) - STEEP * (psi[0] - WHERE) ** 2)

    def likelihood(psi, shared):
        value, slopes = jax.vmap(jax.value_and_grad(one, (0, 1)), (0, None, 0))(psi, shared, heights)
        return value, *slopes, psi

    none = np.zeros(1, dtype=bool)
    return Joint(
        log_prior=lambda h: -0.5 * (h**2).sum(),
        individual=lambda h: (jnp.zeros((len(heights), 1)), jnp.eye(1)),
        shared=lambda h: h,
        likelihood=likelihood,
        given_solved=lambda psi, shared, solved: likelihood(solved, shared)[0],
        acting=none,
        observing=none,
        prior_sd=np.ones(1),
        sites=lambda h: {"h": h},
        spreads=none,
        prior_median=np.zeros(1),
    )
