"""Simulation-based calibration and recovery of the population fit.

    theta* ~ priors of the model file      psi_i ~ p(psi | theta*)      labs ~ p(labs | psi_i, theta*)      fit
    PIT of a parameter = (draws below theta*_q, ties shared out at random, + u) / (draws + 1),   u uniform on 0 to 1

Over many data sets the PITs of every parameter are uniform if the posterior is right, and its 90 % intervals hold the
truth in 90 of 100. Draws are thinned for the PIT, since those of a chain hang together. One file per data set: a study
that was stopped goes on where it stood, and refuses to go on under another setting.

Sources: Talts et al. (2018), arXiv:1804.06788; Sailynoja, Burkner and Vehtari (2022), Statistics and Computing 32:32.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.errors import FitError, ModelError, StoreError
from bayestwin.evaluation.scores import holm
from bayestwin.evaluation.verification.calibration_verdict import uniform_p
from bayestwin.evaluation.verification.equality import FALSE_ALARM
from bayestwin.individual import class_likelihood, compile_record, draw_prior, informative_labs, padded_alike
from bayestwin.individual.residuals import draw_observation
from bayestwin.population.alike import How, fit_alike
from bayestwin.population.hyper import assemble
from bayestwin.population.prior import draw_of_priors
from bayestwin.population.site_factors import with_sites_of
from bayestwin.records import Cohort

THIN = 4
LEVEL = 0.9
RECOVERED = (0.86, 0.94)  # of 400 data sets a right fit leaves this in one parameter of a hundred


@dataclass(frozen=True)
class FitCalibration:
    """What a study found; rows (DataFrame): data_set, quantity, pit, covered, truth, mean, sd, diverging."""

    rows: Any

    @cached_property
    def summary(self):
        """One line per parameter (DataFrame): data sets, mean PIT, p of uniformity alone and adjusted (Holm), share of
        90 % intervals that hold the truth, and whether that lies within RECOVERED."""
        import pandas as pd

        lines = []
        for quantity, part in self.rows.groupby("quantity", sort=False):
            p, covered = uniform_p(part["pit"]), part["covered"].mean()
            line = {"quantity": quantity, "data_sets": len(part), "mean_pit": part["pit"].mean(), "p": p}
            lines.append(line | {"covered": covered, "recovered": RECOVERED[0] <= covered <= RECOVERED[1]})
        table = pd.DataFrame(lines)
        table["p_adjusted"] = holm(table["p"])
        table["calibrated"] = table["p_adjusted"] >= FALSE_ALARM
        return table

    @property
    def miscalibrated(self) -> tuple[str, ...]:
        """Parameters whose ranks leave the simultaneous band."""
        return tuple(self.summary.loc[~self.summary["calibrated"], "quantity"])

    @property
    def sentence(self) -> str:
        """The result in words."""
        table, sets = self.summary, self.rows["data_set"].nunique()
        diverged = int(self.rows.groupby("data_set")["diverging"].first().gt(0).sum())
        verdict = f"NOT CALIBRATED: {', '.join(self.miscalibrated)}" if self.miscalibrated else "all are calibrated"
        worst, low, high = table.loc[table["p"].idxmin()], table["covered"].min(), table["covered"].max()
        return (
            f"{sets} data sets, {len(table)} parameters: {verdict} (least p {worst['p']:.2g} of {worst['quantity']}, "
            f"adjusted {worst['p_adjusted']:.2g}; under {FALSE_ALARM:g} would say otherwise). 90 % intervals held the "
            f"truth in {low:.1%} to {high:.1%}. {diverged} fits had divergences."
        )

    def __repr__(self) -> str:
        return f"<FitCalibration: {self.sentence}>"


def calibrate_fit(
    model,
    design: Cohort,
    *,
    data_sets: int,
    folder,
    random_seed: int,
    how: How = How(),
    batch: int = 20,
    told: Callable[[Cohort], Cohort] = lambda cohort: cohort,
    progress: Callable[[str], None] = lambda said: None,
) -> FitCalibration:
    """Simulate data sets from a model's priors, fit each, and look where the truths lie.

    Parameters
    ----------
    design : Cohort      patients with doses, covariates and labs, of whose values only the plan is used
    data_sets, batch     so many data sets, so many in one compiled program
    folder : path        one file per data set; what is there is not computed again
    told : callable      what the fit is told of the simulated cohort; to see the study fail on a fit that is wrong

    Raises
    ------
    StoreError      the folder holds a study of another setting
    ModelError      the model has response classes, hazards or serial departures, which are not simulated here
    """
    model = with_sites_of(model, design)
    _simulable(model)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _same_setting(folder, model, design, random_seed, how)
    waiting = [n for n in range(data_sets) if not _file(folder, n).is_file()]
    while waiting:
        now = waiting[:batch]
        numbers = [*now, *[data_sets + k for k in range(batch - len(now))]]  # filled up: one shape, one program
        truths, cohorts = zip(*(simulated_cohort(model, design, n, random_seed=random_seed) for n in numbers))
        fits = fit_alike(model, [told(c) for c in cohorts], random_seed=random_seed * 100_003 + now[0], how=how)
        for lane, (number, truth) in enumerate(zip(now, truths)):
            rng = np.random.default_rng([random_seed, number, 2])
            one = {name: values[lane] for name, values in fits.samples.items()}
            found = ranked(one, truth, rng)
            for row in found:
                row |= {"data_set": number, "diverging": int(fits.diverging[lane].sum())}
            draft = _file(folder, number).with_suffix(".part")
            draft.write_text(json.dumps(found), encoding="utf-8")
            draft.replace(_file(folder, number))
        waiting = waiting[batch:]
        progress(f"{data_sets - len(waiting)} of {data_sets} data sets")
    return read_calibration(folder)


def read_calibration(folder) -> FitCalibration:
    """What a folder holds so far.

    Raises
    ------
    FitError      no data set is there yet
    """
    import pandas as pd

    files = sorted(Path(folder).glob("data_set_*.json"))
    if not files:
        raise FitError("no data set was fitted yet", place=Path(folder).name, next_step="Run the study first.")
    return FitCalibration(pd.DataFrame([row for f in files for row in json.loads(f.read_text(encoding="utf-8"))]))


def simulated_cohort(model, design: Cohort, number: int, *, random_seed: int):
    """(truth, cohort) of one data set: site -> value, and the patients of the design with simulated labs."""
    model = with_sites_of(model, design)
    rng, records = np.random.default_rng([random_seed, number, 1]), tuple(design)
    with jax.enable_x64(True):
        drawn = _drawn(model, jax.random.key(int(rng.integers(2**31))), _stacked(model, records))
        truth, sigma, predicted = jax.tree.map(np.asarray, drawn)
    made = []
    for record, values in zip(records, predicted):
        labs = informative_labs(model, record)
        made.append(record.with_labs([_measured(model, lab, f, sigma, rng) for lab, f in zip(labs, values)]))
    return truth, Cohort(tuple(made))


def _stacked(model, records):
    """Arrays of the design, with a leading axis of patients."""
    data = padded_alike(model, records, [compile_record(model, r) for r in records])
    return jax.tree.map(lambda *a: jnp.stack([jnp.asarray(x) for x in a]), *data)


@partial(jax.jit, static_argnums=0)
def _drawn(model, key, data):
    """Population parameters from their priors, residual SDs (R,), predictions (N, L) of patients drawn from them."""
    key_sites, key_patients = jax.random.split(key)
    natural = draw_of_priors(model, key_sites)
    hyper = assemble(model, natural, 0.0)

    def one(key, own):
        psi = draw_prior(model, key, hyper, own.terms)
        pieces = class_likelihood(model, psi, hyper, own, accuracy=NO_GRADIENT)
        return pieces.prediction[jax.random.categorical(jax.random.fold_in(key, 2), pieces.log_class)]

    return natural, hyper.sigma, jax.vmap(one)(jax.random.split(key_patients, len(data.mask)), data)


def _measured(model, lab, prediction, sigma, rng):
    """The lab with a simulated value, or below its limit."""
    k = model.observation_index[lab.output]
    observation = model.observations[k]
    value = float(draw_observation(model, k, rng, prediction, sigma, assay=observation.assay_of(lab)))
    limit = observation.lower_limit
    if limit is not None and value < limit:
        return replace(lab, value=limit, censoring="left", limit=limit)
    return replace(lab, value=value, censoring="none", limit=None)


def ranked(samples: dict, truth: dict, rng: np.random.Generator) -> list[dict]:
    """Where the truth of each parameter lies in its draws: samples, site -> (chain, draw, ...)."""
    rows = []
    for name, values in samples.items():
        if "correlation_cholesky" in name:
            lower = values @ np.swapaxes(values, -1, -2), truth[name] @ truth[name].T
            pairs = [(i, j) for i in range(lower[1].shape[0]) for j in range(i)]
            word = name.replace("_cholesky", "")
            scalars = [(f"{word}[{i}, {j}]", lower[0][..., i, j], lower[1][i, j]) for i, j in pairs]
        elif np.ndim(truth[name]):  # one number for each laboratory
            scalars = [(f"{name}[{j}]", values[..., j], true) for j, true in enumerate(truth[name])]
        else:
            scalars = [(name, values, truth[name])]
        for label, own, true in scalars:
            few = own[:, ::THIN].ravel()
            low, high = np.quantile(own, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
            below, ties = int((few < true).sum()), int((few == true).sum())
            pit = (below + rng.integers(ties + 1) + rng.random()) / (len(few) + 1)
            about = {"truth": float(true), "mean": float(own.mean()), "sd": float(own.std(ddof=1))}
            rows.append({"quantity": label, "pit": float(pit), "covered": bool(low <= true <= high)} | about)
    return rows


def _file(folder: Path, number: int) -> Path:
    return folder / f"data_set_{number:04d}.json"


def _same_setting(folder: Path, model, design: Cohort, random_seed: int, how: How) -> None:
    """Write down the setting of a study, or refuse another one."""
    plan = [[asdict(lab) | {"value": 0.0} for lab in r.labs] + [repr(r.doses), str(dict(r.covariates))] for r in design]
    digest = hashlib.sha256(json.dumps(plan, sort_keys=True, default=str).encode()).hexdigest()
    setting = {"model": model.hash, "design": digest, "random_seed": random_seed, "how": repr(how)}
    place = folder / "setting.json"
    if not place.is_file():
        place.write_text(json.dumps(setting), encoding="utf-8")
        return
    held = json.loads(place.read_text(encoding="utf-8"))
    for name, value in setting.items():
        if held.get(name) != value:
            raise StoreError(
                "this folder holds a study of another setting",
                subject=folder.name,
                place=name,
                value=value,
                allowed=held.get(name),
                next_step="Take another folder, or the setting that it was begun with.",
            )


def _simulable(model) -> None:
    for what in ("response_classes", "hazards", "serial"):
        if getattr(model, what):
            raise ModelError(
                f"the calibration of a fit does not simulate {what.replace('_', ' ')}",
                subject=f"model {model.name}",
                allowed="models whose labs are independent given the parameters",
                next_step="verify-updates --simulate calibrates twins of such models.",
            )
