"""What the clinic sees of a SYNTHETIC patient: visits, labs with assay noise, IMWG progression, stop of follow-up.

Assay errors (SD): M-protein sqrt((0.06 P)^2 + 0.3^2) g/L, free light chains 0.18 on ln, transgene 0.45 on ln.
Limits: M-protein below 0.5 g/L and transgene below 50 copies/ug are reported with `<`.
Progression (IMWG 2016, serum part): against the lowest confirmed value since the start of the main treatment
(two consecutive values at or below it; the baseline counts as confirmed), a rise of at least 25 % and 5 g/L
(10 g/L suffices from a nadir of 50 g/L), seen at two consecutive visits; light-chain disease: at least 25 %
and more than 100 mg/L of the involved chain (the uninvolved one is taken as constant, so that this is dFLC).
The time of progression is the first of the two visits; it becomes known with the second.
"""

import numpy as np

M_PROTEIN_LIMIT, TRANSGENE_LIMIT = 0.5, 50.0  # g/L, copies/ug
TRANSGENE_DAYS = (3, 7, 10, 14, 21, 28, 56, 84, 112, 140, 168, 196, 224, 252, 280, 308, 336, 364, 420, 476)


def visit_days(rng, p, end):
    """Visit days: referral, one in bridging, one before infusion, then about every 28 days; 4 % are missed."""
    if p["planned_infusion_day"] and p["treatment"] in ("ide_cel", "cilta_cel"):
        first = p["planned_infusion_day"]
        days = [0, int(rng.integers(24, 29)), first - int(rng.integers(1, 3))]
    else:
        first, days = p["drug_day"], [0]
    k = 1
    while first + 28 * k - 3 <= end:
        day = first + 28 * k + int(rng.integers(-3, 4))
        if rng.random() >= 0.04 and day <= end:
            days.append(day)
        k += 1
    return days


def observe_labs(rng, p, truth, days, infusion_day, end):
    """Lab rows (value in g/L, mg/L or copies/ug; `censored` where below the limit), noisy copies of `truth`."""
    rows = []
    for day in days:
        clinic = "local" if rng.random() < 0.12 else "central"
        delay = int(rng.integers(15, 41)) if rng.random() < 0.03 else int(rng.integers(1, 4))
        noise_m, noise_f = rng.normal(size=2)
        if p["isotype"] != "light_chain":
            exact = truth["m_protein"][day]
            value = round(float(exact + noise_m * np.sqrt((0.06 * exact) ** 2 + 0.3**2)), 1)
            low = value < M_PROTEIN_LIMIT
            rows.append(
                dict(
                    time=day,
                    known_time=day + delay,
                    output="m_protein",
                    lab=clinic,
                    censored=low,
                    value=M_PROTEIN_LIMIT if low else value,
                    lloq=M_PROTEIN_LIMIT,
                )
            )
        value = float(f"{truth['flc'][day] * np.exp(0.18 * noise_f):.3g}")
        rows.append(
            dict(
                time=day,
                known_time=day + delay,
                output="involved_flc",
                lab=clinic,
                censored=False,
                value=value,
                lloq=None,
            )
        )
    for since in TRANSGENE_DAYS:
        day = infusion_day + since
        noise, miss, delay = rng.normal(), rng.random(), int(rng.integers(1, 4))
        if day <= end and miss >= 0.04:
            value = float(f"{truth['transgene'][int(day)] * np.exp(0.45 * noise):.3g}")
            low = value < TRANSGENE_LIMIT
            rows.append(
                dict(
                    time=int(day),
                    known_time=int(day) + delay,
                    output="transgene",
                    lab="central",
                    censored=low,
                    value=TRANSGENE_LIMIT if low else value,
                    lloq=TRANSGENE_LIMIT,
                )
            )
    return rows


def exceeds(value, nadir, isotype):
    """The serological progression criterion at one visit; rounded, so that 9.2 - 4.2 counts as 5."""
    rise, ratio = round(value - nadir, 6), round(value / nadir, 9)
    if isotype == "light_chain":
        return ratio >= 1.25 and rise > 100.0
    return (ratio >= 1.25 and rise >= 5.0) or (nadir >= 50.0 and rise >= 10.0)


def code_progression(values, isotype):
    """Criterion per visit and index of the first confirmed progression (None: none) of values from the baseline on."""
    nadir, suspect = values[0], [False]
    for i in range(1, len(values)):
        suspect.append(exceeds(values[i], nadir, isotype))
        if suspect[i] and i + 1 < len(values) and exceeds(values[i + 1], nadir, isotype):
            return suspect + [True], i
        nadir = min(nadir, max(values[i - 1], values[i]))
    return suspect, None


