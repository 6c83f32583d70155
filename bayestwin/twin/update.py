"""start, update, rebuild: the patient's posterior through time, and the ladder that keeps it honest.

    1 reweight        later labs only: integrate from the stored state; older labs that arrive late: solve anew
    2 rejuvenate      ESS/P < 0.5 or k-hat > 0.7: temper and move on the full history
    3 from scratch    ESS < 400 (or a tenth of P), k-hat > 0.7, islands apart, or a lab that the twin held all but
                      impossible: the oracle with four times the particles
    4 withhold        when that fails too

Information taken away or changed (retraction, correction, past dose or treatment, covariate) restarts from the newest
earlier twin that had not seen it, else from scratch: reweighting back can pass every check and be wrong.
"""

import time as clock
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import NO_GRADIENT, Accuracy
from bayestwin.errors import FitError, RecordError
from bayestwin.individual import ClassLikelihood, compile_record, information_time
from bayestwin.twin.check import judge
from bayestwin.twin.compare import difference
from bayestwin.twin.particles import Particles, effective_size, normalised, pareto_k, population_for, unique_particles
from bayestwin.twin.smc import BridgeInfo, bridge
from bayestwin.twin.state import PASS, WITHHELD, Twin
from bayestwin.twin.surprise import surprises
from bayestwin.twin.target import class_weights, evaluator, log_target

# A lab this far out may speak of a mode that died in all islands alike, which ESS, k-hat and agreement cannot see: a
# relapsing responder passed every check at P(non-responder) = 0.03 where quadrature gives 0.90.
ALL_BUT_IMPOSSIBLE = 0.0005


def start_twin(
    population,
    record,
    *,
    particles: int = 4000,
    islands: int = 8,
    population_draws: int = 400,
    random_seed: int,
    rho=None,
    accuracy: Accuracy = NO_GRADIENT,
):
    """A patient's first twin: draws from the population, then everything the record holds.

    Parameters
    ----------
    population : PopulationPosterior
    record : PatientRecord      in the model's units; may be empty
    particles, islands : int    P particles in islands resampled separately
    population_draws : int      M draws of the population posterior, evenly spaced

    Returns
    -------
    Twin                        its `info` holds the numerical check

    Raises
    ------
    FitError                    the patient was in the fitted cohort and the population holds no individual draws

    A patient of the fitted cohort starts from the joint fit, whose draws have already learnt the labs.
    """
    if particles % islands:
        raise FitError(
            "islands must be of equal size",
            value=f"{particles} particles, {islands} islands",
            next_step="Take a multiple.",
        )
    rho = population.rho if rho is None else rho
    with jax.enable_x64(True):
        if population.knows(record):
            fitted = _as_fitted(population, record)
            twin = _from_joint_fit(population, fitted, particles, islands, population_draws, random_seed, rho, accuracy)
            if fitted is record:
                return twin
        else:
            twin, _ = rebuild_twin(
                population,
                record,
                particles=particles,
                islands=islands,
                population_draws=population_draws,
                random_seed=random_seed,
                rho=rho,
                accuracy=accuracy,
            )
    if population.knows(record):  # what came after the fit is learnt like any newer record
        return update_twin(twin, record, random_seed=random_seed, accuracy=accuracy)[0]
    first = replace(twin.info, path="start")
    return replace(twin, history=(first,))


