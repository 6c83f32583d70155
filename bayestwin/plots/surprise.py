"""Figure 6: how surprising each lab was when it arrived, one lane per marker.

A dot is the one-step-ahead probability of the lab (0 = lower than anything expected, 1 = higher). If the twin is
right the dots are spread evenly and 1 in 100 falls in the shaded tails. Censored values are drawn at random within
what they allow.
"""

from bayestwin.plots.style import INK, MUTED, SMALL, new_axes, quiet_style

TAIL = 0.005


def plot_surprise(lanes, *, ax=None, width_mm=186.0, lane_mm=9.0, data=False):
    """Dots of one-step-ahead probabilities.

    lanes : (label, points), a point is (probability, new) in order of arrival; oldest lowest in its lane
    """
    with quiet_style():
        if ax is None:
            ax = new_axes(width_mm, lane_mm * len(lanes) + 10, left=40, right=6, bottom=9, top=1)
        ax.set_xlim(-0.012, 1.012)
        ax.set_ylim(0, len(lanes))
        for edge in ((-0.012, TAIL), (1 - TAIL, 1.012)):
            ax.axvspan(*edge, color="#d0d0d0", linewidth=0, zorder=0)
        for place, (label, points) in enumerate(lanes):
            base = len(lanes) - 1 - place
            ax.axhline(base, color="#d8d8d8", linewidth=0.5)
            for k, (probability, new) in enumerate(points):
                y = base + 0.15 + 0.7 * (k + 0.5) / len(points)
                ax.plot([probability], [y], "o", color=INK, markersize=3.6, markeredgewidth=0, zorder=3)
                if new:
                    ax.plot(
                        [probability],
                        [y],
                        "o",
                        markerfacecolor="none",
                        markeredgecolor=INK,
                        markersize=7,
                        markeredgewidth=0.7,
                        zorder=3,
                    )
            ax.annotate(
                label,
                (0, base + 0.5),
                (-4, 0),
                xycoords=ax.get_yaxis_transform(),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=8,
                annotation_clip=False,
            )
            low, high = (sum(p < TAIL for p, _ in points), sum(p > 1 - TAIL for p, _ in points))
            if max(low, high) > 3:
                ax.annotate(
                    f"{max(low, high)} beyond one end",
                    (0.02 if low > high else 0.98, base + 0.5),
                    ha="left" if low > high else "right",
                    fontsize=SMALL,
                    color=MUTED,
                )
        ax.set_xticks(
            [0, 0.25, 0.5, 0.75, 1], ["lower than\nexpected", "", "as\nexpected", "", "higher than\nexpected"]
        )
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
    return (ax, [(label, *point) for label, points in lanes for point in points]) if data else ax
