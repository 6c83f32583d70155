"""Warfarin and clotting after one oral dose: concentration of total warfarin and prothrombin complex activity (PCA).

    d depot/dt   = -k depot                        two equal steps of absorption, k = 2 / MAT: MAT is the mean
    d transit/dt =  k depot - k transit            absorption time
    d central/dt =  k transit - CL C               C = central / V
    d pca/dt     =  kout (E0 (1 - Emax C / (EC50 + C)) - pca)          indirect response: synthesis is inhibited

Why two equal steps and no lag: docs/decisions/0016-absorption-that-the-samples-can-tell.md. CL and V are apparent
(bioavailability 1); clearance grows with weight to about the power of 3/4, volume with weight.
Sources: O'Reilly, Aggeler and Leong (1963), J Clin Invest 42:1542, and O'Reilly and Aggeler (1968), Circulation 38:169
(the data); Holford (1986), Clin Pharmacokinet 11:483 (structure; volume 10 L and clearance 0.2 L/h at 70 kg, synthesis
half inhibited at 1.5 mg/L, half-life of the complex 17 h); Anderson and Holford (2008), Annu Rev Pharmacol Toxicol
48:303 (allometry).
"""

from bayestwin.specification import (
    LKJ,
    Additive,
    Combined,
    HalfNormal,
    LogitNormal,
    LogNormal,
    Model,
    Normal,
    Observation,
    Parameter,
    Power,
    Regimen,
    Steps,
    Treatment,
)

FASTEST = 0.65  # h: samples lie half an hour apart at least, and the step grid is stable for k up to 3.3 per step


def initial_state(p):
    """Amounts before the first dose, mg; activity at its baseline, %."""
    return {"depot": 0.0, "transit": 0.0, "central": 0.0, "pca": p.E0}


def vector_field(t, y, p, u):
    """Flows, mg/h; change of activity, %/h."""
    k = 2.0 / (p.MAT**4 + FASTEST**4) ** 0.25
    concentration = y.central / p.V
    inhibited = p.Emax * concentration / (p.EC50 + concentration)
    return {
        "depot": -k * y.depot,
        "transit": k * (y.depot - y.transit),
        "central": k * y.transit - p.CL * concentration,
        "pca": p.kout * (p.E0 * (1.0 - inhibited) - y.pca),
    }


def concentration(t, y, p, u):
    """Plasma concentration of total warfarin, mg/L."""
    return y.central / p.V


def activity(t, y, p, u):
    """Prothrombin complex activity, % of normal."""
    return y.pca


HOLFORD = "holford1986"
# Seven activities tell a volunteer's kout and E0 only roughly. A prior that lets their spread vanish opens a funnel in
# which NUTS gets stuck; people differ in such rates and levels by a tenth to a third [assumed].
PEOPLE = LogNormal(median=0.15, sd_log=0.5)

model = Model(
    name="warfarin_pkpd",
    label="warfarin and prothrombin complex activity",
    context_of_use="teaching and testing: a response that follows a drug with delay",
    time_unit="h",
    dose_unit="mg",
    steps=Steps(first=0.2, growth=1.08, largest=1.0),
    states=("depot", "transit", "central", "pca"),
    initial_state=initial_state,
    vector_field=vector_field,
    routes={"oral": "depot", "iv": "central"},
    parameters=(
        Parameter("MAT", unit="h", scale="log", typical=LogNormal(median=2.0, sd_log=0.5), between=HalfNormal(sd=0.5),
                  source="highest between 2 and 6 h (holford1986)", mark="assumed"),
        Parameter("CL", unit="L/h", scale="log", typical=LogNormal(median=0.17, sd_log=0.5), between=HalfNormal(sd=0.5),
                  covariates=(Power("weight_kg", reference=70, exponent=Normal(mean=0.75, sd=0.2)),), source=HOLFORD),
        Parameter("V", unit="L", scale="log", typical=LogNormal(median=10.0, sd_log=0.5), between=HalfNormal(sd=0.5),
                  covariates=(Power("weight_kg", reference=70, exponent=Normal(mean=1.0, sd=0.2)),), source=HOLFORD),
        Parameter("Emax", unit="", scale="logit", typical=LogitNormal(median=0.95, sd_logit=1.0),
                  source="synthesis can be stopped almost wholly; no variability: one dose cannot tell it", mark="assumed"),
        Parameter("EC50", unit="mg/L", scale="log", typical=LogNormal(median=1.5, sd_log=0.5), between=HalfNormal(sd=0.5),
                  source=HOLFORD),
        Parameter("kout", unit="1/h", scale="log", typical=LogNormal(median=0.041, sd_log=0.5), between=PEOPLE,
                  source="half-life 17 h (holford1986)"),
        Parameter("E0", unit="%", scale="log", typical=LogNormal(median=95.0, sd_log=0.1), between=PEOPLE,
                  source="activity is a percentage of normal", mark="assumed"),
    ),
    correlation=LKJ(concentration=2.0, over=("CL", "V")),
    outputs={"concentration": concentration, "pca": activity},
    observations=(
        Observation("concentration", unit="mg/L", error=Combined(sd=HalfNormal(sd=0.5), cv=HalfNormal(sd=0.2)),
                    plausible=(0.0, 60.0), positive=False, label="warfarin"),
        Observation("pca", unit="%", error=Additive(sd=HalfNormal(sd=8.0)), plausible=(0.0, 200.0), positive=False,
                    label="prothrombin complex activity"),
    ),
    treatments=(
        Treatment("single_dose", label="100 mg once", regimen=Regimen.single("100 mg", route="oral"), starts_with="dose"),
    ),
    covariate_units={"weight_kg": "kg"},
)
