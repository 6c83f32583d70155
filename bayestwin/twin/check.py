"""The numerical check of an update: thresholds and verdict in one place."""

from collections.abc import Callable

import numpy as np

from bayestwin.twin.few_draws import FEWEST_DRAWS, draws_error
from bayestwin.twin.grid import MOST_FAILED
from bayestwin.twin.particles import (
    LARGEST_CLASS_GAP,
    LARGEST_GAP,
    LARGEST_K,
    effective_draws,
    effective_size,
    half_gaps,
    island_gaps,
    island_means,
)
from bayestwin.twin.state import PASS, WITHHELD, UpdateInfo
from bayestwin.twin.target import class_weights

SMALLEST_ESS = 400.0
SAID_FAILURES = 0.01  # share of proposals on which the solver gave up
ISLANDS = 8  # of the agreed eight: what their largest gaps are as an error of the mean
LARGEST_DRAWS_ERROR = LARGEST_GAP / np.sqrt(ISLANDS)  # of a posterior mean, in posterior SDs
LARGEST_CLASS_ERROR = LARGEST_CLASS_GAP / np.sqrt(ISLANDS)  # of the chance of a response class


def judge(
    model,
    particles,
    check,
    islands: int,
    path: str,
    reasons: tuple[str, ...],
    *,
    population_draws: int,
    most_draws: Callable[[], int] = lambda: 0,
    new_labs: int,
    started,
    surprise=(),
) -> UpdateInfo:
    """Verdict on weighted particles. population_draws : M, of which some may have no particle left

    most_draws : says how many the population holds, 0 where it is not at hand

    ESS is asked to reach 400, or a tenth of the particles where there are fewer than 4,000; islands agree where the SD
    of their means is under 0.4 posterior SD in every individual parameter the record speaks of. Where population draws
    are few (see `few_draws`) the check fails if the population holds more, and else says so: the twin rests on all.
    """
    size = particles.psi.shape[0]
    ess = effective_size(particles.log_weights, islands)
    means = island_means(particles.psi, particles.log_weights, islands)
    w = np.exp(np.asarray(particles.log_weights)) / islands
    centre = (w[:, None] * np.asarray(particles.psi)).sum(0)
    gaps = island_gaps(particles.psi, particles.log_weights, islands)
    relevant = np.array([_speaks(model, name, started) for name in model.individual_names])
    worst = int(np.argmax(np.where(relevant, gaps, -1.0)))
    found = list(reasons)
    failed = []
    if not ess >= min(SMALLEST_ESS, 0.1 * size):
        failed.append(f"ESS {ess:.0f} under {min(SMALLEST_ESS, 0.1 * size):.0f}")
    if check.unique < min(SMALLEST_ESS, 0.1 * size):  # copies of few particles have equal weights and a fine ESS
        failed.append(f"only {check.unique} distinct particles")
    if not check.pareto_k <= LARGEST_K:
        failed.append(f"k-hat {check.pareto_k:.2f} above {LARGEST_K}")
    if gaps[worst] > LARGEST_GAP and relevant[worst]:
        failed.append(
            f"islands disagree on {model.individual_names[worst]} (SD of means {gaps[worst]:.2f} posterior SD)"
        )
    if particles.log_class.shape[-1] > 1:
        classes = island_means(class_weights(particles), particles.log_weights, islands).std(axis=0, ddof=1).max()
        if classes > LARGEST_CLASS_GAP:
            failed.append(f"islands disagree on the response class (SD {classes:.2f})")
    failed += _halves_apart(model, particles, w, islands, relevant)
    # where a category is missing, each draw stands once for every level
    draw = np.asarray(particles.draw) % population_draws
    alive = effective_draws(draw, particles.log_weights)
    draws_error, too_few = _few_draws(model, particles, w, draw, relevant)
    few = bool(too_few) and population_draws < most_draws()
    if too_few and FEWEST_DRAWS <= population_draws:
        left = f"the weight of {alive:.1f} of {population_draws} population draws is left: {too_few}"
        (failed if few else found).append(left + (f"; the population holds {most_draws()}" if few else ""))
    if check.failures > SAID_FAILURES:
        said = f"the solver gave up on {1000 * check.failures:.2g} in 1,000 proposals"
        (failed if check.failures > MOST_FAILED else found).append(said)
    if not np.isfinite(w).all() or not np.isfinite(centre).all():
        failed.append("no particle explains the record")
    error = means.std(axis=0, ddof=1) / np.sqrt(islands)
    evidence = np.asarray(check.log_evidence)
    return UpdateInfo(
        path=path,
        verdict=WITHHELD if failed else PASS,
        ess=ess,
        pareto_k=float(check.pareto_k),
        unique_particles=int(check.unique),
        acceptance=float(check.acceptance),
        ess_population_draws=alive,
        island_agreement=float(gaps[worst]),
        monte_carlo_error={name: float(e) for name, e in zip(model.individual_names, error)},
        surprise=tuple(surprise),
        log_evidence=float(evidence.mean()),
        log_evidence_error=float(evidence.std(ddof=1) / np.sqrt(islands)),
        solver_failures=float(check.failures),
        stages=int(check.stages),
        moves=int(check.moves),
        reasons=(*found, *failed),
        new_labs=new_labs,
        draws_error=draws_error,
        few_draws=few,
        nothing_else=few and len(failed) == 1,
    )