def rebuild_twin(
    population,
    record,
    *,
    particles: int = 4000,
    islands: int = 8,
    population_draws: int = 400,
    random_seed: int,
    rho=None,
    accuracy: Accuracy = NO_GRADIENT,
    reasons: tuple[str, ...] = (),
):
    """The oracle: the twin from the population posterior and the whole record, by tempered SMC, with no stored state.

    Returns
    -------
    Twin, UpdateInfo

    Raises
    ------
    FitError                    the patient was in the fitted cohort, whose labs the population has learnt
    """
    begin = clock.perf_counter()
    if population.knows(record):
        raise FitError(
            "this patient was in the fitted cohort: from scratch the labs would count twice",
            subject=f"patient {record.key}",
            next_step="Fit without this patient, or start from the joint fit.",
        )
    rho = population.rho if rho is None else rho
    model = population.model
    with jax.enable_x64(True):
        key_start, key_bridge = jax.random.split(jax.random.key(random_seed))
        data = compile_record(model, record)
        hyper, _ = population.hyper_draws(population_draws)
        pop = population_for(model, hyper, data.terms)
        psi, draw = _from_population(key_start, pop, particles, islands)
        made, info = bridge(
            model,
            psi,
            draw,
            normalised(jnp.zeros(particles), islands),
            pop,
            data,
            key=key_bridge,
            islands=islands,
            rho=rho,
            accuracy=accuracy,
        )
        info = judge(model, made, info, islands, "oracle", reasons, new_labs=len(record.labs), started=data.relevant)
        info = replace(info, seconds=clock.perf_counter() - begin)
        twin = Twin(
            model,
            record,
            made,
            pop,
            information_time(record),
            _applied(record),
            islands,
            rho,
            population.hash,
            random_seed,
            0,
            (info,),
        )
    return twin, info


def _from_population(key, pop, particles, islands):
    """psi drawn from the population, every draw used equally often."""
    count = pop.log_det.shape[0]
    key_draw, key_noise = jax.random.split(key)
    draw = jax.random.permutation(key_draw, jnp.arange(particles) % count)
    noise = jax.random.normal(key_noise, (particles, pop.mean.shape[1]))
    return pop.mean[draw] + jnp.einsum("pde,pe->pd", pop.scale[draw], noise), draw


def _as_fitted(population, record):
    """The record as the fit saw it: this one, or an earlier state of it; labs that came later are not learnt yet."""
    if population.fitted_as(record):
        return record
    rows = (*record.labs, *record.doses, *record.events, *(s.row for s in record.past))
    clocks = sorted({row.known_time for row in rows} | {s.until for s in record.past}, reverse=True)
    for known_time in clocks:
        if population.fitted_as(earlier := record.known_at(known_time)):
            return earlier
    raise FitError(
        "this patient was fitted with another record, and no earlier state of this one is it",
        subject=f"patient {record.key}",
        next_step="Start from the record that was fitted, then update; or fit anew.",
    )


def _from_joint_fit(population, record, particles, islands, population_draws, random_seed, rho, accuracy):
    """A fitted patient: individual draws of the joint posterior beside their population draws, then moved."""
    begin = clock.perf_counter()
    drawn = population.individual_draws(record)
    if drawn is None:
        raise FitError(
            "this patient was in the fitted cohort, and the population file holds no individual draws",
            subject=f"patient {record.key}",
            next_step="Start from the fit itself or a file saved with keep_individuals, or fit without this patient; "
            "starting from the population would count the labs twice.",
        )
    model = population.model
    data = compile_record(model, record)
    hyper, taken = population.hyper_draws(population_draws)
    pop = population_for(model, hyper, data.terms)
    draw = jnp.arange(particles) % len(taken)
    psi = jnp.asarray(drawn[taken])[draw]
    here = evaluator(model, accuracy, False)(psi, draw, pop, jax.tree.map(jnp.asarray, data), rho)
    stands = log_target(
        0.0, here.log_class, jnp.zeros_like(here.alive), here.rows.sum(-1) + here.alive + here.other, jnp.asarray(1.0)
    )
    made, info = bridge(
        model,
        psi,
        draw,
        normalised(jnp.zeros(particles), islands),
        pop,
        data,
        key=jax.random.key(random_seed),
        islands=islands,
        rho=rho,
        seen=np.ones(len(data.mask)),
        start_from=stands,
        accuracy=accuracy,
    )
    info = judge(
        model,
        made,
        info,
        islands,
        "joint fit",
        ("started from the joint fit, which had learnt this patient's labs",),
        new_labs=0,
        started=data.relevant,
    )
    info = replace(info, seconds=clock.perf_counter() - begin)
    return Twin(
        model,
        record,
        made,
        pop,
        information_time(record),
        _applied(record),
        islands,
        rho,
        population.hash,
        random_seed,
        0,
        (info,),
    )


