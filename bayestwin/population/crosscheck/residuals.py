"""Residual errors in PyMC: how likely the labs are, given what is expected, from the definitions in
`specification.observations` and PyMC's own distributions.

    measured          density of Normal, LogNormal or Student-t       beyond a limit   its distribution function
    right-censored    P(Y > L) = P(-Y < -L), again a distribution function: its logarithm is never that of a difference
    a serially correlated departure    all labs of a patient at once: MvNormal(location, diag(scale^2) + l l' K),
                                       K_jk = sd^2 exp(-|t_j - t_k| / time), l the loading; measured labs only
"""

from typing import NamedTuple

import numpy as np

from bayestwin.labs import TINY
from bayestwin.specification.observations import Additive, Combined, LogNormalError, Proportional


class LabRows(NamedTuple):
    """Labs of one output, n of them: patient (n,) and row (n,) within the patient's labs; time, value (n,), of a
    censored one its limit; censoring (n,) "none", "left" or "right"."""

    patient: np.ndarray
    row: np.ndarray
    time: np.ndarray
    value: np.ndarray
    censoring: np.ndarray

    def of(self, censoring: str) -> "LabRows":
        """Those censored so."""
        return LabRows(*(part[self.censoring == censoring] for part in self))


def lab_rows(model, records) -> dict[str, LabRows]:
    """Labs of every output of a model, in the order in which a patient's labs are compiled."""
    found = {}
    for name in model.observation_index:
        rows = [
            (n, i, lab.time, lab.value, lab.censoring)
            for n, record in enumerate(records)
            for i, lab in enumerate(lab for lab in record.labs if lab.output in model.observation_index)
            if lab.output == name
        ]
        columns = zip(*rows) if rows else ((),) * 5
        kinds = (int, int, float, float, str)
        found[name] = LabRows(*(np.array(column, dtype=kind) for column, kind in zip(columns, kinds)))
    return found


def add_labs(observation, sigma: dict, rows: LabRows, expected) -> None:
    """Add the labs of one output to the PyMC model in hand.

    sigma : name -> value of its residual parameters; expected : (N, L) for all patients' labs
    """
    import pymc as pm
    import pytensor.tensor as pt

    for censoring in ("none", "left", "right"):
        mine = rows.of(censoring)
        if not len(mine.value):
            continue
        location, scale = error_of(observation, sigma, expected[mine.patient, mine.row])
        limit = np.log(np.maximum(mine.value, TINY)) if observation.log_scale else mine.value
        name = observation.output if censoring == "none" else f"{observation.output}_{censoring}_of_limit"
        if censoring == "none":
            shape(observation, location, scale, name=name, observed=limit)
            if observation.log_scale:  # the density of the value, not of its logarithm
                pm.Potential(f"{name}_natural_scale", pt.as_tensor(-limit.sum()))
        elif censoring == "left":
            pm.Potential(name, pm.logcdf(shape(observation, location, scale), limit).sum())
        else:
            pm.Potential(name, pm.logcdf(shape(observation, -location, scale), -limit).sum())


def add_departing_labs(observation, sigma: dict, rows: LabRows, expected, values: dict) -> None:
    """The same for an output with a serially correlated departure.

    values : name -> (N,) values of the parameters, of which one may scale a patient's departure
    """
    import pymc as pm
    import pytensor.tensor as pt

    patients = np.unique(rows.patient)
    places = [np.flatnonzero(rows.patient == n) for n in patients]
    longest = max(len(place) for place in places)
    # every patient as long as the longest; what is added are standard normals at 0, independent of the rest
    at = np.array([np.pad(place, (0, longest - len(place))) for place in places])
    real = np.array([np.arange(longest) < len(place) for place in places])
    f = expected[rows.patient[at], rows.row[at]]
    location, scale = error_of(observation, sigma, f)
    loading = pt.where(real, loading_of(observation, sigma, f, values, patients), 0.0)
    apart = np.abs(rows.time[at][:, :, None] - rows.time[at][:, None, :])
    wander = sigma[f"serial_sd_{observation.output}"] ** 2 * pt.exp(-apart / sigma[f"serial_time_{observation.output}"])
    own = pt.where(real, scale * pt.ones(real.shape), 1.0) ** 2
    covariance = loading[:, :, None] * loading[:, None, :] * wander + own[:, :, None] * np.eye(longest)
    value = np.log(np.maximum(rows.value[at], TINY)) if observation.log_scale else rows.value[at]
    gap = pt.where(real, value - location, 0.0)
    density = pm.logp(pm.MvNormal.dist(mu=np.zeros(longest), cov=covariance), gap).sum()
    added = -0.5 * np.log(2.0 * np.pi) * (~real).sum() + (value[real].sum() if observation.log_scale else 0.0)
    pm.Potential(observation.output, density - added)


def loading_of(observation, sigma: dict, expected, values: dict, patients):
    """What the departure is multiplied with, up to three times as much where little is expected, (n, L)."""
    import pytensor.tensor as pt

    serial, loading = observation.error.serial, pt.ones_like(expected)
    if serial.low is not None:
        low, level = sigma[f"serial_low_{observation.output}"], pt.maximum(expected, 0.0)
        loading = (low + level) / (low / 3.0 + level)
    return loading if serial.scaled_by is None else loading * values[serial.scaled_by][patients][:, None]


def shape(observation, location, scale, *, name=None, observed=None):
    """The distribution of an observation on its error scale; observed under a name, else free of the model."""
    import pymc as pm

    nu = observation.error.nu
    kind, more = (pm.Normal, {}) if nu is None else (pm.StudentT, {"nu": float(nu)})
    if name is None:
        return kind.dist(mu=location, sigma=scale, **more)
    return kind(name, mu=location, sigma=scale, observed=observed, **more)


def error_of(observation, sigma: dict, expected):
    """Location and SD (of Student-t: scale) of the error, on the log scale for log-normal errors."""
    import pytensor.tensor as pt

    of = observation.output
    match observation.error:
        case LogNormalError(low=low):
            level, scale = pt.maximum(expected, TINY), sigma[f"sigma_log_{of}"]
            if low is not None:
                near = sigma[f"sigma_low_{of}"] / (sigma[f"sigma_low_{of}"] + level)
                scale = pt.sqrt(pt.sqr(scale) + pt.sqr(near))
            return pt.log(level), scale
        case Additive():
            return expected, sigma[f"sigma_add_{of}"]
        case Proportional():
            return expected, pt.maximum(sigma[f"sigma_prop_{of}"] * pt.abs(expected), TINY)
        case Combined():
            return expected, pt.sqrt(pt.sqr(sigma[f"sigma_add_{of}"]) + pt.sqr(sigma[f"sigma_prop_{of}"] * expected))
