"""How good forecasts were: scores by horizon, paired differences to a rival, and the forecasts of one patient.

In the forest of differences right of the line is where the twin was better. In a patient's figure each lab stands
before the interval that was forecast of it before it was learnt; a censored lab is a hollow triangle at its limit,
one between two limits a bar.
"""

import numpy as np

from bayestwin.plots.calibration import MARKERS
from bayestwin.plots.marks import draw_labs
from bayestwin.plots.style import (
    BAND_50,
    BAND_80,
    BAND_EDGE,
    INK,
    MUTED,
    RULE,
    SMALL,
    log_ticks,
    new_axes,
    quiet_style,
    treatment_style,
)

COLUMNS_MM = (50.0, 3.0, 40.0)  # of the forest: labels left of the axis, differences and counts right of it
BLANK = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # a long heading crosses the line at 0
LEVELS = ((0, 6), (1, 5), (2, 4))  # ends of the 90, 80 and 50 % intervals among the quantiles


def plot_score_by_horizon(
    series,
    *,
    score: str,
    scale: str,
    probability: float,
    ax=None,
    width_mm=120.0,
    height_mm=70.0,
    label="horizon: time ahead of the newest lab learnt",
    data=False,
):
    """A score by how far ahead the lab was; lower is better for CRPS.

    Parameters
    ----------
    series : (label, rows)        a row is (horizon, value, low, high, labs); groups in the order of the first series
    score, scale : names printed on the axis; label : of the other, where horizons count from something else

    Returns
    -------
    Axes, with data=True (Axes, rows) where a row is (label, horizon, value, low, high, labs)
    """
    rows = [(label, *row) for label, own in series for row in own]
    names = list(dict.fromkeys(row[1] for row in rows))
    counts = {row[1]: row[5] for row in reversed(rows)}
    with quiet_style():
        if ax is None:
            ax = new_axes(width_mm, height_mm, left=15, right=3, bottom=18, top=3)
        for place, (name, own) in enumerate(series):
            style, shift = treatment_style(place), 0.12 * (place - (len(series) - 1) / 2)
            x = np.array([names.index(row[0]) for row in own]) + shift
            for at, row in zip(x, own):
                ax.plot([at, at], [row[2], row[3]], color=style["color"], linewidth=1.1, solid_capstyle="butt")
            mark = {"marker": MARKERS[place % 4], "markersize": 4.2, "markeredgewidth": 0}
            ax.plot(x, [row[1] for row in own], linewidth=0.9, label=name, **style, **mark)
        ax.set_xlim(-0.5, len(names) - 0.5)
        if all(row[2] >= 0 for row in rows):
            ax.set_ylim(0, 1.15 * np.nanmax([row[2:5] for row in rows]))
        ax.set_xticks(range(len(names)), [f"{_wrapped(name)}\n{counts[name]} labs" for name in names])
        ax.set_xlabel(label, labelpad=2)
        ax.set_ylabel(
            f"{score}{f' ({scale} scale)' if scale else ''}, {100 * probability:g} % bars by patient", labelpad=2
        )
        if len(series) > 1:
            ax.legend(frameon=False, fontsize=SMALL, loc="best", handlelength=2.4)
    return (ax, rows) if data else ax


