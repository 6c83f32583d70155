"""Relapsed multiple myeloma under BCMA CAR-T cells, bispecific antibodies and the usual regimens; reduced form.

Burden B = S + R relative to time zero (referral), in logs. When treatment x starts, the burden is split into a
sensitive part (1 - f_x) B and a resistant part f_x B; with chance p_x the patient is a non-responder and f_x is f_nr:

    d ln S/dt = g(t) (1 - B/Bmax) - kS_x h_x(t)            d ln R/dt = g(t) (1 - B/Bmax)
    h = 1 under drugs, 0 once a regimen of fixed length is over (Vd); C/(EC50 + C) under CAR-T cells
    g(t) changes by a small step every quarter

Under observation both parts grow on as they are (cells given before go on killing). The treatment that was given last,
begun again after it, or cells infused again, find the resistant part that they left; another one splits the burden anew.

CAR-T cells in blood (Stein/Ogasawara form, smooth minimum of growth and two-phase decline, n = 20):

    growth  ln Cmax - rho (Tmax - max(t, Tlag)), rho = ln(fold)/(Tmax - Tlag)
    decline ln Cmax + ln[(1 - fB) e^(-alpha (t - Tmax)) + fB e^(-beta (t - Tmax))]

M-protein turns over, d P/dt = kP (P0 B^gamma - P), with kP by isotype; involved free light chains are algebraic,
FLC = floor + FLC0 B^gF. Normal plasma cells N are displaced by burden and harmed by what is directed at BCMA or CD38:

    dN/dt = r (1 / (1 + B / B50) - N) - k_N e_x(t) N       e = h under CAR-T cells, else a number of the treatment

Response is read from the marker at the start of the last treatment, observation apart, and its running nadir n, d ln n/dt =
-0.15 max(ln n - ln marker, 0), which follows a fall within a week and no rise.

treatments.py holds what can be given, mechanism.py these functions, markers.py and marker_labs.py the other labs
(algebraic in B, N and C), mrd.py what a marrow sample sees, category.py the response category of registries, hazards.py
how one progresses without a rise or dies.
Sources are named parameter by parameter; marks: verified, derived, assumed, memory. See card.md.
"""

from bayestwin.specification import (
    Category,
    Combined,
    Drift,
    Fixed,
    HalfNormal,
    LogitNormal,
    LogNormal,
    LogNormalError,
    Model,
    Normal,
    Observation,
    Parameter,
    Power,
    Progression,
    ResponseClass,
    ResponseCorrelation,
    SerologicalRule,
    Slope,
    Steps,
)

from . import access, category, fitness, hazards, marker_labs, markers, mechanism, mrd
from .treatments import BISPECIFIC, CAR_T, ROWS, SAME_TARGET, TREATMENTS
from .usual_mix import DISTRIBUTIONS


def response(name, row):
    """kS, f and chance of non-response of one treatment."""
    about = {"treatment": name, "source": row.source, "mark": row.mark}
    return (
        Parameter(f"kS_{name}", unit="1/day", scale="log", typical=LogNormal(median=row.kS, sd_log=row.sd[0]), between=LogNormal(median=0.8, sd_log=0.3), **about),
        Parameter(f"f_{name}", unit="", scale="logit", typical=LogitNormal(median=row.f, sd_logit=row.sd[1]),
                  between=LogNormal(median=row.omega_f, sd_log=0.2), **about),
        Parameter(f"p_nonresponse_{name}", unit="", scale="logit", typical=LogitNormal(median=row.p, sd_logit=row.sd[2]), **about),
    )


def cell_product(name, cmax, omega_cmax, fb, beta, sd, source, mark):
    """Cmax, memory fraction, slow decline and EC50 of one CAR-T product; `sd` of the three medians, logs and logit."""
    about = {"treatment": name, "source": source, "mark": mark}
    return (
        Parameter(f"Cmax_{name}", unit="copies/ug", scale="log", typical=LogNormal(median=cmax, sd_log=sd[0]),
                  between=LogNormal(median=omega_cmax, sd_log=0.2), **about),
        Parameter(f"fB_{name}", unit="", scale="logit", typical=LogitNormal(median=fb, sd_logit=sd[1]), between=LogNormal(median=0.9, sd_log=0.2), **about),
        Parameter(f"beta_{name}", unit="1/day", scale="log", typical=LogNormal(median=beta, sd_log=sd[2]), between=LogNormal(median=0.8, sd_log=0.2), **about),
        Parameter(f"EC50_{name}", unit="copies/ug", scale="log", typical=LogNormal(median=0.01 * cmax, sd_log=1.0), between=Fixed(value=0.5), treatment=name,
                  source="0.01 median Cmax, SD 1, between patients 0.5", mark="assumed"),
    )


