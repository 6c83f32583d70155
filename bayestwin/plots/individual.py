"""One individual's concentration: measured points, what is forecast, and when doses were given.

The pharmacokinetic relative of figure 2: one axis of hours or days, linear by default, doses as ticks beneath.
"""

import numpy as np

from bayestwin.plots.marker_course import course_range
from bayestwin.plots.marks import data_cut_line, draw_bands, draw_futures, draw_labs, limit_strip
from bayestwin.plots.style import INK, SMALL, log_ticks, new_axes, quiet_style, treatment_style


def plot_individual(
    times,
    quantiles,
    *,
    scale,
    cut=None,
    samples=(),
    labs=(),
    doses=(),
    limit=None,
    label="concentration",
    unit="",
    time_unit="h",
    treatment="",
    style=0,
    y_range=None,
    span=None,
    last_panel=True,
    ax=None,
    width_mm=186.0,
    height_mm=58.0,
    data=False,
):
    """Fan chart of a concentration.

    times : (T,) in `time_unit`; quantiles : (7, T) at 2.5, 10, 25, 50, 75, 90, 97.5 %; scale : "log" or "linear"
    doses : (time, label); labs : see marks.draw_labs with x in `time_unit`
    """
    times, quantiles = np.asarray(times, float), np.asarray(quantiles, float)
    with quiet_style():
        if ax is None:
            ax = new_axes(width_mm, height_mm, left=14, right=4, bottom=9, top=6)
        low, high = y_range or course_range([quantiles], labs, limit=limit, scale=scale)
        ax.set_xlim(*(span or (times[0], times[-1])))
        if scale == "log":
            log_ticks(ax, low, high)
            quantiles, samples = np.clip(quantiles, low / 10, None), np.clip(np.asarray(samples, float), low / 10, None)
        else:
            ax.set_ylim(low, high)
        draw_bands(ax, times, quantiles, cut=cut)
        draw_futures(ax, times, samples, cut=cut)
        if limit is not None and limit > low:
            limit_strip(ax, limit, low)
        if cut is not None and times[0] < cut < times[-1]:
            data_cut_line(ax, cut)
        for time, name in doses:
            ax.annotate(
                name,
                (time, 0),
                (0, 16),
                xycoords=ax.get_xaxis_transform(),
                textcoords="offset points",
                fontsize=SMALL,
                ha="left",
                arrowprops={"arrowstyle": "-|>", "linewidth": 0.8, "color": INK, "mutation_scale": 6},
                zorder=6,
            )
        draw_labs(ax, labs, floor=low, top=high)
        ax.set_ylabel(f"{label} ({unit})" if unit else label, labelpad=2)
        ax.set_xlabel(f"time ({time_unit})" if last_panel else "", labelpad=1.5)
        if treatment:
            ax.plot(
                [0, 0.028], [1.06, 1.06], transform=ax.transAxes, linewidth=1.6, clip_on=False, **treatment_style(style)
            )
            ax.text(0.034, 1.06, treatment, transform=ax.transAxes, fontsize=8, fontweight="bold", va="center")
    return (ax, list(zip(times.tolist(), quantiles.T.tolist()))) if data else ax
