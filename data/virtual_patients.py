"""Draws SYNTHETIC patients: covariates, plan of treatment and true parameters of `singh_simulator`.

Three latent scores make the responses of one patient to different treatments hang together without any
parameter being shared by design: `aggressive` (growth, both resistant fractions), `fitness` (T cells:
expansion, non-response to CAR-T cells and bispecific), `escape` (BCMA-low fraction). The chance of
non-response is a probit of these scores, so every patient has a true class under every treatment.
"""

from statistics import NormalDist

import numpy as np

TREATMENTS = ("ide_cel", "cilta_cel", "teclistamab", "dara_pd")
QUARTERS = 22  # of growth drift: 60 months and a rest
SIGMA_DRIFT = 0.10  # SD of ln growth per quarter
NEVER = 1e9  # a day that does not come

# Who gets what: shares of extramedullary disease, high-risk cytogenetics, earliest and latest usual line
# (after KarMMa-3, CARTITUDE-1, MajesTEC-1 and APOLLO).
MIX = {
    "ide_cel": (0.24, 0.42, 2, 4),
    "cilta_cel": (0.13, 0.24, 3, 8),
    "teclistamab": (0.17, 0.26, 3, 7),
    "dara_pd": (0.06, 0.30, 1, 3),
}
# Per product: Cmax median (copies/ug) and SD of ln, Tmax median and SD, alpha half-life and SD, memory share and SD,
# memory half-life and SD, copies/ug per cell/L, infused cells, share engrafted, KC50 (complexes per tumour cell)
PRODUCT = {
    "ide_cel": (290_000, 0.75, 8.8, 0.22, 7.5, 0.45, 0.003, 1.2, 60.0, 0.8, 0.002, 450e6, 0.02, 2.24),
    "cilta_cel": (66_000, 0.30, 9.8, 0.17, 6.0, 0.45, 0.001, 0.9, 30.0, 0.8, 0.0004, 56e6, 0.2, 1.0),
}
# Chance of non-response, log10 of the median fraction that escapes the treatment, its SD
RESPONSE = {
    "ide_cel": (0.32, -2.3, 1.0),
    "cilta_cel": (0.01, -4.0, 1.15),
    "teclistamab": (0.33, -1.1, 1.1),
    "dara_pd": (0.27, -2.2, 1.4),
}


def draw_patient(rng, treatment, bridging):
    """One patient: a dict of scalars (and `log_growth`, one value per quarter), for `treatment` as the main one."""
    emd_share, risk_share, line_low, line_high = MIX[treatment]
    is_car_t = treatment in PRODUCT
    p = {"treatment": treatment, "bridging": bool(bridging and is_car_t)}
    p["isotype"] = str(rng.choice(["IgG", "IgA", "light_chain"], p=[0.60, 0.25, 0.15]))
    p["sex"] = "male" if rng.random() < 0.58 else "female"
    p["age_years"] = int(np.clip(round(rng.normal(64 if is_car_t else 67, 8)), 38, 85))
    p["weight_kg"] = round(float(np.clip(rng.normal(82 if p["sex"] == "male" else 69, 12), 45, 125)), 1)
    p["extramedullary"] = int(rng.random() < emd_share)
    p["high_risk_cytogenetics"] = int(rng.random() < risk_share)
    p["prior_lines"] = int(rng.integers(line_low, line_high + 1))
    p["prior_bcma"] = int(rng.random() < (0.12 if treatment == "teclistamab" else 0.0))
    given_dara = treatment == "dara_pd" or p["bridging"]
    refractory = 0.0 if treatment == "dara_pd" else 0.1 if given_dara else 0.85
    p["anti_cd38_refractory"] = int(rng.random() < refractory)
    p["triple_class_exposed"] = int(treatment != "dara_pd" or rng.random() < 0.1)

    p["aggressive"] = rng.normal() * 0.8 + 0.3 * p["high_risk_cytogenetics"] + 0.3 * p["extramedullary"]
    p["fitness"] = rng.normal() - 0.06 * (p["prior_lines"] - 3) - 0.3 * p["extramedullary"]
    p["escape"] = rng.normal()
    draw_disease(rng, p)
    draw_response(rng, p)
    for product in PRODUCT:
        draw_product(rng, p, product)
    draw_hazards(rng, p)
    plan_treatment(rng, p)
    return p


