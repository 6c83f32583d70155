"""Forecasts that were kept, scored when their labs arrived: coverage and CRPS by horizon and treatment.

A prognosis holds, for every treatment asked for, quantiles of each output at fixed times. A lab drawn after its data
cut is scored against the row of what was in truth given: the treatment in force at the data cut, as long as nothing
else was started, or a treatment that was started within START_SLACK of when the forecast had it start. Other rows are
answers to questions that were not asked of the patient, and are not scored. Neither are labs of a laboratory or product
to which the model gives a factor of its own (`assay_scale`, `assay_bias`): a forecast is of the usual one, and its file
does not hold the factors (`of_another_assay` counts them).

Between its times and levels the forecast is read by interpolation: quantiles linearly in time, and the quantile
function linearly in the normal score of the level, on the error scale (ln for log-normal outputs), its end pieces
drawn out. CRPS is twice the pinball loss integrated over the levels, PIT the level at the lab; of a censored lab, the
CRPS of the censored distribution and a PIT drawn uniformly in its interval. What lies beyond an end of the plausible
range is forecast at that end, so a lab there is scored as one beyond it: by all the mass there. Of what is counted or
graded the quantile function is rounded to whole numbers, and the PIT drawn between the levels half a unit below and
above the value; of counts under about 5 the seven levels kept say the CRPS to 0.3 only (that of a replay is exact).

Source: Gneiting and Raftery (2007), JASA 102:359 (the quantile form of the CRPS).
"""

import zlib

import numpy as np

from bayestwin.dynamics import treatment_starts
from bayestwin.evaluation.predictions import UPPER
from bayestwin.evaluation.scores import clustered_means, coverage
from bayestwin.labs import TINY
from bayestwin.prognosis.courses import ends_of
from bayestwin.prognosis.result import QUANTILES
from bayestwin.twin.surprise import beyond_limits, pit_of
from bayestwin.units import convert

START_SLACK = 7.0  # days between when a treatment was thought to start and when it did
LEVELS = (0.5, 0.8, 0.95)
FINE = (np.arange(400) + 0.5) / 400
COLUMNS = (
    *("patient", "lab_id", "output", "time", "forecast_at", "horizon", "treatment", "observed", "limit_flag", "scale"),
    *("median", "low_80", "high_80", "crps", "pit"),
)
HORIZONS_MONTHS = (0.0, 1.0, 3.0, 6.0, 12.0, np.inf)


def score_kept(prognosis, record) -> list[dict]:
    """Rows (COLUMNS) of one prognosis: every lab of `record` after its data cut that it has forecast.

    prognosis : Prognosis; record : PatientRecord of the same patient as it is known now
    """
    starts, rows = treatment_starts(prognosis.model, record), []
    slack = convert(START_SLACK, "day", prognosis.model.time_unit)
    for lab in sorted(record.labs, key=lambda lab: (lab.time, lab.lab_id)):
        if lab.time <= prognosis.now:
            continue
        row = next((r for r in prognosis.rows if _came_true(r, starts, prognosis.now, lab.time, slack)), None)
        course = None if row is None else next((c for c in row.courses if c.output == lab.output), None)
        if course is None or lab.time > course.times[-1]:
            continue
        observation = prognosis.model.observations[prognosis.model.observation_index[lab.output]]
        if observation.assay_of(lab):
            continue
        rows.append(
            {"patient": record.key, "lab_id": lab.lab_id, "output": lab.output, "time": lab.time}
            | {"forecast_at": prognosis.now, "horizon": lab.time - prognosis.now, "treatment": row.plan.name}
            | {
                "observed": lab.value,
                "limit_flag": lab.censoring,
                "scale": "ln" if observation.log_scale else "natural",
            }
            | ({} if lab.upper is None else {UPPER: lab.upper})
            | _scored(course, lab, observation, _own_number(record.key, lab))
        )
    return rows