def _wrapped(name, width=12):
    """A long group name on two lines."""
    words, lines = name.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > width and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def plot_score_differences(
    rows, *, score: str, scale: str, probability: float, ax=None, width_mm=176.0, row_mm=4.6, data=False
):
    """Forest of paired differences; right of the line the twin was better.

    Parameters
    ----------
    rows : (section, label, difference, low, high, labs, patients)     in the order to draw
    score, scale : names printed on the axis

    Returns
    -------
    Axes, with data=True (Axes, rows)
    """
    lines: list = []
    for row in rows:
        if not lines or row[0] != lines[-1][0]:
            lines.append((row[0], None))
        lines.append((row[0], row))
    with quiet_style():
        if ax is None:
            ax = new_axes(width_mm, row_mm * len(lines) + 18, left=COLUMNS_MM[0], right=72, bottom=12, top=6)
        ax.set_ylim(len(lines) - 0.4, -0.6)
        ends = [abs(x) for row in rows for x in row[2:5] if np.isfinite(x)]
        half = 1.08 * max(ends, default=1.0) or 1.0
        ax.set_xlim(-half, half)
        ax.axvline(0, color=INK, linewidth=0.8, zorder=1)
        for y, (section, row) in enumerate(lines):
            if row is None:
                _beside(ax, 0, y, -COLUMNS_MM[0] + 2, section, fontweight="bold", bbox=BLANK)
                continue
            _forest_row(ax, y, row)
        for x, words, side in ((0.0, "rival better", "left"), (1.0, "twin better", "right")):
            ax.text(x, 1.01, words, transform=ax.transAxes, ha=side, va="bottom", fontsize=SMALL, color=MUTED)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        unit = f" ({scale} scale)" if scale else ""
        ax.set_xlabel(f"paired difference of {score}{unit}, {100 * probability:g} % bars by patient", labelpad=2)
    return (ax, list(rows)) if data else ax


def _forest_row(ax, y, row):
    _, label, value, low, high, labs, patients = row
    _beside(ax, 0, y, -COLUMNS_MM[0] + 4, label)
    ax.axhline(y + 0.5, color=RULE, linewidth=0.3, zorder=0)
    if np.isfinite(low):
        ax.plot([low, high], [y, y], color=INK, linewidth=1.2, solid_capstyle="butt", zorder=2)
    ax.plot([value], [y], "s", color=INK, markersize=4, markeredgewidth=0, zorder=3)
    words = interval_text(value, low, high)
    _beside(ax, 1, y, COLUMNS_MM[1], words, fontsize=SMALL)
    _beside(ax, 1, y, COLUMNS_MM[2], f"{labs} labs, {patients} patients", fontsize=SMALL)


def _beside(ax, end, y, shift_mm, text, **style):
    """Text beside the axes, `shift_mm` from its left (0) or right (1) end."""
    place = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "annotation_clip": False}
    ax.annotate(text, (end, y), (shift_mm / 25.4 * 72, 0), va="center", **place, **style)


def interval_text(value: float, low: float, high: float) -> str:
    """A number with its interval, as many digits as half its width tells; three where there is none."""
    if np.isnan(value):
        return "-"
    if not (np.isfinite(low) and np.isfinite(high)):
        return f"{value:.3g}"
    half = (high - low) / 2
    if half < 1e-9:
        return f"{value:.3g} ({low:.3g} to {high:.3g})"
    digits = max(0, -int(np.floor(np.log10(half / 2.5))))
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def plot_forecasts(
    labs, *, scale: str, label="", unit="", time_label="time", ax=None, width_mm=186.0, height_mm=72.0, data=False
):
    """The labs of one patient against what was forecast of each before it was learnt.

    Parameters
    ----------
    labs : sequence of dicts      time, observed, limit_flag (none, left, right, interval: up to observed_to), quantiles
        (7: 5, 10, 25, 50, 75, 90, 95 %, natural scale), treatment ("" for none),
        passed (False: the forecast was withheld, drawn dotted)
    scale : "log" or "linear"

    Returns
    -------
    Axes, with data=True (Axes, rows) where a row is (time, observed, limit_flag, *quantiles, treatment, passed)

    A bar over the axis spans the labs under one treatment; the treatment began somewhere in the gap before it.
    """
    labs = sorted(labs, key=lambda lab: lab["time"])
    rows = [(*(lab[k] for k in ("time", "observed", "limit_flag")), *lab["quantiles"]) for lab in labs]
    rows = [(*row, lab["treatment"], lab["passed"]) for row, lab in zip(rows, labs)]
    with quiet_style():
        if ax is None:
            several = len({lab["treatment"] for lab in labs}) > 1
            ax = new_axes(width_mm, height_mm, left=14, right=4, bottom=10, top=13 if several else 3)
        first, last = labs[0]["time"], labs[-1]["time"]
        margin = 0.02 * (last - first) or 1.0
        ax.set_xlim(first - margin, last + margin)
        low, high = _range(labs, scale)
        if scale == "log":
            log_ticks(ax, low, high)
        else:
            ax.set_ylim(low, high)
        thick = _thickness(ax, [lab["time"] for lab in labs], last - first + 2 * margin)
        for lab in labs:
            _interval(ax, lab, thick, low)
        draw_labs(ax, [_mark(lab) for lab in labs], floor=low, top=high)
        _treatments(ax, labs)
        ax.set_ylabel(f"{label} ({unit})" if unit else label, labelpad=2)
        said = "; dotted: withheld" if not all(lab["passed"] for lab in labs) else ""
        ax.set_xlabel(f"{time_label}. Forecast before each lab: thick 50 %, middle 80 %, thin 90 %{said}", labelpad=2)
    return (ax, rows) if data else ax