def update_twin(
    twin: Twin,
    record,
    *,
    random_seed: int,
    rejuvenate_below: float = 0.5,
    population=None,
    earlier: tuple[Twin, ...] = (),
    accuracy: Accuracy = NO_GRADIENT,
):
    """Move one patient's twin to a newer record of labs, doses and events.

    Parameters
    ----------
    twin : Twin                 particles (P, D) on the transformed scale; log-weights normalised within islands
    record : PatientRecord      the whole record as known now, in the model's units
    rejuvenate_below : float    rejuvenate when ESS / P falls under this, in (0, 1]
    population : PopulationPosterior    for the last rung, the from-scratch oracle; without it that rung withholds
    earlier : tuple[Twin, ...]  stored twins; a restart begins at the newest that had not seen what changed

    Returns
    -------
    Twin, UpdateInfo            the same twin (and its last check) where nothing has changed

    Raises
    ------
    RecordError                 the record belongs to another patient; names both keys
    FitError                    a restart is needed and no population was given

    Source: Chopin (2002), Biometrika 89:539; docs/statistical_model.md, "Sequential update".
    """
    if record.key != twin.key:
        raise RecordError(
            "the record belongs to another patient", subject=f"patient {twin.key}", value=record.key, allowed=twin.key
        )
    if not 0 < rejuvenate_below <= 1:
        raise FitError(
            "rejuvenate_below is a share of the particles", value=rejuvenate_below, allowed="a number in (0, 1]"
        )
    change = difference(twin, record)
    if change.nothing:
        return replace(twin, record=record), twin.info
    if twin.info.verdict != PASS and population is not None and not change.taken_away:
        change = replace(change, why="the last check failed, and a twin that failed is not carried on")
        return _restart(twin, record, change, random_seed, rejuvenate_below, population, (), accuracy)
    if change.taken_away:
        return _restart(twin, record, change, random_seed, rejuvenate_below, population, earlier, accuracy)
    begin = clock.perf_counter()
    with jax.enable_x64(True):
        moved, info = _forward(twin, record, change, random_seed, rejuvenate_below, accuracy)
        if info.verdict != PASS:
            moved, info = _last_rung(twin, record, info, random_seed, population, accuracy)
    info = replace(info, seconds=clock.perf_counter() - begin)
    return replace(moved, updates=twin.updates + 1, history=(*twin.history, info)), info