def of_another_assay(prognosis, record) -> set[tuple[str, float]]:
    """Labs after the data cut that are never scored: the model gives their laboratory or product its own factor."""
    model, found = prognosis.model, set()
    for lab in (lab for lab in record.labs if lab.time > prognosis.now and lab.output in model.observation_index):
        if model.observations[model.observation_index[lab.output]].assay_of(lab):
            found.add((lab.lab_id, lab.time))
    return found


def _came_true(row, starts, now: float, time: float, slack: float) -> bool:
    """Whether what was given until `time` is what this row assumed.

    A treatment that starts at the data cut itself may be the one in force to the forecast, or one that it asks for.
    """
    if row.refused or row.plan.policy is not None or row.plan.sequence:
        return False
    given = [name for start, name in starts if start < time]
    later = [(start, name) for start, name in starts if now <= start < time]
    if not row.plan.new:
        return given[-1:] == [row.plan.name] and all(start == now for start, _ in later)
    return [name for _, name in later] == [row.plan.name] and abs(later[0][0] - row.plan.start) <= slack


def _scored(course, lab, observation, u: float) -> dict:
    """Median, 80 % range, CRPS and PIT of one lab; u : where in its interval a PIT stands that is drawn."""
    if observation.discrete:
        return _scored_whole(course, lab, u)
    return _scored_measured(course, lab, observation, u)


def _scored_measured(course, lab, observation, u: float) -> dict:
    """The same of what is measured."""
    from scipy.special import ndtri

    known = np.array([np.interp(lab.time, course.times, q) for q in course.quantiles])
    low, high = ends_of(observation)
    ends = [min(max(end, low), high) for end in (lab.value, lab.upper) if end is not None]
    below, censoring = _below(known, ends, (low, high), observation.log_scale), lab.censoring
    if censoring == "none" and ends[0] in (low, high):  # so is all that is forecast beyond that end
        censoring = "left" if ends[0] == low else "right"
    if censoring == "interval":
        below = [0.0 if ends[0] == low else below[0], 1.0 if ends[-1] == high else below[-1]]
    on_scale = _on_scale(ends, observation.log_scale)
    drawn_out = _drawn_out(ndtri(FINE), ndtri(QUANTILES), _on_scale(known, observation.log_scale))
    crps = _crps(on_scale[0] - beyond_limits(drawn_out, on_scale, lab.censoring))
    pit = pit_of(below, censoring, u)
    return {"median": known[3], "low_80": known[1], "high_80": known[5], "crps": crps, "pit": pit}


def _below(known, at, ends, log_scale: bool) -> list[float]:
    """How much of a forecast lies up to the values `at` (and all at the lower of `ends`), less what is at the upper.

    known (7,) : its quantiles at QUANTILES. Those at one of `ends` say only how much is beyond it, at least: the curve
    goes through the others, and through the innermost at an end where fewer than two others are left.
    """
    from scipy.special import ndtr, ndtri

    z, low, high = ndtri(QUANTILES), known <= ends[0], known >= ends[1]
    least, most = z[low].max(initial=-np.inf), z[high].min(initial=np.inf)
    through = ~(low | high)
    if through.sum() < 2:
        through |= (z == least) | (z == most)
    if through.sum() < 2:
        through[:] = True
    rising = np.maximum.accumulate(_on_scale(known, log_scale)) + 1e-9 * np.arange(len(z))
    score = _drawn_out(_on_scale(at, log_scale), rising[through], z[through])
    return [float(p) for p in ndtr(np.clip(score, least, most))]


def _on_scale(values, log_scale: bool):
    """Values on the error scale."""
    return np.log(np.maximum(values, TINY)) if log_scale else np.asarray(values, dtype=float)


