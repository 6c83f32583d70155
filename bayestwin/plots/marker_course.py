"""Figure 2: the course of one lab, its history and its forecast under one treatment.

History left of the solid line, forecast right of it: bands hold 50, 80 and 95 % of forecast labs (assay error
inside), thin lines are sampled futures. The bar left of a point is the 80 % range forecast before it arrived.
"""

import numpy as np

from bayestwin.plots.marks import data_cut_line, draw_bands, draw_events, draw_futures, draw_labs, limit_strip
from bayestwin.plots.style import INK, MUTED, SMALL, log_ticks, month_ticks, new_axes, quiet_style, treatment_style


def plot_marker_course(
    months,
    quantiles,
    *,
    scale,
    cut,
    samples=(),
    labs=(),
    limit=None,
    reference_lines=(),
    events=(),
    label="",
    unit="",
    treatment="",
    style=0,
    span=None,
    y_range=None,
    last_panel=True,
    ax=None,
    width_mm=186.0,
    height_mm=46.0,
    data=False,
):
    """Fan chart of one marker under one treatment.

    months : (T,) from time zero; quantiles : (7, T) at 2.5, 10, 25, 50, 75, 90, 97.5 %
    scale : "log" or "linear"; cut : month of the data cut; labs : see marks.draw_labs; events : (month, label)
    span, y_range : axis limits shared by several panels
    """
    months, quantiles = np.asarray(months, float), np.asarray(quantiles, float)
    with quiet_style():
        if ax is None:
            ax = new_axes(width_mm, height_mm, left=14, right=4, bottom=9, top=6)
        span = span or (float(min(months[0], *(lab["x"] for lab in labs), months[0])), float(months[-1]))
        low, high = y_range or course_range([quantiles], labs, limit=limit, scale=scale)
        ax.set_xlim(span[0] - 0.01 * (span[1] - span[0]), span[1])
        if scale == "log":
            log_ticks(ax, low, high)
            quantiles = np.clip(quantiles, low / 10, None)
            samples = np.clip(np.asarray(samples, float), low / 10, None)
        else:
            ax.set_ylim(low, high)
        draw_bands(ax, months, quantiles, cut=cut)
        draw_futures(ax, months, samples, cut=cut)
        if limit is not None and limit > low:
            limit_strip(ax, limit, low)
        for value, name in reference_lines:
            if low < value < high:
                ax.axhline(value, color=MUTED, linewidth=0.6, linestyle=(0, (4, 3)), zorder=2.5)
                ax.annotate(
                    name,
                    (1, value),
                    (-2, 1.5),
                    xycoords=ax.get_yaxis_transform(),
                    textcoords="offset points",
                    ha="right",
                    fontsize=SMALL,
                    color=INK,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.75},
                    zorder=6,
                )
        data_cut_line(ax, cut)
        draw_events(ax, events)
        draw_labs(ax, labs, floor=low, top=high)
        month_ticks(ax, *span)
        ax.set_ylabel(f"{label} ({unit})" if unit else label, labelpad=2)
        if last_panel:
            ax.set_xlabel("months from time zero", labelpad=1.5)
        else:
            ax.set_xticklabels([])
        if treatment:
            mark = treatment_style(style)
            ax.plot([0, 0.028], [1.07, 1.07], transform=ax.transAxes, linewidth=1.6, clip_on=False, **mark)
            ax.text(0.034, 1.07, treatment, transform=ax.transAxes, fontsize=8, fontweight="bold", va="center")
    return (ax, list(zip(months.tolist(), quantiles.T.tolist()))) if data else ax


def course_range(quantile_sets, labs, *, limit=None, highest=None, scale="log") -> tuple[float, float]:
    """Axis ends that hold every lab that is used, its limit, the model's usual limit and the 80 % bands, shared by the
    panels of one figure; on a log axis no band reaches further down than a fourth of the usual limit asks.

    highest : at which courses are cut off: the axis ends there too, or the cut would look like a level of the patient
    """
    kept = [
        end
        for lab in labs
        if lab["state"] not in ("rejected", "duplicate", "retracted")
        for end in (lab.get("value"), lab.get("upper"), lab.get("limit"))
        if end is not None
    ]
    top = max([float(np.nanmax(np.asarray(q)[5])) for q in quantile_sets] + kept + ([limit] if limit else []))
    end = float("inf") if highest is None else max([highest, *kept])
    lowest = [float(np.nanmin(np.asarray(q)[1])) for q in quantile_sets]
    if scale != "log":
        return min([0.0, *lowest, *kept]), min(top * 1.08, end) if top > 0 else 1.0
    low = min([value for value in lowest if value > 0] + [top])
    if limit:
        low = max(min(low, limit / 2), limit / 4)
    return min([max(low, top / 1e7), *(value for value in kept if value > 0)]) / 1.3, min(top * 1.6, end)
