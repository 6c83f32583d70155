"""Figure 5: how the chance at 12 months moved from report to report.

It moves when data arrive; it is not a trend of the disease. Bars are 80 % knowledge ranges, a hatched gap is a
report without a forecast, a double line a change of model version.
"""

from bayestwin.plots.marks import draw_events
from bayestwin.plots.style import BAND_80, BAND_EDGE, INK, MUTED, SMALL, month_ticks, new_axes, quiet_style


def plot_forecast_history(
    months, chances, ranges, *, versions=(), gaps=(), events=(), ax=None, width_mm=186.0, height_mm=46.0, data=False
):
    """Step line of past chances.

    months : of each report, from time zero; chances : 0 to 1 or None (withheld); ranges : (low, high) or None
    gaps : per report what stands where there is no chance, default "withheld"
    events : (month, label) of treatments and labs
    """
    with quiet_style():
        if ax is None:
            ax = new_axes(width_mm, height_mm, left=14, right=4, bottom=9, top=3)
        last = months[-1] if months else 1.0
        first = min([*months, *(month for month, _ in events), 0.0]) if months else 0.0
        end = last + max(0.06 * (last - first), 0.5)
        ax.set_xlim(first - 0.02 * (end - first), end)
        ax.set_ylim(0, 100)
        stops = [*months[1:], end]
        for k, (month, chance, stop) in enumerate(zip(months, chances, stops)):
            if chance is None:
                ax.axvspan(month, stop, facecolor="white", edgecolor="#9a9a9a", hatch="////", linewidth=0, zorder=0)
                ax.text(
                    (month + stop) / 2,
                    50,
                    gaps[k] if k < len(gaps) else "withheld",
                    fontsize=SMALL,
                    ha="center",
                    rotation=90,
                    va="center",
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
                )
                continue
            if ranges[k]:
                low, high = (100 * limit for limit in ranges[k])
                ax.fill_between([month, stop], low, high, color=BAND_80, linewidth=0, zorder=1)
                ax.plot(
                    [month, stop],
                    [low, low],
                    [month, stop],
                    [high, high],
                    color=BAND_EDGE,
                    linewidth=0.6,
                    linestyle="--",
                    zorder=1.5,
                )
            ax.plot([month, stop], [100 * chance] * 2, color=INK, linewidth=1.5, solid_capstyle="butt", zorder=3)
            ax.plot([month], [100 * chance], "o", color=INK, markersize=3.4, zorder=3)
            if k and chances[k - 1] is not None:
                ax.plot([month, month], [100 * chances[k - 1], 100 * chance], color=INK, linewidth=0.7, zorder=2)
            if k and k < len(versions) and versions[k] != versions[k - 1]:
                for shift in (-1.2, 1.2):
                    ax.annotate(
                        "",
                        (month, 0),
                        (month, 1),
                        xycoords=ax.get_xaxis_transform(),
                        textcoords=ax.get_xaxis_transform(),
                    )
                    ax.axvline(month + shift * (end - first) / 900, color=MUTED, linewidth=0.6, zorder=2)
                ax.annotate(
                    versions[k] if " " in versions[k] else f"model {versions[k]}",
                    (month, 0.02),
                    (4, 0),
                    xycoords=ax.get_xaxis_transform(),
                    textcoords="offset points",
                    fontsize=SMALL,
                )
        draw_events(ax, events)
        month_ticks(ax, first, end)
        ax.set_yticks([0, 25, 50, 75, 100])
        ax.set_ylabel("in 100, at 12 months", labelpad=2)
        ax.set_xlabel("months from time zero", labelpad=1.5)
    return (ax, list(zip(months, chances, ranges))) if data else ax
