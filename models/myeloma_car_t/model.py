"""Multiple myeloma under CAR-T cells, a BCMA bispecific antibody or a daratumumab regimen; reduced form.

Burden B = S + R relative to time zero (referral), in logs. When treatment x starts, the burden is split into a
sensitive part (1 - f_x) B and a resistant part f_x B; with chance p_x the patient is a non-responder and f_x is f_nr:

    d ln S/dt = g(t) (1 - B/Bmax) - kS_x h_x(t)            d ln R/dt = g(t) (1 - B/Bmax)
    h = 1 under drugs; C/(EC50 + C) under CAR-T cells       g(t) changes by a small step every quarter

CAR-T cells in blood (Stein/Ogasawara form, smooth minimum of growth and two-phase decline, n = 20):

    growth  ln Cmax - rho (Tmax - max(t, Tlag)), rho = ln(fold)/(Tmax - Tlag)
    decline ln Cmax + ln[(1 - fB) e^(-alpha (t - Tmax)) + fB e^(-beta (t - Tmax))]

M-protein turns over, d P/dt = kP (P0 B^gamma - P), with kP by isotype; involved free light chains are algebraic,
FLC = floor + FLC0 B^gF. Hazards: progression without serological rise (h_other B^0.1), death (background by age
and sex, plus h_disease B^0.3).

Sources are named parameter by parameter; marks: verified, derived, assumed, memory. See card.md.
"""

import jax.numpy as jnp

from bayestwin.specification import (
    Category,
    Combined,
    Drift,
    Eligibility,
    Fixed,
    HalfNormal,
    LogitNormal,
    LogNormal,
    LogNormalError,
    Model,
    Normal,
    Observation,
    Parameter,
    Progression,
    ResponseClass,
    ResponseCorrelation,
    SerologicalRule,
    Slope,
    Steps,
    Treatment,
)

CELLS = ("ide_cel", "cilta_cel")
TREATMENTS = ("ide_cel", "cilta_cel", "teclistamab", "dara_pd")
GUARD = 1000.0  # Bmax: keeps untreated growth finite, 0.1 % slower at B = 1


def initial_state(p):
    """Half of the burden in each part, M-protein at its baseline (g/L)."""
    half = jnp.log(0.5)  # before a treatment starts both parts grow alike
    return {"ln_sensitive": half, "ln_resistant": half, "m_protein": p.P0}


def log_burden(y):
    """ln of the whole burden, relative to time zero."""
    return jnp.logaddexp(y.ln_sensitive, y.ln_resistant)


def log_transgene(t, cmax, fb, beta, p):
    """ln copies/ug at t days after infusion; -30 before."""
    after = t - p.Tmax
    rho = jnp.log(p.fold) / jnp.maximum(p.Tmax - p.Tlag, 0.5)
    growth = -rho * (p.Tmax - jnp.maximum(t, p.Tlag))
    decline = jnp.log((1.0 - fb) * jnp.exp(-p.alpha * jnp.maximum(after, -100.0)) + fb * jnp.exp(-beta * jnp.maximum(after, -100.0)))
    shape = -jnp.logaddexp(-20.0 * growth, -20.0 * decline) / 20.0
    return jnp.where(t >= 0.0, jnp.log(cmax) + shape, -30.0)


def cells(p, u, quantity):
    """A quantity of the cell product that is the current treatment; its ide-cel value where none is."""
    return jnp.where(u.on("cilta_cel") > 0, getattr(p, f"{quantity}_cilta_cel"), getattr(p, f"{quantity}_ide_cel"))


def kill(p, u):
    """Kill rate of sensitive cells under the current treatment, 1/day."""
    since = jnp.where(u.on("cilta_cel") > 0, u.since("cilta_cel"), u.since("ide_cel"))
    ln_c = log_transgene(since, cells(p, u, "Cmax"), cells(p, u, "fB"), cells(p, u, "beta"), p)
    saturation = 1.0 / (1.0 + cells(p, u, "EC50") * jnp.exp(-ln_c))
    by_cells = (u.on("ide_cel") + u.on("cilta_cel")) * cells(p, u, "kS") * saturation
    return u.on("teclistamab") * p.kS_teclistamab + u.on("dara_pd") * p.kS_dara_pd + by_cells


