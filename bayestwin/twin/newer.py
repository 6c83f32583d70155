"""A twin's particles solved through a newer record, before anything of it is learnt; and what they expected."""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import NO_GRADIENT, Accuracy
from bayestwin.errors import RecordError
from bayestwin.individual import ClassLikelihood, compile_record, informative_labs, with_seen
from bayestwin.twin.belongs import refuse_other_patient
from bayestwin.twin.compare import difference
from bayestwin.twin.grid import BORNE, next_grid
from bayestwin.twin.particles import Particles
from bayestwin.twin.surprise import surprises
from bayestwin.twin.target import class_shares, evaluator, log_target


class Newer(NamedTuple):
    """Particles solved through the newer record.

    made : Particles with the newer pieces and the old weights
    before (P, C) : log-likelihood of what was known, per class
    labs : the labs behind the rows of `pieces`; fresh (len(labs),) : not seen before
    stands (P,) : log target of the twin
    """

    made: Particles
    pieces: ClassLikelihood
    before: jax.Array
    labs: list
    fresh: np.ndarray
    stands: jax.Array


def solve_through(twin, record, change, accuracy: Accuracy) -> Newer:
    """Solve every particle through the newer record: from the stored state where only later labs came, else anew."""
    if change.later_only:
        return _from_the_state(twin, record, accuracy)
    return _from_the_beginning(twin, record, change, accuracy)


def carried_through(twin, record, change, accuracy: Accuracy) -> tuple:
    """(the twin, Newer): on a finer grid of steps, which the twin keeps, where more than a few draws fail on his."""
    while True:
        newer = solve_through(twin, record, change, accuracy)
        finer = next_grid(twin.model, twin.finer)
        failed = (~np.asarray(newer.pieces.ok)).any(axis=-1)  # in one response class at least
        if finer is None or not twin.weights @ failed > BORNE:
            return twin, newer
        twin = replace(twin, finer=finer)


def _from_the_state(twin, record, accuracy) -> Newer:
    model, pop, old = twin.model, twin.population, twin.particles
    how = {"resume_at": twin.time, "resumed": twin.applied, "finer": twin.finer}
    data = jax.tree.map(jnp.asarray, compile_record(model, record, **how))
    classes = class_positions(twin.class_rows, np.asarray(data.classes))
    pieces = evaluator(model, accuracy)(old.psi, old.draw, pop, data, twin.rho, old.state[:, classes])
    labs = [lab for lab in informative_labs(model, record) if lab.time > twin.time]
    rows, alive, other = old.labs[:, classes], old.alive[:, classes], old.other[:, classes]
    made = Particles(
        old.psi,
        old.draw,
        old.log_weights,
        rows + pieces.rows.sum(-1),
        pieces.alive if data.alive[1] else alive,
        pieces.other if data.other[1] else other,
        pieces.log_class,
        pieces.end,
    )
    return Newer(made, pieces, rows + alive + other, labs, np.ones(len(labs), dtype=bool), where_it_stands(old))


def _from_the_beginning(twin, record, change, accuracy) -> Newer:
    model, old = twin.model, twin.particles
    labs = informative_labs(model, record)
    known = seen_labs(model, record, change)
    data = jax.tree.map(jnp.asarray, with_seen(compile_record(model, record, finer=twin.finer), known))
    pieces = evaluator(model, accuracy)(old.psi, old.draw, twin.population, data, twin.rho)
    made = Particles(
        old.psi,
        old.draw,
        old.log_weights,
        pieces.rows.sum(-1),
        pieces.alive,
        pieces.other,
        pieces.log_class,
        pieces.end,
    )
    # events of the newer record are not known yet, as its labs are not
    classes = class_positions(twin.class_rows, np.asarray(data.classes))
    before = pieces.seen + old.alive[:, classes] + old.other[:, classes]
    return Newer(made, pieces, before, labs, ~known, where_it_stands(old))


def where_it_stands(particles: Particles):
    """ln target without the prior of everything learnt, (P,)."""
    return log_target(0.0, particles.log_class, 0.0, particles.labs + particles.alive + particles.other, 1.0)


def seen_labs(model, record, change) -> np.ndarray:
    """True for every lab of the record (of the model's outputs, in order) that the twin has learnt already."""
    new = {_identity(lab) for lab in change.new_labs}
    return np.array([_identity(lab) not in new for lab in informative_labs(model, record)], bool)


def arrivals(twin, record, change) -> tuple:
    """The new labs of a change that the model learns from, without those of which the twin has seen another value."""
    known = {_identity(lab) for lab in twin.record.labs}
    learnt = {_identity(lab) for lab in informative_labs(twin.model, record)} - known
    return tuple(lab for lab in change.new_labs if _identity(lab) in learnt)


def expected(twin, newer: Newer, rng: np.random.Generator):
    """Surprise of every fresh lab, before any of them is learnt."""
    old, keep = twin.particles, np.flatnonzero(newer.fresh)
    pieces = jax.tree.map(np.asarray, newer.pieces)  # NumPy: another number of labs compiles nothing
    departure = None if pieces.departure is None else pieces.departure[:, :, keep]
    pieces = pieces._replace(prediction=pieces.prediction[:, :, keep], departure=departure)
    return surprises(
        twin.model,
        [newer.labs[k] for k in keep],
        pieces,
        class_shares(newer.made.log_class + newer.before),  # of what was known
        old.log_weights,
        twin.population,
        old.draw,
        key=twin.key,
        rng=rng,
    )


def predict_labs(twin, record, *, random_seed: int, accuracy: Accuracy = NO_GRADIENT):
    """What the twin expects of every lab of `record` that it has not seen, each by itself, nothing being learnt.

    Returns
    -------
    tuple[Surprise, ...]

    Raises
    ------
    RecordError     the record belongs to another patient, or changes what the twin has seen
    """
    refuse_other_patient(twin, record)
    change = difference(twin, record)
    if change.taken_away:
        raise RecordError(
            f"the record differs in what the twin has learnt ({change.why})",
            subject=f"patient {twin.key}",
            next_step="Update the twin first.",
        )
    with jax.enable_x64(True):
        return expected(twin, solve_through(twin, record, change, accuracy), surprise_rng(twin, random_seed))


def surprise_rng(twin, random_seed: int) -> np.random.Generator:
    """Random numbers of the predictive draws of one update."""
    return np.random.default_rng([random_seed, twin.updates + 1])


def class_positions(old_rows, new_rows) -> np.ndarray:
    """For each new response-class row the old row that agrees on the treatments started before."""
    known = old_rows.any(axis=0)
    return np.array(
        [next(k for k, row in enumerate(old_rows) if (row[known] == new[known]).all()) for new in new_rows], dtype=int
    )


def _identity(lab):
    return (lab.lab_id, lab.output, lab.time)