def draw_disease(rng, p):
    """Burden, M-protein, free light chains, growth."""
    while True:
        p["m_protein0"] = 18.0 * np.exp(0.59 * rng.normal())
        if 5.0 <= p["m_protein0"] <= 70.0:
            break
    p["cells_per_litre"] = 2.5e9 * np.exp(0.4 * np.log(p["m_protein0"] / 18.0) + 0.4 * rng.normal())
    p["sbcma0"] = 45.0 * np.exp(0.5 * np.log(p["cells_per_litre"] / 2.5e9) + 0.8 * rng.normal())
    p["gamma"] = 0.90 * np.exp(0.08 * rng.normal())
    p["gamma_flc"] = np.exp(0.10 * rng.normal())
    p["flc_floor"] = 6.0 * np.exp(0.35 * rng.normal())
    median, spread, low = (900.0, 0.9, 150.0) if p["isotype"] == "light_chain" else (90.0, 1.1, 15.0)
    p["flc0"] = float(np.clip(median * np.exp(spread * rng.normal()), max(low, 1.5 * p["flc_floor"]), 20_000.0))
    p["catabolism_factor"] = np.exp(0.15 * rng.normal())
    growth = np.log(0.0074) + 0.35 * p["aggressive"] + 0.05 * (p["prior_lines"] - 3) + 0.45 * rng.normal()
    drift = np.concatenate([[0.0], np.cumsum(SIGMA_DRIFT * rng.normal(size=QUARTERS - 1))])
    p["growth"] = np.exp(growth)
    p["log_growth"] = growth + drift


def draw_response(rng, p):
    """True class and escaping fraction under each treatment, and the strength of the kills."""
    standard = NormalDist()
    shared = {t: 0.6 * p["fitness"] - 0.2 * p["aggressive"] for t in TREATMENTS}
    shared["dara_pd"] = -0.5 * p["aggressive"] + 0.2 * p["fitness"]
    for treatment in TREATMENTS:
        chance, centre, spread = RESPONSE[treatment]
        score = shared[treatment] + 0.75 * rng.normal() - 0.4 * p["prior_bcma"] * (treatment != "dara_pd")
        p[f"nonresponder_{treatment}"] = bool(score < standard.inv_cdf(chance))
        latent = p["aggressive"] if treatment == "dara_pd" else 0.8 * p["escape"] + 0.3 * p["aggressive"]
        logit10 = centre + spread * (0.7 * latent + 0.6 * rng.normal())
        p[f"escape_fraction_{treatment}"] = 10**logit10 / (1.0 + 10**logit10)
    if p["nonresponder_dara_pd"]:
        p["escape_fraction_dara_pd"] = float(rng.uniform(0.70, 0.92))
    weak = 0.02 * np.exp(0.4 * rng.normal())  # share of the T-cell kill left in a non-responder
    p["k_drug_dara_pd"] = 0.085 * np.exp(0.5 * rng.normal())
    p["k_bispecific_teclistamab"] = 0.20 * np.exp(0.4 * rng.normal()) * (weak if p["nonresponder_teclistamab"] else 1.0)
    p["sink_ng_ml"] = 150.0
    p["exhaustion"] = 1.5e-3 * np.exp(0.6 * rng.normal())
    for product in PRODUCT:
        kill = 0.343 * np.exp(0.35 * rng.normal())
        p[f"k_car_{product}"] = kill * (weak if p[f"nonresponder_{product}"] else 1.0)


