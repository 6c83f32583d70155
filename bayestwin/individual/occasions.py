"""Which occasion is on, and what its effect adds to every parameter; see specification/occasions.py for the equation.

The occasion travels with the covariate terms of a patient, as one number per occasion that is 1 for the one that is on.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from bayestwin.errors import RecordError
from bayestwin.labs import OCCASION
from bayestwin.records.record import COVARIATE, IN_ROW, covariate_changes, covariate_in
from bayestwin.specification.occasions import NEXT


def occasion_count(model) -> int:
    """Occasions with effects of their own; 0 for a model that tells none apart."""
    return model.occasions.count if model.occasions else 0


def occasion_terms(model, covariates: Mapping) -> np.ndarray:
    """1 for the occasion that is on, 0 for the others; the first where nothing says one, (occasions,)."""
    if model.occasions is None:
        return np.zeros(0)
    said = covariates.get(OCCASION, 1)
    return np.eye(model.occasions.count)[-1 if said == NEXT else int(said) - 1]


def occasion_shifts(model, effects):
    """What each occasion adds to every parameter, transformed scale: effects (of all kappas,) -> (occasions, Q)."""
    by_parameter = effects.reshape(len(model.occasional), model.occasions.count)
    nothing = jnp.zeros((model.occasions.count, len(model.parameters)))
    return nothing.at[:, np.array(model.occasional)].set(by_parameter.T)


def check_occasions(model, record) -> None:
    """RecordError where a record says an occasion that the model does not have."""
    if model.occasions is None:
        return
    said = [(0.0, record.covariates.get(OCCASION, 1))]
    said += [(time, value) for time, _, value in covariate_changes(record, (OCCASION,))]
    for time, value in said:
        if value not in range(1, model.occasions.most + 1):
            raise RecordError(
                "no such occasion",
                subject=f"patient {record.key}",
                place=f"occasion at {time:g}",
                value=value,
                allowed=model.occasions.allowed,
                next_step="Number a patient's occasions from 1, or raise `most` in the model's occasions.",
            )


def begun_effects(model, record, now: float) -> set[str]:
    """Names of the effects of occasions that have begun by `now`."""
    if model.occasions is None:
        return set()
    begun = {record.covariates.get(OCCASION, 1)}
    begun |= {value for time, _, value in covariate_changes(record, (OCCASION,)) if time <= now}
    return {model.occasions.names_of(parameter)[int(k) - 1] for parameter in model.occasions.sd for k in begun}


def begins_another(model, record, cut: float) -> bool:
    """True where a forecast begins a new occasion at its cut: the model says so, and the record says none later."""
    if model.occasions is None or model.occasions.future != NEXT:
        return False
    said = [e for e in record.events if e.event in (COVARIATE, IN_ROW) and covariate_in(e.value)[0] == OCCASION]
    just_begun = any(time == cut for time, _, _ in covariate_changes(record, (OCCASION,)))
    return not just_begun and not any(e.time > cut for e in said)
