"""Marks shared by all figures (report_spec 2.1): sizes, colours, dashes, fresh axes without pyplot.

Colours: black, blue, vermillion and grey reach 3:1 on white and stay apart under simulated colour blindness;
greys collide in print, hence every treatment also has its own dash and a direct label. Fill bands are too close
to each other to be told apart by colour, hence drawn edges: 50 % solid, 80 % dashed, 95 % dotted.
"""

import math
import warnings
from contextlib import contextmanager

INK, MUTED, RULE = "#111111", "#4a4a4a", "#b8b8b8"
TREATMENT_COLOURS = ("#000000", "#0072B2", "#D55E00", "#767676")
TREATMENT_DASHES = ("-", (0, (5, 2)), (0, (5, 1.5, 1, 1.5)), (0, (1, 1.5)))
BAND_50, BAND_80, BAND_95 = "#66AAD1", "#A6CEE4", "#D9EAF3"
BAND_EDGE = "#2b6f99"
FIT_BAND = "#ececec"
MM = 1 / 25.4
FONT_SIZE, SMALL = 7.5, 7.0

_RC = {
    "font.family": ["DejaVu Sans"],
    "font.size": FONT_SIZE,
    "axes.labelsize": FONT_SIZE,
    "axes.titlesize": 8.0,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.edgecolor": "#767676",
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "lines.linewidth": 1.0,
    "hatch.linewidth": 0.5,
    "text.parse_math": False,
    "text.usetex": False,
    "svg.fonttype": "none",
    "axes.unicode_minus": False,
    "path.simplify": True,
    "axes.formatter.use_mathtext": False,
    "figure.facecolor": "white",
}


@contextmanager
def quiet_style(**more):
    """Draw in the report's style; the caller's settings come back afterwards, missing glyphs do not warn."""
    import matplotlib

    with warnings.catch_warnings(), matplotlib.rc_context({**_RC, **more}):
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support .* natively")
        yield


def new_axes(width_mm: float, height_mm: float, *, left=0.0, right=0.0, bottom=0.0, top=0.0):
    """One Axes in a fresh Figure of this size, margins in mm."""
    return new_panels(width_mm, [height_mm - bottom - top], left=left, right=right, bottom=bottom, top=top)[0]


def new_panels(width_mm, heights_mm, *, left=0.0, right=0.0, bottom=0.0, top=0.0, gap=0.0):
    """A column of Axes with these heights in mm, `gap` mm between them; returns the list, top first."""
    from matplotlib.figure import Figure

    total = sum(heights_mm) + gap * (len(heights_mm) - 1) + bottom + top
    figure = Figure(figsize=(width_mm * MM, total * MM))
    axes, y = [], total - top
    for height in heights_mm:
        y -= height
        axes.append(figure.add_axes((left / width_mm, y / total, (width_mm - left - right) / width_mm, height / total)))
        y -= gap
    return axes


def treatment_style(index: int) -> dict:
    """Colour and dash of the row at this place (current first)."""
    return {"color": TREATMENT_COLOURS[index % 4], "linestyle": TREATMENT_DASHES[index % 4]}


def month_ticks(ax, first: float, last: float):
    """Ticks on round months: every 6 up to four years."""
    span = last - first
    step = next((size for size in (1, 2, 3, 6, 12, 24) if span / size <= 9), 48)
    ticks = [step * k for k in range(math.ceil(first / step), math.floor(last / step) + 1)]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])


def log_ticks(ax, low: float, high: float):
    """Ticks at 1 and 3 of every decade, as plain numbers without exponents."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    many = math.log10(high / low) > 3.2
    ticks = [
        round(base * 10.0**k, 12)
        for k in decades
        for base in ((1,) if many else (1, 3))
        if low <= base * 10.0**k <= high
    ]
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    ax.set_yticks(ticks, [plain(tick) for tick in ticks])
    ax.set_yticks([], minor=True)


def plain(value: float) -> str:
    """A number without exponent, thousands with a thin space."""
    return f"{value:,.0f}".replace(",", "\u2009") if value >= 1000 else f"{value:.10g}"
