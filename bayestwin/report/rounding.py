"""How exact numbers become printed numbers (report_spec 3.1).

A chance is printed to the nearest 5 or 10 points of 100: finer steps would claim more than the Monte Carlo
error and the calibration goal allow. Ranges are rounded outward and are at least 10 points wide, so that
rounding never makes the twin look surer than it is. Nothing is printed as impossible or certain.
"""

import math

STEP_MCSE = ((0.0125, 5), (0.025, 10))  # 1600 and 400 effective draws at a chance of one half
STEP_ESS = ((1600, 5), (400, 10))
MONTH_STEPS = (0.5, 1.0, 3.0, 6.0, 12.0)
NARROWEST_RANGE = 10
NOT_SHOWN = "not shown"
CONTINUES = "more than"


def step_for(mcse: float | None, ess: float | None = None) -> int | None:
    """Rounding step in points for this Monte Carlo error and number of effective draws; None = withhold."""
    by_mcse = 10 if mcse is None else next((step for limit, step in STEP_MCSE if mcse <= limit), None)
    by_ess = 5 if ess is None else next((step for limit, step in STEP_ESS if ess >= limit), None)
    return None if by_mcse is None or by_ess is None else max(by_mcse, by_ess)


def nearest(chance: float, step: int) -> int:
    """Points of 100 at the nearest step, halves upward; 0 and 100 stand for "fewer than" and "more than"."""
    return min(100, max(0, step * math.floor(100 * chance / step + 0.5 + 1e-9)))


def points_words(points: int, step: int) -> str:
    """65 -> "65", 0 -> "fewer than 5", 100 -> "more than 95"."""
    if points <= 0:
        return f"fewer than {step}"
    return f"{CONTINUES} {100 - step}" if points >= 100 else f"{points}"


def about(chance: float, step: int) -> str:
    """The chance inside a sentence: "about 65", "fewer than 5"."""
    points = nearest(chance, step)
    words = points_words(points, step)
    return words if points in (0, 100) else f"about {words}"


def about_other(chance: float, step: int) -> str:
    """The other frame (100 minus the printed chance), so that both frames total 100."""
    points = 100 - nearest(chance, step)
    words = points_words(points, step)
    return words if points in (0, 100) else f"about {words}"


def outward(low: float, high: float, chance: float, step: int) -> tuple[int, int]:
    """Range limits in points: outward to the step, around the printed chance, at least 10 points wide."""
    low, high = min(low, high, chance), max(low, high, chance)
    first = max(0, step * math.floor(100 * low / step + 1e-9))
    last = min(100, step * math.ceil(100 * high / step - 1e-9))
    point = nearest(chance, step)
    first, last = min(first, point), max(last, point)
    while last - first < NARROWEST_RANGE:
        room_below, room_above = 100 * low - first, last - 100 * high
        grow_below = first > 0 and (last >= 100 or room_below <= room_above)
        first, last = (first - step, last) if grow_below else (first, last + step)
    return first, last


def range_words(low: float, high: float, chance: float, step: int) -> str:
    """ "50 to 80", "fewer than 5 to 20", "80 to more than 95"."""
    first, last = outward(low, high, chance, step)
    return f"{points_words(first, step)} to {points_words(last, step)}"


def month_step(months: float, mcse: float | None = None) -> float | None:
    """Step of a time: half months under 3, whole months to 24, 3 beyond; four of its Monte Carlo errors where that is
    more, as for chances; None = not shown, which is an error above 3 months."""
    usual = 0.5 if months < 3 else 1.0 if months <= 24 else 3.0
    if mcse is not None and not math.isfinite(mcse):
        return None
    return next((step for step in MONTH_STEPS if step >= max(usual, 4.0 * (mcse or 0.0) - 1e-9)), None)


def round_months(months: float, step: float | None = None) -> float:
    """A time at the nearest step, by default `month_step`."""
    step = step or month_step(months) or MONTH_STEPS[-1]
    return step * math.floor(months / step + 0.5)