def _halves_apart(model, particles, weights, islands, relevant):
    """That the halves of the islands, each with proposals of its own, disagree where islands of a half agree."""
    psi, said = np.asarray(particles.psi), []
    sd = np.sqrt(weights @ (psi - weights @ psi) ** 2)
    apart = half_gaps(psi, particles.log_weights, islands)
    apart = np.where(relevant, np.divide(apart, sd, out=np.zeros_like(sd), where=sd > 0), 0.0)
    worst = int(np.argmax(apart))
    if apart[worst] > LARGEST_GAP:
        name = model.individual_names[worst]
        said.append(f"halves of the islands disagree on {name} (SD of means {apart[worst]:.2f} posterior SD)")
    classes = half_gaps(class_weights(particles), particles.log_weights, islands).max()
    if classes > LARGEST_CLASS_GAP:
        said.append(f"halves of the islands disagree on the response class (SD {classes:.2f})")
    return said


def _few_draws(model, particles, weights, draw, relevant):
    """Largest error because population draws are few, in posterior SDs, and what they are too few for, or ""."""
    if not np.isfinite(weights).all():
        return 0.0, ""
    psi, classes = np.asarray(particles.psi), class_weights(particles)
    sd = np.sqrt(weights @ (psi - weights @ psi) ** 2)
    error = draws_error(np.concatenate([psi, classes], axis=1), weights, draw)
    of_mean, of_class = error[: len(sd)], float(error[len(sd) :].max())
    of_mean = np.where(relevant, np.divide(of_mean, sd, out=np.zeros_like(sd), where=sd > 0), 0.0)
    worst, said = int(np.argmax(of_mean)), []
    if effective_draws(draw, particles.log_weights) < FEWEST_DRAWS:
        said.append("ranges of knowledge rest on few")
    if of_mean[worst] > LARGEST_DRAWS_ERROR:
        said.append(f"other draws would move {model.individual_names[worst]} by {of_mean[worst]:.2f} posterior SD")
    if of_class > LARGEST_CLASS_ERROR:
        said.append(f"other draws would move the chance of a response class by {100 * of_class:.0f} in 100")
    return float(of_mean[worst]), "; ".join(said)


def _speaks(model, name, started) -> bool:
    """True where the record can say something of a parameter.

    Of drift steps, the frailty and treatments not started it cannot.
    """
    if name not in model.parameter_names:
        return False
    treatment = model.parameters[model.parameter_names.index(name)].treatment
    if not treatment:
        return True
    return any(cls.treatment == treatment and started[k] > 0 for k, cls in enumerate(model.response_classes))
