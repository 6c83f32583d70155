"""Which simulated candidates become the six SYNTHETIC demo patients, and the two faults put into their labs.

The demo patients are chosen by the rules below, so they are no sample of anything and no calibration can be
read from them: per role, the first candidate that meets its rule.
"""

LIMIT_TENTH = 0.05  # M-protein limit, g/dL
CANDIDATES = 100  # per treatment
ROLES = (
    ("DEMO-01", "ide_cel", "IgG, bridged with dara_pd and poor response to it, then good response to ide_cel"),
    ("DEMO-02", "cilta_cel", "IgA, bridged, lasting response"),
    ("DEMO-03", "teclistamab", "IgG responder who relapses after month 8"),
    ("DEMO-04", "dara_pd", "IgG responder, still progression-free at the end"),
    ("DEMO-05", "ide_cel", "light-chain disease, bridged, responder"),
    ("DEMO-06", "dara_pd", "non-responder who grows slowly: progression coded after month 6"),
)


def marker(record):
    """(time, value) of the disease marker, g/L or mg/L."""
    name = "involved_flc" if record["patient"]["isotype"] == "light_chain" else "m_protein"
    return [(r["time"], r["value"]) for r in sorted(record["labs"], key=lambda r: r["time"]) if r["output"] == name]


def fits_role(key, r):
    """The rule for one demo role, on the observed record and the true class; all last beyond month 6."""
    p, values = r["patient"], marker(r)
    if r["stop"] <= 190 or (r["coded"] or 10**9) <= 183:
        return False
    last_before = [v for t, v in values if t <= r["main_day"]][-1]
    change = last_before / values[0][1]
    lowest = min(v for _, v in values) / values[0][1]
    nonresponder = p[f"nonresponder_{p['treatment']}"]
    usual = p["anti_cd38_refractory"] == 0 and p["prior_bcma"] == 0 and not nonresponder
    if key == "DEMO-01":
        return (
            usual
            and p["isotype"] == "IgG"
            and 45 <= r["main_day"] <= 53
            and 12 <= values[0][1] <= 40
            and 0.85 <= change <= 1.15
            and lowest <= 0.1
            and r["outcome"] == "censored"
        )
    if key == "DEMO-02":
        return usual and p["isotype"] == "IgA" and lowest <= 0.1 and r["outcome"] == "censored"
    if key == "DEMO-03":
        return (
            p["isotype"] == "IgG"
            and not nonresponder
            and lowest <= 0.4
            and values[0][1] >= 14
            and r["outcome"] == "serological"
            and r["coded"] > 244
        )
    if key == "DEMO-04":
        return p["isotype"] == "IgG" and not nonresponder and lowest <= 0.25 and r["outcome"] == "censored"
    if key == "DEMO-05":
        return usual and p["isotype"] == "light_chain" and lowest <= 0.1
    return p["isotype"] != "light_chain" and nonresponder and r["outcome"] == "serological"


def spoil_demo_labs(rows):
    """Two faults for `bayestwin check`: an M-protein filed in the wrong unit and corrected later, a row filed twice."""

    def mine(row):
        return row[0] == "DEMO-03" and row[4] == "m_protein" and row[6] == "g/L" and row[2] > 0 and float(row[5]) > 12.5

    wrong = next(i for i, row in enumerate(rows) if mine(row))
    right = list(rows[wrong])
    right[3], right[11] = right[3] + 5, "corrected"
    rows[wrong] = rows[wrong][:6] + ["g/dL"] + rows[wrong][7:8] + [LIMIT_TENTH] + rows[wrong][9:]
    rows.insert(wrong + 1, right)
    twice = next(i for i, row in enumerate(rows) if row[0] == "DEMO-02" and row[4] == "m_protein")
    rows.insert(twice + 1, list(rows[twice]))
    return rows
