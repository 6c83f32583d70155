"""The ladder of one chance: a row per moment, its point and 80 % knowledge range, and what it rests on in words."""

import textwrap

from bayestwin.plots.style import BAND_80, BAND_EDGE, INK, MUTED, SMALL, new_axes, quiet_style


def plot_chance_ladder(rungs, *, question="", ax=None, width_mm=186.0, row_mm=11.0, data=False):
    """Rows from the first moment at the top to the last.

    rungs : dicts with name, chance (0 to 1, or None where there is no number), range ((low, high) or None), rests_on,
        reason (why there is no number or no range)
    """
    rungs = list(rungs)
    with quiet_style():
        if ax is None:
            ax = new_axes(width_mm, row_mm * len(rungs) + 14, left=26, right=0.46 * width_mm, bottom=9, top=5)
        ax.set_xlim(0, 100)
        ax.set_ylim(len(rungs) - 0.5, -0.5)
        for y, rung in enumerate(rungs):
            ax.axhline(y, color="#e4e4e4", linewidth=0.6, zorder=0)
            if rung["chance"] is None:
                ax.text(50, y, "no number", fontsize=SMALL, color=MUTED, ha="center", va="center")
            else:
                if rung["range"]:
                    low, high = (100 * x for x in rung["range"])
                    ax.barh(y, high - low, left=low, height=0.42, color=BAND_80, edgecolor=BAND_EDGE, linewidth=0.6)
                ax.plot([100 * rung["chance"]], [y], "o", color=INK, markersize=4, zorder=3)
            note = rung["rests_on"] + (f" ({rung['reason']})" if rung.get("reason") else "")
            ax.annotate(
                "\n".join(textwrap.wrap(note, 58)[:4]),
                (1, y),
                (6, 0),
                xycoords=ax.get_yaxis_transform(),
                textcoords="offset points",
                fontsize=6.2,
                color=INK,
                va="center",
                annotation_clip=False,
            )
        ax.set_yticks(range(len(rungs)), [rung["name"] for rung in rungs])
        ax.set_xticks([0, 25, 50, 75, 100])
        ax.set_xlabel("in 100", labelpad=1.5)
        if question:
            ax.set_title(question)
    return (ax, [(r["name"], r["chance"], r["range"]) for r in rungs]) if data else ax
