"""The row that a report speaks of, and the 12-month chance that earlier reports gave for it."""

from bayestwin.report import model as page
from bayestwin.report.gather_clock import day_text
from bayestwin.report.page_forecasts import report_order

MAIN_MONTH = 12


def main_row(prognosis):
    """The first row with numbers in the order of the report's rows; None where there is none.

    Bridge, reference of the comparisons and history are of this row: `ReportInput.main_treatment` in the prognosis.
    """
    rows = [row for row in prognosis.rows if row.events is not None]
    return min(rows, key=lambda row: report_order(row.plan.role, row.plan.label, row.plan.name), default=None)


def row_chances(prognosis) -> dict[str, list]:
    """Treatment -> [12-month chance, its 80 % range (low, high) or None twice, its error], rows with numbers only."""
    if MAIN_MONTH not in prognosis.landmarks:
        return {}
    found = {}
    for row in prognosis.rows:
        if row.events is not None:
            chance = prognosis.chance(row.plan.name, MAIN_MONTH)
            low, high = (None, None) if chance.knowledge is None else map(float, chance.knowledge[0.8])
            found[row.plan.name] = [float(chance.value), low, high, float(chance.mcse)]
    return found


def past_forecast(model, time, chances, treatment: str, zero: str = "", **named) -> page.PastForecast:
    """What a report of this time gave for a treatment, from its `row_chances`; further fields by name.

    zero : the record's time zero, for the date
    """
    if treatment not in chances:
        label = model.treatment(treatment).label if treatment in model.treatment_names else treatment
        return page.PastForecast(time, day_text(model, time, zero), **named, reason=f"no number for {label}")
    chance, low, high, mcse = chances[treatment]
    limits = None if low is None else (low, high)
    return page.PastForecast(time, day_text(model, time, zero), chance, limits, **named, mcse=mcse)
