"""What `update` prints of each new lab: its value beside what the twin expected, and what to ask the laboratory.

A range is printed as the assay could show it: "below 0.5" under the usual limit of quantification, and never less than
the least plausible value, wherever the error model's tail reaches to.
"""

from bayestwin.prognosis.courses import ends_of
from bayestwin.prognosis.printed import time_text


def surprise_line(model, lab) -> str:
    """ "m_protein at day 77: 8.2 g/L, expected below 0.5 to 67.7 g/L (95 %)"; lab : a `Surprise`"""
    observation = model.observations[model.observation_index[lab.output]]
    unit = f" {observation.unit}".rstrip()
    mark = {"left": "<", "right": ">"}.get(lab.censoring, "")
    seen = f"{mark}{lab.value:,.10g}" if lab.upper is None else f"{lab.value:,.10g} to {lab.upper:,.10g}"
    expected = _expected(observation, lab.quantiles[0.025], lab.quantiles[0.975])
    return f"{_named(model, lab)}: {seen}{unit}, expected {expected}{unit} (95 %){_too_wide(lab)}"


def question_line(model, lab) -> str:
    """A remark with its lab named again: the line about the lab goes to another stream, and the two may be parted."""
    remark = _remark(lab)
    return remark and f"{_named(model, lab)}: {remark}"


def _named(model, lab) -> str:
    return f"{lab.output} at {time_text(model, lab.time)}"


def _expected(observation, low: float, high: float) -> str:
    """A range of forecast values as the assay could show it."""
    limit, (floor, _) = observation.lower_limit, ends_of(observation)
    if limit is not None and low < limit:
        return f"below {limit:g}" if high < limit else f"below {limit:g} to {_number(high)}"
    return f"{_number(max(low, floor))} to {_number(max(high, floor))}"


def _number(value: float) -> str:
    """Three significant digits, without exponent where that stays readable."""
    return f"{float(f'{value:.3g}'):,.10g}"


def _too_wide(lab) -> str:
    """How many tenfold errors would be noticed, where the forecast is too wide to notice 95 in 100 of them."""
    from bayestwin.report.warning_table import TENFOLD_POWER

    if lab.tenfold_power is None or not lab.tenfold_power < TENFOLD_POWER:
        return ""
    return f"; so wide that of errors by a factor of ten {100 * lab.tenfold_power:.0f} in 100 would be noticed"


def _remark(lab) -> str:
    """What to ask of a surprising lab, by the rules of the report; "" for one that is not."""
    from bayestwin.report.warning_table import PIT_TAIL

    tail = lab.tail
    if lab.alarm:
        return f"more likely {lab.alarm} than right: ask for sample and unit. The update takes it as it stands."
    if tail >= PIT_TAIL:
        return ""
    chance = f"1 in {1 / tail:,.0f}" if tail > 1 / 4000 else "fewer than 1 in 4,000"
    return (
        f"outside what was expected, {chance} would be so {'low' if lab.pit < 0.5 else 'high'}: check sample, unit and "
        "time. The update takes it as it stands."
    )