def vector_field(t, y, p, u):
    """Growth and kill of both parts (1/day, in logs) and turnover of M-protein (g/L/day)."""
    ln_b = log_burden(y)
    growth = p.g * (1.0 - jnp.exp(jnp.minimum(ln_b, 7.0)) / GUARD)
    return {
        "ln_sensitive": growth - kill(p, u),
        "ln_resistant": growth,
        "m_protein": p.kP * (p.P0 * jnp.exp(p.gamma * jnp.minimum(ln_b, 7.0)) - y.m_protein),
    }


def at_treatment(y, p, u):
    """The burden split anew into a sensitive and a resistant part when a treatment starts."""
    f = sum(u.on(name) * getattr(p, f"f_{name}") for name in TREATMENTS)
    ln_b = log_burden(y)
    return {"ln_sensitive": ln_b + jnp.log1p(-f), "ln_resistant": ln_b + jnp.log(f), "m_protein": y.m_protein}


def m_protein(t, y, p, u):
    """Serum M-protein, g/L."""
    return y.m_protein


def involved_flc(t, y, p, u):
    """Involved free light chains, mg/L."""
    return p.FLC_floor + p.FLC0 * jnp.exp(p.gF * log_burden(y))


def transgene(t, y, p, u):
    """CAR transgene in blood, summed over products, copies/ug."""
    return sum(jnp.exp(log_transgene(u.since(x), getattr(p, f"Cmax_{x}"), getattr(p, f"fB_{x}"), getattr(p, f"beta_{x}"), p)) for x in CELLS)


def progression_other(t, y, p, u):
    """Hazard of progression without a serological rise, 1/day."""
    return p.h_other * jnp.exp(0.1 * jnp.minimum(log_burden(y), 7.0))


def death(t, y, p, u):
    """Hazard of death, 1/day."""
    return p.h_background + p.h_disease * jnp.exp(0.3 * jnp.minimum(log_burden(y), 7.0))


def response(name, kS, f, omega_f, p_nonresponse, source):
    """kS, f and chance of non-response of one treatment (calibration to published ORR, CR and median PFS)."""
    return (
        Parameter(f"kS_{name}", unit="1/day", scale="log", typical=LogNormal(median=kS, sd_log=0.5), between=HalfNormal(sd=0.6),
                  treatment=name, source=source, mark="derived"),
        Parameter(f"f_{name}", unit="", scale="logit", typical=LogitNormal(median=f, sd_logit=1.0),
                  between=LogNormal(median=omega_f, sd_log=0.2), treatment=name, source=source, mark="derived"),
        Parameter(f"p_nonresponse_{name}", unit="", scale="logit", typical=LogitNormal(median=p_nonresponse, sd_logit=0.5),
                  treatment=name, source=source, mark="derived"),
    )


def cell_product(name, cmax, omega_cmax, fb, beta, source, mark):
    """Cmax, memory fraction, slow decline and EC50 of one CAR-T product."""
    return (
        Parameter(f"Cmax_{name}", unit="copies/ug", scale="log", typical=LogNormal(median=cmax, sd_log=0.3),
                  between=LogNormal(median=omega_cmax, sd_log=0.2), treatment=name, source=source, mark=mark),
        Parameter(f"fB_{name}", unit="", scale="logit", typical=LogitNormal(median=fb, sd_logit=0.5), treatment=name, source=source, mark=mark),
        Parameter(f"beta_{name}", unit="1/day", scale="log", typical=LogNormal(median=beta, sd_log=0.4), treatment=name, source=source, mark=mark),
        Parameter(f"EC50_{name}", unit="copies/ug", scale="log", typical=LogNormal(median=0.01 * cmax, sd_log=1.0), treatment=name,
                  source="0.01 median Cmax, SD 1", mark="assumed"),
    )


no_prior_bcma = Eligibility("prior_bcma", equals=0, text="no prior BCMA therapy")
BCMA = (("prior_bcma", 1),)
triple_exposed = Eligibility("triple_class_exposed", equals=1, text="triple-class exposed")

