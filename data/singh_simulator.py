"""The structural model behind the SYNTHETIC myeloma cohort: CAR-T cells, tumour clones, M-protein.

Written to differ on purpose from the two-clone model that bayestwin fits (and importing nothing of it),
so that a fit to these data also shows what misspecification does. Time in days.

    blood, marrow    E (effector), M (memory) CAR-T cells exchange at k12, k21          (Singh 2021)
    complexes        X = CAR-BCMA complexes in marrow at quasi-equilibrium; soluble BCMA competes
    expansion        dE_marrow/dt += k_exp * w(t) * a/(A50 + a) * E,   a = complexes per CAR-T cell
    contraction      at rate alpha as the expansion window w(t) closes; memory decays at beta
    tumour           four clones: (drug-sensitive, drug-resistant) x (BCMA-high, BCMA-low)
                     d ln T_j/dt = g(t) (1 - (B/Bmax)^4) - K_car c_j/(KC50 + c_j) - bispecific_j - drug_j
                     c_j = complexes per cell of clone j; a BCMA-low cell carries 2 % of the antigen
    drugs            K-PD: a virtual depot per regimen; the bispecific meets the soluble BCMA sink and tires
    M-protein        dP/dt = k(P0) P0 B^gamma - k(P) P;  IgG: k rises with P (saturable FcRn rescue)
    FLC              floor + (FLC0 - floor) B^gamma_F  (algebraic: half-life of hours)
    hazards          death and non-secretory progression, integrated along the trajectory

Source: Singh et al. 2021 (k12, k21, K_kill, KC50, receptor numbers, kon, koff, sBCMA turnover, exponents);
departures are listed in data/README.md.
"""

import numpy as np

AVOGADRO = 6.022e23
V_BLOOD, V_MARROW = 5.0, 3.65  # L
K12, K21 = 1.71, 0.176  # 1/d, blood to marrow and back
CAR_PER_CELL, BCMA_PER_CELL = 15_000.0, 12_590.0
KD_MOLAR = 2.39e-3 / 7.1e4  # koff / kon
A50 = 0.1  # complexes per CAR-T cell at half-maximal expansion (Singh: 10)
LOW_ANTIGEN = 0.02  # BCMA on a BCMA-low cell, relative
SBCMA_DECAY = 0.7  # 1/d
NG_PER_ML_PER_NM = 5.4
DRUG_LEAK = 0.03  # share of the drug kill that a drug-resistant clone feels
DEPOT_DECAY = {"dara_pd": 0.06, "teclistamab": 0.05}  # 1/d, virtual depots
STEP = 0.25  # d, fixed-step Runge-Kutta 4; the exposure grid is STEP / 2
DENSITY = np.array([1.0, 1.0, LOW_ANTIGEN, LOW_ANTIGEN])[:, None]
DRUG_FACTOR = np.array([1.0, DRUG_LEAK, 1.0, DRUG_LEAK])[:, None]


def dose_days(treatment, horizon):
    """Days after the start at which a regimen is given, with the dose relative to the weekly one."""
    if treatment == "dara_pd":  # weekly x8, two-weekly x8, then four-weekly; pomalidomide fills in
        days = [7 * i for i in range(8)] + [56 + 14 * i for i in range(8)]
        days += list(range(168, int(horizon) + 1, 28))
        antibody = {d: 0.5 * 7.0 for d in days}
        for d in range(int(horizon) + 1):  # pomalidomide on days 1 to 21 of 28
            if d % 28 < 21:
                antibody[d] = antibody.get(d, 0.0) + 0.5 * 28 / 21
        return antibody
    doses = {0: 0.04 * 7.0, 3: 0.2 * 7.0}  # teclistamab: two step-up doses, then weekly
    doses.update({d: 7.0 for d in range(7, int(horizon) + 1, 7)})
    return doses


def exposure_curve(treatment, horizon):
    """Virtual depot (1 = plateau of the intensive phase) on the half-step grid since the start."""
    rate, half = DEPOT_DECAY[treatment], STEP / 2
    n = int(round(horizon / half)) + 1
    given = {int(round(d / half)): rate * amount for d, amount in dose_days(treatment, horizon).items()}
    curve, level, decay = np.zeros(n), 0.0, np.exp(-rate * half)
    for k in range(n):
        level = level * decay + given.get(k, 0.0)
        curve[k] = level
    return curve


def exposure_at(k, curve, start, stop, rate):
    """Exposure at half-step k for patients who start and stop at half-steps (stop: washout)."""
    last = np.minimum(k, stop)
    on = k >= start
    level = curve[np.where(on, last - start, 0)]
    return np.where(on, level * np.exp(-rate * STEP / 2 * np.maximum(k - stop, 0)), 0.0)


def catabolism(p, protein):
    """Fractional M-protein loss, 1/d: IgG rescued by FcRn until it saturates, IgA constant."""
    igg = 0.030 + 0.055 * protein / (25.0 + protein)
    return p["catabolism_factor"] * np.where(p["isotype"] == "IgG", igg, np.log(2) / 6.0)


