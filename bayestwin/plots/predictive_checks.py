"""Visual predictive checks, NPDE and random effects: does a fitted population look like its cohort?"""

import numpy as np

from bayestwin.plots.style import (
    BAND_80,
    BAND_EDGE,
    FIT_BAND,
    INK,
    MUTED,
    RULE,
    SMALL,
    new_axes,
    new_panels,
    quiet_style,
)

FILLS = (FIT_BAND, BAND_80, FIT_BAND)


def plot_vpc(
    table,
    *,
    probability: float,
    labs=(),
    scale="linear",
    label="",
    unit="",
    time_label="time",
    width_mm=150.0,
    data=False,
):
    """Percentiles of the observed values (lines) over the bands of simulated ones; the share below the limit beneath.

    Parameters
    ----------
    table : rows of `evaluation.predictive_checks.vpc`
    labs : (time, value)     the observed values, drawn as points (not with prediction correction)
    scale : "log" or "linear"

    Returns
    -------
    Axes (upper, lower) where there are limits, else Axes; with data=True (axes, table)
    """
    below = table[table["line"] == "below limit"]
    lines = [line for line in dict.fromkeys(table["line"]) if line != "below limit"]
    with quiet_style():
        if len(below):
            upper, lower = new_panels(width_mm, [62.0, 24.0], left=15, right=4, bottom=11, top=4, gap=4)
        else:
            upper, lower = new_axes(width_mm, 78.0, left=15, right=4, bottom=11, top=4), None
        for place, line in enumerate(lines):
            part = table[table["line"] == line]
            middle = place == len(lines) // 2
            _bands(upper, part, FILLS[place % 3], "-" if middle else (0, (3, 1.5)))
            style = {"linewidth": 1.0 if middle else 0.7, "linestyle": "-" if middle else (0, (4, 2))}
            upper.plot(part["middle"], part["observed"], color=INK, marker="o", markersize=2.4, zorder=4, **style)
        if len(labs):
            at, y = np.array(labs, dtype=float).T
            upper.plot(at, y, "o", markersize=1.6, markeredgewidth=0, color=MUTED, alpha=0.6, zorder=2)
        if scale == "log":
            upper.set_yscale("log")
        upper.set_ylabel(f"{label} ({unit})" if unit else label, labelpad=2)
        percent = "" if lines[0].startswith("share of ") else " %"
        words = f"Lines: observed {', '.join(lines)}{percent}. Bands: {100 * probability:g} % of simulated cohorts"
        (lower or upper).set_xlabel(f"{time_label}. {words}", labelpad=2)
        for edge in [*table["from_time"].unique(), table["to_time"].max()]:
            upper.plot([edge, edge], [0, 0.02], transform=upper.get_xaxis_transform(), color=INK, linewidth=0.6)
        if lower is not None:
            _bands(lower, below, FIT_BAND)
            lower.plot(below["middle"], below["observed"], color=INK, linewidth=0.9, marker="o", markersize=2.4)
            lower.set_ylim(0, 1)
            lower.set_ylabel("below limit", labelpad=2)
            lower.set_xlim(*upper.get_xlim())
            upper.set_xticklabels([])
    axes = (upper, lower) if lower is not None else upper
    return (axes, table) if data else axes


def _bands(ax, part, fill, edges="-"):
    """Bands as steps over the bins, so that a bin's width is seen; each with all its edges where bands overlap."""
    for row in part.itertuples():
        right = row.to_time if row.to_time > row.from_time else row.from_time + 1e-9
        ax.fill_between([row.from_time, right], row.low, row.high, color=fill, linewidth=0, zorder=1, alpha=0.6)
        for edge in (row.low, row.high):
            ax.plot([row.from_time, right], [edge, edge], color=BAND_EDGE, linewidth=0.7, linestyle=edges, zorder=3)
    if (part["to_time"] == part["from_time"]).all():
        ax.fill_between(part["middle"], part["low"], part["high"], color=fill, linewidth=0, zorder=0)


