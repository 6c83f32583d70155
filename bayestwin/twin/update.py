"""Update: the patient's posterior moved to a newer record, and the ladder that keeps it honest.

    1 reweight        later labs only: integrate from the stored state; older labs that arrive late: solve anew
    2 rejuvenate      ESS/P < 0.5 or k-hat > 0.7: temper and move on the full history
    3 from scratch    ESS < 400 (or a tenth of P), k-hat > 0.7, islands apart, or a lab that the twin held all but
                      impossible: the oracle with four times the particles; the next update goes back to P
    4 NUTS            when that fails too and one response class is alive (see `long_chain`)
    5 withhold        when that fails too

Information taken away or changed (retraction, correction, past dose or treatment, covariate) restarts from the newest
earlier twin that had not seen it, else from scratch: reweighting back can pass every check and be wrong. Every tenth
update is anchored: rebuilt from scratch, the gap told (see `anchor`).
"""

import time as clock
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import NO_GRADIENT, Accuracy
from bayestwin.errors import FitError, refuse_other, refuse_seed
from bayestwin.individual import compile_record, information_time, with_seen
from bayestwin.twin.anchor import EVERY, anchored, since_scratch
from bayestwin.twin.belongs import refuse_older, refuse_other_patient, refuse_other_population
from bayestwin.twin.check import judge
from bayestwin.twin.compare import difference
from bayestwin.twin.grid import told
from bayestwin.twin.newer import (
    arrivals,
    carried_through,
    expected,
    seen_labs,
    solve_through,
    surprise_rng,
    where_it_stands,
)
from bayestwin.twin.oracle import refuse_record, start_applied
from bayestwin.twin.particles import effective_size, log_sum_exp, normalised, pareto_k, unique_particles
from bayestwin.twin.rungs import after, from_scratch, more_of
from bayestwin.twin.smc import BridgeInfo, bridge
from bayestwin.twin.state import CUT, PASS, WITHHELD, Twin

# A lab this far out may speak of a mode that died in all islands alike, which ESS, k-hat and agreement cannot see: a
# relapsing responder passed every check at P(non-responder) = 0.03 where quadrature gives 0.90.
ALL_BUT_IMPOSSIBLE = 0.0005
NO_POPULATION = "no population at hand for the from-scratch rung"


def update_twin(
    twin: Twin,
    record,
    *,
    random_seed: int,
    rejuvenate_below: float = 0.5,
    population=None,
    earlier: tuple[Twin, ...] = (),
    anchor_every: int = EVERY,
    allow_older: bool = False,
    accuracy: Accuracy = NO_GRADIENT,
):
    """Move one patient's twin to a newer record of labs, doses and events.

    Parameters
    ----------
    twin : Twin                 particles (P, D) on the transformed scale; log-weights normalised within islands
    record : PatientRecord      the whole record as known now, in the model's units; a lab that is not in it counts as
        retracted
    rejuvenate_below : float    rejuvenate when ESS / P falls under this, in (0, 1]
    population : PopulationPosterior    that the twin was started from, for the last rung, the from-scratch oracle;
        without it that rung withholds, and so does any update of a twin whose particles failed their check
    earlier : tuple[Twin, ...]  stored twins; a restart begins at the newest that had not seen what changed
    anchor_every : int          rebuild from scratch after so many updates, tell the gap and go on from there; 0 for
        never; needs a population, and a patient that it was not fitted on
    allow_older : bool          go back to a record older than the twin: without rows that became known after all that
        it holds and that nothing withdraws

    Returns
    -------
    Twin, UpdateInfo            the same twin (and its last check) where nothing has changed

    Raises
    ------
    RecordError                 the record belongs to another patient, or is older than the twin; names both keys, or
                                both newest known times
    FitError                    a restart is needed and no population was given; population or an earlier twin is of
                                another model or posterior than the twin

    Source: Chopin (2002), Biometrika 89:539; docs/statistical_model.md, "Sequential update".
    """
    twins = "a Twin: start_twin(...) or load_twin(path)"
    refuse_other(twin, "update_twin, twin", twins, "particles", "history")
    refuse_record("update_twin", record)
    refuse_seed(random_seed, "update_twin")
    if population is not None:
        source = "a PopulationPosterior or None"
        refuse_other(population, "update_twin, population", source, "posterior", "hyper_draws")
    refuse_other_patient(twin, record)
    refuse_other_population(twin, population, earlier)
    if not 0 < rejuvenate_below <= 1:
        raise FitError(
            "rejuvenate_below is a share of the particles", value=rejuvenate_below, allowed="a number in (0, 1]"
        )
    change = difference(twin, record)
    refuse_older(twin, "" if allow_older else change.older)
    if change.nothing:
        return replace(twin, record=record), twin.info
    anew = population is not None and not population.knows(record)
    if not change.taken_away and (twin.failed or (anew and twin.info.verdict != PASS)):
        return _not_carried_on(
            twin, record, change, random_seed, rejuvenate_below, population if anew else None, accuracy
        )
    if change.taken_away:
        return _restart(twin, record, change, random_seed, rejuvenate_below, population, earlier, accuracy)
    begin = clock.perf_counter()
    with jax.enable_x64(True):
        twin = twin.at_asked_size(np.random.default_rng([random_seed, twin.updates]))
        moved, info = _forward(twin, record, change, random_seed, rejuvenate_below, accuracy, population)
        if info.verdict != PASS:
            moved, info = _last_rung(twin, record, info, random_seed, population, accuracy)
        elif 0 < anchor_every <= 1 + since_scratch(twin.history) and population is not None:
            moved, info = _anchored(moved, info, random_seed, population, accuracy)
    info = replace(info, seconds=clock.perf_counter() - begin)
    return replace(moved, updates=twin.updates + 1, history=(*twin.history, info), refusals=twin.refusals), info