def rates(t, y, p, growth, drug, bispecific):
    """Right-hand side; y rows: E_b, E_m, M_b, M_m, ln clones (4), M-protein, sBCMA, two cumulative hazards."""
    e_blood, e_marrow, m_blood, m_marrow = y[0], y[1], y[2], y[3]
    clones = np.exp(y[4:8])  # relative to the burden at referral
    burden = clones.sum(0)
    protein, sbcma = np.maximum(y[8], 0.0), y[9]

    cells = (e_marrow + m_marrow) / V_MARROW
    car = CAR_PER_CELL * cells / AVOGADRO
    antigen_weight = DENSITY * clones * p["cells_per_litre"]
    bcma = BCMA_PER_CELL * antigen_weight.sum(0) / AVOGADRO
    kd = KD_MOLAR * (1.0 + sbcma / NG_PER_ML_PER_NM * 1e-9 / KD_MOLAR)
    total = car + bcma + kd
    share = 2.0 / (total + np.sqrt(total**2 - 4.0 * car * bcma))  # complexes = share * car * bcma
    per_car_cell = CAR_PER_CELL * share * bcma
    per_tumour_cell = share * car * BCMA_PER_CELL * DENSITY

    since = np.maximum(t - p["infusion_day"], 0.0)
    window = 1.0 / (1.0 + (since / p["window_days"]) ** 10) * (1.0 - np.exp(-((since / p["lag_days"]) ** 3)))
    closing = 1.0 - 1.0 / (1.0 + (since / p["window_days"]) ** 10)
    grow = p["k_exp"] * window * per_car_cell / (A50 + per_car_cell)
    loss, beta, convert = p["alpha"] * closing, p["beta"], p["k_memory"]

    car_kill = p["k_car"] * per_tumour_cell / (p["kc50"] + per_tumour_cell)
    sink = 1.0 + sbcma / p["sink_ng_ml"]
    tired = np.exp(-p["exhaustion"] * np.maximum(t - p["drug_day"], 0.0))
    bite_kill = p["k_bispecific"] * tired * bispecific * DENSITY / (0.15 * sink + bispecific * DENSITY)
    drug_kill = p["k_drug"] * DRUG_FACTOR * drug / (0.3 + drug)

    out = np.empty_like(y)
    out[0] = K21 * e_marrow - (K12 + loss) * e_blood
    out[1] = K12 * e_blood - (K21 + loss + convert) * e_marrow + grow * e_marrow
    out[2] = K21 * m_marrow - (K12 + beta) * m_blood
    out[3] = K12 * m_blood - (K21 + beta) * m_marrow + convert * e_marrow
    out[4:8] = growth * (1.0 - (burden / 8.0) ** 4) - car_kill - bite_kill - drug_kill
    p0 = p["m_protein0"]
    out[8] = catabolism(p, p0) * p0 * burden ** p["gamma"] - catabolism(p, protein) * protein
    out[9] = SBCMA_DECAY * (p["sbcma0"] * burden - sbcma)
    toxic = np.where(t >= p["infusion_day"], 3e-4 * np.exp(-since / 180.0), 0.0) + p["drug_death"]
    out[10] = p["background_death"] + toxic + 1.2e-4 * burden**0.8
    out[11] = np.where(t >= p["main_day"], p["imaging_hazard"] * (0.25 + 0.75 * burden**0.5), 0.0)
    return out


def simulate(p, horizon_days):
    """Trajectories on whole days for patients in the columns of `p` (a dict of arrays of length n).

    Returns
    -------
    dict of arrays (horizon_days + 1, n): burden, bcma_low, m_protein, flc, transgene, sbcma,
    death_hazard and imaging_hazard (cumulative)
    """
    n = len(p["m_protein0"])
    y = np.zeros((12, n))
    f_drug, f_low = p["f_drug"], p["f_low"]
    y[4:8] = np.log([(1 - f_drug) * (1 - f_low), f_drug * (1 - f_low), (1 - f_drug) * f_low, f_drug * f_low])
    y[8], y[9] = p["m_protein0"], p["sbcma0"]
    half = STEP / 2
    dara, tec = (exposure_curve(name, horizon_days) for name in ("dara_pd", "teclistamab"))
    start_d, stop_d, start_t, stop_t = (
        np.minimum(np.round(p[k] / half), 10**8).astype(int)
        for k in ("dara_start", "dara_stop", "tec_start", "tec_stop")
    )
    per_day = int(round(1 / STEP))
    saved = {
        k: np.zeros((horizon_days + 1, n))
        for k in ("burden", "bcma_low", "m_protein", "flc", "transgene", "sbcma", "death_hazard", "imaging_hazard")
    }

    def slope(k, y):
        t = k * half
        quarter = min(int(t // 91.3125), p["log_growth"].shape[1] - 1)
        return rates(
            t,
            y,
            p,
            np.exp(p["log_growth"][:, quarter]),
            exposure_at(k, dara, start_d, stop_d, DEPOT_DECAY["dara_pd"]),
            exposure_at(k, tec, start_t, stop_t, DEPOT_DECAY["teclistamab"]),
        )

    for day in range(horizon_days + 1):
        clones = np.exp(y[4:8])
        burden = clones.sum(0)
        saved["burden"][day], saved["bcma_low"][day] = burden, clones[2:].sum(0) / burden
        saved["m_protein"][day] = np.where(p["isotype"] == "light_chain", 0.0, y[8])
        saved["flc"][day] = p["flc_floor"] + (p["flc0"] - p["flc_floor"]) * burden ** p["gamma_flc"]
        saved["transgene"][day] = p["copies_per_cell_per_litre"] * (y[0] + y[2]) / V_BLOOD
        saved["sbcma"][day] = y[9]
        saved["death_hazard"][day], saved["imaging_hazard"][day] = y[10], y[11]
        if day == horizon_days:
            break
        y[0] += np.where(p["infusion_day"] == day, p["engrafted_cells"], 0.0)
        for step in range(per_day):
            k = 2 * (day * per_day + step)
            s1 = slope(k, y)
            s2 = slope(k + 1, y + half * s1)
            s3 = slope(k + 1, y + half * s2)
            s4 = slope(k + 2, y + STEP * s3)
            y = y + STEP / 6 * (s1 + 2 * s2 + 2 * s3 + s4)
    return saved