class _Newer(NamedTuple):
    """The twin's particles solved through a newer record, nothing learnt yet.

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


def _solved(twin, record, change, accuracy) -> _Newer:
    """Solve every particle through the newer record: from the stored state where only later labs came, else anew."""
    model, pop, old = twin.model, twin.population, twin.particles
    new_ids = {_identity(lab) for lab in change.new_labs}
    from_classes = class_positions(twin.class_rows, compile_record(model, record).classes)
    stands = log_target(
        0.0, old.log_class, jnp.zeros_like(old.alive), old.labs + old.alive + old.other, jnp.asarray(1.0)
    )
    if change.later_only:
        data = compile_record(model, record, resume_at=twin.time, resumed=twin.applied)
        state = old.state[:, from_classes]
        pieces = evaluator(model, accuracy, True)(
            old.psi, old.draw, pop, jax.tree.map(jnp.asarray, data), twin.rho, state
        )
        labs = [lab for lab in record.labs if lab.time > twin.time and lab.output in model.observation_index]
        rows_old = old.labs[:, from_classes]
        other = pieces.other if data.other[1] else old.other[:, from_classes]
        alive = pieces.alive if data.alive[1] else old.alive[:, from_classes]
        made = Particles(
            old.psi,
            old.draw,
            old.log_weights,
            rows_old + pieces.rows.sum(-1),
            alive,
            other,
            pieces.log_class,
            pieces.end,
        )
        before = rows_old + old.alive[:, from_classes] + old.other[:, from_classes]
        return _Newer(made, pieces, before, labs, np.ones(len(labs), dtype=bool), stands)
    data = compile_record(model, record)
    pieces = evaluator(model, accuracy, False)(old.psi, old.draw, pop, jax.tree.map(jnp.asarray, data), twin.rho)
    labs = [lab for lab in record.labs if lab.output in model.observation_index]
    fresh = np.array([_identity(lab) in new_ids for lab in labs], dtype=bool)
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
    before = (
        jnp.where(jnp.asarray(np.pad(~fresh, (0, len(data.mask) - len(labs)))), pieces.rows, 0.0).sum(-1)
        + pieces.alive
        + pieces.other
    )
    return _Newer(made, pieces, before, labs, fresh, stands)


def _expected(twin, newer: _Newer, key):
    """Surprise of every fresh lab, before any of them is learnt."""
    old, keep = twin.particles, np.flatnonzero(newer.fresh)
    pieces = newer.pieces._replace(prediction=newer.pieces.prediction[:, :, keep], rows=newer.pieces.rows[:, :, keep])
    return surprises(
        twin.model,
        [newer.labs[k] for k in keep],
        pieces,
        jax.nn.softmax(newer.made.log_class + newer.before, axis=-1),
        old.log_weights,
        twin.population,
        old.draw,
        key=key,
        islands=twin.islands,
    )


def predict_labs(twin: Twin, record, *, random_seed: int, accuracy: Accuracy = NO_GRADIENT):
    """What the twin expects of every lab of `record` that it has not seen, each by itself, nothing being learnt.

    Returns
    -------
    tuple[Surprise, ...]

    Raises
    ------
    RecordError     the record belongs to another patient, or changes what the twin has seen
    """
    if record.key != twin.key:
        raise RecordError(
            "the record belongs to another patient", subject=f"patient {twin.key}", value=record.key, allowed=twin.key
        )
    change = difference(twin, record)
    if change.taken_away:
        raise RecordError(
            f"the record differs in what the twin has learnt ({change.why})",
            subject=f"patient {twin.key}",
            next_step="Update the twin first.",
        )
    with jax.enable_x64(True):
        return _expected(
            twin,
            _solved(twin, record, change, accuracy),
            jax.random.fold_in(jax.random.key(random_seed), twin.updates + 1),
        )


def _forward(twin, record, change, random_seed, rejuvenate_below, accuracy):
    """Rungs 1 and 2 for information added."""
    model, pop, islands, old = twin.model, twin.population, twin.islands, twin.particles
    key_surprise, key_bridge = jax.random.split(jax.random.fold_in(jax.random.key(random_seed), twin.updates + 1))
    size = old.psi.shape[0]
    newer = _solved(twin, record, change, accuracy)
    made, stands = newer.made, newer.stands
    expected = _expected(twin, newer, key_surprise)
    gain = np.asarray(
        log_target(
            0.0, made.log_class, jnp.zeros_like(made.alive), made.labs + made.alive + made.other, jnp.asarray(1.0)
        )
        - stands
    )
    joint = np.asarray(old.log_weights) + np.where(np.isfinite(gain), gain, -np.inf)
    log_weights = normalised(jnp.asarray(joint), islands)
    evidence = np.asarray(jax.scipy.special.logsumexp(jnp.asarray(joint).reshape(islands, -1), axis=1))
    k_hat = pareto_k(joint)
    made = made._replace(log_weights=log_weights)
    path = "reweight"
    ess = effective_size(log_weights, islands)
    check = BridgeInfo(
        1, 0, float("nan"), k_hat, unique_particles(made.psi), evidence, float((~newer.pieces.ok).mean()), False
    )
    if not (ess >= rejuvenate_below * size and k_hat <= 0.7):
        full = compile_record(model, record)
        new_ids = {_identity(lab) for lab in change.new_labs}
        observed = [lab for lab in record.labs if lab.output in model.observation_index]
        seen = np.pad(
            np.array([_identity(lab) not in new_ids for lab in observed], dtype=float),
            (0, len(full.mask) - len(observed)),
        )
        made, check = bridge(
            model,
            old.psi,
            old.draw,
            old.log_weights,
            pop,
            full,
            key=key_bridge,
            islands=islands,
            rho=twin.rho,
            seen=seen,
            start_from=stands,
            accuracy=accuracy,
        )
        path = "rejuvenate"
    info = judge(
        model,
        made,
        check,
        islands,
        path,
        (),
        new_labs=len(change.new_labs),
        started=compile_record(model, record).relevant,
        surprise=expected,
    )
    far = [f"{s.output} at {s.time:g}" for s in expected if not ALL_BUT_IMPOSSIBLE <= s.pit <= 1.0 - ALL_BUT_IMPOSSIBLE]
    if far:
        info = replace(
            info,
            verdict=WITHHELD,
            reasons=(*info.reasons, f"a mode may have been lost: {', '.join(far)} was all but impossible before"),
        )
    return replace(
        twin,
        record=record,
        particles=made,
        time=information_time(record),
        applied=_applied(record),
        random_seed=random_seed,
    ), info


def _restart(twin, record, change, random_seed, rejuvenate_below, population, earlier, accuracy):
    """Information was taken away or changed: from the newest earlier twin that had not seen it, else from scratch."""
    for candidate in sorted(earlier, key=lambda t: -t.updates):
        if (
            candidate.key == record.key
            and candidate.info.verdict == PASS
            and not difference(candidate, record).taken_away
        ):
            moved, info = update_twin(
                candidate,
                record,
                random_seed=random_seed,
                rejuvenate_below=rejuvenate_below,
                population=population,
                accuracy=accuracy,
            )
            info = replace(
                info, reasons=(f"restart from the twin of update {candidate.updates}: {change.why}", *info.reasons)
            )
            return replace(moved, updates=twin.updates + 1, history=(*twin.history, info)), info
    if population is None:
        raise FitError(
            f"the record changed in its past ({change.why}), and no population was given to start again from",
            subject=f"patient {twin.key}",
            next_step="Pass population= to update_twin.",
        )
    rebuilt, info = rebuild_twin(
        population,
        record,
        particles=twin.particles.psi.shape[0],
        islands=twin.islands,
        population_draws=twin.population.log_det.shape[0],
        random_seed=random_seed,
        rho=twin.rho,
        accuracy=accuracy,
        reasons=(f"restart from scratch: {change.why}",),
    )
    return replace(rebuilt, updates=twin.updates + 1, history=(*twin.history, info)), info


def _last_rung(twin, record, failed, random_seed, population, accuracy):
    """Rung 3: the oracle with four times the particles; withheld where that fails or no population is at hand."""
    why = "; ".join(failed.reasons)
    if population is None or population.knows(record):
        # the twin stays where it stood: a record marked as seen would never be learnt
        return (
            twin,
            replace(
                failed, verdict=WITHHELD, reasons=(*failed.reasons, "no population at hand for the from-scratch rung")
            ),
        )
    rebuilt, info = rebuild_twin(
        population,
        record,
        particles=4 * twin.particles.psi.shape[0],
        islands=twin.islands,
        population_draws=twin.population.log_det.shape[0],
        random_seed=random_seed,
        rho=twin.rho,
        accuracy=accuracy,
        reasons=(f"from scratch with four times the particles, because {why}",),
    )
    return replace(rebuilt, updates=twin.updates), replace(info, surprise=failed.surprise, new_labs=failed.new_labs)


def class_positions(old_rows, new_rows) -> np.ndarray:
    """For each new response-class row the old row that agrees on the treatments started before."""
    known = old_rows.any(axis=0)
    return np.array(
        [next(k for k, row in enumerate(old_rows) if (row[known] == new[known]).all()) for new in new_rows], dtype=int
    )


def _identity(lab):
    return (lab.lab_id, lab.output, lab.time)


def _applied(record) -> bool:
    """True where a lab of the newest time was drawn after the doses of that time."""
    newest = information_time(record)
    return any(lab.time == newest and lab.order > 0 for lab in record.labs)


__all__ = ["class_weights", "predict_labs", "rebuild_twin", "start_twin", "update_twin"]