model = Model(
    name="myeloma_car_t",
    label="multiple myeloma, CAR-T cells and rivals (reduced form)",
    context_of_use="Research use only: adults with relapsed multiple myeloma measurable by serum M-protein or free light chains.",
    time_unit="day",
    steps=Steps(first=2.0, growth=1.2, largest=14.0),
    states=("ln_sensitive", "ln_resistant", "m_protein"),
    initial_state=initial_state,
    vector_field=vector_field,
    at_treatment=at_treatment,
    parameters=(
        Parameter("P0", unit="g/L", scale="log", typical=LogNormal(median=18.0, sd_log=0.1), between=HalfNormal(sd=0.6),
                  source="Li 2025, Fau 2020 baseline 17.4 to 18 g/L", mark="verified"),
        Parameter("kP", unit="1/day", scale="log", typical=LogNormal(median=0.0504, sd_log=0.25), between=Fixed(value=0.15),
                  covariates=(Category("isotype", "IgA", shift=Normal(mean=0.83, sd=0.2)),),
                  source="IgG half-life 13.75 d (Poels 2025), IgA 6 d", mark="verified; IgA from memory"),
        Parameter("gamma", unit="", scale="log", typical=LogNormal(median=1.0, sd_log=0.2), source="near 1", mark="assumed"),
        Parameter("g", unit="1/day", scale="log", typical=LogNormal(median=0.0075, sd_log=0.4), between=HalfNormal(sd=0.6),
                  covariates=(Category("high_risk_cytogenetics", "1", shift=Normal(mean=0.2, sd=0.3)),
                              Category("extramedullary", "1", shift=Normal(mean=0.2, sd=0.3))),
                  source="Singh 2021 0.008, Li 2025 0.0043, Poels 2025 0.0080", mark="verified"),
        Parameter("FLC0", unit="mg/L", scale="log", typical=LogNormal(median=200.0, sd_log=0.7), between=HalfNormal(sd=1.5),
                  source="wide", mark="assumed"),
        Parameter("FLC_floor", unit="mg/L", scale="log", typical=LogNormal(median=8.0, sd_log=0.4), between=HalfNormal(sd=0.4),
                  source="normal kappa 3.3 to 19.4, lambda 5.7 to 26.3 mg/L", mark="memory"),
        Parameter("gF", unit="", scale="log", typical=LogNormal(median=1.0, sd_log=0.2), source="near 1", mark="assumed"),
        *response("ide_cel", 0.12, 0.0015, 2.3, 0.29, "KarMMa-3 ORR, CR, PFS"),
        *response("cilta_cel", 0.25, 0.0001, 2.07, 0.02, "CARTITUDE-1 ORR, CR, PFS"),
        *response("teclistamab", 0.05, 0.0025, 2.6, 0.36, "MajesTEC-1 ORR, CR, PFS"),
        *response("dara_pd", 0.05, 0.010, 2.67, 0.22, "APOLLO ORR, CR, PFS"),
        Parameter("f_nonresponder", unit="", scale="logit", typical=LogitNormal(median=0.82, sd_logit=0.3),
                  source="calibration of T-cell arms", mark="derived"),
        *cell_product("ide_cel", 231_000.0, 1.0, 0.02, 0.00578, "US label geometric mean, half-lives assumed", "memory"),
        *cell_product("cilta_cel", 44_000.0, 0.52, 0.001, 0.0231, "CARTITUDE-1 Cmax, AUC, Tbql", "derived"),
        Parameter("Tmax", unit="day", scale="log", typical=LogNormal(median=12.0, sd_log=0.15), between=LogNormal(median=0.2, sd_log=0.3),
                  source="ide-cel 11 d, cilta-cel 12.7 d", mark="verified; ide-cel from memory"),
        Parameter("Tlag", unit="day", scale="log", typical=Fixed(value=3.0), source="2.5 to 4 d", mark="assumed"),
        Parameter("fold", unit="", scale="log", typical=LogNormal(median=1000.0, sd_log=0.8), source="doubling 0.8 to 0.9 d", mark="derived"),
        Parameter("alpha", unit="1/day", scale="log", typical=LogNormal(median=0.077, sd_log=0.3), between=LogNormal(median=0.55, sd_log=0.3),
                  source="half-life 9 d", mark="derived"),
        Parameter("h_other", unit="1/day", scale="log", typical=LogNormal(median=1.0e-4, sd_log=0.5),
                  covariates=(Category("extramedullary", "1", shift=Normal(mean=1.5, sd=0.3)),),
                  source="1.5e-4/d with deaths, x4 to 5 with EMD", mark="assumed"),
        Parameter("h_background", unit="1/day", scale="log", typical=Fixed(value=0.015 / 365.25),
                  covariates=(Slope("age_years", reference=65.0, slope=Fixed(value=0.095)), Category("sex", "female", shift=Fixed(value=-0.57))),
                  source="Gompertz line through German life-table values at 65 and 75 years", mark="memory"),
        Parameter("h_disease", unit="1/day", scale="log", typical=LogNormal(median=1.0e-4, sd_log=0.7), source="see card", mark="assumed"),
    ),
    drift=(Drift("g", every=91.3125, steps=12, sd=LogNormal(median=0.1, sd_log=0.5), source="slow growth change [assumed]"),),
    response_classes=tuple(ResponseClass(name, parameter=f"f_{name}", replaced_by="f_nonresponder", probability=f"p_nonresponse_{name}")
                           for name in TREATMENTS),
    response_correlation=ResponseCorrelation(parameters=tuple(f"f_{name}" for name in TREATMENTS), rho=0.5, shown=(0.0, 0.5, 0.9)),
    outputs={"m_protein": m_protein, "involved_flc": involved_flc, "transgene": transgene},
    hazards={"progression_other": progression_other, "death": death},
    observations=(
        Observation("m_protein", unit="g/L", error=Combined(sd=LogNormal(median=0.5, sd_log=0.3), cv=LogNormal(median=0.10, sd_log=0.3), nu=5.0),
                    plausible=(0.0, 120.0), lower_limit=0.5, positive=False, label="M-protein", source="assay 5 to 8 %; Li 2025 0.127 and 2.57 g/L"),
        Observation("involved_flc", unit="mg/L", error=LogNormalError(sd=LogNormal(median=0.2, sd_log=0.3), nu=5.0), plausible=(0.1, 200_000.0),
                    label="involved free light chains", source="0.15 to 0.25"),
        Observation("transgene", unit="copies/ug", error=LogNormalError(sd=LogNormal(median=0.5, sd_log=0.3)), plausible=(0.0, 1.0e8), lower_limit=50.0,
                    positive=False, label="CAR transgene", source="Stein 2019 0.56"),
    ),
    treatments=(
        Treatment("ide_cel", label="Ide-cel (BCMA CAR-T)", starts_with="infusion", wait=49.0, cell_therapy=True, sets=BCMA,
                  evidence="KarMMa-3, one randomised arm, 254 patients, response 71 %, median PFS 13.8 months",
                  eligibility=(Eligibility("prior_lines", minimum=2, maximum=4), triple_exposed, no_prior_bcma),
                  assumption="infused after the usual 49 days; drop-out before infusion is not inside",
                  source="KarMMa-3; eligibility from memory"),
        Treatment("cilta_cel", label="Cilta-cel (BCMA CAR-T)", starts_with="infusion", wait=44.0, cell_therapy=True, sets=BCMA,
                  evidence="CARTITUDE-1, single arm, 97 patients, response 98 %, median PFS 34.9 months",
                  eligibility=(Eligibility("prior_lines", minimum=3), triple_exposed, no_prior_bcma),
                  assumption="infused after the usual 44 days; drop-out before infusion is not inside",
                  source="CARTITUDE-1; eligibility from memory"),
        Treatment("teclistamab", label="Teclistamab (BCMA bispecific)", sets=BCMA,
                  evidence="MajesTEC-1, single arm, 165 patients, response 63 %, median PFS 11.3 months",
                  eligibility=(Eligibility("prior_lines", minimum=3), triple_exposed, no_prior_bcma),
                  assumption="started at once and continued", source="MajesTEC-1; eligibility from memory"),
        Treatment("dara_pd", label="Daratumumab, pomalidomide, dexamethasone",
                  evidence="APOLLO, one randomised arm, 151 patients, response 69 %, median PFS 12.4 months",
                  eligibility=(Eligibility("prior_lines", minimum=1),
                               Eligibility("anti_cd38_refractory", equals=0, text="not refractory to anti-CD38 antibodies")),
                  assumption="started at once and continued", source="APOLLO (memory); eligibility from memory"),
    ),
    endpoints=(
        Progression(
            rules=(SerologicalRule("involved_flc", relative=0.25, absolute=100.0, when=("isotype", "light_chain")),
                   SerologicalRule("m_protein", relative=0.25, absolute=5.0, high_nadir=50.0, high_absolute=10.0)),
            visit_every=28.0, confirmations=2, progression_hazards=("progression_other",), death_hazard="death"),
    ),
    covariate_units={"age_years": "year", "weight_kg": "kg", "isotype": "", "sex": "", "extramedullary": "", "high_risk_cytogenetics": "",
                     "prior_lines": "", "prior_bcma": "", "anti_cd38_refractory": "", "triple_class_exposed": ""},
)
