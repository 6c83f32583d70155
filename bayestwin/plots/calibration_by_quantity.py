"""Simulation-based calibration, one panel per quantity: are the ranks of the truths uniform?"""

import numpy as np

from bayestwin.plots.calibration import band_words, draw_ecdf, draw_histogram
from bayestwin.plots.style import MUTED, SMALL, quiet_style


def plot_sbc(
    ranks, *, probability: float, kind="ecdf", band=None, bins=10, columns=4, panel_mm=(42.0, 34.0), ax=None, data=False
):
    """Ranks of the truths among posterior draws: difference of their distribution function to uniform, or histogram.

    A bowl (histogram) or an S (curve: above, then below 0): posterior too narrow. A hill: too wide. A slope, or a
    curve on one side of 0: biased.

    Parameters
    ----------
    ranks : mapping               quantity -> (N,) ranks as shares 0 to 1, one per data set or patient; of the rows of
        `evaluation.verification`: {name: part["pit"] for name, part in found.rows.groupby("quantity", sort=False)}
    probability : float           of the band
    kind : "ecdf" or "histogram"
    band : (u, low, high) within which the whole curve stays (`evaluation.scores.ecdf_band`), or (low, high) of each bar
        (`histogram_band`); one for all quantities, which have as many ranks
    ax : array of Axes            at least one per quantity

    Returns
    -------
    array of Axes, one per quantity; with data=True (Axes, {quantity: rows as of `plot_pit`})

    Source: Talts et al. (2018), arXiv:1804.06788; Sailynoja, Burkner and Vehtari (2022), Stat Comput 32:32.
    """
    ranks = {name: np.asarray(own, dtype=float) for name, own in dict(ranks).items()}
    with quiet_style():
        axes = np.ravel(ax)[: len(ranks)] if ax is not None else _panels(len(ranks), columns, panel_mm)
        draw = draw_ecdf if kind == "ecdf" else lambda panel, pit, band: draw_histogram(panel, pit, bins, band)
        rows = {}
        for panel, (name, own) in zip(axes, ranks.items(), strict=True):
            own = own[~np.isnan(own)]
            rows[name] = draw(panel, own, band)
            panel.set_title(f"{name} ({len(own)})", fontsize=SMALL)
            panel.set_xlim(0, 1)
            panel.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        said = band_words(band, probability, "the whole curve" if kind == "ecdf" else "each bar")
        axes[0].figure.text(0.99, 0.012, f"rank of the truth; {said}", ha="right", fontsize=SMALL, color=MUTED)
    return (axes, rows) if data else axes


def _panels(count: int, columns: int, panel_mm) -> np.ndarray:
    """So many panels of one size in one figure."""
    from matplotlib.figure import Figure

    columns = min(columns, count)
    lines = -(-count // columns)
    width, height = columns * panel_mm[0] + 8.0, lines * panel_mm[1] + 10.0
    figure = Figure(figsize=(width / 25.4, height / 25.4))
    axes = figure.subplots(lines, columns, squeeze=False, sharey=True)
    figure.subplots_adjust(left=14 / width, right=1 - 2 / width, bottom=12 / height, top=1 - 6 / height, hspace=0.5)
    for panel in axes.ravel()[count:]:
        panel.remove()
    return axes.ravel()[:count]
