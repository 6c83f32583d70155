"""Routine, research and registry labs of a SYNTHETIC patient beside M-protein, light chains and transgene.

Computed from the trajectories of `singh_simulator` and written with a random stream of their own, so that the rows of
labs.csv stay what they are. Structure and sizes differ on purpose from the fitted model: normal plasma cells compete
with the burden to the power 0.7 and are killed by cells, not by a saturating share; LDH and beta-2 microglobulin follow
the square root and the power 0.8 of the burden; infections come at random and raise CRP and lymphocytes; lymphocytes
return along a power of time; immunofixation is one assay with an error, positive above its limit.
All magnitudes are assumptions.
"""

import numpy as np

REGISTRY_DAYS = (100, 183, 365)  # after the start of the main treatment
NORMAL = {"igg": 10.5, "iga": 2.1, "igm": 0.95}  # g/L
UNITS = {
    "ife_serum": "",
    "uninvolved_flc": "mg/L",
    "igg": "g/L",
    "iga": "g/L",
    "igm": "g/L",
    "alc": "10*9/L",
    "ldh": "U/L",
    "b2m": "mg/L",
    "ferritin": "ug/L",
    "crp": "mg/L",
    "marrow_plasma_cells": "%",
    "deauville": "",
    "car_t_cells": "cells/uL",
    "sbcma": "ng/mL",
    "response_category": "",
}
LAYER = {
    "registry": ("response_category",),
    "research": ("car_t_cells", "sbcma"),
    "routine": tuple(n for n in UNITS if n not in ("response_category", "car_t_cells", "sbcma")),
}
FLOW_LIMIT, CRP_LIMIT = 1.0, 1.0  # cells/uL, mg/L


def normal_plasma_cells(p, mine, cells_per_ul, main_day):
    """Normal plasma cells by day, relative to health: daily steps of competition, kill and recovery."""
    found, n = np.empty(len(mine["burden"])), None
    on_drug = p["treatment"] in ("teclistamab", "dara_pd")
    for day, burden in enumerate(mine["burden"]):
        room = 1.0 / (1.0 + 1.3 * burden**0.7)
        n = room if n is None else n
        kill = 0.045 * cells_per_ul[day] / (20.0 + cells_per_ul[day])
        if on_drug and day >= main_day:
            kill += 0.03 if p["treatment"] == "teclistamab" else 0.008
        n = max(n + 0.012 * (room - n) - kill * n, 1e-3)
        found[day] = n
    return found


def own_levels(rng):
    """What differs between patients whatever their disease does."""
    draws = rng.normal(size=8)
    return {
        "uninvolved_flc": 9.0 * np.exp(0.35 * draws[0]),
        "immunoglobulin": np.exp(0.3 * draws[1]),
        "alc": 1.1 * np.exp(0.4 * draws[2]),
        "ldh": 205.0 * np.exp(0.3 * draws[3]),
        "b2m": 3.6 * np.exp(0.4 * draws[4]),
        "ferritin": 330.0 * np.exp(0.9 * draws[5]),
        "crp": 3.5 * np.exp(0.8 * draws[6]),
        "marrow": 1.0 * draws[7] - 0.9,
    }


