"""What moved since the last report, as plain values."""

import numpy as np

from bayestwin.axes import DAYS_PER_MONTH
from bayestwin.prognosis.plan import current_treatment
from bayestwin.prognosis.quantities import chance_of
from bayestwin.report import model as page
from bayestwin.report.gather_patient import day_text

MAIN_MONTH = 12


def change_since(twin, prognosis, previous):
    """Block 2: what moved the 12-month chance of the treatment the patient is on, cause by cause."""
    if twin.model.progression is None:
        return page.Change(reason="this model has no event endpoint")
    if previous is None:
        return page.Change(reason="first report")
    old_twin, old = previous
    same = [
        r
        for r in prognosis.rows
        if r.events is not None and r.plan.name in old.names and old.row(r.plan.name).events is not None
    ]
    same.sort(key=lambda r: {"current": 0, "planned": 1}.get(r.plan.role, 2))
    if not same or MAIN_MONTH not in prognosis.landmarks or MAIN_MONTH not in old.landmarks:
        return page.Change(
            previous=f"forecast of {day_text(twin.model, old.now)}", reason="no treatment stands in both reports"
        )
    name = same[0].plan.name
    before, after = old.chance(name, MAIN_MONTH), prognosis.chance(name, MAIN_MONTH)
    gap = (prognosis.now - old.now) / DAYS_PER_MONTH
    waited = _after_waiting(old, name, gap)
    n_new = len(twin.record.labs) - len(old_twin.record.labs)
    text = f"{n_new} new labs" + (
        ", treatment started"
        if current_treatment(twin.model, twin.record, prognosis.now)
        != current_treatment(twin.model, old_twin.record, old.now)
        else ""
    )
    steps = []
    p80 = lambda c: None if c is None or c.knowledge is None else c.knowledge[0.8]  # noqa: E731
    if waited is not None:
        steps.append(
            page.BridgeStep(
                "time",
                f"{gap:.1f} months passed without progression",
                before.value,
                waited.value,
                p80(before),
                p80(waited),
            )
        )
    start = waited or before
    steps.append(page.BridgeStep("labs", text, start.value, after.value, p80(start), p80(after)))
    width = [c.knowledge[0.8][1] - c.knowledge[0.8][0] for c in (before, after) if c.knowledge is not None]
    quarter, three = old.quantiles(name, (0.25, 0.75)) or (None, None)
    return page.Change(
        previous=f"forecast of {day_text(twin.model, old.now)}",
        previous_when=day_text(twin.model, old.now),
        steps=tuple(steps),
        narrowed=1.0 - width[1] / width[0] if len(width) == 2 and width[0] > 0 and width[1] < width[0] else None,
        previous_middle_half=(quarter, three) if quarter is not None else None,
        version_changed=old.population_hash != prognosis.population_hash,
    )


def _after_waiting(old, name, gap):
    """The old forecast's 12-month chance given that `gap` months passed without an event.

    None where that is past its horizon.
    """
    row = old.row(name)
    if gap + MAIN_MONTH > old.horizon:
        return None
    there = row.events.event > gap
    weights = old.weights * there
    if weights.sum() < 0.05:
        return None
    weights = weights / weights.sum()
    later = (row.events.event > gap + MAIN_MONTH).astype(float)
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)
    return chance_of(later, later**2, weights, old.draw, log_weights, old.islands)
