"""What each volunteer's samples say of lag and absorption rate of warfarin: why NUTS does not mix, in numbers.

    python tests/validation/warfarin_absorption.py [--write docs/validation/warfarin_absorption.md]

On a grid of ln lag and ln ka the posterior of one volunteer under the model `warfarin`, clearance and volume integrated
out around their own values, population values those of docs/validation/warfarin.md. SD of the posterior over SD between
volunteers (1: the samples say nothing), of lag, ka and their mean absorption time lag + 1/ka; modes of the joint
density above 2 % of the highest.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

from beside_published import data_file

TYPICAL = {"lag": (0.99, 0.659), "ka": (1.36, 0.689), "CL": (0.137, 0.281), "V": (8.29, 0.142)}  # at 72 kg; SD of ln
ADDITIVE, PROPORTIONAL = 0.299, 0.0842
LN_LAG, LN_KA = np.meshgrid(
    np.linspace(np.log(0.05), np.log(6.0), 121), np.linspace(np.log(0.1), np.log(15.0), 81), indexing="ij"
)


def log_likelihood(lag, ka, clearance, volume, dose, time, value):
    """Of one volunteer's concentrations, over arrays of parameters."""
    rate, since = clearance / volume, np.maximum(time - lag[..., None], 0.0)
    shape = np.exp(-rate * since) - np.exp(-ka[..., None] * since)
    predicted = dose / volume * (ka / (ka - rate))[..., None] * shape
    variance = ADDITIVE**2 + (PROPORTIONAL * predicted) ** 2
    return (-0.5 * (value - predicted) ** 2 / variance - 0.5 * np.log(variance)).sum(axis=-1)


def own_centre(weight, dose, time, value):
    """Mean and SD of ln CL and ln V of one volunteer at the typical lag and ka, from a grid."""
    middle = {n: np.log(TYPICAL[n][0]) + p * np.log(weight / 72.0) for n, p in (("CL", 0.75), ("V", 1.0))}
    grids = np.meshgrid(*(middle[n] + TYPICAL[n][1] * np.linspace(-3.5, 3.5, 41) for n in middle), indexing="ij")
    lag, ka, (ln_clearance, ln_volume) = np.array([1.0]), np.array([TYPICAL["ka"][0]]), grids
    each = [np.exp((a, b)) for a, b in zip(ln_clearance.ravel(), ln_volume.ravel())]
    density = np.array([log_likelihood(lag, ka, *pair, dose, time, value)[0] for pair in each])
    density = density.reshape(ln_volume.shape)
    density += sum(-0.5 * ((g - middle[n]) / TYPICAL[n][1]) ** 2 for g, n in zip(grids, middle))
    weights = np.exp(density - density.max())
    weights /= weights.sum()
    means = [float((weights * g).sum()) for g in grids]
    return middle, [(m, float(np.sqrt((weights * (g - m) ** 2).sum())) + 0.02) for g, m in zip(grids, means)]


def density_of(weight, dose, time, value):
    """Posterior and prior weights over the grid of ln lag and ln ka, each summing to 1."""
    middle, (clearance, volume) = own_centre(weight, dose, time, value)
    prior = sum(-0.5 * ((g - np.log(TYPICAL[n][0])) / TYPICAL[n][1]) ** 2 for g, n in ((LN_LAG, "lag"), (LN_KA, "ka")))
    total = np.full(LN_LAG.shape, -np.inf)
    for a in clearance[0] + clearance[1] * np.linspace(-2.5, 2.5, 11):
        for b in volume[0] + volume[1] * np.linspace(-2.5, 2.5, 11):
            term = log_likelihood(np.exp(LN_LAG), np.exp(LN_KA), np.exp(a), np.exp(b), dose, time, value)
            term = (
                term
                - 0.5 * ((a - middle["CL"]) / TYPICAL["CL"][1]) ** 2
                - 0.5 * ((b - middle["V"]) / TYPICAL["V"][1]) ** 2
            )
            total = np.logaddexp(total, term)
    weights = [np.exp(d - d.max()) for d in (total + prior, prior)]
    return [w / w.sum() for w in weights]


def modes(density) -> int:
    """Local maxima above 2 % of the highest."""
    inner = density[1:-1, 1:-1]
    around = np.stack([density[1 + i : density.shape[0] - 1 + i, 1 + j : density.shape[1] - 1 + j]
                       for i in (-1, 0, 1) for j in (-1, 0, 1)])  # fmt: skip
    return int(((inner == around.max(axis=0)) & (inner > 0.02 * density.max())).sum())


def spread(density, quantity) -> float:
    """SD of a quantity over the grid."""
    mean = (density * quantity).sum()
    return float(np.sqrt((density * (quantity - mean) ** 2).sum()))


def measured(path) -> pd.DataFrame:
    """One row per volunteer."""
    raw, rows = pd.read_csv(path), []
    quantities = {"lag": LN_LAG, "ka": LN_KA, "mean_time": np.log(np.exp(LN_LAG) + np.exp(-LN_KA))}
    for _, own in raw[raw.dvid == "cp"].groupby("id"):
        seen = own[own.evid == 0]
        after, before = density_of(own.wt.iloc[0], own.amt.max(), seen.time.to_numpy(), seen.dv.to_numpy())
        share = {name: spread(after, q) / spread(before, q) for name, q in quantities.items()}
        lag, ka = ((g - (after * g).sum()) / spread(after, g) for g in (LN_LAG, LN_KA))
        rows.append({"first": seen.time.min(), "correlation": (after * lag * ka).sum(), "modes": modes(after), **share})
    return pd.DataFrame(rows)


def page(found: pd.DataFrame) -> str:
    """The table and what it says."""
    groups = {"under 3 h": found["first"] < 3, "3 h": found["first"] == 3, "6 or 24 h": found["first"] > 3}
    lines = [
        "# Warfarin: what the samples say of lag and absorption rate",
        "",
        "SD of a volunteer's posterior over SD between volunteers (1: the samples say nothing), logarithms, mean over",
        "volunteers; how: the script's first lines. Made by",
        "`python tests/validation/warfarin_absorption.py --write docs/validation/warfarin_absorption.md`.",
        "",
        "| first sample | volunteers | lag | ka | lag + 1/ka | correlation of lag and ka | with several modes |",
        "|---|---|---|---|---|---|---|",
    ]
    for words, mask in groups.items():
        of = found[mask]
        cells = [f"{of[name].mean():.2f}" for name in ("lag", "ka", "mean_time", "correlation")]
        lines.append(f"| {words} | {len(of)} | {' | '.join(cells)} | {int((of['modes'] > 1).sum())} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="where to write the page; else it is printed")
    asked = parser.parse_args()
    text = page(measured(data_file("warfarin")))
    asked.write.write_text(text, encoding="utf-8") if asked.write else print(text)
