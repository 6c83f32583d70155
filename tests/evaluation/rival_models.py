"""Small models and records for the tests of the rivals."""

import numpy as np

from bayestwin.records import ClinicalEvent, Cohort, Lab, PatientRecord
from bayestwin.specification import (
    Additive,
    Fixed,
    LogNormal,
    LogNormalError,
    Model,
    Observation,
    Parameter,
    Treatment,
)

ON, OFF = "androgen_deprivation", "pause"


def marker_model(*, log_scale=True, nu=None) -> Model:
    """One marker that no rival but `own_map` asks the equations of; two treatments."""
    error = LogNormalError(sd=Fixed(value=0.2), nu=nu) if log_scale else Additive(sd=Fixed(value=0.2), nu=nu)
    return Model(
        name="marker",
        time_unit="day",
        states=("a",),
        initial_state=lambda p: {"a": 0.0},
        vector_field=lambda t, y, p, u: {"a": 0.0 * y.a},
        parameters=(
            Parameter("level", unit="ng/mL", scale="log", typical=LogNormal(median=1.0, sd_log=1.0), source="made up"),
        ),
        outputs={"psa": lambda t, y, p, u: p.level},
        observations=(Observation("psa", unit="ng/mL", error=error, plausible=(0.001, 5000.0), positive=log_scale),),
        treatments=(Treatment(ON, label="androgen deprivation"), Treatment(OFF, label="pause")),
    )


def course(key, values, times, starts=(), *, known=None, censoring=None) -> PatientRecord:
    """A record of one marker; starts : (time, treatment)."""
    known, censoring = known or times, censoring or ["none"] * len(values)
    labs = (
        Lab(f"{t:g}", "psa", float(t), float(v), float(k), censoring=c)
        for t, v, k, c in zip(times, values, known, censoring)
    )
    events = (ClinicalEvent("line_of_therapy", float(t), float(t), name) for t, name in starts)
    return PatientRecord(key, labs=tuple(labs), events=tuple(events))


def random_walks(patients=40, labs=16, *, sd=0.5, seed=1) -> Cohort:
    """Random walks of ln marker with one step SD, a lab every four weeks."""
    rng = np.random.default_rng(seed)
    walks = np.cumsum(rng.normal(0.0, sd, (patients, labs)), axis=1)
    return Cohort(tuple(course(f"W-{i}", np.exp(w), 28.0 * np.arange(labs)) for i, w in enumerate(walks)))


def switching(patients=16, *, seed=1) -> Cohort:
    """Ln marker that falls to -1 on treatment and recovers to 2 in a pause, within weeks; each patient at a level."""
    rng, found = np.random.default_rng(seed), []
    for i in range(patients):
        starts, t = [], 1.0
        for k in range(4):
            starts.append((t, (ON, OFF)[k % 2]))
            t += rng.uniform(120.0, 240.0)
        y, values, times, level = 2.0, [], 14.0 * np.arange(48), rng.normal(0.0, 0.4)
        for time in times:
            now = next((name for start, name in reversed(starts) if start < time), OFF)
            y += (({ON: -1.0, OFF: 2.0}[now] - y) * (1.0 - np.exp(-14.0 / 60.0))) + rng.normal(0.0, 0.05)
            values.append(np.exp(y + level + rng.normal(0.0, 0.1)))
        found.append(course(f"S-{i}", values, times, starts))
    return Cohort(tuple(found))
