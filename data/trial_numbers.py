"""Simulates a large SYNTHETIC arm per treatment and prints its outcomes beside the published trials.

    python data/trial_numbers.py [patients per arm, default 300]

PFS counts from the start of the main treatment (infusion, first dose), coded from observed labs, imaging and
death as in `clinic.follow`, with follow-up to month 48. ORR: marker halved against the value at referral (before
any bridging, as at randomisation in KarMMa-3) at two consecutive visits. CR proxy: error-free M-protein below
0.25 g/L (light-chain disease: involved chain within 1.5 times its floor) at two consecutive visits.
"""

import sys

import numpy as np
from clinic import follow
from singh_simulator import simulate
from virtual_patients import TREATMENTS, arrange, draw_patient

PUBLISHED = {
    "ide_cel": "KarMMa-3     ORR 0.71 CR 0.44 mPFS 13.8 PFS-18 0.41",
    "cilta_cel": "CARTITUDE-1  ORR 0.98 CR 0.83 mPFS 34.9 PFS-12 0.77 PFS-24 0.61",
    "teclistamab": "MajesTEC-1   ORR 0.63 CR 0.39 mPFS 11.3",
    "dara_pd": "APOLLO D-Pd  ORR 0.69 CR 0.25 mPFS 12.4",
}
MONTH = 30.4375


def response(p, truth, i, record, main_day):
    """(PR or better, CR proxy) from the visits of one record."""
    name = "involved_flc" if p["isotype"] == "light_chain" else "m_protein"
    visits = sorted((r["time"], r["value"]) for r in record["labs"] if r["output"] == name)
    before = [v for t, v in visits if t <= main_day]
    after = [(t, v) for t, v in visits if t > main_day]
    halved = [v <= 0.5 * before[0] for _, v in after]
    if p["isotype"] == "light_chain":
        clean = [truth["flc"][t, i] < 1.5 * p["flc_floor"] for t, _ in after]
    else:
        clean = [truth["m_protein"][t, i] < 0.25 for t, _ in after]
    return tuple(any(a and b for a, b in zip(x, x[1:])) for x in (halved, clean))


def kaplan_meier(times, events, at):
    """Survival at the days `at` and the median (inf: not reached)."""
    times, events = np.asarray(times, float), np.asarray(events, bool)
    grid = np.unique(times[events])
    alive, curve = 1.0, [1.0]
    for t in grid:
        alive *= 1.0 - (events & (times == t)).sum() / (times >= t).sum()
        curve.append(alive)
    value = [curve[np.searchsorted(grid, day, side="right")] for day in at]
    below = np.flatnonzero(np.array(curve[1:]) <= 0.5)
    return value, grid[below[0]] if len(below) else np.inf


def summarise(treatment, n, seed=7, horizon=1461):
    """Outcomes of `n` patients under one treatment: a dict of numbers."""
    rng = np.random.default_rng([seed, TREATMENTS.index(treatment)])
    patients = [draw_patient(rng, treatment, bridging=rng.random() < 0.85) for _ in range(n)]
    columns = arrange(patients)
    truth = simulate(columns, horizon)
    rows = [{k: columns[k][i] for k in ("main_day", "infusion_day")} for i in range(n)]
    records = [follow(rng, p, truth, i, rows[i], horizon) for i, p in enumerate(patients)]
    kept = [i for i in range(n) if records[i]["stop"] > rows[i]["main_day"]]
    answers = np.array([response(patients[i], truth, i, records[i], rows[i]["main_day"]) for i in kept])
    times = [(records[i]["coded"] or records[i]["stop"]) - rows[i]["main_day"] for i in kept]
    events = [records[i]["coded"] is not None for i in kept]
    (s6, s12, s18, s24), median = kaplan_meier(times, events, [m * MONTH for m in (6, 12, 18, 24)])
    out = dict(
        n=len(kept),
        ORR=answers[:, 0].mean(),
        CR=answers[:, 1].mean(),
        mPFS=median / MONTH,
        PFS6=s6,
        PFS12=s12,
        PFS18=s18,
        PFS24=s24,
        imaging=np.mean([r["outcome"] == "imaging" for r in records]),
        death=np.mean([r["outcome"] == "death" for r in records]),
        nonresponder=np.mean([p[f"nonresponder_{treatment}"] for p in patients]),
    )
    if treatment in ("ide_cel", "cilta_cel"):
        starts = [int(r["main_day"]) for r in rows]
        copies = np.stack([truth["transgene"][day : day + 365, i] for i, day in enumerate(starts)])
        peak, day = copies.max(1), copies.argmax(1)
        out.update(
            Cmax_mean=peak.mean(),
            Cmax_SD=peak.std(),
            Cmax_GM=np.exp(np.log(peak).mean()),
            Cmax_CV=np.sqrt(np.expm1(np.log(peak).var())),
            Tmax=np.median(day),
            Tmax_low=np.quantile(day, 0.025),
            Tmax_high=np.quantile(day, 0.975),
            AUC28=copies[:, :29].sum(1).mean(),
            AUC28_GM=np.exp(np.log(copies[:, :29].sum(1)).mean()),
            last_detectable=np.median([np.flatnonzero(c >= 50).max(initial=0) for c in copies]),
            detectable6=np.mean(copies[:, 183] >= 50),
        )
    return out


if __name__ == "__main__":
    for name in TREATMENTS:
        numbers = summarise(name, int(sys.argv[1]) if len(sys.argv) > 1 else 300)
        print(f"{name:12s} published  {PUBLISHED[name]}")
        print("             simulated  " + "  ".join(f"{k} {v:.4g}" for k, v in numbers.items()))
