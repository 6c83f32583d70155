"""Virtual trials drawn: curves of one arm beside what was published, and many outcomes beside theirs.

A curve has two bands: the inner one is what is known of the model's expectation, the outer one what an arm of the
published size may show. Published numbers are marked points with their interval where one was published.
"""

from bayestwin.plots.style import BAND_50, BAND_95, BAND_EDGE, INK, MUTED, RULE, month_ticks, new_panels, quiet_style

PUBLISHED = "#D55E00"


def plot_trial_curves(curves, published=(), *, title="", axes=None, width_mm=120.0, height_mm=52.0):
    """Progression-free and overall survival of a virtual arm.

    Parameters
    ----------
    curves : name -> dict        month, mean, low, high, predicted_low, predicted_high (L,), as `VirtualTrial.curve`
    published : sequence of dicts     curve (its name), month, value, low, high (None where not published)
    axes : list of Axes          one per curve; None makes a figure

    Returns
    -------
    list of Axes
    """
    with quiet_style():
        if axes is None:
            heights = [height_mm] * len(curves)
            axes = new_panels(width_mm, heights, left=13, right=4, bottom=10, top=6, gap=12)
        for ax, (name, curve) in zip(axes, curves.items()):
            month = [0.0, *curve["month"]]
            for low, high, colour, label in (
                ("predicted_low", "predicted_high", BAND_95, "an arm of this size, 95 %"),
                ("low", "high", BAND_50, "expectation, 95 %"),
            ):
                ax.fill_between(month, [1.0, *curve[low]], [1.0, *curve[high]], color=colour, linewidth=0, label=label)
                for end in (low, high):
                    ax.plot(month, [1.0, *curve[end]], color=BAND_EDGE, linewidth=0.4)
            ax.plot(month, [1.0, *curve["mean"]], color=INK, label="mean")
            _published(ax, [one for one in published if one["curve"] == name])
            ax.axhline(0.5, color=RULE, linewidth=0.5, zorder=0)
            ax.set_xlim(0.0, month[-1])
            ax.set_ylim(0.0, 1.02)
            ax.set_ylabel(name)
            month_ticks(ax, 0.0, month[-1])
        axes[0].set_title(title)
        axes[-1].set_xlabel("months")
        axes[0].legend(loc="best", frameon=False, fontsize=6.5, handlelength=1.4)
        return axes


def _published(ax, points) -> None:
    """Marks of published landmarks and medians (value at a height of one half)."""
    for number, one in enumerate(points):
        label = "published" if number == 0 else None
        if one.get("median"):
            span, at = ("low", "high"), (one["value"], 0.5)
            if None not in (one["low"], one["high"]):
                ax.plot([one[end] for end in span], [0.5, 0.5], color=PUBLISHED, linewidth=0.9)
        else:
            at = (one["month"], one["value"])
            if None not in (one["low"], one["high"]):
                ax.plot([at[0]] * 2, [one["low"], one["high"]], color=PUBLISHED, linewidth=0.9)
        ax.plot(*at, marker="D", color=PUBLISHED, markersize=3.6, linestyle="none", label=label, zorder=5)


def plot_published_outcomes(rows, *, unit="%", ax=None, width_mm=150.0, row_mm=4.6, title=""):
    """Published numbers beside the predictive intervals of arms of their size, one line each.

    Parameters
    ----------
    rows : sequence of dicts     text, published, predicted_low, predicted_high, expectation, in_sample
    unit : "%" for shares, else the word for the axis (months)

    Returns
    -------
    Axes
    """
    scale = 100.0 if unit == "%" else 1.0
    with quiet_style():
        if ax is None:
            (ax,) = new_panels(width_mm, [row_mm * (len(rows) + 1)], left=62, right=4, bottom=10, top=6)
        finite = [scale * r[k] for r in rows for k in ("published", "predicted_high") if r[k] < 1e6]
        edge = 100.0 if unit == "%" else 1.08 * max(finite, default=1.0)
        for place, row in enumerate(rows):
            y, ends = -place, [min(scale * row[end], edge) for end in ("predicted_low", "predicted_high")]
            hollow = row["in_sample"]
            ax.plot(ends, [y, y], color=BAND_EDGE, linewidth=2.4, alpha=0.45 if hollow else 1.0, solid_capstyle="butt")
            if scale * row["predicted_high"] > edge:
                ax.plot(edge, y, marker=">", color=BAND_EDGE, markersize=3.5, clip_on=False)
            ax.plot(min(scale * row["expectation"], edge), y, marker="|", color=INK, markersize=6, markeredgewidth=1.0)
            inside = row["predicted_low"] <= row["published"] <= row["predicted_high"]
            ax.plot(
                scale * row["published"],
                y,
                marker="D" if inside else "X",
                color=PUBLISHED,
                markerfacecolor="white" if hollow else PUBLISHED,
                markersize=3.8 if inside else 5.2,
                linestyle="none",
            )
        ax.set_yticks([-k for k in range(len(rows))], [r["text"] for r in rows])
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(-len(rows) + 0.4, 0.7)
        ax.set_xlim(0.0, edge)
        ax.grid(axis="x", color="#ececec", linewidth=0.5)
        ax.set_axisbelow(True)
        ax.set_xlabel(unit, color=MUTED)
        ax.set_title(title)
        return ax
