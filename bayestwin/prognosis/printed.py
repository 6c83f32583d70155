"""A forecast as plain text: chances in 100 with their 80 % knowledge range, never a ranking."""

import numpy as np

from bayestwin.dynamics import treatment_starts
from bayestwin.prognosis.given_before import given_before_words
from bayestwin.prognosis.result import QUANTILES
from bayestwin.prognosis.table import table
from bayestwin.records.record import COVARIATE

TIMES_SHOWN = 6  # of a course, evenly over what is ahead


def forecast_text(prognosis) -> str:
    """One block per treatment: chances at the landmarks, which way comes first, time on each treatment; without an
    endpoint the labs expected."""
    if not prognosis.landmarks:
        return _labs_text(prognosis)
    lines = [
        f"Forecast of {prognosis.patient} from {time_text(prognosis.model, prognosis.now)} "
        "(research use only; not a randomised comparison)",
        data_cut_text(prognosis.model, prognosis.now),
        "progression-free in 100, 80 % knowledge range in brackets; median months to progression or death",
        *_monte_carlo_error(prognosis),
        *_error_of_medians(prognosis),
    ]
    for row in prognosis.rows:
        if row.events is None:
            lines.append(f"  {row.plan.label}: no number ({row.refused})")
            continue
        cells = [_cell(month, prognosis.chance(row.plan.name, month)) for month in prognosis.landmarks]
        median = prognosis.quantiles(row.plan.name, (0.5,))[0]
        lines.append(
            f"  {row.plan.label}: {', '.join(cells)}; median "
            f"{'after ' + format(prognosis.horizon, 'g') if np.isinf(median) else format(median, '.1f')}"
        )
        lines += _given_before(prognosis, row) + _not_checked(row)
        lines += _moments(prognosis, row) + _first_event(prognosis, row) + _time_on(prognosis, row)
    return "\n".join(lines)


def course_table(prognosis):
    """Every predicted course as a table (pandas): treatment, output, unit, time, quantiles of a lab with its residual
    error, q0.025 to q0.975, and their Monte Carlo errors, q0.025_mcse to q0.975_mcse;
    time in the model's time unit, as in the record."""
    unit = {observation.output: observation.unit for observation in prognosis.model.observations}
    return table(
        [
            {"treatment": row.plan.name, "output": course.output, "unit": unit[course.output], "time": float(time)}
            | {f"q{level:g}": float(value) for level, value in zip(QUANTILES, course.quantiles[:, k])}
            | {f"q{level:g}_mcse": float(value) for level, value in zip(QUANTILES, _errors_of(course)[:, k])}
            for row in prognosis.rows
            for course in row.courses or ()
            for k, time in enumerate(course.times)
        ]
    )


def _labs_text(prognosis) -> str:
    """Median and 80 % interval of each output at some times ahead, by treatment."""
    unit = prognosis.model.time_unit
    lines = [
        f"Forecast of {prognosis.patient} from {time_text(prognosis.model, prognosis.now)} (research use only)",
        data_cut_text(prognosis.model, prognosis.now),
        "labs expected: median, and 80 % predictive interval with residual error in brackets",
    ]
    for row in prognosis.rows:
        if row.refused:
            lines.append(f"  {row.plan.label}: no number ({row.refused})")
            continue
        lines.append(f"  {row.plan.label}:")
        for course in row.courses or ():
            observation = next(o for o in prognosis.model.observations if o.output == course.output)
            shown = np.unique(np.linspace(0, len(course.times) - 1, TIMES_SHOWN).round().astype(int))
            low, middle, high = (course.quantiles[QUANTILES.index(level)] for level in (0.1, 0.5, 0.9))
            cells = [f"{unit} {course.times[k]:g} {middle[k]:.3g} ({low[k]:.3g} to {high[k]:.3g})" for k in shown]
            exact = ""
            if course.errors is not None:
                errors = course.errors[1:-1, shown]  # of the median and of both ends of the 80 % interval
                ends = errors[[0, 4]].max()
                exact = f"; Monte Carlo error of a median up to {errors[2].max():.2g}, of an end {ends:.2g}"
            lines.append(f"    {observation.label or course.output}, {observation.unit}: {', '.join(cells)}{exact}")
    return "\n".join(lines)


def _errors_of(course):
    """Monte Carlo errors of a course's quantiles, not a number where its file holds none."""
    return np.full_like(course.quantiles, np.nan) if course.errors is None else course.errors


def time_text(model, time: float) -> str:
    """A model time with its unit in front: "day 80", "hour 5"."""
    return f"{'hour' if model.time_unit == 'h' else model.time_unit} {time:g}"


def data_cut_text(model, now: float) -> str:
    """What the time is that a forecast begins at: not that at which it is made, nor that of the newest file."""
    said = "the time of the newest lab or event known" if now else "time zero, no later lab or event being known"
    return f"{time_text(model, now)} is the data cut: {said}"


def after_the_cut(model, record, now: float) -> list[str]:
    """What the record says of a time after the data cut, which forecasts do not begin after: starts that are planned,
    and covariates, which count in the numbers from then on but not for who may have a treatment."""
    planned = [f"{name} from {time_text(model, time)}" for time, name in treatment_starts(model, record) if time > now]
    said = [e for e in record.events if e.event == COVARIATE and e.time > now]
    lines = [f"after it the record plans {', '.join(planned)}"] if planned else []
    if said:
        each = ", ".join(f"{e.value} from {time_text(model, e.time)}" for e in said)
        lines.append(
            f"after it the record says {each}: the numbers count with it from then on, who may have a treatment is "
            "judged at the data cut (a lab or an `assessed` of that day moves the cut)"
        )
    return lines


