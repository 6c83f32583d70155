"""The ladder of one chance: a row per moment, its point and 80 % knowledge range, and what it rests on in words."""

import textwrap

from bayestwin.plots.style import BAND_80, BAND_EDGE, INK, MUTED, SMALL, new_axes, quiet_style

FONT = 6.2  # points
LINE_MM = 1.2 * FONT * 25.4 / 72  # from one line to the next


def plot_chance_ladder(rungs, *, question="", ax=None, width_mm=186.0, row_mm=11.0, data=False):
    """Rows from the first moment at the top to the last, each as high as its own words need, `row_mm` at least.

    rungs : dicts with name, chance (0 to 1, or None where there is no number), range ((low, high) or None), rests_on,
        reason (why there is no number or no range)
    """
    rungs = list(rungs)
    words = [textwrap.wrap(_note(rung), 58) for rung in rungs]
    heights = [max(row_mm, LINE_MM * (len(lines) + 1)) for lines in words]
    middles = [sum(heights[:k]) + height / 2 for k, height in enumerate(heights)]
    with quiet_style():
        if ax is None:
            ax = new_axes(width_mm, sum(heights) + 14, left=26, right=0.46 * width_mm, bottom=9, top=5)
        ax.set_xlim(0, 100)
        ax.set_ylim(sum(heights), 0)  # millimetres
        for y, rung, lines in zip(middles, rungs, words):
            ax.axhline(y, color="#e4e4e4", linewidth=0.6, zorder=0)
            if rung["chance"] is None:
                ax.text(50, y, "no number", fontsize=SMALL, color=MUTED, ha="center", va="center")
            else:
                if rung["range"]:
                    low, high = (100 * x for x in rung["range"])
                    ax.barh(
                        y, high - low, left=low, height=0.42 * row_mm, color=BAND_80, edgecolor=BAND_EDGE, linewidth=0.6
                    )
                ax.plot([100 * rung["chance"]], [y], "o", color=INK, markersize=4, zorder=3)
            ax.annotate(
                "\n".join(lines),
                (1, y),
                (6, 0),
                xycoords=ax.get_yaxis_transform(),
                textcoords="offset points",
                fontsize=FONT,
                color=INK,
                va="center",
                annotation_clip=False,
            )
        ax.set_yticks(middles, [rung["name"] for rung in rungs])
        ax.set_xticks([0, 25, 50, 75, 100])
        ax.set_xlabel("in 100", labelpad=1.5)
        if question:
            ax.set_title(question)
    return (ax, [(r["name"], r["chance"], r["range"]) for r in rungs]) if data else ax


def _note(rung) -> str:
    """What a rung rests on, and why it has no number or no range."""
    return rung["rests_on"] + (f" ({rung['reason']})" if rung.get("reason") else "")