def _range(labs, scale):
    """Axis ends that hold the 90 % intervals and all labs."""
    values = [lab["observed"] for lab in labs]
    values += [lab["observed_to"] for lab in labs if lab["limit_flag"] == "interval"]
    values += [q for lab in labs for q in (lab["quantiles"][0], lab["quantiles"][6]) if np.isfinite(q)]
    if scale == "log":
        kept = [value for value in values if value > 0]
        return max(min(kept), max(kept) / 1e7) / 1.5, max(kept) * 1.5
    span = max(values) - min(values) or 1.0
    return (0.0 if min(values) >= 0 else min(values) - 0.05 * span), max(values) + 0.06 * span


def _thickness(ax, times, span):
    """Points for the thick bar, less where labs are close to each other."""
    gaps = np.diff(np.unique(times))
    width = ax.get_window_extent().width / ax.figure.dpi * 72
    return float(np.clip(0.8 * np.quantile(gaps, 0.25) / span * width, 1.4, 5.0)) if len(gaps) else 5.0


def _interval(ax, lab, thick, floor):
    x, q = lab["time"], np.maximum(lab["quantiles"], floor / 10 if floor > 0 else -np.inf)
    if not lab["passed"]:
        ax.plot([x, x], [q[0], q[6]], color=MUTED, linewidth=0.9, linestyle=":", zorder=2)
        return
    marks = ((BAND_EDGE, 0.2), (BAND_80, 0.6), (BAND_50, 1.0))
    for order, ((low, high), (colour, part)) in enumerate(zip(LEVELS, marks)):
        width = max(part * thick, 0.7)
        ax.plot([x, x], [q[low], q[high]], color=colour, linewidth=width, solid_capstyle="butt", zorder=2 + 0.1 * order)
    ax.plot([x], [q[3]], "_", color=BAND_EDGE, markersize=thick + 1, markeredgewidth=0.8, zorder=2.5)


def _mark(lab):
    mark = {"x": lab["time"], "value": lab["observed"], "state": "used"}
    if lab["limit_flag"] == "interval":
        return mark | {"upper": lab["observed_to"]}
    beyond = {"left": "<", "right": ">"}.get(lab["limit_flag"])
    return mark | ({"state": "censored", "comparator": beyond, "limit": lab["observed"]} if beyond else {})


def _treatments(ax, labs):
    """A bar above the axis from the first to the last lab under each treatment, labels on three rows."""
    spans = []
    for lab in labs:
        if spans and spans[-1][0] == lab["treatment"]:
            spans[-1][2] = lab["time"]
        else:
            spans.append([lab["treatment"], lab["time"], lab["time"]])
    if len(spans) < 2:
        return
    names = list(dict.fromkeys(name for name, *_ in spans))
    for place, (name, start, end) in enumerate(spans):
        style = treatment_style(names.index(name))
        y, where = 1.03, ax.get_xaxis_transform()
        ax.plot([start, end], [y, y], transform=where, linewidth=2.2, clip_on=False, solid_capstyle="butt", **style)
        ax.plot([start], [y], "|", transform=where, color=style["color"], markersize=6, clip_on=False)
        ax.text(start, 1.055 + 0.05 * (place % 3), name or "none", transform=where, fontsize=SMALL, va="bottom")
