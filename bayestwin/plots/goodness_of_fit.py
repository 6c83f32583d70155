"""Observed against predicted, residuals, individual fits, spaghetti, covariate forest: what a modeller sees first.

Tables in, matplotlib axes out. A value below its limit stands as a hollow triangle at the limit.
"""

import numpy as np

from bayestwin.plots.style import (
    BAND_80,
    BAND_EDGE,
    INK,
    MUTED,
    RULE,
    SMALL,
    TREATMENT_COLOURS,
    new_axes,
    quiet_style,
)

TREND_SHARE = 0.6  # of the points, in a local fit
ACCENT = TREATMENT_COLOURS[1]


def plot_observed_predicted(table, *, which="ipred", scale="linear", unit="", ax=None, width_mm=80.0, data=False):
    """Observed values against PRED or IPRED with the identity line and a local trend.

    table : rows of `evaluation.goodness_of_fit.goodness_of_fit` of one output; which : "pred" or "ipred"
    scale : "log" or "linear"
    """
    with quiet_style():
        if ax is None:
            ax = new_axes(width_mm, width_mm, left=14, right=3, bottom=11, top=3)
        x, y = table[which].to_numpy(float), table["observed"].to_numpy(float)
        if scale == "log":
            ax.set_xscale("log")
            ax.set_yscale("log")
        shown = np.isfinite(x) & np.isfinite(y) & ((scale != "log") | ((x > 0) & (y > 0)))
        ends = [min(x[shown].min(), y[shown].min()), max(x[shown].max(), y[shown].max())] if shown.any() else [0.0, 1.0]
        ax.plot(ends, ends, color=MUTED, linewidth=0.8, zorder=1)
        _points(ax, x[shown], y[shown], table["limit_flag"].to_numpy()[shown])
        forward, back = (np.log, np.exp) if scale == "log" else (np.asarray, np.asarray)
        _trend(ax, forward(x[shown]), forward(y[shown]), back)
        words = {"pred": "PRED", "ipred": "IPRED"}[which]
        ax.set_xlabel(f"{words} ({unit})" if unit else words, labelpad=2)
        ax.set_ylabel(f"observed ({unit})" if unit else "observed", labelpad=2)
    return (ax, table) if data else ax


def plot_residuals(
    table, *, residual="iwres", against="time", label="", scale="linear", ax=None, width_mm=80.0, data=False
):
    """Residuals, standard normal under the model, with 90 % limits and a local trend.

    table : rows with `residual` ("iwres" or "npde") and `against` ("time", "pred" or "ipred"); label : of the x axis
    scale : of the x axis, "log" or "linear"
    """
    with quiet_style():
        if ax is None:
            ax = new_axes(width_mm, width_mm, left=14, right=3, bottom=11, top=3)
        x, y = table[against].to_numpy(float), table[residual].to_numpy(float)
        if scale == "log":
            ax.set_xscale("log")
        for level, dash in ((0.0, "-"), (-1.645, "--"), (1.645, "--")):
            ax.axhline(level, color=RULE if level == 0 else MUTED, linewidth=0.7, linestyle=dash, zorder=0)
        shown = np.isfinite(x) & np.isfinite(y) & ((scale != "log") | (x > 0))
        _points(ax, x[shown], y[shown], table["limit_flag"].to_numpy()[shown])
        forward, back = (np.log, np.exp) if scale == "log" else (np.asarray, np.asarray)
        _trend(ax, forward(x[shown]), y[shown], lambda v: v, back_x=back)
        ax.set_xlabel(label or {"pred": "PRED", "ipred": "IPRED"}.get(against, against), labelpad=2)
        ax.set_ylabel(residual.upper(), labelpad=2)
    return (ax, table) if data else ax


