"""THE likelihood: ln p(labs, events | individual parameters, population draw), one response class at a time.

Population fit, twin and forecast call this code and no other. Every response class is solved for; summing over
classes is left to the caller, which keeps both alive.
"""

from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import Accuracy, initial_values, named_state, parameters_at, solve_patient
from bayestwin.dynamics.names import Doing
from bayestwin.individual.data import PatientData
from bayestwin.individual.parameters import class_log_probability, natural_values
from bayestwin.individual.residuals import NONE, log_density, log_likelihood_of
from bayestwin.individual.serial import beginning_of, serial_terms
from bayestwin.labs import TINY
from bayestwin.specification.observations import LogNormalError


class ClassLikelihood(NamedTuple):
    """Log-likelihood pieces per response class, C.

    rows (C, N) : each lab, of a serially correlated output given the labs before it in time
    seen (C,) : the labs marked as seen by themselves; alive (C,), other (C,) : event terms
    prediction (C, N); departure (C, N, 2) : mean and variance of the serially correlated departure given the labs
    seen, None without one; end (C, S + H + 2 W) : states, hazard integrals, departures where the data end; ok (C,)
    log_class (C,) : ln prior probability of the class given psi
    """

    rows: jax.Array
    seen: jax.Array
    alive: jax.Array
    other: jax.Array
    prediction: jax.Array
    departure: jax.Array | None
    end: jax.Array
    ok: jax.Array
    log_class: jax.Array


def outputs_at(model, values, timeline, solution, index):
    """Every output at the end of the asked intervals, (N, K)."""
    timeline = jax.tree.map(jnp.asarray, timeline)

    def one(i):
        here = asked_at(model, values, timeline, solution, i)
        return jnp.stack([output_of(model, k, here) for k in range(len(model.observations))])

    return jax.vmap(one)(index)


def asked_at(model, values, timeline, solution, i):
    """(t, y, p, u) at the end of interval i."""
    t, y = timeline.end[i], named_state(model, solution.at(i))
    return t, y, parameters_at(model, values, t), Doing(model, t, timeline.active[i], timeline.started[i])


def output_of(model, k: int, here):
    """Output k where (t, y, p, u) are known, a scalar."""
    return jnp.asarray(model.outputs[model.observations[k].output](*here), dtype=float)


def class_likelihood(
    model, psi, hyper, data: PatientData, *, rho=0.0, state=None, accuracy=Accuracy()
) -> ClassLikelihood:
    """All pieces of one patient's log-likelihood, for every response class in `data.classes`.

    psi (D,); state : (C, S + H + 2 W) where the data begin (`ClassLikelihood.end`), or None for the beginning.
    Where the solver gave up the lab terms are -inf and `ok` is False.
    """

    data = jax.tree.map(jnp.asarray, data)
    lab_rows = _rows_at_once if accuracy.gradient else _rows_in_turn

    def one(response_class, y0):
        values = natural_values(model, psi, hyper, data.terms, response_class, data.changes)
        begin = first_state(model, values, hyper.sigma) if y0 is None else y0
        solution = solve_patient(model, values, begin, data.timeline, accuracy)
        rows, predicted = lab_rows(model, values, data, solution, hyper.sigma)
        rows = jnp.where(data.mask > 0, rows, 0.0)
        good = solution.ok & jnp.isfinite(jnp.where(data.mask > 0, predicted, 0.0)).all()
        seen, departure, end = jnp.where(data.seen > 0, rows, 0.0), None, solution.last
        if model.serial:
            safe = jnp.where(good & (data.mask > 0), predicted, 1.0)
            start = begin[len(model.states) + len(model.hazards) :]
            more, more_seen, departure, departures = serial_terms(
                model, data, safe, values, hyper.sigma, start, gradient=accuracy.gradient
            )
            rows, seen, end = rows + more, seen + more_seen, jnp.concatenate([end, departures])
        rows = jnp.where(good, rows, -jnp.inf)
        seen = jnp.where(good, seen, jnp.where(data.seen > 0, -jnp.inf, 0.0)).sum()
        alive, other = event_terms(model, values, data, solution)
        log_class = class_log_probability(model, psi, hyper, data.terms, response_class, data.relevant, rho)
        return ClassLikelihood(rows, seen, alive, other, predicted, departure, end, good, log_class)

    if state is None:
        return jax.vmap(lambda c: one(c, None))(data.classes)
    return jax.vmap(one)(data.classes, state)


