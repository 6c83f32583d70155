"""Replicates of a cohort: what a fitted population says that the same patients, doses and visits would have measured.

In replicate r one population draw m serves all patients; each patient gets a new psi ~ Normal(mean given covariates,
Omega_m), a response class by its chance, a path of every serially correlated departure, and residual errors. Nothing of
the patient's own labs enters but their times. Beside the replicates stands PRED, the prediction of a patient without
random effects, averaged over population draws; of what is counted or graded its mean.

Source: Holford (2005), PAGE 14, abstract 738 (visual predictive checks); Gelman, Meng and Stern (1996), Stat Sinica
6:733 (posterior predictive replicates).
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.dynamics.arrivals import EARLIER
from bayestwin.dynamics.timeline import TOGETHER
from bayestwin.errors import FitError
from bayestwin.individual import compile_record, informative_labs
from bayestwin.individual.data import used_sizes
from bayestwin.individual.residuals import as_reported, draw_observation
from bayestwin.prognosis.departures import along_labs, scaling_of
from bayestwin.twin.particles import population_for
from bayestwin.twin.target import class_shares, evaluator

COLUMNS = (
    "patient",
    "lab_id",
    "output",
    "time",
    "since_dose",
    "observed",
    "observed_to",
    "limit_flag",
    "limit",
    "laboratory",
    "scale",
    "pred",
)


@dataclass(frozen=True, eq=False)
class Replicates:
    """labs : DataFrame, a row per lab of the cohort (COLUMNS), N of them; simulated (R, N) : values on the natural
    scale, never censored; failures : share of solves that failed and left NaN"""

    model: Any
    labs: Any
    simulated: np.ndarray
    failures: float

    def of(self, output: str) -> "Replicates":
        """The labs of one output."""
        mine = (self.labs["output"] == output).to_numpy()
        if not mine.any():
            raise FitError("no lab of this output", value=output, allowed=", ".join(dict.fromkeys(self.labs["output"])))
        return Replicates(self.model, self.labs[mine].reset_index(drop=True), self.simulated[:, mine], self.failures)


def replicates(population, cohort, *, random_seed: int, count: int = 300, progress=False) -> Replicates:
    """Simulate the labs of every patient `count` times.

    Parameters
    ----------
    population : PopulationPosterior
    cohort : Cohort                 usually the fitted one
    count : int                     replicates, each from a population draw of its own (evenly through the chains)

    Raises
    ------
    FitError        no patient has a lab of the model's outputs
    """
    import pandas as pd
    from tqdm import tqdm

    model, rng = population.model, np.random.default_rng(random_seed)
    known = [record for record in cohort if any(lab.output in model.observation_index for lab in record.labs)]
    if not known:
        raise FitError(
            "no patient has a lab", subject=f"model {model.name}", next_step="Give labs of the model's outputs."
        )
    rows, columns, failed = [], [], 0.0
    with jax.enable_x64(True):
        compiled = [compile_record(model, record) for record in known]
        sizes = tuple(np.max([used_sizes(data) for data in compiled], axis=0))
        hyper, _ = population.hyper_draws(count)
        draws = np.arange(len(np.asarray(hyper.sigma)))
        draws = np.resize(draws, count)
        for record in tqdm(known, unit="patient", disable=not progress):
            data = jax.tree.map(jnp.asarray, compile_record(model, record, sizes=sizes))
            pop = population_for(model, hyper, data.terms)
            labs = informative_labs(model, record)
            values, pred, bad = _simulated(model, labs, data, pop, population.rho, draws, rng)
            columns.append(values)
            failed += bad / len(known)
            rows += [_row(model, record, lab, p) for lab, p in zip(labs, pred)]
    return Replicates(model, pd.DataFrame(rows, columns=list(COLUMNS)), np.concatenate(columns, axis=1), failed)


def _simulated(model, labs, data, pop, rho, draws, rng):
    """(R, N) simulated values, (N,) PRED, share of failed solves."""
    draws = pop.with_level(draws, rng)
    noise = rng.standard_normal((len(draws), pop.mean.shape[1]))
    mean, scale, sigma = (np.asarray(a)[draws] for a in (pop.mean, pop.scale, pop.sigma))
    psi = mean + np.einsum("pde,pe->pd", scale, noise)
    run = evaluator(model, NO_GRADIENT)
    pieces, plain = (run(jnp.asarray(a), jnp.asarray(draws), pop, data, rho) for a in (psi, mean))
    chance = np.exp(np.asarray(pieces.log_class))
    chance = chance / chance.sum(axis=1, keepdims=True)
    classes = (rng.random((len(draws), 1)) > np.cumsum(chance, axis=1)[:, :-1]).sum(axis=1)
    own = np.arange(len(draws)), classes
    ok = np.asarray(pieces.ok)[own]
    predicted = np.where(ok[:, None], np.asarray(pieces.prediction)[own][:, : len(labs)], np.nan)
    predicted = along_labs(model, labs, predicted, sigma, scaling_of(model, pop, psi, draws), rng)
    seen = np.empty_like(predicted)
    for n, lab in enumerate(labs):
        k = model.observation_index[lab.output]
        assay = model.observations[k].assay_of(lab)
        seen[:, n] = draw_observation(model, k, rng, predicted[:, n], sigma, assay=assay)
    pred, _ = expected_values(model, labs, plain, class_shares(plain.log_class), sigma)
    return seen, pred, float((~ok).mean())


def expected_values(model, labs, pieces, share, sigma):
    """What is expected of every lab as it would be reported: its mean over draws (N,), and by draw (P, N).

    pieces : ClassLikelihood of P draws; share (P, C) : of the response classes; sigma (P, R)
    """
    expected = np.array(np.asarray(pieces.prediction)[:, :, : len(labs)])
    for n, lab in enumerate(labs):
        k = model.observation_index[lab.output]
        expected[:, :, n] = as_reported(model, k, expected[:, :, n], sigma[:, None, :])
    ok = np.asarray(pieces.ok)
    by_draw = np.einsum("pc,pcn->pn", share, np.where(ok[:, :, None] | (share[:, :, None] > 0), expected, 0.0))
    return by_draw.mean(axis=0), by_draw


def _row(model, record, lab, pred) -> dict:
    """One lab as it was measured, beside its typical prediction."""
    observation = model.observations[model.observation_index[lab.output]]
    return {
        "patient": record.key,
        "lab_id": lab.lab_id,
        "output": lab.output,
        "time": lab.time,
        "since_dose": _since_dose(record, lab),
        "observed": lab.value,
        "observed_to": np.nan if lab.upper is None else lab.upper,
        "limit_flag": lab.censoring,
        "limit": _own_limit(observation, lab),
        "laboratory": lab.laboratory,
        "scale": "ln" if observation.log_scale else "natural",
        "pred": float(pred),
    }


def _own_limit(observation, lab) -> float:
    """Lower limit that a lab says of itself; NaN for none. A finding lies on one side of the limit it says."""
    says = lab.censoring in ("none", "left") or bool(observation.findings)
    return np.nan if not says or lab.limit is None or lab.upper is not None else lab.limit


def _since_dose(record, lab) -> float:
    """Time since the last dose that the lab sees, additional doses among them; NaN before the first.

    At equal times rows follow each other in their order, and additional doses come before all of them but a trough.
    """
    given: list[tuple[float, float]] = []
    for dose in record.doses:
        if dose.reset or dose.ss == 1:  # cancels what earlier rows still had to give
            given = [one for one in given if one[0] <= dose.time]
        if dose.amount > 0 or dose.ss:
            given += [(dose.time + k * dose.ii, EARLIER if k else dose.order) for k in range(dose.addl + 1)]
    rounding = TOGETHER * (1.0 + abs(lab.time))
    waits = [(lab.time - time, order) for time, order in given]
    seen = [wait for wait, order in waits if wait > rounding or (wait >= -rounding and order < lab.order)]
    return max(min(seen), 0.0) if seen else np.nan