def _scored_whole(course, lab, u: float) -> dict:
    """The same of what is counted or graded."""
    from scipy.special import ndtr, ndtri

    known = np.array([np.interp(lab.time, course.times, q) for q in course.quantiles])
    z = ndtri(QUANTILES)
    crps = _crps(lab.value - np.maximum(np.round(_drawn_out(ndtri(FINE), z, known)), 0.0))
    rising = np.maximum.accumulate(known) + 1e-9 * np.arange(len(z))
    below = [float(p) for p in ndtr(_drawn_out(lab.value + np.array([-0.5, 0.5]), rising, z))]
    pit = pit_of(below, "interval", u)
    return {"median": known[3], "low_80": known[1], "high_80": known[5], "crps": crps, "pit": pit}


def _crps(error) -> float:
    """Twice the pinball loss over the levels FINE; error : the lab less the quantile function there."""
    return 2.0 * float(np.mean(np.where(error >= 0, FINE * error, (FINE - 1.0) * error)))


def _own_number(patient: str, lab) -> float:
    """A uniform number that belongs to this lab of this patient, for a randomised PIT: many have a lab of one name."""
    return np.random.default_rng(zlib.crc32(f"{patient}:{lab.lab_id}@{lab.time}".encode())).random()


def _drawn_out(at, x, y):
    """Piecewise linear interpolation of (x, y), x increasing, its first and last piece drawn out."""
    inside = np.interp(at, x, y)
    first = y[0] + (at - x[0]) * (y[1] - y[0]) / (x[1] - x[0])
    last = y[-1] + (at - x[-1]) * (y[-1] - y[-2]) / (x[-1] - x[-2])
    return np.where(at < x[0], first, np.where(at > x[-1], last, inside))


def scoreboard(rows, *, time_unit: str = "day", random_seed: int, probability: float = 0.9):
    """How forecasts held, by output, treatment and months ahead.

    Parameters
    ----------
    rows : of `score_kept`; time_unit : of the model

    Returns
    -------
    DataFrame       output, treatment ("all" too), months_ahead, score (coverage_50, coverage_80, coverage_95, crps on
                    `scale`), value, low, high (intervals: whole patients drawn), labs, forecasts, patients
    """
    import pandas as pd

    columns = ["output", "treatment", "months_ahead", "score", "scale", "value", "low", "high", "labs", "forecasts"]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    if frame.empty:
        return pd.DataFrame(columns=[*columns, "patients"])
    months = frame["horizon"] * convert(1.0, time_unit, "month")
    edges = HORIZONS_MONTHS
    names = [f"{a:g} to {b:g}" if np.isfinite(b) else f"beyond {a:g}" for a, b in zip(edges, edges[1:])]
    frame["months_ahead"] = pd.cut(months, edges, labels=names)
    found = []
    for output, of_output in frame.groupby("output", sort=False):
        for treatment in ("all", *of_output["treatment"].unique()):
            part = of_output if treatment == "all" else of_output[of_output["treatment"] == treatment]
            for ahead in ("all", *names):
                rows_of = part if ahead == "all" else part[part["months_ahead"] == ahead]
                if len(rows_of):
                    head = {"output": output, "treatment": treatment, "months_ahead": ahead}
                    found += [head | row for row in _board_rows(rows_of, random_seed, probability)]
    return pd.DataFrame(found, columns=[*columns, "patients"])


def _board_rows(part, random_seed, probability):
    """Coverage and CRPS of one cell."""
    pit, patients = part["pit"].to_numpy(), part["patient"].to_numpy()
    values = np.column_stack([*(coverage(pit, level) for level in LEVELS), part["crps"].to_numpy()])
    means = clustered_means(
        values, patients, random_seed=random_seed, probability=probability, shares=range(len(LEVELS))
    )
    labs = part.drop_duplicates(["patient", "lab_id", "output", "time"])
    for k, score in enumerate((*(f"coverage_{100 * level:.0f}" for level in LEVELS), "crps")):
        numbers = {"value": means.value[0, k], "low": means.low[0, k], "high": means.high[0, k]}
        scale = part["scale"].iloc[0] if score == "crps" else ""
        counts = {"labs": len(labs), "forecasts": len(part), "patients": len(np.unique(patients))}
        yield {"score": score, "scale": scale} | numbers | counts