def draw_product(rng, p, product):
    """CAR-T kinetics for one product; rate constants aim at a Cmax and Tmax which the burden then modifies."""
    (cmax, s_cmax, tmax, s_tmax, t_alpha, s_alpha, share, s_share, t_beta, s_beta, copies, cells, engrafted, kc50) = (
        PRODUCT[product]
    )
    lost = -0.5 if p[f"nonresponder_{product}"] else 0.1
    peak = cmax * np.exp(s_cmax * (0.35 * p["fitness"] + 0.94 * rng.normal()) + lost)
    day = tmax * np.exp(s_tmax * rng.normal())
    alpha = np.log(2) / (t_alpha * np.exp(s_alpha * rng.normal()))
    memory = share * np.exp(s_share * rng.normal())
    start = copies * cells * engrafted * K21_SHARE / 5.0
    p.update(
        {
            f"peak_{product}": peak,
            f"lag_days_{product}": 2.5 if product == "ide_cel" else 3.0,
            f"window_days_{product}": day,
            f"alpha_{product}": alpha,
            f"k_memory_{product}": memory * alpha / 1.3,
            f"beta_{product}": np.log(2) / (t_beta * np.exp(s_beta * rng.normal())),
            f"k_exp_{product}": np.log(max(peak / start, 3.0)) / (day - 2.6) / (1.0 - K21_SHARE),
            f"copies_per_cell_per_litre_{product}": copies,
            f"engrafted_cells_{product}": cells * engrafted,
            f"kc50_{product}": kc50,
        }
    )


K21_SHARE = 0.176 / (1.71 + 0.176)  # share of cells in blood at distribution equilibrium


def draw_hazards(rng, p):
    """Constant parts of the hazards (1/d) and the two exponential thresholds that time the events."""
    p["background_death"] = 3.0e-5 * np.exp(0.09 * (p["age_years"] - 65))
    p["imaging_hazard"] = 1.5e-4 * (4.5 if p["extramedullary"] else 1.0) * 1.4
    p["death_threshold"] = rng.exponential()
    p["imaging_threshold"] = rng.exponential()


def plan_treatment(rng, p):
    """Days of the plan from referral: start of a drug, leukapheresis, infusion."""
    p["drug_day"] = int(rng.integers(2, 6))
    p["leukapheresis_day"] = int(rng.integers(6, 10))
    wait = 49 if p["treatment"] == "ide_cel" else 44
    p["planned_infusion_day"] = int(np.clip(round(wait + 5 * rng.normal()), 36, 70))


def arrange(patients, treatment=None, start_day=None):
    """Parameters of `simulate` for these patients: under their own plan, or all under `treatment` from `start_day`."""
    columns = {}
    for key in (
        "isotype",
        "m_protein0",
        "cells_per_litre",
        "sbcma0",
        "gamma",
        "gamma_flc",
        "flc0",
        "flc_floor",
        "catabolism_factor",
        "background_death",
        "imaging_hazard",
        "sink_ng_ml",
        "exhaustion",
    ):
        columns[key] = np.array([p[key] for p in patients])
    columns["log_growth"] = np.stack([p["log_growth"] for p in patients])
    rows = [arrange_one(p, treatment or p["treatment"], start_day) for p in patients]
    for key in rows[0]:
        columns[key] = np.array([row[key] for row in rows], dtype=float)
    return columns


def arrange_one(p, treatment, start_day):
    """The treatment-dependent parameters of one patient."""
    product = treatment if treatment in PRODUCT else "ide_cel"
    own_plan = start_day is None
    start = p["drug_day"] if own_plan else start_day
    row = {
        f"{name}": p[f"{name}_{product}"]
        for name in (
            "lag_days",
            "window_days",
            "alpha",
            "k_memory",
            "beta",
            "k_exp",
            "copies_per_cell_per_litre",
            "engrafted_cells",
            "kc50",
            "k_car",
        )
    }
    row["k_drug"], row["k_bispecific"] = p["k_drug_dara_pd"], p["k_bispecific_teclistamab"]
    row["f_drug"] = p["escape_fraction_dara_pd"]
    row["f_low"] = p[f"escape_fraction_{treatment if treatment != 'dara_pd' else 'teclistamab'}"]
    row.update(
        dara_start=NEVER,
        dara_stop=NEVER,
        tec_start=NEVER,
        tec_stop=NEVER,
        infusion_day=NEVER,
        drug_day=start,
        drug_death=0.0,
        main_day=start,
    )
    if treatment == "dara_pd":
        row.update(dara_start=start, drug_death=5e-5)
    elif treatment == "teclistamab":
        row.update(tec_start=start, drug_death=1.2e-4)
    else:
        infusion = p["planned_infusion_day"] if own_plan else start
        row.update(infusion_day=infusion, main_day=infusion)
        if own_plan and p["bridging"]:
            row.update(dara_start=start, dara_stop=infusion - 10)
    return row