def plot_npde(table, *, time_label="time", width_mm=150.0, height_mm=70.0, data=False):
    """NPDE against time and against PRED; under the model they are standard normal everywhere, 90 % within the dashes.

    table : rows of `evaluation.predictive_checks.npde`; returns two Axes, with data=True (Axes, table)
    """
    from matplotlib.figure import Figure

    with quiet_style():
        figure = Figure(figsize=(width_mm / 25.4, height_mm / 25.4))
        axes = figure.subplots(1, 2, sharey=True)
        figure.subplots_adjust(left=0.09, right=0.98, bottom=0.17, top=0.96, wspace=0.06)
        for ax, column, words in zip(axes, ("time", "pred"), (time_label, "PRED")):
            censored = (table["limit_flag"] != "none").to_numpy()
            measured, limited = table[~censored], table[censored]
            ax.plot(measured[column], measured["npde"], "o", markersize=2.4, color=INK, markeredgewidth=0)
            hollow = {"markerfacecolor": "white", "markeredgecolor": INK, "markeredgewidth": 0.6}
            ax.plot(limited[column], limited["npde"], "v", markersize=3, **hollow)
            for level, dash in ((0.0, "-"), (-1.645, "--"), (1.645, "--")):
                ax.axhline(level, color=RULE if level == 0 else MUTED, linewidth=0.7, linestyle=dash, zorder=0)
            ax.set_xlabel(words, labelpad=2)
        axes[0].set_ylabel("NPDE", labelpad=2)
    return (axes, table) if data else axes


def plot_random_effects(table, parameter: str, *, shrinkage=None, ax=None, width_mm=80.0, row_mm=3.2, data=False):
    """Caterpillar of one parameter: each patient's eta, 50 % (thick) and 80 % (thin), in order of size.

    table : rows of `evaluation.random_effects.random_effects`; shrinkage : printed in the label
    """
    part = table[table["parameter"] == parameter].sort_values("mean")
    with quiet_style():
        if ax is None:
            ax = new_axes(width_mm, row_mm * len(part) + 14, left=22, right=3, bottom=10, top=2)
        y = np.arange(len(part))
        ax.hlines(y, part["low_80"], part["high_80"], color=INK, linewidth=0.7)
        ax.hlines(y, part["low_50"], part["high_50"], color=INK, linewidth=1.8)
        ax.plot(part["mean"], y, "o", markersize=2.6, color="white", markeredgecolor=INK, markeredgewidth=0.7, zorder=3)
        ax.axvline(0, color=MUTED, linewidth=0.7, zorder=0)
        ax.set_yticks(y, part["patient"], fontsize=SMALL)
        ax.set_ylim(-0.7, len(part) - 0.3)
        said = "" if shrinkage is None else f", shrinkage {100 * shrinkage:.0f} %"
        ax.set_xlabel(f"eta of {parameter}{said}", labelpad=2)
    return (ax, part) if data else ax


def plot_event_vpc(table, *, probability: float, label="", time_label="time", width_mm=150.0, data=False):
    """Observed Kaplan-Meier curve (steps) over the band of the simulated ones, patients at risk beneath.

    Parameters
    ----------
    table : rows of one event of `evaluation.event_checks.event_vpc`

    Returns
    -------
    Axes; with data=True (Axes, table)
    """
    with quiet_style():
        ax = new_axes(width_mm, 78.0, left=15, right=4, bottom=17, top=4)
        ax.fill_between(table["time"], table["low"], table["high"], color=FIT_BAND, linewidth=0, step="post")
        ax.plot(table["time"], table["middle"], color=BAND_EDGE, linewidth=0.9, linestyle=(0, (4, 2)))
        ax.step(table["time"], table["observed"], where="post", color=INK, linewidth=1.1, zorder=4)
        ax.set_ylim(0, 1.02)
        ax.set_xlim(0, table["time"].max())
        ax.set_ylabel(f"no {label}" if label else "no event", labelpad=2)
        first = table.iloc[0]
        words = (
            f"Steps: observed ({first['events']:g} events; simulated {first['events_low']:.0f} to "
            f"{first['events_high']:.0f}). Band: {100 * probability:g} % of simulated cohorts"
        )
        ax.set_xlabel(f"{time_label}. {words}", labelpad=11)
        for place in np.linspace(0, len(table) - 1, 6).astype(int):
            row = table.iloc[place]
            ax.annotate(
                f"{row['at_risk']:.0f}",
                (row["time"], 0),
                (0, -13),
                xycoords="data",
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=SMALL,
                color=MUTED,
                annotation_clip=False,
            )
        ax.annotate(
            "at risk", (0, 0), (-14, -13), textcoords="offset points", ha="right", va="top", fontsize=SMALL, color=MUTED
        )
    return (ax, table) if data else ax