def monte_carlo_error_text(months, errors) -> str:
    """How far another random seed moves the chances of a table. errors : per month those of its rows, 0 to 1"""
    cells = (f"{month:g} mo {100 * max(found):.1f}" for month, found in zip(months, errors) if found)
    return f"Monte Carlo error of a chance (SD between random seeds): {', '.join(cells)} points"


def _monte_carlo_error(prognosis) -> list[str]:
    shown = [row.plan.name for row in prognosis.rows if row.events is not None]
    months = prognosis.landmarks
    errors = [[prognosis.chance(name, month).mcse for name in shown] for month in months]
    return [monte_carlo_error_text(months, errors)] if shown else []


def _error_of_medians(prognosis) -> list[str]:
    """How far another random seed moves the medians, and whether one may pass the horizon."""
    names = [row.plan.name for row in prognosis.rows if row.events is not None]
    errors = {name: prognosis.quantiles_mcse(name, (0.5,))[0] for name in names}
    beyond = [name for name, error in errors.items() if not np.isfinite(error)]
    said = [_up_to([error for name, error in errors.items() if name not in beyond], "months")]
    if beyond:
        said.append(f"that of {', '.join(beyond)} may pass the horizon with another seed, or come back")
    return [f"Monte Carlo error of a median: {'; '.join(filter(None, said))}"] if errors else []


def _up_to(errors, unit: str) -> str:
    """The largest of some Monte Carlo errors, and of how many there is none: with another seed they may not be had."""
    known, said = [error for error in errors if np.isfinite(error)], []
    if known:
        said.append(f"up to {max(known):.1f} {unit}" if max(known) >= 0.05 else f"under 0.1 {unit}")
    if beyond := len(errors) - len(known):
        said.append(f"with another seed {beyond} of {len(errors)} may not be had, or may be")
    return "; ".join(said)


def _given_before(prognosis, row) -> list[str]:
    """That the patient has had the treatment of this row before."""
    model = prognosis.model
    words = given_before_words(model, row.plan, prognosis.now, lambda time: time_text(model, time))
    return [f"    {words}"] if words else []


def _not_checked(row) -> list[str]:
    """What would have to be known to say that the row's evidence holds for the patient."""
    if not row.plan.unknown:
        return []
    return [f"    not checked, because the record does not say: {', '.join(dict.fromkeys(row.plan.unknown))}"]


def _cell(month, chance) -> str:
    """One landmark: the chance in 100 with its range."""
    limits = " to ".join(map(in_100, chance.knowledge[0.8])) if chance.knowledge else f"no range: {chance.reason}"
    return f"{month:g} mo {in_100(chance.value)} ({limits})"


def in_100(chance: float) -> str:
    """A chance in points of 100; never impossible, never certain."""
    points = 100 * chance
    return "<1" if points < 1 else ">99" if points > 99 else f"{points:.0f}"


def _moments(prognosis, row) -> list[str]:
    """Of a treatment that starts later: how many get there, and the same future counted from there."""
    lines = []
    for name, moment in (row.moments or {}).items():
        given = [(month, prognosis.chance_from(name, row.plan.name, month)) for month in prognosis.landmarks]
        cells = ", ".join(_cell(month, chance) for month, chance in given if chance is not None)
        reached = prognosis.reached(name, row.plan.name)
        errors = [100 * chance.mcse for chance in (reached, *(c for _, c in given)) if chance is not None]
        lines.append(
            f"    counted from {name} (month {moment.at:.1f}), the {in_100(reached.value)} in 100 who get there: "
            f"{cells}; Monte Carlo error {_up_to(errors, 'points')}"
        )
    if row.plan.otherwise is not None:
        lines.append(f"    who never gets it has {row.plan.otherwise.label} instead, and is inside the chances above")
    return lines


def _first_event(prognosis, row) -> list[str]:
    """Each way to end progression-free survival by the last landmark, in 100, where there is more than one."""
    month = prognosis.landmarks[-1]
    ways = prognosis.first_events(row.plan.name, month)
    if ways is None or len(ways) < 2:
        return []
    said = ", ".join(f"{name} {in_100(chance.value)}" for name, chance in ways.items())
    error = _up_to([100 * chance.mcse for chance in ways.values()], "points")
    return [f"    first by {month:g} mo: {said}; Monte Carlo error {error}"]


def _time_on(prognosis, row) -> list[str]:
    """Of a schedule or a policy: time on each treatment (80 % predictive interval) and the first change."""
    if row.time_on is None:
        return []
    shares = ", ".join(
        f"{name} {100 * mean:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
        for name, (mean, low, high) in row.time_on.shares(prognosis.weights).items()
    )
    exact = (prognosis.log_weights, prognosis.islands)
    by = row.time_on.changed_by(*exact, prognosis.horizon)
    early, middle, late = ("none" if np.isinf(q) else f"{q:.1f}" for q in row.time_on.quantiles(prognosis.weights))
    when = f"first change in {in_100(by.value)} of 100, month {middle} ({early} to {late})" if by.value else "no change"
    errors = [_up_to([100 * e for found in row.time_on.shares_mcse(*exact).values() for e in found], "%")]
    if by.value:
        found = row.time_on.quantiles_mcse(*exact)
        none = "; another seed may say none for an end of the range" if not np.isfinite(found).all() else ""
        known = _up_to([error for error in found if np.isfinite(error)], "months")
        errors += [f"{100 * by.mcse:.1f} of 100", *filter(None, [known + none])]
    return [f"    of the time: {shares}; {when}; Monte Carlo error {', '.join(errors)}"]
