"""Marks for labs and forecasts on a time axis: what was observed, and bands of what may come (report_spec 2.1).

Observed and forecast never share a mark. A lab beyond a limit stands at the limit, not at half of it or at zero: a
hollow triangle that points to where the value lies, with a stem to that end of the axis. A lab known to lie between two
limits is a bar from one to the other.
"""

import numpy as np

from bayestwin.plots.style import BAND_50, BAND_80, BAND_95, BAND_EDGE, FIT_BAND, INK, MUTED, SMALL

LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)


def draw_bands(ax, x, quantiles, *, cut=None, edge=BAND_EDGE):
    """Bands 50, 80, 95 % with drawn edges from `cut` on; before it the fit as one faint 80 % band."""
    x, q = np.asarray(x, float), np.asarray(quantiles, float)
    cut = x[0] if cut is None else cut
    past, ahead = x <= cut, x >= cut
    if past.sum() > 1:
        ax.fill_between(x[past], q[1, past], q[5, past], color=FIT_BAND, linewidth=0, zorder=0.5)
    if ahead.sum() < 2:
        return
    for (low, high), colour, dash in zip(((0, 6), (1, 5), (2, 4)), (BAND_95, BAND_80, BAND_50), (":", "--", "-")):
        ax.fill_between(x[ahead], q[low, ahead], q[high, ahead], color=colour, linewidth=0, zorder=1)
        for edge_row in (low, high):
            ax.plot(x[ahead], q[edge_row, ahead], linestyle=dash, color=edge, linewidth=0.6, zorder=1.5)


def draw_futures(ax, x, samples, *, cut=None):
    """Thin sampled futures right of the data cut."""
    samples = np.asarray(samples, float)
    if samples.size:
        ahead = np.asarray(x) >= (x[0] if cut is None else cut)
        for path in samples:
            ax.plot(np.asarray(x)[ahead], path[ahead], color=INK, linewidth=0.35, alpha=0.45, zorder=2)


def draw_labs(ax, labs, *, floor, top):
    """Observed labs, each state with its own mark.

    labs : dicts with x, value, state, and where known comparator ("<" or ">"; a censored lab without one lies below),
    shown, limit, upper (end of an interval), assay_sd, before (0.1 and 0.9 limits), old_value, letter. `floor` and
    `top` are the axis ends.
    """
    for lab in labs:
        x, y, state = lab["x"], lab.get("value"), lab["state"]
        if state in ("missing", "overdue"):
            ax.text(x, top, "m" if state == "missing" else "!", fontsize=SMALL, ha="center", va="top", color=MUTED)
            continue
        if y is None:
            continue
        if state in ("rejected", "duplicate", "retracted"):
            inside = floor <= y <= top
            ax.plot(
                [x],
                [min(max(y, floor), top)],
                "x",
                color=MUTED,
                markersize=4,
                markeredgewidth=1,
                zorder=5,
                clip_on=False,
            )
            note = lab.get("letter", "") + ("" if inside else (" \u2191" if y > top else " \u2193"))
            ax.annotate(
                note,
                (x, min(max(y, floor), top)),
                (3, 2),
                textcoords="offset points",
                fontsize=SMALL,
                color=MUTED,
                annotation_clip=False,
            )
            continue
        _forecast_before(ax, lab)
        if lab.get("upper") is not None:
            ax.plot(
                [x, x], [y, lab["upper"]], "_-", color=INK, linewidth=1.2, markersize=5, markeredgewidth=0.8, zorder=5
            )
        elif beyond := lab.get("comparator") or ("<" if state == "censored" else ""):
            y, (mark, end) = lab.get("limit") or y, {"<": ("v", floor), ">": ("^", top)}[beyond]
            ax.plot([x, x], [y, end], color=INK, linewidth=0.6, zorder=4)
            hollow = {"markerfacecolor": "white", "markeredgecolor": INK, "markeredgewidth": 0.8}
            ax.plot([x], [y], mark, markersize=4, zorder=5, **hollow)
        else:
            if lab.get("assay_sd"):
                ax.plot(
                    [x, x], [max(y - lab["assay_sd"], floor), y + lab["assay_sd"]], color=INK, linewidth=0.6, zorder=4
                )
            ax.plot([x], [y], "o", color=INK, markersize=3.6, markeredgewidth=0, zorder=5)
        if state in ("late", "corrected"):
            ax.plot(
                [x],
                [y],
                "o",
                markerfacecolor="none",
                markeredgecolor=INK,
                markersize=7.5,
                markeredgewidth=0.7,
                zorder=5,
            )
        if state == "corrected" and lab.get("old_value"):
            ax.plot(
                [x],
                [lab["old_value"]],
                "o",
                markerfacecolor="white",
                markeredgecolor=MUTED,
                markersize=4,
                markeredgewidth=0.7,
                zorder=4,
            )
            ax.plot([x], [lab["old_value"]], "_", color=MUTED, markersize=9, markeredgewidth=0.8, zorder=5)
            ax.annotate(
                "",
                (x, y),
                (x, lab["old_value"]),
                arrowprops={"arrowstyle": "->", "linewidth": 0.5, "color": MUTED},
                zorder=3,
            )


def _forecast_before(ax, lab):
    """The 80 % range forecast before this lab arrived, just left of the point."""
    before = lab.get("before")
    if before:
        span = ax.get_xlim()[1] - ax.get_xlim()[0]
        x = lab["x"] - 0.005 * span
        ax.plot([x, x], list(before), color=BAND_EDGE, linewidth=1.4, alpha=0.9, solid_capstyle="butt", zorder=3)


def limit_strip(ax, limit, floor):
    """Hatched strip below the limit of quantification."""
    ax.axhspan(floor, limit, facecolor="#f4f4f4", edgecolor="#bdbdbd", hatch="////", linewidth=0, zorder=0)


def data_cut_line(ax, x, label="data cut"):
    """Solid line where the data end."""
    ax.axvline(x, color=INK, linewidth=0.9, zorder=3)
    ax.annotate(
        label,
        (x, 1),
        (2, -1),
        xycoords=ax.get_xaxis_transform(),
        textcoords="offset points",
        va="top",
        fontsize=SMALL,
        color=INK,
    )


def draw_events(ax, events):
    """Ticks at the foot of the panel, their names on alternating rows. events : (month, name)."""
    for place, (month, name) in enumerate(sorted(events)):
        height = 0.04 + 0.1 * (place % 3)
        ax.plot([month, month], [0, height], transform=ax.get_xaxis_transform(), color=INK, linewidth=1.0, zorder=6)
        ax.annotate(
            name,
            (month, height),
            (2, -1.5),
            xycoords=ax.get_xaxis_transform(),
            textcoords="offset points",
            fontsize=SMALL,
            color=INK,
            va="bottom",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.3, "alpha": 0.7},
            zorder=6,
        )
