"""Coordinates in which an SD may come to 0 and go on: the logarithm far from 0, straight near it.

The unbounded coordinate of an SD is its logarithm. Where labs allow that patients do not differ, the SD comes near 0,
its logarithm has a tail without end, and moves fit for the body of the posterior wander in the tail. With

    q = asinh(SD / c)        c : half the prior median

that tail is a stretch of length 1, and a trajectory that passes 0 goes on with SD = c sinh |q|: the density over q is
even. Its sign is drawn at the start of each move and forgotten at the end. Begun on one side always, moves would lose
the law wherever the metric ties q to another coordinate. As h, q is in units of the prior's SD of the logarithm.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

BEND = 0.5  # c in prior medians


class Reflection(NamedTuple):
    """Which of H coordinates h are bent, and how: places (K,), log_c (K,), sd (K,) of ln SD under the prior."""

    places: np.ndarray
    log_c: np.ndarray
    sd: np.ndarray

    def q(self, h):
        """Coordinates q >= 0 of h; those that are not bent stay."""
        ratio = jnp.exp(h[self.places] * self.sd - self.log_c)
        return h.at[self.places].set(jnp.arcsinh(ratio) / self.sd)

    def either_sign(self, key, q):
        """q with a sign drawn for each that is bent."""
        return q.at[self.places].multiply(jax.random.rademacher(key, (len(self.places),), dtype=q.dtype))

    def h(self, q):
        """Coordinates h of q, whatever its sign."""
        size = jnp.abs(q[self.places]) * self.sd
        return q.at[self.places].set((self.log_c + jnp.log(jnp.sinh(size))) / self.sd)

    def log_jacobian(self, q):
        """ln |dh/dq|, ()."""
        return -jnp.log(jnp.tanh(jnp.abs(q[self.places]) * self.sd)).sum()

    def slope(self, q, by_h):
        """Slope in q of a log density over q, from that over h in h."""
        scaled = q[self.places] * self.sd
        bent = by_h[self.places] / jnp.tanh(scaled) - 2.0 * self.sd / jnp.sinh(2.0 * scaled)
        return by_h.at[self.places].set(bent)


def reflection(places, median, sd) -> Reflection:
    """places (K,) of ln SDs; median, sd (H,) of every unbounded coordinate under the prior."""
    places = np.asarray(places, dtype=int)
    return Reflection(places, np.log(BEND) + np.asarray(median)[places], np.asarray(sd)[places])