def true_serological_day(truth, i, p, main_day):
    """First day on which the error-free marker meets the criterion against its running nadir; None within horizon."""
    marker = truth["flc" if p["isotype"] == "light_chain" else "m_protein"][int(main_day) :, i]
    nadir = np.minimum.accumulate(marker)
    rise = marker - nadir
    if p["isotype"] == "light_chain":
        met = (marker >= 1.25 * nadir) & (rise > 100.0)
    else:
        met = ((marker >= 1.25 * nadir) & (rise >= 5.0)) | ((nadir >= 50.0) & (rise >= 10.0))
    return int(main_day) + int(np.argmax(met)) if met.any() else None


def hazard_day(cumulative, threshold):
    """Day on which a cumulative hazard passes its exponential threshold; None within the horizon."""
    met = cumulative >= threshold
    return int(np.argmax(met)) if met.any() else None


def true_times(truth, i, p, main_day):
    """True days of serological and imaging progression and death under the simulated treatment; pfs is the first."""
    days = {
        "serological": true_serological_day(truth, i, p, main_day),
        "imaging": hazard_day(truth["imaging_hazard"][:, i], p["imaging_threshold"]),
        "death": hazard_day(truth["death_hazard"][:, i], p["death_threshold"]),
    }
    met = [d for d in days.values() if d is not None]
    days["pfs"] = min(met) if met else None
    days["cause"] = next((k for k in ("death", "imaging", "serological") if met and days[k] == days["pfs"]), "")
    return days


def follow(rng, p, truth, i, row, cutoff):
    """One patient's record until progression (next therapy), death or `cutoff`: labs, events, how it ended.

    The cells are infused only if the patient lives to the planned day; imaging counts from the main treatment on.
    """
    times = true_times(truth, i, p, row["main_day"])
    death = times["death"] if times["death"] is not None else 10**9
    end = min(cutoff, death - 1)
    mine = {k: v[:, i] for k, v in truth.items()}
    days = visit_days(rng, p, end)
    days = [d for d in days if d <= end]
    infusion = row["infusion_day"] if row["infusion_day"] <= end else 10**9
    labs = observe_labs(rng, p, mine, days, infusion, end)
    name = "involved_flc" if p["isotype"] == "light_chain" else "m_protein"
    visits = sorted((r for r in labs if r["output"] == name), key=lambda r: r["time"])

    before = [v for v in visits if v["time"] <= row["main_day"]]
    after = before[-1:] + [v for v in visits if v["time"] > row["main_day"]]
    suspect, found = code_progression([v["value"] for v in after], p["isotype"])
    first_look, _ = code_progression([v["value"] for v in before], p["isotype"])
    seen = next((v for v in after[1:] if times["imaging"] is not None and v["time"] >= times["imaging"]), None)
    outcome, stop = ("death", death) if death <= cutoff else ("censored", cutoff)
    if seen is not None and (found is None or seen["time"] <= after[found]["time"]):
        outcome, stop, event = "imaging", seen["time"], (seen["time"], seen["time"] + 1)
    elif found is not None:
        first, second = after[found], after[found + 1]
        outcome, stop, event = "serological", second["time"], (first["time"], second["known_time"])

    events = plan_events(p, row, min(stop, end))
    clear = [v for v, bad in zip(before[1:], first_look[1:]) if not bad]
    clear += [v for v, bad in zip(after[1:], suspect[1:]) if not bad]
    latest = event[0] - 1 if outcome in ("imaging", "serological") else stop
    for v in clear:
        if v["time"] <= latest:
            events.append((v["time"], v["known_time"], "assessed", ""))
    for j in range(1, len(suspect) - 1):  # a suspicion that the next visit did not confirm
        if suspect[j] and j != found and after[j + 1]["time"] <= min(latest, stop):
            events.append((after[j]["time"], after[j + 1]["known_time"], "assessed", ""))
    if outcome in ("imaging", "serological"):
        events += [(event[0], event[1], "progression", outcome), (stop, stop, "last_known_alive", "")]
    elif outcome == "death":
        events.append((death, death + 2, "death", ""))
    else:
        events.append((cutoff, cutoff, "last_known_alive", ""))
    labs = [r for r in labs if r["time"] <= stop]
    return dict(
        labs=labs,
        events=sorted(events),
        outcome=outcome,
        stop=stop,
        times=times,
        coded=event[0] if outcome in ("imaging", "serological") else (death if outcome == "death" else None),
    )


def plan_events(p, row, last):
    """Treatment events that took place by day `last`."""
    if p["treatment"] in ("ide_cel", "cilta_cel"):
        planned = [
            (p["leukapheresis_day"], "leukapheresis", ""),
            (int(row["infusion_day"]), "infusion", p["treatment"]),
        ]
        if p["bridging"]:
            planned.append((p["drug_day"], "line_of_therapy", "dara_pd"))
    else:
        planned = [(p["drug_day"], "line_of_therapy", p["treatment"])]
    return [(day, day, name, value) for day, name, value in planned if day <= last]
