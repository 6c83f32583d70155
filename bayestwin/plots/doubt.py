"""Figure 7: where the doubt comes from, as one stacked bar.

p(1-p), the doubt about being progression-free, splits exactly into a part about this patient, a part about what is
known of the treatment, and chance. Only the first two can shrink.
"""

from bayestwin.plots.style import INK, SMALL, new_axes, quiet_style

NAMES = ("this patient", "knowledge of treatment", "chance")
LETTER_MM = 1.6  # room for a letter of a label, so that the longest ends within the figure
GREYS, HATCHES = ("#8f8f8f", "#c4c4c4", "#f1f1f1"), ("", "////", "..")


def plot_doubt(shares, *, labels=NAMES, shown=None, ax=None, width_mm=88.0, data=False):
    """Stacked bar of three shares.

    shares : (patient, knowledge, chance), any scale, drawn as parts of their sum
    shown : printed numbers per part; default rounded percent
    """
    total = sum(shares)
    parts = [share / total for share in shares]
    shown = shown or [f"{100 * part:.0f}" for part in parts]
    with quiet_style():
        if ax is None:
            ax = new_axes(width_mm, 14.5, left=1, right=1, bottom=1, top=0.5)
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 13)
        ax.axis("off")
        start, ends = 0.0, []
        for part, label, number, grey, hatch in zip(parts, labels, shown, GREYS, HATCHES):
            ax.barh(2.2, part, left=start, height=4.4, color=grey, hatch=hatch, edgecolor=INK, linewidth=0.6)
            ends.append((start, part, f"{label} {number} %"))
            start += part
        _labels(ax, ends, width_mm)
    return (ax, list(zip(labels, parts))) if data else ax


def _labels(ax, ends, width_mm):
    """Labels above their segment, placed from the right; one that would meet its right neighbour goes a row up."""
    taken = [2.0, 2.0, 2.0]
    for start, part, text in reversed(ends):
        length = len(text) * LETTER_MM / width_mm
        x = max(0.0, min(start + 0.012, 1 - length))
        row = next((k for k, first in enumerate(taken) if x + length < first), len(taken) - 1)
        taken[row] = x
        y = 5.5 + 2.45 * row
        ax.plot([start + min(part / 2, 0.006)] * 2, [4.4, y + 1.4], color=INK, linewidth=0.5)
        ax.text(x, y, text, fontsize=SMALL, va="bottom", ha="left")
