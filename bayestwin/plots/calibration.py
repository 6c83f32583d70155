"""Calibration of forecasts: do intervals hold as many labs as they say, and are the PITs uniform?

A forecast that knows what it does not know has points on the diagonal and flat bars. Points under the diagonal and a
bowl of PITs: intervals too narrow. Points above it and a hill: too wide, or the labs were known beforehand. A slope:
forecasts too high or too low. Bars and bands respect that labs come in patients; they are computed in evaluation/.
"""

import numpy as np

from bayestwin.plots.style import (
    BAND_80,
    BAND_EDGE,
    FIT_BAND,
    INK,
    MUTED,
    SMALL,
    new_axes,
    quiet_style,
    treatment_style,
)

MARKERS = ("o", "s", "^", "D")


def plot_coverage(series, *, probability: float, ax=None, width_mm=84.0, height_mm=76.0, data=False):
    """Nominal against observed coverage of central intervals.

    Parameters
    ----------
    series : (label, rows)        a row is (nominal, observed, low, high), 0 to 1; one series per kind of forecast
    probability : float           of the bars

    Returns
    -------
    Axes, with data=True (Axes, rows) where a row is (label, nominal, observed, low, high)
    """
    rows = [(label, *row) for label, own in series for row in own]
    with quiet_style():
        if ax is None:
            ax = new_axes(width_mm, height_mm, left=13, right=3, bottom=11, top=3)
        lowest = min([0.4, *(np.nanmin([observed, low]) - 0.03 for _, _, observed, low, _ in rows)])
        start = 100 * max(0.0, np.floor(10 * lowest) / 10)
        ax.plot([start, 100], [start, 100], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        for place, (label, own) in enumerate(series):
            shift = 1.3 * (place - (len(series) - 1) / 2)
            points = 100 * np.array(own, dtype=float)
            _bars(ax, points[:, 0] + shift, points[:, 1], points[:, 2], points[:, 3], place, label)
        levels = sorted({100 * row[1] for row in rows})
        ax.set_xlim(min(start, levels[0] - 5), 100)
        ax.set_ylim(start, 101)
        ax.set_xticks(levels, [f"{level:.0f}" for level in levels])
        ax.set_xlabel("central interval, %", labelpad=2)
        ax.set_ylabel(f"labs inside, % (bars {100 * probability:g} %, by patient)", labelpad=2)
        if len(series) > 1:
            ax.legend(frameon=False, fontsize=SMALL, loc="upper left", handlelength=2.4)
    return (ax, rows) if data else ax


def _bars(ax, x, value, low, high, place, label=None):
    """Points with interval bars, in the colour, dash and marker of this place."""
    style = treatment_style(place)
    for at, a, b in zip(x, low, high):
        if np.isfinite(a) and np.isfinite(b):
            ax.plot([at, at], [a, b], color=style["color"], linewidth=1.1, solid_capstyle="butt", zorder=2)
    marks = {"marker": MARKERS[place % 4], "markersize": 4.2, "markeredgewidth": 0, "zorder": 3}
    ax.plot(x, value, linewidth=0.9, label=label, **style, **marks)


def plot_pit(
    pit,
    *,
    probability: float,
    kind="both",
    bins=10,
    histogram_band=None,
    ecdf_band=None,
    effective=None,
    ax=None,
    width_mm=160.0,
    height_mm=62.0,
    data=False,
):
    """Probability integral transforms: histogram, difference of their distribution function to uniform, or both.

    Parameters
    ----------
    pit : (N,)                    0 to 1
    probability : float           of the bands
    kind : "both", "histogram" or "ecdf"
    histogram_band : (low, high)  share of labs within which each bar stays by itself (`scores.histogram_band`)
    ecdf_band : (u, low, high)    within which the curve stays as a whole (`scores.ecdf_band`)
    effective : float             number of independent labs the bands are for, printed
    ax : Axes, or for "both" a pair of them

    Returns
    -------
    Axes or array of two; with data=True (..., rows), rows (left, right, share) of bars and (u, F(u) - u) of the curve
    """
    pit = np.asarray(pit, dtype=float)
    pit = pit[~np.isnan(pit)]
    with quiet_style():
        axes = np.atleast_1d(ax) if ax is not None else _pit_axes(kind, width_mm, height_mm)
        rows, words = (
            [],
            f"{len(pit)} labs" + ("" if effective is None else f", worth {effective:.0f} independent ones"),
        )
        if kind in ("both", "histogram"):
            rows += draw_histogram(axes[0], pit, bins, histogram_band)
            axes[0].set_ylabel("labs in 100", labelpad=2)
            said = f"{words}\n{band_words(histogram_band, probability, 'each bar')}"
            axes[0].set_title(said, fontsize=SMALL, color=MUTED)
        if kind in ("both", "ecdf"):
            rows += draw_ecdf(axes[-1], pit, ecdf_band)
            axes[-1].set_ylabel("F(PIT) - PIT", labelpad=2)
            said = f"{words}\n{band_words(ecdf_band, probability, 'the whole curve')}"
            axes[-1].set_title(said, fontsize=SMALL, color=MUTED)
        for panel in axes:
            panel.set_xlim(0, 1)
            panel.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
            panel.set_xlabel("PIT (0: lower, 1: higher than anything forecast)", labelpad=2)
    found = axes if kind == "both" else axes[0]
    return (found, rows) if data else found


def _pit_axes(kind, width_mm, height_mm):
    """One fresh panel, or two side by side in one figure."""
    if kind != "both":
        return np.array([new_axes(width_mm / 2, height_mm, left=13, right=4, bottom=10, top=9)])
    first = new_axes(width_mm, height_mm, left=13, right=width_mm / 2 + 4, bottom=10, top=9)
    place = first.get_position()
    second = first.figure.add_axes((place.x0 + 0.5, place.y0, place.width, place.height))
    return np.array([first, second])


def band_words(band, probability, of):
    """What a band says, in words; of : what it holds."""
    return "no band" if band is None else f"band: holds {of} with {100 * probability:g} % if calibrated"


def draw_histogram(ax, pit, bins, band):
    """Shares of PITs by bin on an Axes, with the band of each bar; rows (left, right, share)."""
    counts, edges = np.histogram(pit, bins=bins, range=(0, 1))
    share = 100 * counts / max(len(pit), 1)
    if band is not None:
        ax.axhspan(100 * band[0], 100 * band[1], color=FIT_BAND, linewidth=0, zorder=0)
        for edge in band:
            ax.axhline(100 * edge, color=MUTED, linewidth=0.6, linestyle="--", zorder=2.5)
    ax.bar(edges[:-1], share, np.diff(edges), align="edge", color=BAND_80, edgecolor=BAND_EDGE, linewidth=0.6, zorder=2)
    ax.axhline(100 / bins, color=INK, linewidth=0.8, zorder=3)
    ax.set_ylim(0, 1.15 * max([*share, 100 * band[1] if band is not None else 0, 100 / bins]))
    return [(float(a), float(b), float(s) / 100) for a, b, s in zip(edges, edges[1:], share)]


def draw_ecdf(ax, pit, band):
    """F(u) - u of PITs on an Axes, with the band of the whole curve; rows (u, F(u) - u)."""
    values = np.sort(pit)
    steps = np.arange(1, len(values) + 1) / max(len(values), 1)
    # a step function: just before and just at each value
    x = np.concatenate([[0.0], np.repeat(values, 2), [1.0]])
    y = np.concatenate([[0.0], np.column_stack([steps - 1 / max(len(values), 1), steps]).ravel(), [1.0]]) - x
    if band is not None:
        u, low, high = (np.concatenate([[end], edge, [end2]]) for edge, end, end2 in zip(band, (0, 0, 0), (1, 0, 0)))
        ax.fill_between(u, low, high, color=FIT_BAND, linewidth=0, zorder=0)
        ax.plot(u, low, u, high, color=MUTED, linewidth=0.6, linestyle="--", zorder=1)
    ax.axhline(0, color=MUTED, linewidth=0.6, zorder=1)
    ax.plot(x, y, color=BAND_EDGE, linewidth=0.9, zorder=2)
    return [(float(v), float(s - v)) for v, s in zip(values, steps)]


def plot_coverage_by_labs_learnt(
    groups, *, probability: float, ax=None, width_mm=120.0, height_mm=76.0, label="labs learnt before", data=False
):
    """Coverage of central intervals by how many labs had been learnt; a twin too sure of itself sinks to the right.

    Parameters
    ----------
    groups : (name, labs, patients, scores)   scores: level -> (observed, low, high), 0 to 1
    label : str                               of the axis, where groups are of another kind

    Returns
    -------
    Axes, with data=True (Axes, rows) where a row is (name, level, observed, low, high, labs, patients)
    """
    levels = list(dict.fromkeys(level for *_, scores in groups for level in scores))
    rows = [(n, level, *scores[level], labs, people) for n, labs, people, scores in groups for level in scores]
    with quiet_style():
        if ax is None:
            ax = new_axes(width_mm, height_mm, left=13, right=13, bottom=17, top=3)
        for place, level in enumerate(levels):
            own = [(k, *scores[level]) for k, (*_, scores) in enumerate(groups) if level in scores]
            x, value, low, high = (np.array(column, dtype=float) for column in zip(*own))
            shift = 0.16 * (place - (len(levels) - 1) / 2)
            _bars(ax, x + shift, 100 * value, 100 * low, 100 * high, place)
            style = {"color": treatment_style(place)["color"], "linewidth": 0.7, "linestyle": (0, (4, 3))}
            ax.axhline(100 * level, zorder=1, **style)
            ax.annotate(
                f"{100 * level:.0f} %",
                (1, 100 * level),
                (3, 0),
                xycoords=ax.get_yaxis_transform(),
                textcoords="offset points",
                va="center",
                color=style["color"],
                annotation_clip=False,
            )
        ax.set_xlim(-0.5, len(groups) - 0.5)
        ax.set_ylim(min(30, 100 * np.nanmin([1.0, *(share for row in rows for share in row[2:4])]) - 3), 101)
        ax.set_xticks(range(len(groups)), [f"{n}\n{labs} labs\n{people} patients" for n, labs, people, _ in groups])
        ax.set_xlabel(label, labelpad=2)
        ax.set_ylabel(f"labs inside, % (bars {100 * probability:g} %, by patient)", labelpad=2)
    return (ax, rows) if data else ax