model = Model(
    name="myeloma_car_t",
    label="multiple myeloma, CAR-T cells and rivals (reduced form)",
    context_of_use="Research use only: adults with relapsed multiple myeloma measurable by serum M-protein or free light chains.",
    time_unit="day",
    steps=Steps(first=2.0, growth=1.2, largest=14.0),
    states=mechanism.STATES,
    initial_state=mechanism.initial_state,
    vector_field=mechanism.vector_field,
    at_treatment=mechanism.at_treatment,
    parameters=(
        Parameter("P0", unit="g/L", scale="log", typical=LogNormal(median=18.0, sd_log=0.1), between=LogNormal(median=0.59, sd_log=0.1),
                  covariates=(Category("isotype", "light_chain", shift=Normal(mean=-4.5, sd=0.7)), Power("albumin_g_per_l", reference=36.0, exponent=Normal(mean=-1.5, sd=1.0)),),
                  source="Li 2025, Fau 2020 baseline 17.4 to 18 g/L; light-chain disease: 0.2 g/L, near what immunofixation sees, assumed", mark="verified"),
        Parameter("kP", unit="1/day", scale="log", typical=LogNormal(median=0.0504, sd_log=0.25), between=Fixed(value=0.15),
                  covariates=(Category("isotype", "IgA", shift=Normal(mean=0.83, sd=0.2)),),
                  source="IgG half-life 13.75 d (Poels 2025), IgA 6 d", mark="verified; IgA from memory"),
        Parameter("gamma", unit="", scale="log", typical=LogNormal(median=1.0, sd_log=0.09), between=Fixed(value=0.18), source="near 1", mark="assumed"),
        Parameter("g", unit="1/day", scale="log", typical=LogNormal(median=0.0062, sd_log=0.4), between=LogNormal(median=0.7, sd_log=0.2),
                  covariates=(Category("high_risk_cytogenetics", "1", shift=Normal(mean=0.5, sd=0.25)),
                              Category("extramedullary", "1", shift=Normal(mean=0.5, sd=0.25)),
                              Slope("prior_lines", reference=4.0, slope=Normal(mean=0.08, sd=0.08))),
                  source="Singh 2021 0.008, Li 2025 0.0043, Poels 2025 0.0080; 0.0065 after one to three lines against 0.0085 to 0.0136 in late lines, derived; 0.0086 in the usual mix of patients; shifts of cytogenetics and extramedullary disease: decision 51, from memory", mark="verified; shifts from memory"),
        Parameter("FLC0", unit="mg/L", scale="log", typical=LogNormal(median=200.0, sd_log=0.7), between=HalfNormal(sd=1.5),
                  source="wide", mark="assumed"),
        Parameter("FLC_floor", unit="mg/L", scale="log", typical=LogNormal(median=8.0, sd_log=0.4), between=HalfNormal(sd=0.4),
                  covariates=marker_labs.RENAL,
                  source="normal kappa 3.3 to 19.4, lambda 5.7 to 26.3 mg/L", mark="memory"),
        Parameter("gF", unit="", scale="log", typical=LogNormal(median=1.0, sd_log=0.09), between=Fixed(value=0.18), source="near 1", mark="assumed"),
        *(parameter for name, row in ROWS.items() for parameter in response(name, row)),
        Parameter("f_nonresponder", unit="", scale="logit", typical=LogitNormal(median=0.82, sd_logit=0.3), between=Fixed(value=0.25),
                  source="calibration of T-cell arms", mark="derived"),
        *cell_product("ide_cel", 231_000.0, 1.195, 0.01, 0.0173, (0.3, 0.5, 0.3), "US label geometric mean and CV of 178 %; half-life 40 d: detectable in 59 and 36 % at months 6 and 12", "memory"),
        *cell_product("cilta_cel", 44_000.0, 0.52, 0.001, 0.0231, (0.15, 0.4, 0.25), "CARTITUDE-1 Cmax, AUC, Tbql", "derived"),
        Parameter("Tmax", unit="day", scale="log", typical=LogNormal(median=12.0, sd_log=0.08), between=LogNormal(median=0.2, sd_log=0.3),
                  source="ide-cel 11 d, cilta-cel 12.7 d", mark="verified; ide-cel from memory"),
        Parameter("Tlag", unit="day", scale="log", typical=Fixed(value=3.0), source="2.5 to 4 d", mark="assumed"),
        Parameter("fold", unit="", scale="log", typical=LogNormal(median=1000.0, sd_log=0.36), between=Fixed(value=0.72), source="doubling 0.8 to 0.9 d", mark="derived"),
        Parameter("alpha", unit="1/day", scale="log", typical=LogNormal(median=0.077, sd_log=0.15), between=LogNormal(median=0.55, sd_log=0.2),
                  source="half-life 9 d: AUC0-28 of both products is 10 to 12 times Cmax", mark="derived"),
        Parameter(
            "resistance",
            unit="",
            scale="identity",
            typical=Fixed(value=-1.5),  # the usual mix of patients has the f of the row: 1.5 is what its shifts add up to
            covariates=(
                Category("high_risk_cytogenetics", "1", shift=Normal(mean=1.2, sd=0.5)),
                Category("extramedullary", "1", shift=Normal(mean=1.3, sd=0.6)),
                Category("iss", "2", shift=Normal(mean=0.3, sd=0.3)),
                Category("iss", "3", shift=Normal(mean=0.8, sd=0.4)),
                Category("lenalidomide_refractory", "1", shift=Normal(mean=0.6, sd=0.4)),
                Slope("prior_lines", reference=4.0, slope=Normal(mean=0.05, sd=0.1)),
            ),
            source="added to logit f of every treatment: with the shifts of g, hazards of progression 1.5 to 2 times as high with high-risk cytogenetics, and about 2 with extramedullary disease (median PFS 5 against 11 months), from memory (decision 51); ISS, lenalidomide and lines: direction known, size assumed",
            mark="memory; else assumed",
        ),
        Parameter("lymphodepletion", unit="", scale="identity", typical=Fixed(value=0.0),
                  covariates=(Slope("fludarabine_auc", reference=19.0, slope=Normal(mean=0.3 / 14.0, sd=0.3 / 14.0)),),
                  source="added to ln Cmax: 0.3 / 14 for each mg h/L of F-ara-A over three doses, from CD19 products, about the 19 of 3 x 30 mg/m2 at an eGFR of 80 (clearance of Langenhorst 2019); no source in myeloma", mark="assumed"),
        *fitness.PARAMETERS,
        *hazards.PARAMETERS,
        *access.PARAMETERS,
        *marker_labs.PARAMETERS,
        mrd.SHIFT,
    ),
    drift=(Drift("g", every=91.3125, steps=12, sd=LogNormal(median=0.1, sd_log=0.5), source="slow growth change [assumed]"),),
    response_classes=tuple(
        ResponseClass(name, parameter=f"f_{name}", replaced_by="f_nonresponder", probability=f"p_nonresponse_{name}", without="resistance",
                      **({"moved_by": "fitness", "slope": "fitness_on_nonresponse"} if row.group in (CAR_T, BISPECIFIC) else {}))
        for name, row in ROWS.items()
    ),
    response_correlation=ResponseCorrelation(parameters=tuple(f"f_{name}" for name in ROWS), rho=0.5, shown=(0.0, 0.5, 0.9),
                                             alike=tuple(tuple(f"f_{n}" for n in names) for names in SAME_TARGET)),
    outputs={"m_protein": mechanism.m_protein, "involved_flc": mechanism.involved_flc, "transgene": mechanism.transgene,
             **markers.OUTPUTS, **fitness.OUTPUTS, "response_category": category.response_category, "mrd": mrd.mrd},
    hazards=hazards.HAZARDS,
    observations=(
        Observation("m_protein", unit="g/L", error=Combined(sd=LogNormal(median=0.5, sd_log=0.15), cv=LogNormal(median=0.10, sd_log=0.15), nu=5.0),
                    plausible=(0.0, 120.0), lower_limit=0.5, positive=False, label="M-protein", source="assay 5 to 8 %; Li 2025 0.127 and 2.57 g/L"),
        Observation("involved_flc", unit="mg/L", error=LogNormalError(sd=LogNormal(median=0.2, sd_log=0.15), nu=5.0), plausible=(0.1, 200_000.0),
                    label="involved free light chains", source="0.15 to 0.25"),
        Observation("transgene", unit="copies/ug", error=LogNormalError(sd=LogNormal(median=0.5, sd_log=0.15)), plausible=(0.0, 1.0e8), lower_limit=50.0,
                    positive=False, label="CAR transgene", layer="research", source="Stein 2019 0.56"),
        *marker_labs.OBSERVATIONS,
        *fitness.OBSERVATIONS,
        category.OBSERVATION,
        mrd.OBSERVATION,
    ),
    treatments=TREATMENTS,
    endpoints=(
        Progression(
            rules=(SerologicalRule("involved_flc", relative=0.25, absolute=100.0, strict=True, when=("isotype", "light_chain")),
                   SerologicalRule("m_protein", relative=0.25, absolute=5.0, high_nadir=50.0, high_absolute=10.0)),
            visit_every=28.0, confirmations=2, progression_hazards=("progression_other", "extramedullary_progression"),
            death_hazard="death", other_death_hazards=("infection_death",), recorded_as=hazards.RECORDED_AS),
    ),
    covariate_distributions=DISTRIBUTIONS,
    covariate_units={"age_years": "year", "weight_kg": "kg", "isotype": "", "sex": "", "extramedullary": "", "high_risk_cytogenetics": "",
                     "prior_lines": "", "iss": "", "lenalidomide_refractory": "", "albumin_g_per_l": "g/L", "egfr": "mL/min",
                     "deprivation": "", "fludarabine_auc": "mg*h/L", "bortezomib_refractory": "",
                     "pomalidomide_refractory": "", "carfilzomib_refractory": "", "prior_bcma": "", "anti_cd38_refractory": "", "triple_class_exposed": ""},
)
