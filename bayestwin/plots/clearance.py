"""A marker beside clearance alone: what would be left had every tumour cell been gone at time zero, and what came.

Grey hatched band: 80 % of labs under clearance alone, assay error inside. Points: the patient's labs. Right of the data
cut: what the twin expects, as in figure 2. A second panel shows a marker that follows the burden at once.
"""

import numpy as np

from bayestwin.plots.marks import data_cut_line, draw_bands, draw_labs, limit_strip
from bayestwin.plots.style import INK, MUTED, SMALL, log_ticks, new_panels, quiet_style


def plot_clearance(
    days,
    clearance,
    *,
    cut,
    labs,
    expected_days=(),
    expected=(),
    limit=None,
    label="",
    unit="",
    title="",
    beside=None,
    last=None,
    clock="days after the infusion",
    axes=None,
    width_mm=120.0,
    heights_mm=(52.0, 26.0),
    data=False,
):
    """Clearance alone, the patient's labs and the expected course, on a logarithmic axis.

    days (T,), clearance (7, T) : quantiles at 2.5, 10, 25, 50, 75, 90, 97.5 % under clearance alone
    cut : day of the data cut; labs : see marks.draw_labs; expected_days (E,), expected (7, E) : from the cut on
    last : last day shown, default the last of everything
    beside : None, or a dict with label, unit, labs, expected_days, expected for the second panel
    axes : one or two Axes; returns the list of them
    """
    days, clearance = np.asarray(days, float), np.asarray(clearance, float)
    with quiet_style():
        if axes is None:
            sizes = list(heights_mm[: 2 if beside else 1])
            axes = new_panels(width_mm, sizes, left=14, right=3, bottom=9, top=6, gap=4)
        ends = [days[-1], cut, *(lab["x"] for lab in labs)]
        ends += [float(np.max(expected_days))] if len(expected_days) else []
        span = (min([0.0, *(lab["x"] for lab in labs)]), max(ends) if last is None else last)
        low, high = _ends([clearance, expected], labs, limit)
        ax = axes[0]
        _panel(ax, span, low, high, label, unit)
        seen = np.maximum(clearance, low)
        ax.fill_between(days, seen[1], seen[5], facecolor="#e6e6e6", edgecolor="#9a9a9a", hatch="\\\\\\\\", linewidth=0)
        for row in (1, 5):
            ax.plot(days, seen[row], color=MUTED, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1.6)
        ax.plot(days, seen[3], color=MUTED, linewidth=0.8, zorder=1.6)
        above = np.flatnonzero(clearance[1] > 2.0 * low)  # where the band has left room for its name beneath it
        middle = min(int(len(days) * 0.3), above[-1] if len(above) else 0)
        ax.annotate(
            "clearance alone\n(8 of 10 labs)",
            (days[middle], seen[1, middle]),
            (-6, -3),
            textcoords="offset points",
            fontsize=SMALL,
            color=INK,
            ha="right",
            va="top",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.8},
            zorder=6,
        )
        if limit is not None and limit > low:
            limit_strip(ax, limit, low)
        _course(ax, expected_days, expected, cut, labs, low, high)
        data_cut_line(ax, cut)
        if title:
            ax.set_title(title, fontweight="bold")
        if beside:
            below = axes[1]
            low, high = _ends([beside.get("expected", ())], beside["labs"], None)
            _panel(below, span, low, high, beside["label"], beside["unit"])
            _course(below, beside.get("expected_days", ()), beside.get("expected", ()), cut, beside["labs"], low, high)
            data_cut_line(below, cut, "")
            ax.set_xticklabels([])
        axes[-1].set_xlabel(clock, labelpad=1.5)
    axes = list(axes)
    return (axes, list(zip(days.tolist(), clearance.T.tolist()))) if data else axes


def _panel(ax, span, low, high, label, unit):
    """Empty panel on a logarithmic axis, ticks every fortnight or month."""
    room = 0.02 * (span[1] - span[0])
    ax.set_xlim(span[0] - room, span[1] + room)
    log_ticks(ax, low, high)
    step = next((s for s in (7, 14, 28, 56, 91) if (span[1] - span[0]) / s <= 9), 182)
    first = int(np.ceil(span[0] / step)) * step
    ticks = np.arange(first, span[1] + 1, step)
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.set_ylabel(f"{label} ({unit})" if unit else label, labelpad=2)


def _course(ax, days, quantiles, cut, labs, low, high):
    """The expected course behind the labs."""
    if len(days):
        draw_bands(ax, days, np.clip(np.asarray(quantiles, float), low / 10, None), cut=cut)
    draw_labs(ax, labs, floor=low, top=high)


def _ends(courses, labs, limit) -> tuple[float, float]:
    """Axis ends that hold the 80 % ranges, the labs and the limit."""
    values = [lab["value"] for lab in labs if lab.get("value")]
    for course in courses:
        course = np.asarray(course, float)
        values += [] if not course.size else [float(course[1].min()), float(course[5].max())]
    top = max(values)
    floor = limit / 2 if limit else top / 1e4  # what lies below every limit, and zero, ends there
    return max(min(values), floor) / 1.3, 1.6 * top
