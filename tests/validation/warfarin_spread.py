"""Why the NPDE of warfarin_pkpd spread too little: their variance by time, from separate code.

python tests/validation/warfarin_spread.py

Concentrations in closed form (two equal steps of absorption), activities by a Runge-Kutta step of a quarter of an hour,
the posterior means of docs/validation/warfarin_pkpd.md as the truth, 2,000 replicates of each volunteer. Prints the
variance of the NPDE of the data; of one replicate taken for the data, which is what the check says of a right model;
and of the data where labs from 24 h on have a smaller residual error. Takes a minute.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

from beside_published import data_file
from scipy.special import ndtri

TYPICAL = {"MAT": 1.77, "CL": 0.139, "V": 8.04, "EC50": 1.1, "kout": 0.0533, "E0": 96.5}  # at 72 kg
BETWEEN = {"MAT": 0.628, "CL": 0.278, "V": 0.159, "EC50": 0.471, "kout": 0.105, "E0": 0.0617}
EMAX, ADDED, SHARE, ACTIVITY = 0.987, 0.505, 0.0991, 3.82
PERIODS = (0.0, 3.0, 8.0, 24.0, 48.0, 96.0, 200.0)


def replicates(weight, dose, concentrations, activities, rng, count=2000, late=1.0):
    """Simulated concentrations and activities at these times, (N, count); `late` times the residual SD from 24 h on."""
    p = {name: at * np.exp(BETWEEN[name] * rng.normal(size=count)) for name, at in TYPICAL.items()}
    k, V = 2.0 / (p["MAT"] ** 4 + 0.65**4) ** 0.25, p["V"] * (weight / 72.0) ** 0.934
    ke = p["CL"] * (weight / 72.0) ** 0.699 / V

    def concentration(t):
        return dose * k**2 / V * (np.exp(-ke * t) - np.exp(-k * t) * (1 + (k - ke) * t)) / (k - ke) ** 2

    def slope(t, y):
        C = concentration(t)
        return p["kout"] * (p["E0"] * (1 - EMAX * C / (p["EC50"] + C)) - y)

    y, now, found = p["E0"].copy(), 0.0, {}
    for time in sorted(set(activities)):
        while now < time - 1e-9:
            h = min(0.25, time - now)
            a = slope(now, y)
            b = slope(now + h / 2, y + h / 2 * a)
            c = slope(now + h / 2, y + h / 2 * b)
            y, now = y + h / 6 * (a + 2 * b + 2 * c + slope(now + h, y + h * c)), now + h
        found[time] = y
    C = np.array([concentration(t) for t in concentrations])
    A = np.array([found[t] for t in activities])
    less = np.where(np.asarray(concentrations) >= 24.0, late, 1.0)[:, None]
    return (
        C + less * np.hypot(ADDED, SHARE * C) * rng.normal(size=C.shape),
        A + ACTIVITY * rng.normal(size=A.shape),
    )


def npde(y, simulated):
    """Of one volunteer: y and half of the replicates, made uncorrelated by the other half; ranks as normal scores."""
    others, known = simulated[:, ::2], simulated[:, 1::2]
    lower = np.linalg.cholesky(np.atleast_2d(np.cov(known)))
    own = np.linalg.solve(lower, y - known.mean(axis=1))
    ranked = np.linalg.solve(lower, others - known.mean(axis=1)[:, None])
    least = 1.0 / (2 * others.shape[1])
    return ndtri(np.clip((ranked < own[:, None]).mean(axis=1), least, 1 - least))


def spread(raw, *, of_the_model=False, late=1.0) -> pd.DataFrame:
    """NPDE of every lab with its output, time and whether its volunteer was sampled before 8 h."""
    rng, rows = np.random.default_rng(1), []
    for _, mine in raw.groupby("id"):
        labs = [mine[(mine.dvid == name) & (mine.evid == 0)] for name in ("cp", "pca")]
        times = [part.time.to_numpy() for part in labs]
        made = replicates(mine.wt.iloc[0], mine.amt.max(), *times, rng, late=late)
        for name, part, simulated in zip(("concentration", "activity"), labs, made):
            y = simulated[:, 0] if of_the_model else part.dv.to_numpy()
            if len(y):
                found = {"output": name, "time": part.time, "npde": npde(y, simulated[:, 2:])}
                rows.append(pd.DataFrame(found | {"early": (times[0] < 8.0).any()}))
    return pd.concat(rows)


def told(found) -> str:
    lines = []
    for name, part in found.groupby("output"):
        by = part.groupby(pd.cut(part.time, PERIODS, include_lowest=True), observed=True).npde
        periods = ", ".join(f"{at.right:.0f} h {z.var():.2f} ({len(z)})" for at, z in by)
        who = ", ".join(
            f"{'sampled' if early else 'not sampled'} before 8 h {z.var():.2f} ({len(z)})"
            for early, z in part[part.time >= 24.0].groupby("early").npde
        )
        lines.append(
            f"  {name:13s} {part.npde.var():.2f} of {len(part)}; up to {periods}; from 24 h on, volunteers {who}"
        )
    return "\n".join(lines)


def main():
    raw = pd.read_csv(data_file("warfarin"))
    print("the data\n" + told(spread(raw)))
    print("a replicate\n" + told(spread(raw, of_the_model=True)))
    print("the data, residual SD of concentrations halved from 24 h on\n" + told(spread(raw, late=0.5)))


if __name__ == "__main__":
    main()