def months_in_order(times, horizon: float, errors) -> list[str]:
    """Rising times as printed, each in its own step, and none before the one in front of it."""
    said: list[str] = []
    least = 0.0
    for months, mcse in zip(times, errors):
        said.append(month_words(months, horizon, mcse, least))
        step = month_step(min(months, horizon), mcse)
        if step is not None and months <= horizon:
            least = max(least, min(round_months(months, step), horizon))
    return said


def month_words(months: float, horizon: float, mcse: float | None = None, least: float = 0.0) -> str:
    """A time as printed, without unit; past the horizon "more than 36"; NOT_SHOWN where its error is too large.

    least : the time printed in front of it, which it does not precede
    """
    step = month_step(min(months, horizon), mcse)
    if step is None:
        return NOT_SHOWN
    if not months <= horizon:
        return f"{CONTINUES} {horizon:g}"
    rounded = min(max(round_months(months, step), least), horizon)
    return f"under {step:g}" if rounded == 0 else f"{rounded:g}"


def span_words(one: str, two: str) -> str:
    """Two times in words: "8 to 21", or "more than 36" where both lie past the horizon."""
    return NOT_SHOWN if NOT_SHOWN in (one, two) else one if one == two else f"{one} to {two}"


def signed_points(difference: float, step: int) -> str:
    """A difference of chances in points with its sign: "+10", "\u22125", "0"."""
    points = int(math.copysign(step * math.floor(abs(100 * difference) / step + 0.5 + 1e-9), difference))
    return _sign(points)


def signed_range(low: float, high: float, step: int) -> str:
    """Range of a difference, outward, at least 10 points wide."""
    first = step * math.floor(100 * low / step + 1e-9)
    last = step * math.ceil(100 * high / step - 1e-9)
    while last - first < NARROWEST_RANGE:
        first, last = (first - step, last) if 100 * low - first <= last - 100 * high else (first, last + step)
    return f"{_sign(first)} to {_sign(last)}"


def signed_months(months: float, step: float) -> str:
    """Months gained at the nearest step with their sign: "+4", "\u22121.5", "0"."""
    return _sign(math.copysign(round_months(abs(months), step), months) or 0.0)


def signed_months_range(low: float, high: float, step: float) -> str:
    """Range of months gained, outward."""
    first, last = step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9)
    return f"{_sign(first)} to {_sign(last)}"


def _sign(points: float) -> str:
    """A number with its sign, a true minus."""
    return f"+{points:g}" if points > 0 else f"\u2212{-points:g}" if points < 0 else "0"


def split(parts, total: int = 100, step: int = 1) -> tuple[int, ...]:
    """Integers in `step`s proportional to `parts` that total `total`, with the least error (largest remainder)."""
    whole = sum(parts)
    if whole <= 0:
        return tuple(0 for _ in parts)
    exact = [part / whole * total / step for part in parts]
    floors = [math.floor(value + 1e-9) for value in exact]
    missing = round(total / step) - sum(floors)
    order = sorted(range(len(exact)), key=lambda k: (floors[k] - exact[k], k))
    return tuple(step * (floors[k] + (k in order[:missing])) for k in range(len(exact)))


def share_words(points: int, step: int = 5) -> str:
    """A share of the doubt in percent; never "0" or "100"."""
    if points <= 0:
        return f"under {step}"
    return f"over {100 - step}" if points >= 100 else f"{points}"


def lab_value(value: float, limit: float | None, highest: float | None = None) -> str:
    """A forecast lab value as a laboratory would report it: "<0.5" below the limit of quantification.

    highest : at which forecasts of it end; one that stands there is no value but "more than this"
    """
    if highest is not None and value >= highest:
        return f">{highest:.10g}"
    return f"<{limit:g}" if limit is not None and value < limit else significant(value)


def significant(value: float, digits: int = 2) -> str:
    """A forecast lab value to two significant digits, without exponent: 0.47, 12, 3400."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "not available"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)
    return f"{rounded:.{max(0, digits - 1 - math.floor(math.log10(abs(rounded))))}f}"
