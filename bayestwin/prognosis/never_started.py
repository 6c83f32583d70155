"""Those who set out on a treatment and never get it: the row of that treatment is a mixture of two futures.

Of one draw, with c the chance of never starting within one `wait` (`Treatment.never_starts`) and the wait ahead k times
as long: q = 1 - (1 - c)^k, and S(h) = (1 - q) S_given(h) + q S_otherwise(h). S_otherwise has assay errors of its own,
so that S^2 stays unbiased: (1 - q)^2 S_given^2 + 2 q (1 - q) S_given S_otherwise + q^2 S_otherwise^2.
"""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics.names import parameters_at
from bayestwin.individual import covariate_course, covariate_terms, first_covariates, natural_values
from bayestwin.prognosis.endpoint import EventTimes
from bayestwin.twin.target import hyper_of


@partial(jax.jit, static_argnums=(0, 1))
def _chances(model, chance, psi, draw, rows, population, terms, changes, now):
    def one(p, d, r):
        values = natural_values(model, p, hyper_of(population, d), terms, r, changes)
        return chance(parameters_at(model, values, now))

    return jax.vmap(one)(psi, draw, rows)


def chance_never(twin, draws, treatment, waits: float) -> np.ndarray:
    """Chance of every draw (P,) that a treatment which lies `waits` waits ahead is never started."""
    model = twin.model
    terms = jnp.asarray(covariate_terms(model, first_covariates(model, twin.record)))
    changes = jax.tree.map(jnp.asarray, covariate_course(model, twin.record, cut=twin.time))
    each = (jnp.asarray(a) for a in (draws.psi, draws.draw, draws.class_rows))
    found = _chances(model, treatment.never_starts, *each, twin.population, terms, changes, twin.time)
    return 1.0 - (1.0 - np.clip(np.asarray(found), 0.0, 1.0)) ** waits


def mixed(given: EventTimes, otherwise: EventTimes, never, luck) -> EventTimes:
    """Events of a row of which some never get the treatment.

    never : chance of every draw (P,); luck : uniform numbers (P,), which decide for the drawn times
    """
    goes = luck >= never
    q = np.asarray(never)[:, None]
    a, b = SimpleNamespace(**given._asdict()), SimpleNamespace(**otherwise._asdict())

    def mean(x, y):
        return None if x is None or y is None else (1.0 - q) * x + q * y

    def square(x, y, x2, y2):
        return None if x is None or y is None else (1.0 - q) ** 2 * x2 + 2.0 * q * (1.0 - q) * x * y + q**2 * y2

    def drawn(x, y):
        return None if x is None or y is None else np.where(goes, x, y)

    ways = None if a.first is None or b.first is None else (1.0 - q[..., None]) * a.first + q[..., None] * b.first
    return EventTimes(
        drawn(a.event, b.event),
        drawn(a.died, b.died),
        drawn(a.progression, b.progression),
        mean(a.survival, b.survival),
        square(a.survival, b.survival, a.squared, b.squared),
        mean(a.free, b.free),
        mean(a.alive, b.alive),
        square(a.alive, b.alive, a.alive_squared, b.alive_squared),
        drawn(a.death, b.death),
        ways,
    )