def plot_goodness_of_fit(table, *, scale="linear", unit="", time_label="time", width_mm=150.0, data=False):
    """Four panels: observed against PRED and against IPRED, IWRES against time and against IPRED.

    table : rows of `evaluation.goodness_of_fit.goodness_of_fit` of one output; returns the Axes (2, 2)
    """
    from matplotlib.figure import Figure

    with quiet_style():
        figure = Figure(figsize=(width_mm / 25.4, width_mm / 25.4))
        axes = figure.subplots(2, 2)
        figure.subplots_adjust(left=0.1, right=0.98, bottom=0.08, top=0.98, wspace=0.28, hspace=0.24)
        for ax, which in zip(axes[0], ("pred", "ipred")):
            plot_observed_predicted(table, which=which, scale=scale, unit=unit, ax=ax)
        plot_residuals(table, against="time", label=time_label, ax=axes[1, 0])
        plot_residuals(table, against="ipred", label=f"IPRED ({unit})" if unit else "IPRED", scale=scale, ax=axes[1, 1])
        if not np.isfinite(table["iwres"].to_numpy(float)).any():
            for ax in axes[1]:
                ax.text(0.5, 0.5, "no IWRES of this output", transform=ax.transAxes, ha="center", fontsize=SMALL)
    return (axes, table) if data else axes


def plot_spaghetti(table, *, scale="linear", label="", unit="", time_label="time", ax=None, width_mm=150.0, data=False):
    """One line per patient through the observed values.

    table : rows with patient, time, observed, limit_flag of one output
    """
    with quiet_style():
        if ax is None:
            ax = new_axes(width_mm, 78.0, left=15, right=4, bottom=11, top=4)
        if scale == "log":
            ax.set_yscale("log")
        for _, part in table.sort_values("time", kind="stable").groupby("patient", sort=False):
            ax.plot(part["time"], part["observed"], color=INK, linewidth=0.5, alpha=0.5, zorder=1)
        _points(ax, table["time"].to_numpy(float), table["observed"].to_numpy(float), table["limit_flag"].to_numpy())
        ax.set_xlabel(f"{time_label}. One line per patient ({table['patient'].nunique()})", labelpad=2)
        ax.set_ylabel(f"{label} ({unit})" if unit else label, labelpad=2)
    return (ax, table) if data else ax


