"""Figure 1: time to an event as a quantile dotplot, one lane per treatment.

Twenty dots stand at the 2.5, 7.5, ... 97.5 % quantiles of the forecast, so each dot is 5 of 100 patients. Dots
after the horizon are hollow in a box with their count: the forecast says "later", not when. Under each lane a
thin bar holds 80 %, a thick one 50 %, a tick marks the middle. A cross marks a death without progression.
"""

import math

from bayestwin.plots.style import (
    FONT_SIZE,
    INK,
    MUTED,
    RULE,
    SMALL,
    month_ticks,
    new_axes,
    quiet_style,
    treatment_style,
)

LABEL, BARS, GAP = 4.6, 3.4, 1.4  # mm of a lane: label above the dots, bars beneath, air below
BOX = 25.0  # mm of the box right of the horizon


def plot_time_to_event_dots(
    lanes, *, horizon: float, ax=None, width_mm=186.0, dots_mm=7.5, clock="data cut", data=False
):
    """Quantile dotplot of event times.

    Parameters
    ----------
    lanes : sequence of dicts         label, dots (20 months, inf after the horizon), died (20 flags),
                                      q (level -> months), after (words of the count after the horizon; default: it)
                                      `style` = place in the treatment colours (default: place in the sequence)
    horizon : float                   months; nothing is drawn past it
    dots_mm : float                   most height for the dots of one lane; flat piles take less

    Returns
    -------
    Axes, with data=True (Axes, rows) where a row is (label, dots drawn before the horizon, count after it)
    """
    with quiet_style():
        width = width_mm - 2 - BOX if ax is None else ax.get_window_extent().width / ax.figure.dpi * 25.4
        per_month = width / horizon
        size, piled = _dot_size(lanes, per_month, dots_mm)
        dots_mm = max(
            size * piled,
            2.2 * (1 + max((sum(not math.isfinite(dot) for dot in lane["dots"]) - 1) // 7 for lane in lanes)),
        )
        lane_mm = LABEL + dots_mm + BARS + GAP
        if ax is None:
            ax = new_axes(width_mm, lane_mm * len(lanes) + 8, left=2, right=BOX, bottom=8)
        ax.set_ylim(0, lane_mm * len(lanes))
        ax.set_xlim(0, horizon)
        rows = []
        for place, lane in enumerate(lanes):
            base = lane_mm * (len(lanes) - 1 - place) + BARS + GAP
            style = treatment_style(lane.get("style", place))
            _lane_label(ax, lane, base + dots_mm + 1.9, style)
            inside = _dots(ax, lane, base, size, per_month, style)
            _bars(ax, lane["q"], base - 1.7, horizon, style)
            _after(ax, lane, base, size, style, horizon)
            rows.append((lane["label"], inside, 20 - len(inside)))
        for month in range(6, int(horizon), 6):
            ax.axvline(month, color="#e3e3e3", linewidth=0.5, zorder=0)
        ax.axvline(horizon, color=MUTED, linewidth=0.6, zorder=0)
        month_ticks(ax, 0, horizon)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.set_xlabel(f"months from {clock}", labelpad=1.5)
        ax.annotate(
            f"after {horizon:g} months",
            (1, 0),
            (11, -4),
            xycoords="axes fraction",
            textcoords="offset points",
            va="top",
            fontsize=SMALL,
            annotation_clip=False,
        )
    return (ax, rows) if data else ax


def _levels(months, width):
    """Lowest free row for each dot, so that dots keep their own month and never overlap."""
    rows, levels = [], []
    for month in months:
        level = next((k for k, last in enumerate(rows) if month - last >= width), len(rows))
        rows[level : level + 1] = [month]
        levels.append(level)
    return levels


def _dot_size(lanes, per_month, dots_mm):
    """Largest diameter (mm) at which every lane's pile fits its height, and the rows of the highest pile."""
    size = 2.6
    while size > 0.5:
        highest = max(
            (
                max(_levels([d for d in lane["dots"] if math.isfinite(d)], size / per_month), default=0)
                for lane in lanes
            ),
            default=0,
        )
        if (highest + 1) * size <= dots_mm:
            return size, highest + 1
        size -= 0.1
    return size, highest + 1


def _points(size_mm):
    return size_mm * 0.9 / 25.4 * 72


def _dots(ax, lane, base, size, per_month, style):
    inside = [dot for dot in lane["dots"] if math.isfinite(dot)]
    levels = _levels(inside, size / per_month)
    died = list(lane.get("died") or (False,) * 20)
    for dot, level, dead in zip(inside, levels, died):
        y = base + (level + 0.5) * size
        ax.plot(
            [dot], [y], "o", markersize=_points(size), color=style["color"], markeredgewidth=0, clip_on=False, zorder=3
        )
        if dead:
            ax.plot(
                [dot],
                [y],
                "x",
                markersize=_points(size) * 0.62,
                color="white",
                markeredgewidth=1.0,
                clip_on=False,
                zorder=4,
            )
    return inside


def _lane_label(ax, lane, y, style):
    ax.plot([0, 0.028], [y, y], transform=ax.get_yaxis_transform(), linewidth=1.6, clip_on=False, **style)
    ax.text(
        0.034,
        y,
        lane["label"],
        transform=ax.get_yaxis_transform(),
        va="center",
        fontsize=8,
        fontweight="bold",
        color=INK,
    )


def _bars(ax, q, y, horizon, style):
    """Bars for 80 and 50 %; an end past the horizon runs to it and is left open with an arrow."""
    for low, high, width in ((q[0.1], q[0.9], 1.3), (q[0.25], q[0.75], 4.2)):
        if math.isfinite(low):
            end = min(high, horizon)
            ax.plot(
                [low, end],
                [y, y],
                linewidth=width,
                color=style["color"],
                solid_capstyle="butt",
                linestyle=style["linestyle"] if width < 2 else "-",
                zorder=2 if width < 2 else 2.5,
            )
            if not math.isfinite(high):
                ax.annotate(
                    "",
                    (horizon, y),
                    (horizon * 0.985, y),
                    zorder=3,
                    arrowprops={"arrowstyle": "-|>", "color": style["color"], "linewidth": 0.8, "mutation_scale": 6},
                )
    if math.isfinite(q[0.5]):
        ax.plot([q[0.5], q[0.5]], [y - 1.5, y + 1.5], color="white", linewidth=2.4, zorder=3)
        ax.plot([q[0.5], q[0.5]], [y - 1.5, y + 1.5], color=INK, linewidth=1.0, zorder=4)


def _after(ax, lane, base, size, style, horizon):
    """Hollow dots of those after the horizon, five to a row, with their count."""
    count = sum(not math.isfinite(dot) for dot in lane["dots"])
    unit = 2.1 / 25.4 * 72
    for k in range(count):
        ax.plot(
            [1],
            [base + 1.1 + 2.1 * (k // 7)],
            "o",
            transform=ax.get_yaxis_transform() + _shift(ax, 5.5 + unit * (k % 7)),
            markersize=4.4,
            markerfacecolor="white",
            markeredgecolor=style["color"],
            markeredgewidth=0.9,
            clip_on=False,
        )
    ax.annotate(
        lane.get("after", f"{count} of 20"),
        (1, base - 1.7),
        (4, 0),
        xycoords=ax.get_yaxis_transform(),
        textcoords="offset points",
        va="center",
        fontsize=FONT_SIZE,
        color=INK if count else MUTED,
        annotation_clip=False,
    )
    ax.plot(
        [0, 1.155],
        [base - BARS - GAP * 0.4] * 2,
        transform=ax.get_yaxis_transform(),
        color=RULE,
        linewidth=0.4,
        clip_on=False,
    )


def _shift(ax, points):
    from matplotlib.transforms import ScaledTranslation

    return ScaledTranslation(points / 72, 0, ax.figure.dpi_scale_trans)