def more_labs(rng, p, mine, record, product):
    """Rows (output, time, known_time, value, comparator, lloq) on the days of the record's visits.

    product : name of the CAR-T product that was infused, or ""; mine : the patient's trajectories by day
    """
    main_day = record["main_day"]
    infused = next((t for t, _, name, _ in record["events"] if name == "infusion"), None)
    per_ul = mine["transgene"] / max(p[f"copies_per_cell_per_litre_{product or 'ide_cel'}"], 1e-12) / 1e6
    normal, own = normal_plasma_cells(p, mine, per_ul, main_day), own_levels(rng)
    days = sorted({r["time"] for r in record["labs"] if r["output"] == "involved_flc"})
    draws = sorted({r["time"] for r in record["labs"] if r["output"] == "transgene"})
    rows = []

    def add(output, day, value, low=None):
        value = float(f"{value:.3g}") if not isinstance(value, str) else value
        below = low is not None and value < low
        rows.append(
            (output, day, day + 2, low if below else value, "<" if below else "", low if low is not None else "")
        )

    for k, day in enumerate(days):
        since = day - infused if infused is not None and day >= infused else None
        infection = rng.random() < 0.06
        noise = rng.normal(size=12)
        seen = mine["m_protein"][day] * np.exp(0.15 * noise[0]) >= 0.15
        if p["isotype"] != "light_chain" and (mine["m_protein"][day] < 2.0 or k % 4 == 0):
            add("ife_serum", day, "positive" if seen else "negative")
        add("uninvolved_flc", day, own["uninvolved_flc"] * normal[day] * np.exp(0.2 * noise[1]))
        returned = 1.0 if since is None else min(0.1 + 0.9 * (since / 60.0) ** 0.8, 1.0)
        share = 0.0 if since is None else 2.0 * per_ul[day] / 1000.0
        viral = 1.6 if infection else 1.0
        add("alc", day, viral * (own["alc"] * returned + share) * np.exp(0.25 * noise[2]))
        ldh = own["ldh"] * (0.9 + 0.1 * mine["burden"][day] ** 0.5)
        add("ldh", day, ldh * np.exp(0.15 * noise[3]))
        release = 0.0 if since is None else np.exp(-0.5 * ((since - 8.0) / 5.0) ** 2)
        crp = own["crp"] * (1.0 + 9.0 * release) * (8.0 if infection else 1.0)
        add("crp", day, crp * np.exp(0.5 * noise[4]), CRP_LIMIT)
        if k % 2 == 0:
            for at, (name, level) in enumerate(NORMAL.items()):
                total = level * own["immunoglobulin"] * normal[day]
                total += mine["m_protein"][day] if name == p["isotype"].lower() else 0.0
                add(name, day, total * np.exp(0.15 * noise[5 + at]))
        if k % 3 == 0:
            add("b2m", day, own["b2m"] * (0.6 + 0.4 * mine["burden"][day] ** 0.8) * np.exp(0.12 * noise[8]))
            add("ferritin", day, own["ferritin"] * (1.0 + 2.5 * release) * np.exp(0.35 * noise[9]))
        if k == 0 or (since is not None and 20 <= since <= 45) or k % 8 == 7:
            logit = own["marrow"] + 0.9 * np.log(max(mine["burden"][day], 1e-8)) + 0.7 * noise[10]
            add("marrow_plasma_cells", day, min(max(100.0 / (1.0 + np.exp(-logit)), 0.1), 98.0))
            severity = 1.2 * p["extramedullary"] + 0.45 * np.log(max(mine["burden"][day], 1e-6)) + rng.logistic()
            add("deauville", day, float(1 + np.searchsorted([-3.0, -2.2, -1.3, -0.2], severity)))
    for day in draws:
        add("car_t_cells", day, per_ul[int(day)] * np.exp(0.5 * rng.normal()), FLOW_LIMIT)
    for day in days[::2]:
        add("sbcma", day, (mine["sbcma"][day] + 3.0) * np.exp(0.35 * rng.normal()))
    return rows + [("response_category", d, d + 7, c, "", "") for d, c in categories(record, p, rows)]


def categories(record, p, rows):
    """(day, category) at the visits nearest to REGISTRY_DAYS, and PD at the coded progression, from the observed labs.

    Against the last value at or before the start of the main treatment; CR needs a negative immunofixation (light-chain
    disease: an involved chain below 12 mg/L), VGPR 90 % or nothing to be seen by electrophoresis (1 g/L).
    """
    name = "involved_flc" if p["isotype"] == "light_chain" else "m_protein"
    visits = sorted((r["time"], r["value"], r["censored"]) for r in record["labs"] if r["output"] == name)
    before = [v for v in visits if v[0] <= record["main_day"]]
    after = [v for v in visits if v[0] > record["main_day"] + 20 and v[0] < (record["coded"] or 10**9)]
    fixed = {day: value for output, day, _, value, _, _ in rows if output == "ife_serum"}
    base, found = before[-1][1] if before else None, {}
    for wanted in REGISTRY_DAYS:
        near = [v for v in after if abs(v[0] - record["main_day"] - wanted) <= 30]
        if near and base:
            day, value, _ = min(near, key=lambda v: abs(v[0] - record["main_day"] - wanted))
            found[day] = graded(value, base, fixed.get(day), p["isotype"])
    if record["outcome"] == "serological":
        found[record["coded"]] = "PD"
    return sorted(found.items())


def graded(value, base, fixed, isotype):
    """IMWG category of one value against the baseline."""
    chains = isotype == "light_chain"
    if value < 12.0 if chains else fixed == "negative":
        return "CR"
    share = value / base
    if share <= 0.1 or (not chains and value < 1.0):
        return "VGPR"
    return "PR" if share <= 0.5 else "MR" if share <= 0.75 else "SD"
