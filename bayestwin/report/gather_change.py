"""What moved since the last report, as plain values.

Of the main row (gather_history.main_row) two forecasts are at hand, the last report's and this one's; what each of
several causes did by itself is not. So the bridge has a row for the time that passed, which the old forecast tells,
and one row for all else, which names every cause there was.
"""

import numpy as np

from bayestwin.axes import DAYS_PER_MONTH
from bayestwin.prognosis.quantities import chance_of
from bayestwin.prognosis.time_on import step_quantiles
from bayestwin.report import model as page
from bayestwin.report.gather_clock import day_text
from bayestwin.report.gather_history import MAIN_MONTH, main_row
from bayestwin.report.gather_record import record_changes
from bayestwin.twin.monte_carlo import jackknife_error

FEWEST_LEFT = 0.05  # share of the old futures that must have got this far, to say what they held next
NO_TIME = 0.05  # months under which no time has passed


def change_since(twin, prognosis, previous, history=()):
    """Block 2: what moved the 12-month chance of the main row, cause by cause.

    previous : (twin, prognosis) of the last report, or None; its number alone is then the last of `history`
    """
    if twin.model.progression is None:
        changed = previous is not None and previous[1].population_hash != prognosis.population_hash
        return page.Change(reason="this model has no event endpoint", version_changed=changed)
    if previous is None:
        return _from_number(twin, prognosis, history[-1]) if history else page.Change(reason="first report")
    old_twin, old = previous
    named = {
        "previous": f"forecast of {day_text(twin.model, old.now, twin.record.time_zero)}",
        "previous_when": day_text(twin.model, old.now, twin.record.time_zero),
        "version_changed": old.population_hash != prognosis.population_hash or old.model.hash != prognosis.model.hash,
    }
    row = main_row(prognosis)
    if row is None or MAIN_MONTH not in prognosis.landmarks or MAIN_MONTH not in old.landmarks:
        return page.Change(**named, reason="there is no chance to compare with that of the last report")
    name = row.plan.name
    if name not in old.names or old.row(name).events is None:
        return page.Change(**named, reason=f"the last report has no number for {row.plan.label}")
    gap = (prognosis.now - old.now) / DAYS_PER_MONTH
    goes_on = row.plan.role == old.row(name).plan.role == "current"
    before, after = old.chance(name, MAIN_MONTH), prognosis.chance(name, MAIN_MONTH)
    start = before.value, _p80(before), before.mcse
    steps = []
    if goes_on and gap >= NO_TIME and (waited := _after_waiting(old, name, gap, before)) is not None:
        text = f"{gap:.1f} months passed without progression"
        steps.append(_step("time", text, start, waited))
        start = waited
    causes = record_changes(twin.model, old_twin.record, twin.record, cut=old.now, now=prognosis.now).causes()
    if named["version_changed"]:
        causes += (("version", "model or population changed"),)
    if not goes_on and gap >= NO_TIME:
        causes += (("start", f"counted from {day_text(twin.model, prognosis.now, twin.record.time_zero)} now"),)
    if not causes:
        causes = (("none", "nothing new in the record; what differs is Monte Carlo error"),)
    cause, text = "+".join(c for c, _ in causes), "; ".join(t for _, t in causes)
    steps.append(_step(cause, text, start, (after.value, _p80(after), after.mcse)))
    return page.Change(
        **named, steps=tuple(steps), previous_middle_half=_middle_half(old, name, gap if goes_on else 0.0)
    )


def _from_number(twin, prognosis, last):
    """The bridge where only the last report's number is at hand: its model or population is another."""
    row, changed = main_row(prognosis), last.population_hash != prognosis.population_hash
    named = {"previous": f"forecast of {last.when}", "previous_when": last.when, "version_changed": changed}
    if row is None or last.chance is None or MAIN_MONTH not in prognosis.landmarks:
        reason = last.reason or "there is no chance to compare with that of the last report"
        return page.Change(**named, reason=reason)
    after = prognosis.chance(row.plan.name, MAIN_MONTH)
    same = last.data_hash == twin.record.data_hash
    version = "model or population changed" if changed else "the last twin could not be read"
    text = version if same else f"{version}, and the record; the parts are not told apart"
    cause = ("version" if same else "labs+version") if changed else "rebuilt"
    step = _step(cause, text, (last.chance, last.p80, last.mcse), (after.value, _p80(after), after.mcse))
    return page.Change(**named, steps=(step,))


def _step(cause, text, before, after):
    """A `page.BridgeStep` from (chance, 80 % range, Monte Carlo error) to the same."""
    values, ranges, errors = zip(before, after)
    return page.BridgeStep(cause, text, *values, *ranges, *errors)


def _p80(chance):
    return None if chance.knowledge is None else chance.knowledge[0.8]


def _after_waiting(old, name, gap, before):
    """(chance, 80 % range, Monte Carlo error) 12 months after `gap` months free of events, as the old forecast had it.

    The forecast keeps its expected survival at landmarks only. So the printed chance is moved by what waiting does to
    the share of drawn futures that get through 12 months: the same draws, so that no wait moves nothing. None where
    that is past the horizon, or where few futures got this far.
    """
    if gap + MAIN_MONTH > old.horizon:
        return None
    event = old.row(name).events.event
    weights = old.weights * (event > gap)
    if weights.sum() < FEWEST_LEFT:
        return None
    weights = weights / weights.sum()
    later = (event > gap + MAIN_MONTH).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = chance_of(later, later**2, weights, old.draw, np.log(weights), old.islands)
    survival = old.row(name).events.survival[:, old.landmarks.index(MAIN_MONTH)]

    def printed(kept):
        going_on = kept * (event > gap)
        return kept @ (survival - (event > MAIN_MONTH)) + (going_on @ later) / going_on.sum()

    moved = float(np.clip(before.value + drawn.value - (old.weights * (event > MAIN_MONTH)).sum(), 0.0, 1.0))
    error = float(jackknife_error(printed, old.log_weights, old.islands))
    limits = _p80(drawn)
    if limits is not None:
        limits = tuple(float(end) for end in np.clip(np.add(limits, moved - drawn.value), 0.0, 1.0))
    return moved, limits, error


def _middle_half(old, name, gap):
    """Middle half of the old forecast, months from now, given that `gap` months passed without an event."""
    event = old.row(name).events.event
    left = event > gap
    if old.weights[left].sum() < FEWEST_LEFT:
        return (0.0, 0.0)
    weights = old.weights[left] / old.weights[left].sum()
    months = np.where(event > old.horizon, np.inf, event - gap)[left]
    return step_quantiles(months, weights, (0.25, 0.75))