def plot_individual_fits(
    courses, table, *, scale="linear", label="", unit="", time_label="time", columns=4, data=False
):
    """A panel per patient: observed values, IPRED (black, 80 % band of its posterior) and PRED (dashed).

    courses : patient -> rows of `evaluation.goodness_of_fit.individual_courses`; table : rows of `goodness_of_fit` of
        the same output; returns a list of Axes in the order of `courses`
    """
    from matplotlib.figure import Figure

    with quiet_style():
        rows = -(-len(courses) // columns)
        figure = Figure(figsize=(186 / 25.4, (12 + 38 * rows) / 25.4))
        axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
        figure.subplots_adjust(
            left=0.08, right=0.99, bottom=11 / (12 + 38 * rows), top=1 - 5 / (12 + 38 * rows), wspace=0.3, hspace=0.4
        )
        for ax, (patient, course) in zip(axes, courses.items()):
            if scale == "log":
                ax.set_yscale("log")
                course = course.assign(**{c: course[c].where(course[c] > 0) for c in ("pred", "ipred", "low", "high")})
            ax.fill_between(course["time"], course["low"], course["high"], color=BAND_80, linewidth=0)
            ax.plot(course["time"], course["pred"], color=BAND_EDGE, linewidth=0.8, linestyle=(0, (4, 2)))
            ax.plot(course["time"], course["ipred"], color=INK, linewidth=0.9)
            mine = table[table["patient"] == patient]
            _points(ax, mine["time"].to_numpy(float), mine["observed"].to_numpy(float), mine["limit_flag"].to_numpy())
            ax.set_title(str(patient), fontsize=SMALL)
        for ax in axes[len(courses) :]:
            ax.set_axis_off()
        figure.supxlabel(f"{time_label}. Line: IPRED with 80 % band; dashed: PRED", fontsize=SMALL + 0.5)
        figure.supylabel(f"{label} ({unit})" if unit else label, fontsize=SMALL + 0.5)
    return (axes[: len(courses)], table) if data else axes[: len(courses)]


def plot_covariate_effects(table, *, kind="ratio", ax=None, width_mm=120.0, row_mm=5.0, data=False):
    """Forest of covariate effects: median, 50 % (thick) and 90 % (thin); grey from 0.8 to 1.25 for ratios.

    table : rows of `evaluation.covariate_effects.covariate_effects`; kind : which of its kinds to draw
    """
    part = table[table["kind"] == kind].iloc[::-1]
    with quiet_style():
        if ax is None:
            ax = new_axes(width_mm, row_mm * len(part) + 16, left=48, right=4, bottom=11, top=3)
        y = np.arange(len(part))
        if kind != "difference":
            ax.set_xscale("log")
            ax.axvspan(0.8, 1.25, color="#e8e8e8", linewidth=0, zorder=0)
        ax.axvline(0.0 if kind == "difference" else 1.0, color=MUTED, linewidth=0.7, zorder=1)
        ax.hlines(y, part["low_90"], part["high_90"], color=INK, linewidth=0.7)
        ax.hlines(y, part["low_50"], part["high_50"], color=INK, linewidth=1.8)
        ax.plot(
            part["median"], y, "o", markersize=2.8, color="white", markeredgecolor=INK, markeredgewidth=0.7, zorder=3
        )
        names = [f"{row.parameter}: {row.covariate} = {row.value}" for row in part.itertuples()]
        ax.set_yticks(y, names, fontsize=SMALL)
        ax.set_ylim(-0.7, len(part) - 0.3)
        if kind != "difference":
            _plain_ticks(ax, part["low_90"].min(), part["high_90"].max())
        ax.set_xlabel(f"{kind} to the reference patient; 50 and 90 %", labelpad=2)
    return (ax, part) if data else ax


def _plain_ticks(ax, low, high):
    """Ratios in plain numbers."""
    from matplotlib.ticker import NullFormatter, NullLocator

    kept = [t for t in (0.1, 0.2, 0.25, 0.5, 0.8, 1.0, 1.25, 2.0, 4.0, 5.0, 10.0) if low / 1.3 <= t <= high * 1.3]
    ax.set_xticks(kept or [1.0], [f"{t:g}" for t in kept or [1.0]])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())


def _points(ax, x, y, flags):
    """Measured values filled, those beyond a limit as hollow triangles at it, intervals hollow."""
    marks = {"none": "o", "left": "v", "right": "^", "interval": "s"}
    for flag, mark in marks.items():
        mine = flags == flag
        hollow = {"markerfacecolor": "white", "markeredgecolor": INK, "markeredgewidth": 0.6}
        style = {"color": INK, "markeredgewidth": 0} if flag == "none" else hollow
        ax.plot(x[mine], y[mine], mark, markersize=2.4 if flag == "none" else 3.2, linestyle="none", zorder=3, **style)


def _trend(ax, x, y, back, back_x=None):
    """A local linear fit with tricube weights (Cleveland 1979), where there are points enough."""
    kept = np.isfinite(x) & np.isfinite(y)
    x, y = x[kept], y[kept]
    if len(np.unique(x)) < 8:
        return
    at = np.linspace(x.min(), x.max(), 60)
    near = int(np.ceil(TREND_SHARE * len(x)))
    fitted = []
    for point in at:
        away = np.abs(x - point)
        reach = max(np.sort(away)[near - 1], 1e-12 + 1e-9 * np.ptp(x))
        weight = np.sqrt(np.clip(1 - (away / reach) ** 3, 0, None) ** 3)
        design = np.stack([np.ones_like(x), x - point], axis=1) * weight[:, None]
        fitted.append(np.linalg.lstsq(design, y * weight, rcond=None)[0][0])
    ax.plot((back_x or back)(at), back(np.array(fitted)), color=ACCENT, linewidth=1.0, zorder=4)