def first_state(model, values, sigma):
    """State at the patient's beginning: initial states, no hazard yet, departures as before any lab, (S + H + 2 W,)."""
    start = initial_values(model, values)
    return jnp.concatenate([start, beginning_of(model, sigma)]) if model.serial else start


def _rows_at_once(model, values, data: PatientData, solution, sigma):
    """Log-likelihood and prediction of every row, (N,) each; every output is computed for every row.

    Rows of serially correlated outputs are left at 0 for `serial_terms`, here and below.
    """
    every = outputs_at(model, values, data.timeline, solution, data.index)
    predicted = jnp.take_along_axis(every, data.output[:, None], axis=1)[:, 0]
    measured = [k for k in range(len(model.observations)) if k not in model.serial]
    return rows_given(model, predicted, data, sigma, measured), predicted


def rows_given(model, predicted, data: PatientData, sigma, outputs):
    """Log-likelihood of every row given its prediction, (N,); 0 for rows of other outputs than `outputs`."""
    rows, outputs = jnp.zeros(data.value.shape), tuple(outputs)
    for law in error_laws(model):
        members = [k for k in law if k in outputs]
        if not members:
            continue
        own = jnp.isin(data.output, jnp.array(members))
        # an unused branch still sends gradients: give it a harmless prediction
        safe = jnp.where(own, predicted, 1.0)
        ll = _of_law(model, law, data.output, safe, data.value, data.censoring, sigma, data.upper, data.assay)
        rows = jnp.where(own, ll, rows)
    return rows


@lru_cache
def error_laws(model) -> tuple[tuple[int, ...], ...]:
    """Positions of the outputs, those together whose error is one law with a parameter of their own each.

    Many labs with plain log-normal errors then compile, and cost, as one.
    """
    found: dict = {}
    for k, o in enumerate(model.observations):
        plain = not o.discrete and isinstance(o.error, LogNormalError) and not (o.assay_scale or o.assay_bias)
        alike = plain and o.error.low is None and o.error.serial is None
        found.setdefault(("log-normal", o.error.nu) if alike else k, []).append(k)
    return tuple(tuple(law) for law in found.values())


def _of_law(model, law, output, prediction, value, censoring, sigma, upper, assay, form: str = "either"):
    """`log_likelihood_of` rows of outputs of one law; `output` says of which."""
    if len(law) == 1:
        how: dict = {"upper": upper, "assay": assay, "form": form}
        return log_likelihood_of(model, law[0], prediction, value, censoring, sigma, **how)
    names = list(model.residual_parameters)
    at = np.zeros(len(model.observations), dtype=int)
    for k in law:
        at[k] = names.index(f"sigma_log_{model.observations[k].output}")
    location, scale = jnp.log(jnp.maximum(prediction, TINY)), jnp.take(sigma, jnp.asarray(at)[output], axis=-1)
    return log_density(model.observations[law[0]], location, scale, value, censoring, upper=upper, form=form)


def _rows_in_turn(model, values, data: PatientData, solution, sigma):
    """The same row by row: only what a row needs is computed, and the padding costs nothing; not for gradients."""
    of_row = _of_row(model, data, sigma)

    def row(i, carried):
        rows, predictions = carried
        here = asked_at(model, values, data.timeline, solution, data.index[i])
        of_output = [lambda k=k: output_of(model, k, here) for k in range(len(model.observations))]
        predicted = jax.lax.switch(data.output[i], of_output)
        return rows.at[i].set(of_row(i, predicted)), predictions.at[i].set(predicted)

    nothing = jnp.zeros(data.value.shape) * jnp.isfinite(solution.columns[0][0])  # as in solve.py: of the particle
    return jax.lax.fori_loop(0, data.mask.sum().astype(int), row, (nothing, nothing))


def rows_given_in_turn(model, predicted, data: PatientData, sigma):
    """Log-likelihood of every row given its prediction, (N,), serially correlated or not; for slopes forward alone."""
    of_row = _of_row(model, data, sigma, serial=True)
    nothing = jnp.zeros(data.value.shape) * jnp.isfinite(predicted[0])
    return jax.lax.fori_loop(
        0, data.mask.sum().astype(int), lambda i, rows: rows.at[i].set(of_row(i, predicted[i])), nothing
    )