def _not_carried_on(twin, record, change, random_seed, rejuvenate_below, population, accuracy):
    """From scratch after a check that failed; without a population for that the twin stays as it is, withheld."""
    with jax.enable_x64(True):  # what it expects still counts, for scores and alarms
        seen = expected(twin, solve_through(twin, record, change, accuracy), surprise_rng(twin, random_seed))
    said, kept = "the last check failed, and a twin that failed is not carried on", {"surprise": seen}
    if population is not None:
        why = replace(change, why=said)
        moved, info = _restart(twin, record, why, random_seed, rejuvenate_below, population, (), accuracy)
        info = replace(info, **kept)
        return replace(moved, history=(*twin.history, info)), info
    kept |= {"log_evidence": 0.0, "log_evidence_error": 0.0, "new_labs": len(change.new_labs), "seconds": 0.0}
    info = replace(twin.info, verdict=WITHHELD, reasons=(said, NO_POPULATION), stood=True, **kept)
    return replace(twin, updates=twin.updates + 1, history=(*twin.history, info)), info


def _forward(twin, record, change, random_seed, rejuvenate_below, accuracy, population):
    """Rungs 1 and 2 for information added; population : that the next rung would start from, or None."""
    stood = twin.finer
    twin, newer = carried_through(twin, record, change, accuracy)
    model, islands, data = twin.model, twin.islands, compile_record(twin.model, record, finer=twin.finer)
    surprise = expected(twin, newer, surprise_rng(twin, random_seed))
    made, check = _reweighted(twin, newer)
    path, enough = "reweight", rejuvenate_below * made.psi.shape[0]
    # few particles of each draw are weighed among themselves in a cut posterior: moves make that right
    if not (twin.feedback and effective_size(made.log_weights, islands) >= enough and check.pareto_k <= 0.7):
        made, check = _rejuvenated(twin, data, seen_labs(model, record, change), newer, random_seed, accuracy)
        path = "rejuvenate"
    counts = {"new_labs": len(change.new_labs), "started": data.relevant}
    at_hand = partial(_draws_at_hand, population if twin.feedback else None, record)
    counts |= {"population_draws": twin.population.draws, "most_draws": at_hand}
    why = (*(() if twin.feedback else (CUT,)), *(told(model, twin.finer) if twin.finer > stood else ()))
    info = judge(model, made, check, islands, path, why, surprise=surprise, **counts)
    far = [f"{s.output} at {s.time:g}" for s in surprise if not s.tail >= ALL_BUT_IMPOSSIBLE]
    if far:
        lost = f"a mode may have been lost: {', '.join(far)} was all but impossible before"
        info = replace(info, verdict=WITHHELD, reasons=(*info.reasons, lost))
    moved = replace(
        twin,
        record=record,
        particles=made,
        time=information_time(record),
        applied=start_applied(model, record),
        random_seed=random_seed,
    )
    return moved, info


def _draws_at_hand(population, record) -> int:
    """Draws that the next rung may take, 0 where it cannot be walked."""
    return 0 if population is None or population.knows(record) else population.size


def _reweighted(twin, newer):
    """Rung 1: the weights times the ratio of the targets; (Particles, BridgeInfo)."""
    gain = np.asarray(where_it_stands(newer.made) - newer.stands)
    joint = np.asarray(twin.particles.log_weights) + np.where(np.isfinite(gain), gain, -np.inf)
    made = newer.made._replace(log_weights=jnp.asarray(normalised(joint, twin.islands)))
    evidence = log_sum_exp(joint.reshape(twin.islands, -1), axis=1)
    failures = float((~newer.pieces.ok).mean())
    unique = unique_particles(made.psi)
    return made, BridgeInfo(1, 0, float("nan"), pareto_k(joint), unique, evidence, failures)