def _of_row(model, data: PatientData, sigma, serial: bool = False):
    """The function (i, prediction) -> log-likelihood of row i, which computes the law of its output and no other.

    serial : rows of serially correlated outputs count too, as if they were not
    """
    laws = error_laws(model)
    law_of = np.zeros(len(model.observations), dtype=int)
    for n, law in enumerate(laws):
        law_of[list(law)] = n

    def given(law):
        def one(i, predicted):
            if law[0] in model.serial and not serial:
                return jnp.zeros_like(predicted)
            parts = data.output[i], predicted, data.value[i], data.censoring[i], sigma
            assay = None if data.assay is None else data.assay[i]
            of_law = partial(_of_law, model, law)
            exact = partial(of_law, upper=None, assay=assay, form="density")
            limit = partial(of_law, upper=None, assay=assay, form="limit")
            if data.upper is None:
                return jax.lax.cond(data.censoring[i] == NONE, exact, limit, *parts)
            between = partial(of_law, upper=data.upper[i], assay=assay, form="between")
            which = jnp.array([0, 1, 1, 2])[data.censoring[i]]
            return jax.lax.switch(which, (exact, limit, between), *parts)

        return one

    branches = [given(law) for law in laws]
    return lambda i, predicted: jax.lax.switch(jnp.asarray(law_of)[data.output[i]], branches, i, predicted)


def event_terms(model, values, data: PatientData, solution):
    """Log-likelihood of survival and of freedom from non-serological progression; zero without an endpoint."""
    endpoint = model.progression
    if endpoint is None:
        return jnp.zeros(()), jnp.zeros(())
    alive = other = jnp.zeros(())
    n = len(model.states)

    def integrals(i, hazards):
        """Integrals of these hazards to the end of interval i."""
        y = solution.at(i)
        return jnp.stack([y[n + model.hazard_names.index(h)] for h in hazards])

    if endpoint.death_hazard is not None:
        i = data.alive[0].astype(int)
        t = data.timeline.end[i]
        p, u = parameters_at(model, values, t), Doing(model, t, data.timeline.active[i], data.timeline.started[i])
        y, way = named_state(model, solution.at(i)), data.alive[3].astype(int)
        rates = jnp.stack([jnp.asarray(model.hazards[h](t, y, p, u), dtype=float) for h in endpoint.death_hazards])
        rate = jnp.where(way > 0, rates[jnp.maximum(way - 1, 0)], rates.sum())
        died, met = data.alive[2] > 0, integrals(i, endpoint.death_hazards).sum()
        # a hazard may be zero while the patient lives: its logarithm is taken only where a death needs it
        alive = data.alive[1] * (-met + jnp.where(died, jnp.log(jnp.where(died, rate, 1.0)), 0.0))
    if endpoint.progression_hazards:
        before = integrals(data.other[0].astype(int), endpoint.progression_hazards) * data.other[1]
        met = integrals(data.other[2].astype(int), endpoint.progression_hazards)
        gained = jnp.maximum(met - before, 0.0)
        free, seen, way = before.sum(), data.other[3] > 0, data.other[4].astype(int)
        gap = jnp.where(seen, jnp.maximum(gained.sum(), 1e-300), 1.0)
        named = seen & (way > 0)
        own = jnp.where(named, jnp.maximum(gained[jnp.maximum(way - 1, 0)], 1e-300), 1.0)
        share = jnp.where(named, jnp.log(own) - jnp.log(gap), 0.0)
        other = -free + jnp.where(seen, jnp.log(-jnp.expm1(-gap)), 0.0) + share
    return alive, other


def total_log_likelihood(pieces: ClassLikelihood):
    """ln sum over classes of P(class | psi) p(labs, events | class): one number for the population fit."""
    return jax.scipy.special.logsumexp(class_log_likelihood(pieces))


def class_log_likelihood(pieces: ClassLikelihood):
    """ln P(class | psi) p(labs, events | class) of every class, (C,)."""
    return pieces.log_class + pieces.rows.sum(axis=-1) + pieces.alive + pieces.other