def _rejuvenated(twin, data, known, newer, random_seed, accuracy):
    """Rung 2: tempered moves on the full history, from the twin as it stood; (Particles, BridgeInfo).

    data : PatientData of the newer record; known : which of its labs the twin has learnt
    """
    old = twin.particles
    return bridge(
        twin.model,
        old.psi,
        old.draw,
        old.log_weights,
        twin.population,
        with_seen(data, known),
        key=jax.random.fold_in(jax.random.key(random_seed), twin.updates + 1),
        islands=twin.islands,
        rho=twin.rho,
        from_scratch=False,
        keep_draws=twin.from_fit,
        feedback=twin.feedback,
        start_from=newer.stands,
        accuracy=accuracy,
    )


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
                anchor_every=0,
                allow_older=True,
                accuracy=accuracy,
            )
            if difference(candidate, record).nothing:  # the check of that twin; this update has learnt nothing
                info = replace(info, surprise=(), new_labs=0)
            info = replace(
                info, reasons=(f"restart from the twin of update {candidate.updates}: {change.why}", *info.reasons)
            )
            return replace(moved, updates=twin.updates + 1, history=(*twin.history, info), refusals=twin.refusals), info
    if population is None:
        raise FitError(
            f"the record changed in its past ({change.why}), and no population was given to start again from",
            subject=f"patient {twin.key}",
            next_step="Give the population that the twin started from: population= of update_twin, or --population.",
        )
    seen, unseen = _arrived_beside(twin, record, change, random_seed, population, accuracy)
    why = (f"restart from scratch: {change.why}", *unseen)
    rebuilt, info = _from_scratch(twin, record, why, random_seed, population, accuracy)
    info = replace(info, surprise=seen, new_labs=len(change.new_labs))
    return replace(rebuilt, updates=twin.updates + 1, history=(*twin.history, info), refusals=twin.refusals), info


def _arrived_beside(twin, record, change, random_seed, population, accuracy):
    """Surprise of labs that came together with what was taken away or changed, by a twin of the record without them;
    of those that it cannot say anything of, that they were not forecast."""
    arrived = arrivals(twin, record, change) if change.taken_away else ()
    if not arrived:
        return (), ()
    without = replace(record, labs=tuple(lab for lab in record.labs if lab not in arrived))
    before, check = _from_scratch(twin, without, (), random_seed, population, accuracy, once=True)
    beside = difference(before, record)
    if check.verdict != PASS or beside.taken_away:
        named = ", ".join(f"{lab.output} at {lab.time:g}" for lab in arrived)
        return (), (f"not forecast before they were learnt: {named}",)
    with jax.enable_x64(True):
        return expected(before, solve_through(before, record, beside, accuracy), surprise_rng(twin, random_seed)), ()


def _from_scratch(twin, record, reasons, random_seed, population, accuracy, **rungs):
    """The rungs that begin from scratch, for the particles that the twin is to have; rungs : as `from_scratch`."""
    return from_scratch(
        population,
        record,
        size=twin.asked_size,
        islands=twin.islands,
        population_draws=twin.population.draws,
        random_seed=random_seed,
        rho=twin.rho,
        feedback=twin.feedback,
        accuracy=accuracy,
        reasons=reasons,
        **rungs,
    )


def _anchored(moved, info, random_seed, population, accuracy):
    """The twin rebuilt from scratch, with what the update says of the new labs and the gap between the two."""
    if population.knows(moved.record):
        return moved, info
    rebuilt, check = _from_scratch(moved, moved.record, (), random_seed, population, accuracy, once=True)
    return anchored(moved, info, rebuilt, check)


def _last_rung(twin, record, failed, random_seed, population, accuracy):
    """Rungs 3 and 4: the oracle with more of what was too few, then NUTS; withheld without a population."""
    why = "; ".join(failed.reasons)
    if population is None or population.knows(record):
        # the twin stays where it stood: a record marked as seen would never be learnt
        return twin, replace(failed, verdict=WITHHELD, reasons=(*failed.reasons, NO_POPULATION), stood=True)
    reasons = (f"from scratch with {more_of(after(failed)[0], failed.few_draws)}, because {why}",)
    rebuilt, info = _from_scratch(twin, record, reasons, random_seed, population, accuracy, failed=failed)
    rebuilt = replace(rebuilt, updates=twin.updates)
    kept = ("surprise", "new_labs", "log_evidence", "log_evidence_error")  # of the new labs, not of the whole record
    return rebuilt, replace(info, **{name: getattr(failed, name) for name in kept})
